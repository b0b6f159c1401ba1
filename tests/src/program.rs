//! A running target.

use std::{
    collections::BTreeMap,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::lines::Lines;

/// What a target counted itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Truth {
    /// By the name that serves as the pattern for monigo.
    pub functions: BTreeMap<String, Count>,
    /// Results of its work, and whatever else it measured.
    pub values: BTreeMap<String, i64>,
}

/// Calls of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Count {
    /// Calls that returned.
    pub calls: u64,
    /// Calls ended by a panic, an exception, a jump or the end of their thread.
    pub unwound: u64,
    /// Calls still open.
    pub in_flight: u64,
}

/// A target that waits to be told to go. It dies with the test.
#[derive(Debug)]
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines,
}

impl Program {
    /// Starts `path` and waits until it says that it is ready.
    pub fn start(path: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(path);
        command.args(arguments);
        Self::spawn(command)
    }

    /// The same as another user, who has no privileges.
    pub fn start_as_nobody(path: &Path, arguments: &[&str]) -> Result<Self> {
        const NOBODY: u32 = 65_534;
        let mut command = Command::new(path);
        command.args(arguments).uid(NOBODY).gid(NOBODY);
        Self::spawn(command)
    }

    /// Starts a command that becomes the target, or starts it, with the same input and output.
    pub fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        die_with_test(&mut command);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let mut output = Lines::new(child.stdout.take().context("stdout of the target")?);
        let input = child.stdin.take();
        output.wait_for("\"ready\" from the target", |line| {
            line.starts_with("ready ").then_some(())
        })?;
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it do its work and waits for the truth.
    pub fn go(&mut self) -> Result<Truth> {
        self.say("go")?;
        let line = self.output.wait_for("the target's JSON line", |line| {
            line.starts_with('{').then(|| line.to_owned())
        });
        let line = line.with_context(|| self.fate())?;
        serde_json::from_str(&line).with_context(|| format!("the target printed {line}"))
    }

    /// Lets it exit, and checks that it does so in good order.
    pub fn finish(mut self) -> Result<()> {
        self.say("exit")?;
        drop(self.input.take());
        self.output.drain()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the target ended with {status}");
        Ok(())
    }

    /// What became of it, for a report: it should be running.
    fn fate(&mut self) -> String {
        let state = match self.child.try_wait() {
            Ok(Some(status)) => format!("the target ended early with {status}"),
            Ok(None) => "the target still runs".to_owned(),
            Err(error) => format!("the target's state is not known: {error}"),
        };
        // A crash, or a warning of the kernel's, has left its traces there.
        let log = Command::new("dmesg").output();
        let log = log.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        );
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(60)..];
        format!("{state}; the kernel's log ends with\n{}", last.join("\n"))
    }

    fn say(&mut self, word: &str) -> Result<()> {
        let input = self
            .input
            .as_mut()
            .context("the target's input is closed")?;
        writeln!(input, "{word}").with_context(|| format!("telling the target \"{word}\""))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the kernel kill the child if the test dies without running destructors.
pub fn die_with_test(command: &mut Command) {
    // SAFETY: `prctl` is async-signal-safe and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
}
