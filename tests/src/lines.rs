//! Reads a child's output line by line without ever blocking for good.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Longest wait for anything. Only a broken run gets near it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Lines of a pipe, collected by a thread.
#[derive(Debug)]
pub struct Lines {
    receiver: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    /// Starts reading.
    pub fn new(pipe: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
            for line in lines {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
        Self {
            receiver,
            seen: Vec::new(),
        }
    }

    /// Waits for the first line from now on for which `pick` gives something. Lines passed over
    /// stay in [`Lines::seen`].
    pub fn wait_for<T>(&mut self, what: &str, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .receiver
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let picked = pick(&line);
                    self.seen.push(line);
                    if let Some(picked) = picked {
                        return Ok(picked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no {what} within {PATIENCE:?}; output:\n{}", self.text())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("ended before {what}; output:\n{}", self.text())
                }
            }
        }
    }

    /// Waits until the lines so far, those passed over included, are enough for `done`.
    pub fn wait_until(&mut self, what: &str, done: impl Fn(&[String]) -> bool) -> Result<()> {
        while !done(&self.seen) {
            self.wait_for(what, |_| Some(()))?;
        }
        Ok(())
    }

    /// Reads up to the end of the pipe.
    pub fn drain(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .receiver
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("did not end within {PATIENCE:?}; output:\n{}", self.text())
                }
            }
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> &[String] {
        &self.seen
    }

    /// All lines so far, as one text.
    pub fn text(&self) -> String {
        self.seen.join("\n")
    }
}
