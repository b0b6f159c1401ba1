//! The real monigo, run as a user would.

mod http;
mod report;

use std::{
    ffi::OsStr,
    io::Read as _,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{lines::Lines, monigo_path, program::die_with_test};

pub use self::{
    http::{fetch, get, post},
    report::{Events, Function, Instance, Latency, Probe, Report, Target, Times},
};

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
