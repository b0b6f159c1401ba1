//! Events reach a webhook that fails at first; systemd is told what it wants to know; another user.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::net::UnixDatagram,
    path::Path,
    sync::mpsc::{self, Receiver},
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use monigo_tests::{
    Monigo, Program, Report,
    compare::compare,
    lines::PATIENCE,
    require_root,
    systemd::await_word,
    targets::{self, Native, PrivateCopy},
};
use nix::sys::signal::Signal;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

/// An HTTP server that answers 503 `failures` times, then 200, and hands out what it accepted.
fn receiver(failures: usize) -> Result<(String, Receiver<serde_json::Value>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let body = loop {
                if let Some(body) = body_of(&bytes) {
                    break body;
                }
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                }
            };
            let fails = number < failures;
            let status = if fails { "503 Busy" } else { "200 OK" };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
            if !fails && tell.send(body).is_err() {
                return;
            }
        }
    });
    Ok((url, told))
}

fn body_of(bytes: &[u8]) -> Option<serde_json::Value> {
    let text = String::from_utf8_lossy(bytes);
    let (_, body) = text.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

#[test]
fn events_reach_a_webhook_that_fails_at_first() -> Result<()> {
    require_root()?;
    let (url, told) = receiver(2)?;
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("url");
    fs::write(&secret, format!("{url}\n"))?;
    let file = folder.path().join("m.toml");
    fs::write(
        &file,
        "[webhook]\nretry = \"50ms\"\n[service]\nname = \"shop\"\n",
    )?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let mut monigo = Monigo::spawn_with(
        [
            "attach",
            text(&path)?,
            "--fn",
            "leaf",
            "--headless",
            "--config",
            text(&file)?,
            "--webhook-url-file",
            text(&secret)?,
        ],
        &[],
    )?;
    monigo.await_attached()?;
    let next = |event: &str| -> Result<serde_json::Value> {
        let body = told
            .recv_timeout(PATIENCE)
            .with_context(|| format!("no {event}"))?;
        ensure!(body["event"] == event, "{body} instead of {event}");
        ensure!(body["service"] == "shop", "{body}");
        Ok(body)
    };
    next("start")?;
    let attach = next("attach")?;
    ensure!(
        attach["target"] == text(&path)? && attach["session"] == 1,
        "{attach}"
    );
    monigo.signal(Signal::SIGINT)?;
    next("detach")?;
    next("stop")?;
    let outcome = monigo.wait()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    Ok(())
}

/// The next event of this kind, whatever comes before it.
fn await_event(told: &Receiver<serde_json::Value>, event: &str) -> Result<serde_json::Value> {
    loop {
        let body = told
            .recv_timeout(PATIENCE)
            .with_context(|| format!("no {event}"))?;
        if body["event"] == event {
            return Ok(body);
        }
    }
}

/// A process that uses more of the CPU than is allowed is told of, by name and by how much.
#[test]
fn a_breach_of_a_limit_reaches_a_webhook() -> Result<()> {
    require_root()?;
    let (url, told) = receiver(0)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    fs::write(
        &file,
        format!("[webhook]\nurl = \"{url}\"\n[health]\nmax_cpu = 1\n"),
    )?;
    let copy = PrivateCopy::of(&targets::rust_program("busy", &["-O"])?)?;
    let path = copy.path();
    let target = Program::start(&path, &[])?;
    let monigo = Monigo::attach_as_service(text(&path)?, &["hot"], &["--config", text(&file)?])?;
    let breach = loop {
        let event = await_event(&told, "health")?;
        // The host uses more than that, too.
        if event["details"]["subject"] == "the service" {
            break event;
        }
    };
    ensure!(breach["details"]["healthy"] == false, "{breach}");
    let said = breach["details"]["breaches"].to_string();
    ensure!(
        said.contains("CPU Usage") && said.contains("limit of 1%"),
        "{breach}"
    );
    drop(monigo);
    drop(target);
    Ok(())
}

/// What there was no room for while monigo did not run is told, with its cause.
#[test]
fn a_loss_reaches_a_webhook() -> Result<()> {
    require_root()?;
    let (url, told) = receiver(0)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    fs::write(&file, format!("[webhook]\nurl = \"{url}\"\n"))?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let mut target = Program::start(&path, &["calls", "2", "100000"])?;
    let options = ["--config", text(&file)?, "--sample-rate", "1"];
    let monigo = Monigo::attach_as_service(text(&path)?, &["leaf"], &options)?;
    monigo.signal(Signal::SIGSTOP)?;
    let truth = target.go()?;
    monigo.signal(Signal::SIGCONT)?;
    let loss = await_event(&told, "loss")?;
    ensure!(loss["details"]["ring_full"].as_u64() > Some(0), "{loss}");
    monigo.signal(Signal::SIGINT)?;
    let outcome = monigo.wait()?;
    // Nothing is lost of the counts.
    let report: Report = serde_json::from_str(&outcome.stdout)?;
    ensure!(
        report.function("leaf")?.calls == truth.functions["leaf"].calls,
        "{report:?}"
    );
    target.finish()
}

#[test]
fn systemd_is_told() -> Result<()> {
    require_root()?;
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place)?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let file = folder.path().join("m.toml");
    let target = format!(
        "[service]\nheadless = true\n[[agent.targets]]\npath = \"{}\"\nfunctions = [\"leaf\"]\n",
        text(&path)?
    );
    fs::write(&file, &target)?;
    let monigo = Monigo::spawn_with(
        ["agent", "--config", text(&file)?],
        &[
            ("NOTIFY_SOCKET", text(&place)?),
            ("WATCHDOG_USEC", "900000"),
        ],
    )?;
    let ready = await_word(&socket, "READY=1")?;
    ensure!(ready.contains("STATUS=tracing "), "{ready}");
    await_word(&socket, "WATCHDOG=1")?;
    monigo.signal(Signal::SIGHUP)?;
    let reloading = await_word(&socket, "RELOADING=1")?;
    ensure!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    await_word(&socket, "READY=1")?;
    monigo.signal(Signal::SIGTERM)?;
    await_word(&socket, "STOPPING=1")?;
    let outcome = monigo.wait()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    Ok(())
}

