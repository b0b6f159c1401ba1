//! `monigo serve`, and what it says.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{lines::Lines, monigo_path, program::die_with_test};

/// A server of a recording. It dies with the test.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    url: String,
    log: Lines,
}

impl Serving {
    /// Serves a recording on a free port, and waits until it does.
    pub fn start(db: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(monigo_path()?);
        command
            .arg("serve")
            .arg("--db")
            .arg(db)
            .args(["--port", "0"])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_test(&mut command);
        let mut child = command.spawn().context("starting monigo")?;
        let mut stdout = Lines::new(child.stdout.take().context("stdout of monigo")?);
        let log = Lines::new(child.stderr.take().context("stderr of monigo")?);
        let url = stdout.wait_for("the server's address", |line| {
            line.starts_with("http").then(|| line.to_owned())
        });
        let url = url.with_context(|| log.text())?;
        Ok(Self { child, url, log })
    }

    /// What it says to open in a browser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port.
    pub fn port(&self) -> Result<u16> {
        let (_, rest) = self.url.rsplit_once(':').context("no port")?;
        let digits = rest.split('/').next().unwrap_or_default();
        digits.parse().with_context(|| self.url.clone())
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in good order. What it logged.
    pub fn stop(mut self) -> Result<String> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        self.log.drain()?;
        let status = self.child.wait()?;
        let log = self.log.text();
        ensure!(status.success(), "monigo ended with {status}:\n{log}");
        Ok(log)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
