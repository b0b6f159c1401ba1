//! The server of the real binary.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, Serving,
    monigo::run,
    monigo_path, require_root,
    targets::{self, Native},
};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// Status and both outputs of `monigo hash-password` with this on stdin.
fn hash_password(typed: &str) -> Result<(Option<i32>, String, String)> {
    let mut child = Command::new(monigo_path()?)
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    stdin.write_all(typed.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let text = |bytes| String::from_utf8(bytes).context("output is not UTF-8");
    Ok((
        output.status.code(),
        text(output.stdout)?,
        text(output.stderr)?,
    ))
}

#[test]
fn passwords_are_hashed_with_salt() -> Result<()> {
    let (status, first, _) = hash_password("correct horse\n")?;
    let (_, second, _) = hash_password("correct horse")?;
    ensure!(status == Some(0) && first.lines().count() == 1, "{first}");
    ensure!(first.starts_with("$argon2id$v=19$m="), "{first}");
    ensure!(first != second, "the salt is always the same");
    ensure!(!first.contains("horse"));
    Ok(())
}

#[test]
fn no_password_is_a_mistake() -> Result<()> {
    let (status, stdout, stderr) = hash_password("\n")?;
    ensure!(
        status == Some(2) && stdout.is_empty(),
        "{status:?} {stdout}"
    );
    ensure!(stderr.contains("there is no password on stdin"), "{stderr}");
    Ok(())
}

const KEY: &str = "key-of-the-first-0123456789";
const OTHER_KEY: &str = "key-of-the-second-0123456789";
const TOKEN: &str = "token-0123456789abcdef";
const PASSWORD: &str = "correct-horse-battery";

/// A short recording.
fn record(folder: &Path) -> Result<PathBuf> {
    require_root()?;
    let image = targets::c_scenarios(Native::O2)?;
    let mut target = Program::start(&image, &["calls", "1", "10"])?;
    let db = folder.join("m.duckdb");
    let monigo = Monigo::attach(
        text(&image)?,
        &["leaf"],
        &["--db", text(&db)?, "--flush", "100ms"],
    )?;
    target.go()?;
    target.finish()?;
    monigo.stop()?;
    Ok(db)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

/// Trusts no certificate but `ca`, and tells of every status.
fn agent(ca: Option<&str>) -> Result<Agent> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0);
    if let Some(pem) = ca {
        let certificate = Certificate::from_pem(pem.as_bytes())?;
        let roots = RootCerts::new_with_certs(&[certificate]);
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().new_agent())
}

/// The status of the answer.
fn status(agent: &Agent, url: &str, headers: &[(&str, &str)]) -> Result<u16> {
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = request.call()?;
    let status = answer.status().as_u16();
    answer.body_mut().read_to_vec()?;
    Ok(status)
}

const PATHS: [&str; 6] = [
    "",
    "healthz",
    "readyz",
    "metrics",
    "api/v1/overview",
    "monigo/api/v1/service-info",
];

/// On all addresses, nobody is answered without the token that was made up, or with `--insecure` everybody.
#[test]
fn an_address_for_others_wants_authentication() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let db = record(folder.path())?;
    let agent = agent(None)?;
    let serving = Serving::start(&db, &["--listen", "0.0.0.0"], &[])?;
    let base = format!("http://127.0.0.1:{}/", serving.port()?);
    let (_, token) = serving.url().split_once("?token=").context("no token")?;
    let bearer = format!("Bearer {token}");
    for path in PATHS {
        let url = format!("{base}{path}");
        ensure!(status(&agent, &url, &[])? == 401, "{path}");
        let found = status(&agent, &url, &[("authorization", &bearer)])?;
        ensure!(found == 200, "{path}: {found}");
    }
    let log = serving.stop()?;
    ensure!(log.contains("not encrypted"), "{log}");

    let serving = Serving::start(&db, &["--listen", "0.0.0.0", "--insecure"], &[])?;
    ensure!(!serving.url().contains("token"), "{}", serving.url());
    let base = format!("http://127.0.0.1:{}/", serving.port()?);
    for path in PATHS {
        let found = status(&agent, &format!("{base}{path}"), &[])?;
        ensure!(found == 200, "{path}: {found}");
    }
    serving.stop()?;

    run([
        "serve",
        "--db",
        text(&db)?,
        "--listen",
        "0.0.0.0",
        "--insecure",
        "--token-file",
        text(&db)?,
    ])?
    .expect_error(2, &["auth.token"])
}

