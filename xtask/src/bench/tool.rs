//! A profiler that is attached while a target is measured.

use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::process::{self, Guard};

/// A line that a tool prints, and when it came.
#[derive(Clone, Debug)]
pub struct Line {
    /// Since the tool was started.
    pub after: Duration,
    /// Without its newline.
    pub text: String,
}

/// A running tool whose output is kept.
pub struct Tool {
    process: Guard,
    what: String,
    started: Instant,
    output: Reader,
    errors: Reader,
}

impl Tool {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let what = process::describe(command);
        let started = Instant::now();
        let mut process = Guard::spawn(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )?;
        let stdout = process.0.stdout.take().context("stdout is piped")?;
        let stderr = process.0.stderr.take().context("stderr is piped")?;
        Ok(Self {
            process,
            what,
            started,
            output: Reader::start(stdout, started),
            errors: Reader::start(stderr, started),
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Time since it was started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Fails with what the tool said if it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Ok(Some(status)) = self.process.0.try_wait() {
            self.errors.join();
            let said = self
                .errors
                .lines()
                .into_iter()
                .map(|line| line.text)
                .filter(|text| !text.contains("RLIMIT_MEMLOCK"))
                .collect::<Vec<_>>()
                .join(" ");
            bail!("{} ended with {status}: {}", self.name(), shorten(&said));
        }
        Ok(())
    }

    /// Whether it has ended by itself; [`Self::finish`] says how.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.process.0.try_wait()?.is_some())
    }

    fn name(&self) -> &str {
        let program = self.what.split(' ').next().unwrap_or_default();
        program.rsplit('/').next().unwrap_or_default()
    }

    /// Waits for a line on stderr or stdout.
    pub fn await_line(&mut self, wanted: impl Fn(&str) -> bool, limit: Duration) -> Result<Line> {
        loop {
            for reader in [&self.errors, &self.output] {
                if let Some(line) = reader.lines().into_iter().find(|line| wanted(&line.text)) {
                    return Ok(line);
                }
            }
            self.check()?;
            if self.elapsed() > limit {
                bail!("{} was not ready within {limit:?}", self.name());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until monigo says that its probes are in.
    pub fn await_attached(&mut self, limit: Duration) -> Result<Line> {
        self.await_line(|line| line.starts_with("monigo: attached "), limit)
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end.
    pub fn interrupt(mut self, limit: Duration) -> Result<End> {
        self.check()?;
        let asked = Instant::now();
        self.process.signal(Signal::SIGINT);
        // perf ends by that very signal when it has written everything.
        self.await_end(asked, limit, Some(Signal::SIGINT))
    }

    /// Waits for a tool that ends by itself.
    pub fn finish(self, limit: Duration) -> Result<End> {
        let started = self.started;
        self.await_end(started, limit, None)
    }

    fn await_end(mut self, since: Instant, limit: Duration, by: Option<Signal>) -> Result<End> {
        // Polled more finely than `Guard::wait` does, for it is a measurement.
        let status = loop {
            if let Some(status) = self.process.0.try_wait()? {
                break status;
            }
            if since.elapsed() > limit {
                bail!("{} did not end within {limit:?}", self.name());
            }
            thread::sleep(Duration::from_millis(1));
        };
        let took = since.elapsed();
        self.output.join();
        self.errors.join();
        let errors = self.errors.lines();
        let expected = by.map(|signal| signal as i32);
        if !status.success() && (expected.is_none() || status.signal() != expected) {
            let said: Vec<&str> = errors.iter().map(|line| line.text.as_str()).collect();
            bail!(
                "{} ended with {status}: {}",
                self.name(),
                shorten(&said.join(" "))
            );
        }
        let output = self.output.lines();
        Ok(End {
            took,
            output: output.into_iter().map(|line| line.text + "\n").collect(),
            errors,
        })
    }
}

/// How a tool ended.
pub struct End {
    /// How long that took.
    pub took: Duration,
    /// What it printed on stdout.
    pub output: String,
    /// What it printed on stderr.
    pub errors: Vec<Line>,
}

/// A thread that keeps the lines of a pipe.
struct Reader {
    lines: Arc<Mutex<Vec<Line>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn start(pipe: impl Read + Send + 'static, started: Instant) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let thread = thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = Line {
                    after: started.elapsed(),
                    text: String::from_utf8_lossy(&line).into_owned(),
                };
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Self {
            lines,
            thread: Some(thread),
        }
    }

    fn lines(&self) -> Vec<Line> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the end of the pipe.
    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The end of a long message, where the cause usually is.
fn shorten(text: &str) -> String {
    let count = text.chars().count();
    if count <= 300 {
        return text.to_owned();
    }
    let end: String = text.chars().skip(count - 300).collect();
    format!("… {end}")
}
