//! The real monigo, run as a user would.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;

use crate::{lines::Lines, monigo_path, program::die_with_test};

/// The object that `--format json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// What was traced.
    pub target: Target,
    /// Length of the session, ns.
    pub duration_ns: u64,
    /// One per traced function.
    pub functions: Vec<Function>,
    /// Calls recorded in full.
    pub events: Events,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}

impl Report {
    /// The row of the function that the target calls `name`.
    pub fn function(&self, name: &str) -> Result<&Function> {
        self.functions
            .iter()
            .find(|row| crate::compare::is_called(&row.name, name))
            .with_context(|| format!("{name} is not in the report"))
    }

    /// Fails unless every call was recorded in full and there is nothing to warn of.
    pub fn expect_nothing_lost(&self) -> Result<()> {
        self.expect_all_counted()?;
        ensure!(self.warnings.is_empty(), "warnings {:?}", self.warnings);
        Ok(())
    }

    /// Fails if a record was lost, or if there is something to warn of other than stacks that end early:
    /// where more come at once than can be copied, which is a matter of load, they are walked.
    pub fn expect_all_counted(&self) -> Result<()> {
        ensure!(
            self.events.dropped == 0,
            "{} records were lost",
            self.events.dropped
        );
        let of_stacks = |warning: &String| warning.contains(" stacks end early (");
        let others: Vec<_> = self.warnings.iter().filter(|w| !of_stacks(w)).collect();
        ensure!(others.is_empty(), "warnings {others:?}");
        Ok(())
    }
}

/// The report's `target`.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Path as shown.
    pub path: String,
    /// Pids seen.
    pub pids: Vec<u32>,
    /// `go`, `rust`, `c` or `c++`.
    pub language: String,
}

/// One function of the report.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// Demangled name.
    pub name: String,
    /// Completed calls.
    pub calls: u64,
    /// Calls that ended otherwise.
    pub unwound: u64,
    /// Open calls.
    pub in_flight: u64,
    /// Ends of calls that began before monigo attached.
    #[serde(default)]
    pub unmatched: u64,
    /// Durations.
    pub latency_ns: Latency,
    /// Time of completed calls outside the traced functions that they called, ns.
    #[serde(default)]
    pub self_ns: Option<u64>,
    /// Where the time from entry to return went.
    #[serde(default)]
    pub time_ns: Option<Times>,
    /// The same without traced callees.
    #[serde(default)]
    pub self_time_ns: Option<Times>,
    /// Completed calls whose duration was measured.
    pub timed: u64,
    /// Half width of the 95 % interval of `calls`; 0 when counted.
    pub calls_error: u64,
    /// `calls` is an estimate.
    pub estimated: bool,
    /// How it was probed.
    pub probe: Probe,
}

/// Latency of completed calls, ns.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the contract")]
pub struct Latency {
    pub min: u64,
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub total: u64,
}

/// Where time went, ns.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the contract")]
pub struct Times {
    pub on_cpu: u64,
    pub runnable: u64,
    pub blocked: BTreeMap<String, u64>,
    pub unattributed: u64,
}

impl Times {
    /// Time blocked by what `kind` names.
    pub fn blocked_by(&self, kind: &str) -> u64 {
        self.blocked.get(kind).copied().unwrap_or(0)
    }

    /// All parts together.
    pub fn sum(&self) -> u64 {
        self.on_cpu + self.runnable + self.blocked.values().sum::<u64>() + self.unattributed
    }
}

/// How a function was probed.
#[derive(Clone, Debug, Deserialize)]
pub struct Probe {
    /// Hexadecimal address.
    pub entry: String,
    /// `ret` or `uretprobe`.
    pub exit: String,
    /// Sites.
    pub sites: u32,
    /// `emulated`, `single-step` or `nop5`.
    pub cost_class: String,
    /// Its bodies, if there are several.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// One of the bodies that count as one function.
#[derive(Clone, Debug, Deserialize)]
pub struct Instance {
    /// Demangled name.
    pub name: String,
    /// Name in the image.
    pub linkage_name: String,
    /// Hexadecimal address.
    pub address: String,
    /// Source file.
    pub file: Option<String>,
    /// Sites.
    pub sites: u32,
}

/// Records written and lost.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Events {
    /// Written.
    pub recorded: u64,
    /// Lost.
    pub dropped: u64,
}

