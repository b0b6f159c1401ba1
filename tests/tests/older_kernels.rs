//! Counts are as exact with what older kernels have: the kernel programs for Linux before 5.17, and
//! one perf event a site as before 6.6.

use std::path::Path;

use anyhow::{Result, ensure};
use monigo_tests::{
    Moment,
    compare::{self, observe},
    targets::{self, Go, GoVersion, Native},
};

/// As on Linux 5.15.
const OLDEST: &[&str] = &["--portable-programs", "--perf-links"];

fn check(program: &Path, arguments: &[&str]) -> Result<()> {
    let (truth, report) = observe(program, program, arguments, OLDEST, Moment::Done)?;
    compare::compare(&truth, &report)?;
    let go = report.target.language == "go";
    let mut warnings = report.warnings.iter();
    let warned = warnings.any(|warning| warning.contains("where the stacks of threads are"));
    ensure!(warned != go, "{:?}", report.warnings);
    Ok(())
}

macro_rules! scenarios {
    ($check:expr => { $($name:ident: [$($argument:expr),*];)* }) => {
        $(#[test]
        fn $name() -> Result<()> {
            check(&$check?, &[$($argument),*])
        })*
    };
}

mod c {
    use super::*;

    scenarios!(targets::c_scenarios(Native::O2) => {
        calls_in_threads: ["calls", "8", "1000"];
        deep_recursion: ["recursion", "5000", "3"];
        tail_calls: ["tail", "1000"];
        long_jumps: ["longjmp", "10", "100"];
        deep_long_jumps: ["longjmp", "3", "5000"];
        short_lived_threads: ["churn", "500", "5"];
        exit_and_cancellation: ["ends", "20"];
        fork_and_exec: ["fork", "10", "10"];
        open_at_the_end: ["open", "5", "3"];
        signal_handlers: ["signals", "100"];
    });
}

mod cpp {
    use super::*;

    scenarios!(targets::cpp_exceptions(Native::O2) => {
        exceptions: ["10", "100", "3"];
        deep_exceptions: ["2", "5000", "3"];
    });
}

mod rust {
    use super::*;

    scenarios!(targets::rust_panics(&["-C", "opt-level=3"]) => {
        panics: ["10", "100", "3"];
    });
}

mod go {
    use super::*;

    const GO: Go = Go {
        version: GoVersion::Current,
        flags: &[],
    };

    scenarios!(targets::go_scenarios(GO) => {
        calls_in_goroutines: ["calls", "8", "500"];
        deep_recursion: ["recursion", "5000", "3"];
        panic_and_recover: ["panic", "4", "10", "100"];
        goexit: ["goexit", "5", "50"];
        stack_growth: ["growth", "20", "300"];
    });
}

/// Where the stack of a process's initial thread is, is known on every kernel.
mod coroutines {
    use super::*;

    scenarios!(targets::c_program("coroutines", Native::O2) => {
        in_turn: ["turns", "30", "20"];
        nested: ["nested", "20", "10"];
    });
}
