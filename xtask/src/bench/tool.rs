//! A profiler that is attached while a target is measured.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::process::{self, Guard};

/// A line on a tool's stderr, and when it came.
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
    stdout: Option<JoinHandle<String>>,
    errors: Arc<Mutex<Vec<Line>>>,
    reader: Option<JoinHandle<()>>,
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
        let mut stdout = process.0.stdout.take().context("stdout is piped")?;
        let stderr = process.0.stderr.take().context("stderr is piped")?;
        let errors = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&errors);
        Ok(Self {
            process,
            what,
            started,
            stdout: Some(thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stdout.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })),
            errors,
            reader: Some(thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    let line = Line {
                        after: started.elapsed(),
                        text: String::from_utf8_lossy(&line).into_owned(),
                    };
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            })),
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

    /// What it has printed on stderr so far.
    pub fn errors(&self) -> Vec<Line> {
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Fails with what the tool said if it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Ok(Some(status)) = self.process.0.try_wait() {
            // The reader ends with the pipe.
            if let Some(reader) = self.reader.take() {
                let _ = reader.join();
            }
            let said = self
                .errors()
                .into_iter()
                .map(|line| line.text)
                .filter(|text| !text.contains("RLIMIT_MEMLOCK"))
                .collect::<Vec<_>>()
                .join(" ");
            bail!("{} ended with {status}: {}", self.what, shorten(&said));
        }
        Ok(())
    }

    /// Waits for a line on stderr; returns when it came.
    pub fn await_line(&mut self, wanted: impl Fn(&str) -> bool, limit: Duration) -> Result<Line> {
        loop {
            if let Some(line) = self.errors().into_iter().find(|line| wanted(&line.text)) {
                return Ok(line);
            }
            self.check()?;
            if self.elapsed() > limit {
                bail!("{} was not ready within {limit:?}", self.what);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end; returns how long that took, and what
    /// the tool has printed on stdout.
    pub fn interrupt(mut self, limit: Duration) -> Result<(Duration, String)> {
        self.check()?;
        let asked = Instant::now();
        self.process.signal(Signal::SIGINT);
        let took = self.await_end(asked, limit)?;
        Ok((took, self.output()))
    }

    /// Waits for the end of a tool that ends by itself; returns what it has printed on stdout.
    pub fn finish(mut self, limit: Duration) -> Result<(Duration, String)> {
        let started = self.started;
        let took = self.await_end(started, limit)?;
        Ok((took, self.output()))
    }

    fn await_end(&mut self, since: Instant, limit: Duration) -> Result<Duration> {
        // Polled more finely than `Guard::wait` does, for it is a measurement.
        while matches!(self.process.0.try_wait(), Ok(None)) {
            if since.elapsed() > limit {
                bail!("{} did not end within {limit:?}", self.what);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(since.elapsed())
    }

    fn output(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.stdout
            .take()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
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
