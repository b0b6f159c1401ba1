//! Which tests failed and why, out of what test runners print.

use super::tally::Reader;

/// Lines kept of what a test printed, and characters of each: enough for a panic with both its values.
const LINES: usize = 8;
const WIDTH: usize = 400;

/// Gathers failures line by line.
#[derive(Debug)]
pub struct Failures {
    reader: Reader,
    texts: Vec<String>,
    /// Whether lines now belong to the last of `texts`, and how many more may.
    room: usize,
    /// Nextest tells each failure twice: when it happens, and after its summary with all output.
    summed_up: bool,
}

impl Failures {
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            texts: Vec::new(),
            room: 0,
            summed_up: false,
        }
    }

    pub fn read(&mut self, line: &str) {
        match self.reader {
            Reader::Nextest => self.nextest(line),
            Reader::Vitest => self.headed(line, |line| {
                let line = line.trim_start();
                line.strip_prefix("FAIL ")
                    .filter(|name| name.contains(" > "))
            }),
            Reader::Node => self.headed(line, |line| {
                let line = line.trim_start();
                let name = line
                    .strip_prefix("not ok ")
                    .or(line.strip_prefix("\u{2716} "));
                name.filter(|name| !name.starts_with("failing tests"))
            }),
        }
    }

    pub fn into_texts(self) -> Vec<String> {
        self.texts
    }

    fn nextest(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("Summary [") {
            self.summed_up = true;
        } else if let Some(ended) = Ended::read(line).filter(|_| self.summed_up) {
            self.room = 0;
            if let Ended::Failed(name) = ended {
                self.texts.push(name.to_owned());
            }
        } else if line.starts_with("stderr ") {
            self.room = LINES;
        } else if line == "stack backtrace:" || line == "error: test run failed" {
            self.room = 0;
        } else {
            self.keep(line);
        }
    }

    /// A runner that prints a heading and then the reason.
    fn headed(&mut self, line: &str, name: impl Fn(&str) -> Option<&str>) {
        if let Some(name) = name(line) {
            self.texts.push(name.trim().to_owned());
            self.room = LINES;
        } else {
            self.keep(line.trim());
        }
    }

    fn keep(&mut self, line: &str) {
        if let Some(text) = self.texts.last_mut().filter(|_| self.room > 0)
            && !line.is_empty()
            && !line.starts_with("note: run with `RUST_BACKTRACE")
        {
            text.push_str("\n    ");
            text.extend(line.chars().take(WIDTH));
            self.room -= 1;
        }
    }
}

/// What nextest says of a test that ended.
enum Ended<'a> {
    Passed,
    Failed(&'a str),
}

impl<'a> Ended<'a> {
    /// Of a line like `TRY 2 FAIL [   3.864s] (191/191) package::binary test`.
    fn read(line: &'a str) -> Option<Self> {
        let (verdict, rest) = line.split_once(" [")?;
        let (took, name) = rest.split_once(']')?;
        took.trim().strip_suffix('s')?.parse::<f64>().ok()?;
        let mut verdict = verdict.split_whitespace();
        if verdict.any(|word| matches!(word, "PASS" | "FLAKY" | "SLOW" | "LEAK")) {
            return Some(Self::Passed);
        }
        let name = name.trim_start();
        let counted = name
            .strip_prefix('(')
            .and_then(|name| name.split_once(") "));
        Some(Self::Failed(counted.map_or(name, |(_, name)| name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: Reader, text: &str) -> Vec<String> {
        let mut failures = Failures::new(reader);
        text.lines().for_each(|line| failures.read(line));
        failures.into_texts()
    }

    #[test]
    fn nextest() {
        let text = "
  TRY 1 FAIL [   4.152s] (───────) monigo-tests::time rust_tokio
  TRY 2 FAIL [   3.864s] (191/191) monigo-tests::time rust_tokio
────────────
     Summary [ 102.784s] 191 tests run: 189 passed (1 flaky), 2 failed, 660 skipped
   FLAKY 2/2 [   3.864s] (1/191) monigo-tests::time go_threads
  TRY 2 FAIL [   3.866s] (189/191) monigo-tests::time rust_executions
  stdout ───

    running 1 test
    test rust_executions ... FAILED

  stderr ───

    thread 'rust_executions' (12) panicked at tests/tests/time.rs:9:
    assertion `left == right` failed
      left: 1
     right: 2
    note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

     TIMEOUT [   600.0s] (191/191) monigo-tests::time rust_tokio
  stderr ───
    Error: no answer
error: test run failed
";
        assert_eq!(
            read(Reader::Nextest, text),
            [
                "monigo-tests::time rust_executions
    thread 'rust_executions' (12) panicked at tests/tests/time.rs:9:
    assertion `left == right` failed
    left: 1
    right: 2",
                "monigo-tests::time rust_tokio
    Error: no answer"
            ]
        );
    }

    #[test]
    fn vitest() {
        let text = "
 FAIL  src/format.test.ts > durations > of nothing
AssertionError: expected '0' to be '1'
";
        assert_eq!(
            read(Reader::Vitest, text),
            [
                "src/format.test.ts > durations > of nothing\n    AssertionError: expected '0' to be '1'"
            ]
        );
    }

    #[test]
    fn node() {
        let text = "    # Subtest: closes
    ok 1 - opens
    not ok 2 - closes
      ---
      error: '1 == 2'
";
        assert_eq!(
            read(Reader::Node, text),
            ["2 - closes\n    ---\n    error: '1 == 2'"]
        );
    }
}
