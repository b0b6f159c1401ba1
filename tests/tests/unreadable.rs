//! `monigo serve` of a file that cannot be read for a time: damaged, locked, mended, free again.

use std::{
    fs,
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use monigo_tests::{
    Monigo, Program,
    lines::PATIENCE,
    monigo::{fetch, run},
    require_root,
    systemd::await_word,
    targets::{self, Native, PrivateCopy},
};
use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::signal::Signal,
};
use serde_json::Value;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

/// A finished recording.
fn record(file: &Path) -> Result<()> {
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let mut target = Program::start(&path, &["recursion", "50", "2"])?;
    let monigo = Monigo::attach(text(&path)?, &["recurse"], &["--db", text(file)?])?;
    target.go()?;
    monigo.stop()?;
    target.finish()
}

/// Changes what the first tables of the file are.
fn damage(file: &Path) -> Result<Vec<u8>> {
    let sound = fs::read(file)?;
    let mut damaged = sound.clone();
    for byte in &mut damaged[4096..12_288] {
        *byte ^= 0x55;
    }
    fs::write(file, damaged)?;
    Ok(sound)
}

/// A server, as systemd would start it.
struct Served {
    monigo: Monigo,
    systemd: UnixDatagram,
    address: SocketAddr,
}

impl Served {
    fn start(folder: &Path, file: &Path) -> Result<Self> {
        let place = folder.join("notify");
        let systemd = UnixDatagram::bind(&place)?;
        let monigo = Monigo::spawn_with(
            [
                "serve",
                "--db",
                text(file)?,
                "--port",
                "0",
                "-v",
                "--log-format",
                "json",
            ],
            &[
                ("NOTIFY_SOCKET", text(&place)?),
                ("WATCHDOG_USEC", "900000"),
            ],
        )?;
        let ready = await_word(&systemd, "READY=1")?;
        let status = ready
            .lines()
            .find_map(|line| line.strip_prefix("STATUS=serving "));
        let status = status.with_context(|| format!("no status in {ready:?}"))?;
        let (_, address) = status.rsplit_once(" at ").context("no address")?;
        let address = address.trim().parse()?;
        Ok(Self {
            monigo,
            systemd,
            address,
        })
    }

    /// Status and body of the answer.
    fn ask(&self, path: &str) -> Result<(u16, Value)> {
        let (status, body) = fetch(self.address, path)?;
        let body = serde_json::from_str(&body).with_context(|| body.clone())?;
        Ok((status, body))
    }

    /// Waits until readiness is answered with this status; returns what is said of the database.
    fn await_readiness(&self, wanted: u16) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.ask("/readyz")?;
            if status == wanted {
                let checks = body["checks"].as_array().context("no checks")?;
                let database = checks.iter().find(|check| check["name"] == "database");
                let database = database.context("no check of the database")?;
                return Ok(database["message"].as_str().unwrap_or_default().to_owned());
            }
            if Instant::now() > deadline {
                bail!("readiness is {status}, not {wanted}: {body}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The API refuses, and says why.
    fn expect_unavailable(&self, reason: &str) -> Result<()> {
        for path in [
            "/api/v1/overview",
            "/api/v1/functions",
            "/monigo/api/v1/function",
            "/monigo/api/v1/metrics",
        ] {
            let (status, body) = self.ask(path)?;
            ensure!(status == 503, "{path}: {status}: {body}");
            ensure!(body.to_string().contains(reason), "{path}: {body}");
        }
        ensure!(self.ask("/healthz")?.0 == 200, "the server itself is well");
        Ok(())
    }

    fn expect_answers(&self) -> Result<()> {
        let (status, functions) = self.ask("/monigo/api/v1/function")?;
        ensure!(status == 200, "{functions}");
        ensure!(functions[0]["calls"].as_u64() > Some(0), "{functions}");
        ensure!(functions[0]["last_run"].is_string(), "{functions}");
        let (_, info) = self.ask("/monigo/api/v1/service-info")?;
        ensure!(info["retention_period"] == "7d", "{info}");
        Ok(())
    }

    fn stop(self) -> Result<()> {
        await_word(&self.systemd, "WATCHDOG=1")?;
        self.monigo.signal(Signal::SIGTERM)?;
        await_word(&self.systemd, "STOPPING=1")?;
        let outcome = self.monigo.wait()?;
        ensure!(outcome.status == Some(0), "{outcome:?}");
        for event in ["start", "stop"] {
            let word = format!("\"event\":\"{event}\"");
            ensure!(outcome.stderr.contains(&word), "no {word}: {outcome:?}");
        }
        Ok(())
    }
}

#[test]
fn a_file_that_is_damaged_at_first_is_served_once_it_is_mended() -> Result<()> {
    require_root()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.duckdb");
    record(&file)?;
    let sound = damage(&file)?;
    let served = Served::start(folder.path(), &file)?;
    let message = served.await_readiness(503)?;
    ensure!(message.contains("damaged"), "{message}");
    served.expect_unavailable("damaged")?;
    fs::write(&file, sound)?;
    served.await_readiness(200)?;
    served.expect_answers()?;
    served.stop()
}

#[test]
fn a_file_that_is_locked_at_first_is_served_once_it_is_free() -> Result<()> {
    require_root()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.duckdb");
    record(&file)?;
    let holder = fs::File::options().read(true).write(true).open(&file)?;
    let whole = |kind: i32| libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&holder, FcntlArg::F_SETLK(&whole(libc::F_WRLCK)))?;
    let served = Served::start(folder.path(), &file)?;
    let pid = std::process::id().to_string();
    let message = served.await_readiness(503)?;
    ensure!(message.contains(&pid), "who holds it is named: {message}");
    served.expect_unavailable(&pid)?;
    fcntl(&holder, FcntlArg::F_SETLK(&whole(libc::F_UNLCK)))?;
    served.await_readiness(200)?;
    served.expect_answers()?;
    served.stop()
}

#[test]
fn what_waiting_does_not_mend_is_an_error_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("none.duckdb");
    run(["serve", "--db", text(&missing)?, "--port", "0"])?.expect_error(2, &["none.duckdb"])
}