/// Whether a process can be started with a secret without showing it to others.
fn expect_hidden(pid: u32, log: &str) -> Result<()> {
    for secret in [KEY, OTHER_KEY, TOKEN, PASSWORD] {
        ensure!(!log.contains(secret), "{secret} was logged");
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path().join("cmdline");
            let Ok(command) = fs::read(&path) else {
                continue;
            };
            let shown = String::from_utf8_lossy(&command).contains(secret);
            ensure!(!shown, "{secret} is in {} ({pid})", path.display());
        }
    }
    Ok(())
}

/// Keys, users and a token over TLS; changed files count without a restart; no secret is shown anywhere.
#[test]
fn secrets_let_in_and_are_not_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let db = record(folder.path())?;
    let path = |name: &str| folder.path().join(name);
    let names = vec!["127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    let pem = made.cert.pem();
    fs::write(path("cert.pem"), &pem)?;
    fs::write(path("key.pem"), made.signing_key.serialize_pem())?;
    fs::write(path("keys"), KEY)?;
    let (_, hash, _) = hash_password(PASSWORD)?;
    fs::write(path("users"), format!("ann:{hash}"))?;
    let files = ["cert.pem", "key.pem", "keys", "users"].map(path);
    let [cert, key, keys, users] = files.each_ref().map(|file| text(file));
    let arguments = [
        "--listen",
        "0.0.0.0",
        "--tls-cert",
        cert?,
        "--tls-key",
        key?,
        "--api-keys-file",
        keys?,
        "--users-file",
        users?,
        "--log-level",
        "trace",
    ];
    let serving = Serving::start(&db, &arguments, &[("MONIGO_AUTH_TOKEN", TOKEN)])?;
    let port = serving.port()?;
    let url = format!("https://127.0.0.1:{port}/monigo/api/v1/settings");
    let client = agent(Some(&pem))?;
    let with_key = |key: &str| status(&client, &url, &[("x-api-key", key)]);
    ensure!(status(&client, &url, &[])? == 401);
    ensure!(with_key(OTHER_KEY)? == 401);
    ensure!(with_key(KEY)? == 200);
    let bearer = format!("Bearer {TOKEN}");
    ensure!(status(&client, &url, &[("authorization", &bearer)])? == 200);
    let page = format!("https://127.0.0.1:{port}/?token={TOKEN}");
    ensure!(status(&client, &page, &[])? == 200);
    // base64 of ann and the password.
    let basic = "Basic YW5uOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==";
    ensure!(status(&client, &url, &[("authorization", basic)])? == 200);
    let plain = url.replace("https", "http");
    ensure!(!matches!(
        status(&agent(None)?, &plain, &[("x-api-key", KEY)]),
        Ok(200)
    ));
    // Nobody vouches for the certificate.
    ensure!(status(&agent(None)?, &url, &[("x-api-key", KEY)]).is_err());

    fs::write(path("keys"), OTHER_KEY)?;
    while with_key(OTHER_KEY)? != 200 {
        thread::sleep(Duration::from_millis(50));
    }
    ensure!(with_key(KEY)? != 200);

    let mut answer = client.get(&url).header("x-api-key", OTHER_KEY).call()?;
    let settings = answer.body_mut().read_to_string()?;
    expect_hidden(serving.pid(), &settings)?;
    let pid = serving.pid();
    let log = serving.stop()?;
    ensure!(log.contains("read users, keys and token again"), "{log}");
    expect_hidden(pid, &log)
}