/// How a monigo that ran to its end ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl Outcome {
    /// Checks the exit status, that the message holds every one of `parts`, and that it is a
    /// message and not a backtrace.
    pub fn expect_error(&self, status: i32, parts: &[&str]) -> Result<()> {
        ensure!(
            self.status == Some(status),
            "exit status {:?} instead of {status}; stderr:\n{}",
            self.status,
            self.stderr
        );
        for part in parts {
            ensure!(
                self.stderr.to_lowercase().contains(&part.to_lowercase()),
                "the message does not mention {part:?}:\n{}",
                self.stderr
            );
        }
        for noise in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            ensure!(
                !self.stderr.contains(noise),
                "the message is not for people:\n{}",
                self.stderr
            );
        }
        ensure!(
            self.stdout.is_empty(),
            "an error belongs on stderr alone; stdout:\n{}",
            self.stdout
        );
        Ok(())
    }
}

/// What monigo prints with these arguments. Fails unless it ends well.
pub fn output(arguments: &[&str]) -> Result<String> {
    let outcome = run(arguments)?;
    ensure!(
        outcome.status == Some(0),
        "{arguments:?}: {}",
        outcome.stderr
    );
    Ok(outcome.stdout)
}

/// Runs monigo to its end.
pub fn run<I, S>(arguments: I) -> Result<Outcome>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    Monigo::spawn(arguments)?.wait()
}

/// What the server at `address` answers to a GET request; fails unless that is JSON with status 200.
pub fn get(address: SocketAddr, path: &str) -> Result<serde_json::Value> {
    let (status, body) = fetch(address, path)?;
    ensure!(status == 200, "{status}: {body}");
    serde_json::from_str(&body).with_context(|| body.clone())
}

/// Status and text of what the server at `address` answers to a GET request.
pub fn fetch(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    exchange(address, "GET", path, "")
}

/// What the server at `address` answers to an object; fails unless that is JSON with status 200.
pub fn post(
    address: SocketAddr,
    path: &str,
    body: &serde_json::Value,
) -> Result<serde_json::Value> {
    let (status, answer) = exchange(address, "POST", path, &body.to_string())?;
    ensure!(status == 200, "{status}: {answer}");
    serde_json::from_str(&answer).with_context(|| answer.clone())
}

fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}

fn attach_arguments<'a>(target: &'a str, functions: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["attach", target, "--headless", "--format", "json"];
    for function in functions {
        arguments.extend(["--fn", function]);
    }
    if !more.contains(&"--max-overhead") {
        // Truths are exact; the budget would make estimates of them.
        arguments.extend(["--max-overhead", "off"]);
    }
    arguments.extend(more);
    arguments
}

/// A running monigo. It dies with the test.
#[derive(Debug)]
pub struct Monigo {
    child: Child,
    stdout: Option<JoinHandle<std::io::Result<String>>>,
    stderr: Lines,
}

