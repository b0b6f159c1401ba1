//! Counting what test runners say.

use std::{
    io::{self, BufRead as _, BufReader},
    ops::AddAssign,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::failures::Failures;
use crate::process::{self, Guard};

/// Tests that passed and failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// Of those that passed, those that failed at first.
    pub flaky: u64,
    /// What failed and why, as far as the runner said: some lines each.
    pub failures: Vec<String>,
}

impl Tally {
    pub fn passed() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// One test that failed for a reason.
    pub fn failed(reason: String) -> Self {
        Self {
            failed: 1,
            failures: vec![reason],
            ..Self::default()
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.flaky += other.flaky;
        self.failures.extend(other.failures);
    }
}

/// Which runner's summary to look for.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    Nextest,
    Vitest,
    /// Node's own test runner.
    Node,
}

impl Reader {
    /// Adds what a line says.
    fn read(self, line: &str, tally: &mut Tally) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match self {
            Self::Nextest if words.first() == Some(&"Summary") => {
                tally.passed += before(&words, "passed");
                tally.flaky += before(&words, "flaky");
                tally.failed += before(&words, "failed")
                    + before(&words, "timed out")
                    + before(&words, "exec failed");
            }
            Self::Vitest if words.first() == Some(&"Tests") => {
                tally.passed += before(&words, "passed");
                tally.failed += before(&words, "failed");
            }
            Self::Node => match words[..] {
                [_, "pass", count] => tally.passed += count.parse().unwrap_or(0),
                [_, "fail" | "cancelled", count] => tally.failed += count.parse().unwrap_or(0),
                _ => {}
            },
            _ => {}
        }
    }
}

/// The number in front of some words; 0 if they are not there.
fn before(words: &[&str], label: &str) -> u64 {
    let label: Vec<&str> = label.split(' ').collect();
    words
        .windows(label.len() + 1)
        .find_map(|window| {
            let same = window[1..]
                .iter()
                .zip(&label)
                .all(|(word, label)| word.trim_end_matches([',', ';', ')']) == *label);
            let count = window[0].trim_start_matches('(');
            same.then(|| count.parse().ok()).flatten()
        })
        .unwrap_or(0)
}

/// Runs a test runner, shows what it prints, and counts. A runner that fails without saying
/// which test did, or that ran nothing, counts as one failure.
pub fn counted(command: &mut Command, reader: Reader) -> Result<Tally> {
    let (output, writer) = io::pipe()?;
    command
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = Guard::spawn(command)?;
    // The command holds ends of the pipe, which would never close.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut tally = Tally::default();
    let mut failures = Failures::new(reader);
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        reader.read(&line, &mut tally);
        failures.read(&line);
    }
    tally.failures = failures.into_texts();
    let status = child.0.wait().with_context(|| process::describe(command))?;
    if tally.failed == 0 && (!status.success() || tally.passed == 0) {
        let reason = format!(
            "{} ended with {status} and {} tests counted",
            process::describe(command),
            tally.passed
        );
        eprintln!("{reason}");
        tally += Tally::failed(reason);
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: Reader, text: &str) -> (u64, u64) {
        let mut tally = Tally::default();
        for line in text.lines() {
            reader.read(line, &mut tally);
        }
        (tally.passed, tally.failed)
    }

    #[test]
    fn nextest() {
        let line = "     Summary [   0.030s] 11 tests run: 11 passed, 3 skipped";
        assert_eq!(read(Reader::Nextest, line), (11, 0));
        let line = "     Summary [ 33.1s] 20 tests run: 16 passed (2 slow), 3 failed, 1 timed out, 0 skipped";
        assert_eq!(read(Reader::Nextest, line), (16, 4));
        let line = "     Summary [ 33.1s] 2 tests run: 1 passed, 1 exec failed, 0 skipped";
        assert_eq!(read(Reader::Nextest, line), (1, 1));
        assert_eq!(read(Reader::Nextest, "PASS 3 passed"), (0, 0));
        let mut tally = Tally::default();
        let line = "     Summary [ 33.1s] 20 tests run: 20 passed (2 slow, 1 flaky), 0 skipped";
        Reader::Nextest.read(line, &mut tally);
        assert_eq!((tally.passed, tally.flaky), (20, 1));
        let mut tally = Tally::default();
        let line = "     Summary [ 33.1s] 20 tests run: 20 passed (3 flaky), 0 skipped";
        Reader::Nextest.read(line, &mut tally);
        assert_eq!((tally.passed, tally.flaky), (20, 3));
    }

    #[test]
    fn vitest() {
        let text = " Test Files  3 passed (3)\n      Tests  27 passed (27)\n";
        assert_eq!(read(Reader::Vitest, text), (27, 0));
        let text = " Test Files  1 failed | 2 passed (3)\n      Tests  2 failed | 25 passed (27)\n";
        assert_eq!(read(Reader::Vitest, text), (25, 2));
    }

    #[test]
    fn node() {
        let text = "# tests 5\n# pass 3\n# fail 1\n# cancelled 1\n# skipped 0\n";
        assert_eq!(read(Reader::Node, text), (3, 2));
        assert_eq!(
            read(Reader::Node, "\u{2139} pass 9\n\u{2139} fail 0\n"),
            (9, 0)
        );
    }

    #[test]
    fn a_runner_that_ran_nothing_failed() -> Result<()> {
        let tally = counted(&mut Command::new("true"), Reader::Node)?;
        assert_eq!((tally.passed, tally.failed), (0, 1));
        assert_eq!(
            tally.failures,
            ["true ended with exit status: 0 and 0 tests counted"]
        );
        Ok(())
    }
}
