//! The OTLP export of the real binary, by its options.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, Receiver},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program,
    monigo::run,
    require_root,
    targets::{self, Native},
};

/// A request as it came.
struct Post {
    path: String,
    headers: Vec<String>,
    bytes: usize,
}

/// Takes whatever is posted.
fn receiver() -> Result<(u16, Receiver<Post>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (sender, posts) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                // Until the other side has no more to say.
                while let Ok(post) = take(&stream) {
                    if sender.send(post).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok((port, posts))
}

fn take(stream: &TcpStream) -> Result<Post> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the end");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let length = head
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "))
        .context("no length")?;
    let mut body = vec![0; length.parse()?];
    reader.read_exact(&mut body)?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    let path = head[0].split(' ').nth(1).context("no path")?.to_owned();
    Ok(Post {
        path,
        headers: head,
        bytes: body.len(),
    })
}

#[test]
fn options_send_everything_and_headers_stay_secret() -> Result<()> {
    const SECRET: &str = "top-secret-0123";
    require_root()?;
    let (port, posts) = receiver()?;
    let folder = tempfile::tempdir()?;
    let headers = folder.path().join("headers");
    fs::write(&headers, format!("Authorization: Bearer {SECRET}\n"))?;
    let image = targets::c_scenarios(Native::O2)?;
    let image = image.to_str().context("path is not UTF-8")?;
    let mut target = Program::start(image.as_ref(), &["calls", "1", "500"])?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let monigo = Monigo::attach(
        image,
        &["leaf"],
        &[
            "--flush",
            "100ms",
            "--log-level",
            "trace",
            "--otlp-endpoint",
            &endpoint,
            "--otlp-plaintext",
            "--otlp-protocol",
            "http",
            "--otlp-interval",
            "200ms",
            "--otlp-profiles",
            "--otlp-headers-file",
            headers.to_str().context("path is not UTF-8")?,
        ],
    )?;
    target.go()?;
    let mut missing = vec!["/v1/metrics", "/v1/traces", "/v1development/profiles"];
    while !missing.is_empty() {
        let request = posts.recv()?;
        ensure!(request.bytes > 0);
        let expected = format!("authorization: bearer {SECRET}");
        ensure!(request.headers.contains(&expected), "{:?}", request.headers);
        missing.retain(|path| *path != request.path);
    }
    let command = fs::read(format!("/proc/{}/cmdline", monigo.pid()))?;
    let command = String::from_utf8_lossy(&command).into_owned();
    ensure!(command.contains("--otlp-headers-file") && !command.contains(SECRET));
    target.finish()?;
    let outcome = monigo.interrupt()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    for said in [&outcome.stdout, &outcome.stderr] {
        ensure!(!said.contains(SECRET), "a header was logged");
    }
    Ok(())
}

#[test]
fn plaintext_is_only_for_those_who_ask() -> Result<()> {
    run([
        "attach",
        "/bin/true",
        "--fn",
        "main",
        "--otlp-endpoint",
        "http://127.0.0.1:1",
    ])?
    .expect_error(2, &["--otlp-endpoint", "in the clear", "--otlp-plaintext"])
}
