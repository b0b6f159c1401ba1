//! `monigo agent` in a folder with its targets, and what its server says of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    Monigo, Truth,
    monigo::{Report, get, run},
    require_root,
    targets::{self, Native},
};

/// A path as text.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

/// A folder with programs, a database and a configuration.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    source: PathBuf,
}

impl Place {
    /// One without any programs yet.
    pub fn new() -> Result<Self> {
        Self::of(targets::c_scenarios(Native::O2)?)
    }

    /// The same, with another program to deploy.
    pub fn of(source: PathBuf) -> Result<Self> {
        require_root()?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            source,
        })
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a program into its place by renaming, as a deployment does.
    pub fn deploy(&self, name: &str) -> Result<PathBuf> {
        let (new, path) = (self.path("new"), self.path(name));
        fs::copy(&self.source, &new)?;
        fs::rename(&new, &path)?;
        Ok(path)
    }

    /// The agent with these targets, in TOML.
    pub fn agent(&self, targets: &str, more: &[&str]) -> Result<Monigo> {
        let file = self.path("m.toml");
        let text_of = format!(
            "[storage]\npath = \"{}\"\nsync_frequency = \"100ms\"\n[trace]\nmax_overhead = \"off\"\n[listen]\nport = 0\n[agent]\nwatch = \"200ms\"\n{targets}",
            text(&self.path("m.duckdb"))?
        );
        fs::write(&file, text_of)?;
        let mut arguments = vec!["agent", "--config", text(&file)?];
        arguments.extend(more);
        Monigo::spawn_with(arguments, &[])
    }

    /// What SQL says of the database, as CSV.
    pub fn query(&self, sql: &str) -> Result<String> {
        let db = self.path("m.duckdb");
        let outcome = run(["query", "--db", text(&db)?, sql, "--format", "csv"])?;
        ensure!(outcome.status == Some(0), "{outcome:?}");
        Ok(outcome.stdout.trim().to_owned())
    }

    /// What a session counted.
    pub fn report(&self, session: &str) -> Result<Report> {
        let db = self.path("m.duckdb");
        let outcome = run([
            "report",
            "--db",
            text(&db)?,
            "--session",
            session,
            "--format",
            "json",
        ])?;
        ensure!(outcome.status == Some(0), "{outcome:?}");
        Ok(serde_json::from_str(&outcome.stdout)?)
    }
}

/// A target of the configuration: the functions that the sample program counts.
pub fn target(path: &Path) -> Result<String> {
    Ok(format!(
        "[[agent.targets]]\npath = \"{}\"\nfunctions = [\"caller\", \"leaf\"]\n",
        text(path)?
    ))
}

/// The session in a line about an attachment.
pub fn session_of(line: &str) -> Result<String> {
    let (_, rest) = line
        .split_once("session=")
        .with_context(|| format!("no session in {line}"))?;
    Ok(rest
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// Waits until a target is attached to, and returns its session.
pub fn attached(monigo: &mut Monigo) -> Result<String> {
    session_of(&monigo.await_line("event=\"attach\"")?)
}

/// Completed calls of `leaf` in a session, as the API says; waits until it says `wanted`, which the next flush brings.
pub fn leaf_calls(address: SocketAddr, session: &str, wanted: u64) -> Result<()> {
    let path = format!("/monigo/api/v1/function?session={session}");
    let ask = || -> Result<u64> {
        let functions = get(address, &path)?;
        let rows = functions.as_array().context("no array")?;
        let leaf = rows.iter().find(|row| row["name"] == "leaf");
        leaf.context("no leaf")?["calls"].as_u64().context("calls")
    };
    let events = format!("/api/v1/events?session={session}");
    let mut calls = ask()?;
    let mut flushes = Flushes::of(address, &events)?;
    for _ in 0..100 {
        if calls == wanted {
            return Ok(());
        }
        flushes.await_next()?;
        calls = ask()?;
    }
    bail!("session {session} has {calls} calls of leaf instead of {wanted}")
}

/// The stream of flushes of a session.
#[derive(Debug)]
pub struct Flushes(BufReader<TcpStream>);

impl Flushes {
    /// Those that the events at this path tell of.
    pub fn of(address: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Waits for the next, or for the end.
    pub fn await_next(&mut self) -> Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.0.read_line(&mut line)?;
            if read == 0 || line.starts_with("event: flush") || line.starts_with("event: ended") {
                return Ok(());
            }
        }
    }
}

/// Every session that the server knows.
pub fn sessions(address: SocketAddr) -> Result<Vec<serde_json::Value>> {
    let list = get(address, "/monigo/api/v1/sessions")?;
    Ok(list.as_array().context("no array")?.clone())
}

/// Whether an answer names this session.
pub fn is(answer: &serde_json::Value, session: &str) -> bool {
    answer.as_i64() == session.parse().ok()
}

/// The session in a list.
pub fn listed(list: &[serde_json::Value], session: &str) -> Result<serde_json::Value> {
    let found = list.iter().find(|row| is(&row["id"], session));
    found
        .cloned()
        .with_context(|| format!("no session {session} in {list:?}"))
}

/// Waits until a session is listed as `wanted`; the list is up to a second old. Looks at each flush.
pub fn await_listed(
    address: SocketAddr,
    session: &str,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Result<serde_json::Value> {
    let mut flushes = Flushes::of(address, "/api/v1/events")?;
    for _ in 0..300 {
        let row = listed(&sessions(address)?, session)?;
        if wanted(&row) {
            return Ok(row);
        }
        flushes.await_next()?;
    }
    bail!(
        "session {session} is not as it should be: {:?}",
        sessions(address)?
    )
}

/// Calls of `leaf` that the target made, by its own count.
pub fn leaf_of(truth: &Truth) -> Result<u64> {
    let count = truth.functions.get("leaf");
    Ok(count.context("the target says nothing of leaf")?.calls)
}

/// Ends it in good order.
pub fn stop(monigo: Monigo) -> Result<()> {
    monigo.signal(Signal::SIGTERM)?;
    let outcome = monigo.wait()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    Ok(())
}