impl Monigo {
    /// Starts it without waiting for anything.
    pub fn spawn<I, S>(arguments: I) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(monigo_path()?);
        command.args(arguments);
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_test(&mut command);
        let mut child = command.spawn().context("starting monigo")?;
        let mut pipe = child.stdout.take().context("stdout of monigo")?;
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).map(|_| text)
        });
        let stderr = Lines::new(child.stderr.take().context("stderr of monigo")?);
        Ok(Self {
            child,
            stdout: Some(stdout),
            stderr,
        })
    }

    /// `monigo attach TARGET --fn ...` with JSON at the end; returns when the probes are in.
    pub fn attach(target: &str, functions: &[&str], more: &[&str]) -> Result<Self> {
        let mut monigo = Self::spawn(attach_arguments(target, functions, more))?;
        monigo.await_attached()?;
        Ok(monigo)
    }

    /// The same as services run it, without a terminal.
    pub fn attach_as_service(target: &str, functions: &[&str], more: &[&str]) -> Result<Self> {
        let mut monigo = Self::spawn_with(attach_arguments(target, functions, more), &[])?;
        monigo.await_attached()?;
        Ok(monigo)
    }

    /// The same with a server on a free port of this machine, whose address comes with it.
    pub fn attach_and_serve(
        target: &str,
        functions: &[&str],
        more: &[&str],
    ) -> Result<(Self, SocketAddr)> {
        let mut arguments = vec!["attach", target, "--no-tui", "--port", "0"];
        arguments.extend(["--format", "json", "--max-overhead", "off"]);
        for function in functions {
            arguments.extend(["--fn", function]);
        }
        arguments.extend(more);
        let mut monigo = Self::spawn(arguments)?;
        let address = monigo.await_address()?;
        monigo.await_attached()?;
        Ok((monigo, address))
    }

    /// Waits until the server is there, and returns its address.
    pub fn await_address(&mut self) -> Result<SocketAddr> {
        self.stderr.wait_for("the server's address", |line| {
            let url = line.strip_prefix("monigo: dashboard at http://")?;
            url.trim_end_matches('/').parse().ok()
        })
    }

    /// Waits until all probes are in.
    pub fn await_attached(&mut self) -> Result<()> {
        self.stderr
            .wait_for("\"monigo: attached\" on monigo's stderr", |line| {
                line.starts_with("monigo: attached ").then_some(())
            })
    }

    /// As [`Monigo::spawn`], with variables in its environment and `PATH`, and no terminal.
    pub fn spawn_with<I, S>(arguments: I, variables: &[(&str, &str)]) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(monigo_path()?);
        command.args(arguments).envs(variables.iter().copied());
        // SAFETY: one system call that takes no memory.
        unsafe {
            command.pre_exec(|| {
                // Signals of a terminal that is closed mean the end, others a new configuration.
                libc::setsid();
                Ok(())
            });
        }
        Self::start(command)
    }

    /// Waits for a line on stderr that holds `part`.
    pub fn await_line(&mut self, part: &str) -> Result<String> {
        let what = format!("line with \"{part}\" on monigo's stderr");
        self.stderr
            .wait_for(&what, |line| line.contains(part).then(|| line.to_owned()))
    }

    /// Waits until it has said a line with all of `parts`, before or from now on; the first such line.
    pub fn ever_said(&mut self, parts: &[&str]) -> Result<String> {
        let has_all = |line: &String| parts.iter().all(|part| line.contains(part));
        let what = format!("line with {parts:?} on monigo's stderr");
        self.stderr
            .wait_until(&what, |lines| lines.iter().any(has_all))?;
        let found = self.stderr.lines().iter().find(|line| has_all(line));
        found.cloned().context(what)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id() as i32), signal)?)
    }

    /// Waits until it says something with `part` in it.
    pub fn await_message(&mut self, part: &str) -> Result<()> {
        let part = part.to_lowercase();
        self.stderr
            .wait_for(&format!("{part:?} on monigo's stderr"), |line| {
                line.to_lowercase().contains(&part).then_some(())
            })
    }

    /// Ctrl-C, then how it ended.
    pub fn interrupt(self) -> Result<Outcome> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        self.wait()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C, then the report.
    pub fn stop(self) -> Result<Report> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        self.report()
    }

    /// Waits for its own end, then the report.
    pub fn report(self) -> Result<Report> {
        let outcome = self.wait()?;
        if outcome.status != Some(0) {
            bail!(
                "monigo ended with {:?}:\n{}",
                outcome.status,
                outcome.stderr
            );
        }
        serde_json::from_str(&outcome.stdout).with_context(|| {
            format!(
                "monigo's JSON is not as agreed:\n{}\nstderr:\n{}",
                outcome.stdout, outcome.stderr
            )
        })
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Outcome> {
        self.stderr.drain()?;
        let stdout = match self.stdout.take().map(JoinHandle::join) {
            Some(Ok(text)) => text?,
            _ => bail!("monigo's stdout could not be read"),
        };
        let status = self.child.wait()?;
        Ok(Outcome {
            status: status.code(),
            stdout,
            stderr: self.stderr.text(),
        })
    }
}

impl Drop for Monigo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
