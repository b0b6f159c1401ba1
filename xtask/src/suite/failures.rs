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
            Reader::Node => self.node(line),
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

    /// Node speaks TAP, or as its reporter "spec" does: newer ones, and on terminals.
    fn node(&mut self, line: &str) {
        let line = line.trim_start();
        if line.starts_with("\u{2716} failing tests:") {
            // What failed until now follows once more, without the suites that it is in.
            self.texts.clear();
        } else if line.starts_with("test at ") {
            // Where the next failure is.
            self.room = 0;
        } else {
            self.headed(line, |line| {
                line.strip_prefix("not ok ")
                    .or(line.strip_prefix("\u{2716} "))
            });
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
    fn node_as_tap() {
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

    /// Of two failing tests, each in a suite.
    const SPEC: &str = "
▶ durations
  ✔ of nothing (0.843752ms)
  ✖ of a call (1.750835ms)
    AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:

    '0 ns' !== '1 ns'

        at TestContext.<anonymous> (file:///src/a.test.mjs:5:34)
        at Test.run (node:internal/test_runner/test:796:25) {
      generatedMessage: true,
      code: 'ERR_ASSERTION'
    }

✖ durations (3.918182ms)
▶ sessions
  ✖ names (0.282027ms)
    Error: no session
        at TestContext.<anonymous> (file:///src/a.test.mjs:7:56)

✖ sessions (0.509165ms)
";
    const SPEC_SUMMARY: &str = "ℹ tests 3
ℹ suites 2
ℹ pass 1
ℹ fail 2

✖ failing tests:

test at a.test.mjs:5:3
✖ of a call (1.750835ms)
  AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:

  '0 ns' !== '1 ns'

      at TestContext.<anonymous> (file:///src/a.test.mjs:5:34)
      at Test.run (node:internal/test_runner/test:796:25) {
    generatedMessage: true,
    code: 'ERR_ASSERTION'
  }

test at a.test.mjs:7:30
✖ names (0.282027ms)
  Error: no session
      at TestContext.<anonymous> (file:///src/a.test.mjs:7:56)
";

    #[test]
    fn node_as_spec_tells_each_failing_test_once_and_no_suite() {
        assert_eq!(
            read(Reader::Node, &[SPEC, SPEC_SUMMARY].concat()),
            [
                "of a call (1.750835ms)
    AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:
    '0 ns' !== '1 ns'
    at TestContext.<anonymous> (file:///src/a.test.mjs:5:34)
    at Test.run (node:internal/test_runner/test:796:25) {
    generatedMessage: true,
    code: 'ERR_ASSERTION'
    }",
                "names (0.282027ms)
    Error: no session
    at TestContext.<anonymous> (file:///src/a.test.mjs:7:56)"
            ]
        );
    }

    #[test]
    fn node_as_spec_without_its_summary_tells_what_failed_until_then() {
        let texts = read(Reader::Node, SPEC);
        let names: Vec<_> = texts
            .iter()
            .filter_map(|text| text.lines().next())
            .collect();
        assert_eq!(
            names,
            [
                "of a call (1.750835ms)",
                "durations (3.918182ms)",
                "names (0.282027ms)",
                "sessions (0.509165ms)"
            ]
        );
    }

    #[test]
    fn node_as_spec_without_a_failure() {
        let text = "✔ opens (0.8ms)\nℹ tests 1\nℹ pass 1\nℹ fail 0\n";
        assert!(read(Reader::Node, text).is_empty());
    }
}
