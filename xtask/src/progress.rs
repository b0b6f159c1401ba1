//! Saying what goes on: a spinner on a terminal, plain lines elsewhere.

use std::{
    collections::VecDeque,
    io::{self, BufReader, IsTerminal as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::process;

/// Time between two signs of life of a long command without terminal.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Lines of a failed command that are shown.
const TAIL: usize = 40;

/// One step that is under way.
pub struct Step {
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Announces a step.
    pub fn start(name: impl Into<String>) -> Self {
        let name = name.into();
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("==> {name}");
        }
        Self {
            name,
            started: Instant::now(),
            bar,
        }
    }

    /// Says what the step is doing.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("    {text}"),
        }
    }

    /// Runs a command of this step. Its output is shown as it comes (last line) or when it fails.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        self.say(&process::describe(command));
        let (reader, writer) = io::pipe()?;
        let mut child = {
            command
                .stdin(Stdio::null())
                .stdout(writer.try_clone()?)
                .stderr(writer);
            let child = command
                .spawn()
                .with_context(|| format!("cannot run {}", process::describe(command)))?;
            // The command holds ends of the pipe, which would never close.
            command.stdout(Stdio::null()).stderr(Stdio::null());
            process::Guard(child)
        };
        let tail = self.follow(BufReader::new(reader))?;
        let status = child.0.wait()?;
        if !status.success() {
            bail!(
                "{} ended with {status}; its last words:\n{}",
                process::describe(command),
                Vec::from(tail).join("\n")
            );
        }
        Ok(())
    }

    fn follow(&self, mut reader: impl io::BufRead) -> Result<VecDeque<String>> {
        let mut tail = VecDeque::with_capacity(TAIL);
        let mut spoke = Instant::now();
        let mut line = Vec::new();
        while reader.by_ref().read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if text.is_empty() {
                continue;
            }
            if let Some(bar) = &self.bar {
                bar.set_message(text.clone());
            } else if spoke.elapsed() > HEARTBEAT {
                spoke = Instant::now();
                eprintln!("    {:>4} s: {text}", self.started.elapsed().as_secs());
            }
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(text);
        }
        Ok(tail)
    }

    /// The step has been done.
    pub fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!(
            "    done: {} ({:.1} s)",
            self.name,
            self.started.elapsed().as_secs_f64()
        );
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