/// The value of a field of `/proc/PID/status`.
fn status_of(pid: u32, field: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line
        .with_context(|| format!("no {field}"))?
        .trim()
        .to_owned())
}

#[test]
fn goes_on_as_another_user() -> Result<()> {
    require_root()?;
    let Some(user) = nix::unistd::User::from_name("nobody")? else {
        bail!("this host has no user nobody")
    };
    let folder = tempfile::tempdir()?;
    nix::unistd::chown(folder.path(), Some(user.uid), Some(user.gid))?;
    let db = folder.path().join("n.duckdb");
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let mut target = Program::start(&path, &["calls", "2", "500"])?;
    let monigo = Monigo::attach_as_service(
        text(&path)?,
        &["caller", "leaf"],
        &["--db", text(&db)?, "--user", "nobody"],
    )?;
    let uid = user.uid.to_string();
    let uids = status_of(monigo.pid(), "Uid")?;
    ensure!(uids.split_whitespace().all(|other| other == uid), "{uids}");
    let effective = u64::from_str_radix(&status_of(monigo.pid(), "CapEff")?, 16)?;
    // BPF, PERFMON, SYS_PTRACE, DAC_READ_SEARCH, SYSLOG, CHECKPOINT_RESTORE.
    let kept: u64 = [39, 38, 19, 2, 34, 40].iter().map(|bit| 1 << bit).sum();
    ensure!(effective == kept, "{effective:x} instead of {kept:x}");
    ensure!(status_of(monigo.pid(), "NoNewPrivs")? == "1");
    let truth = target.go()?;
    let report = monigo.stop()?;
    compare(&truth, &report)?;
    target.finish()?;
    let owner = fs::metadata(&db)?;
    ensure!(std::os::unix::fs::MetadataExt::uid(&owner) == user.uid.as_raw());
    Ok(())
}

#[test]
fn users_that_do_not_exist_are_named() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let monigo = Monigo::spawn_with(
        [
            "attach",
            text(&path)?,
            "--fn",
            "leaf",
            "--headless",
            "--user",
            "nosuchuser",
        ],
        &[],
    )?;
    monigo
        .wait()?
        .expect_error(2, &["--user nosuchuser", "no such user"])?;
    Ok(())
}
