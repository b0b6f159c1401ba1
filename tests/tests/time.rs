//! Where the time of a function goes, against targets that measure their own parts.
//!
//! Nothing here says how fast anything is: a target's own clocks say what its parts took, on
//! whatever machine, and monigo's parts must be the same within bounds.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, Report, Truth, monigo,
    monigo::Times,
    targets::{self, Go, GoVersion, Native, PrivateCopy},
};

/// How far a part of what was waited for may be from the target's own measurement, as a share of
/// the time of the function. Between the target's clock and the scheduler's lie some instructions,
/// and what a thread waited for a CPU, which counts as runnable.
const WAIT_BOUND: f64 = 0.05;
/// The same for time on CPU: 20 calls at 499 Hz make some 100 samples of 10 ms in each call.
const CPU_BOUND: f64 = 0.08;
/// The same for all parts where a part of the time stands for all of it.
const WINDOWS_BOUND: f64 = 0.08;
/// Most of the time that may be unattributed.
const UNATTRIBUTED: f64 = 0.10;

const CALLS: &str = "20";

struct Outcome {
    report: Report,
    truth: Truth,
    db: String,
    _directory: tempfile::TempDir,
}

fn record(target: &Path, arguments: &[&str], functions: &[&str]) -> Result<Outcome> {
    record_with(target, arguments, functions, &["--cpu-hz", "499"])
}

fn record_with(
    target: &Path,
    arguments: &[&str],
    functions: &[&str],
    options: &[&str],
) -> Result<Outcome> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(target)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("times.duckdb");
    let db = db.to_str().context("path is not UTF-8")?.to_owned();
    let mut program = Program::start(&copy.path(), arguments)?;
    let pid = program.pid().to_string();
    let options = [&["--db", &db], options].concat();
    let monigo = Monigo::attach(&pid, functions, &options)?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    ensure!(report.events.dropped == 0, "{report:?}");
    Ok(Outcome {
        report,
        truth,
        db,
        _directory: directory,
    })
}

impl Outcome {
    fn value(&self, name: &str) -> Result<f64> {
        let value = self.truth.values.get(name);
        value
            .map(|ns| *ns as f64)
            .with_context(|| format!("no {name} in {:?}", self.truth))
    }

    fn times(&self, function: &str) -> Result<&Times> {
        let row = self.report.function(function)?;
        row.time_ns.as_ref().context("nothing was sampled")
    }

    /// Compares the parts of `function` with what the target measured: pairs of a kind of wait and
    /// the value that has its time.
    fn check(&self, function: &str, waits: &[(&str, &[&str])]) -> Result<()> {
        let times = self.times(function)?;
        let wall = self.value("wall_ns")?;
        let near = |what: &str, got: u64, expected: f64, bound: f64| {
            let off = (got as f64 - expected).abs() / wall;
            ensure!(
                off <= bound,
                "{what}: {got} ns instead of {expected}, {off:.3} of the whole; {times:?}, {:?}",
                self.truth.values
            );
            Ok(())
        };
        near("the sum", times.sum(), wall, 0.02)?;
        near("on CPU", times.on_cpu, self.value("cpu_ns")?, CPU_BOUND)?;
        let mut runnable = times.runnable as f64;
        for (kind, values) in waits {
            let mut expected = 0.0;
            for value in *values {
                expected += self.value(value)?;
            }
            let got = times.blocked_by(kind);
            // Part of the target's figure is time in which it had been woken and did not run.
            let missing = (expected - got as f64).max(0.0).min(runnable);
            runnable -= missing;
            near(kind, got, expected - missing, WAIT_BOUND)?;
        }
        let others: u64 = times
            .blocked
            .iter()
            .filter(|(kind, _)| waits.iter().all(|(known, _)| known != kind))
            .map(|(_, ns)| ns)
            .sum();
        near("other waits", others, 0.0, 0.02)?;
        ensure!(
            times.unattributed as f64 <= UNATTRIBUTED * wall,
            "{times:?}"
        );
        Ok(())
    }

    /// The first column of the answer to a query, as text.
    fn column(&self, query: &str) -> Result<Vec<String>> {
        let outcome = monigo::run(["query", "--db", &self.db, "--format", "csv", query])?;
        ensure!(outcome.status == Some(0), "{}", outcome.stderr);
        Ok(outcome.stdout.lines().skip(1).map(str::to_owned).collect())
    }

    /// Who ended the waits of a kind of at least 5 ms, each once.
    fn wakers(&self, wait: &str) -> Result<Vec<String>> {
        self.column(&format!(
            "SELECT DISTINCT waker_name FROM samples WHERE wait = '{wait}' AND weight_ns >= 5000000 ORDER BY 1"
        ))
    }
}

const THREADS: &[(&str, &[&str])] = &[
    ("sleep", &["sleep_ns"]),
    ("lock", &["lock_ns"]),
    ("io", &["io_ns"]),
    ("network", &["network_ns"]),
];

#[test]
fn c_threads() -> Result<()> {
    let target = targets::c_program("times", Native::FRAME_POINTERS)?;
    let outcome = record(&target, &[CALLS], &["work"])?;
    outcome.check("work", THREADS)?;
    ensure!(outcome.wakers("lock")? == ["holder"]);
    ensure!(outcome.wakers("io")? == ["writer"]);
    ensure!(outcome.wakers("sleep")? == ["[interrupt]"]);
    let tids = outcome.column(
        "SELECT DISTINCT waker_tid FROM samples WHERE wait = 'lock' AND weight_ns >= 5000000",
    )?;
    let holder = outcome.truth.values.get("holder_tid").context("holder")?;
    ensure!(tids == [holder.to_string()], "{tids:?}, {holder}");
    let stacks = outcome.column(
        "SELECT count(*) FROM samples s WHERE wait = 'lock' AND weight_ns >= 5000000
         AND NOT EXISTS (FROM stack_frames f JOIN frames USING (session_id, frame_id)
                         WHERE f.session_id = s.session_id AND stack_id = waker_stack_id
                         AND kernel AND function LIKE '%futex_wake%')",
    )?;
    ensure!(stacks == ["0"], "{stacks:?} wakers without a stack");
    Ok(())
}

/// Time of traced callees is theirs, and part of their callers' total.
#[test]
fn nested_functions() -> Result<()> {
    let target = targets::c_program("times", Native::O2)?;
    let functions = ["work", "spins", "sleeps", "locks", "reads", "receives"];
    let outcome = record(&target, &[CALLS], &functions)?;
    outcome.check("work", THREADS)?;
    for (function, kind, value) in [
        ("sleeps", "sleep", "sleep_ns"),
        ("locks", "lock", "lock_ns"),
        ("reads", "io", "io_ns"),
        ("receives", "network", "network_ns"),
    ] {
        let times = outcome.times(function)?;
        let blocked = times.blocked_by(kind) + times.runnable;
        let expected = outcome.value(value)?;
        let off = (blocked as f64 - expected).abs() / expected;
        ensure!(off <= 0.1, "{function}: {times:?} instead of {expected}");
    }
    let own = outcome.report.function("work")?.self_time_ns.as_ref();
    let own = own.context("self time")?;
    let wall = outcome.value("wall_ns")?;
    ensure!(own.sum() as f64 <= 0.05 * wall, "{own:?}");
    let spins = outcome.times("spins")?;
    ensure!(
        spins.blocked.values().sum::<u64>() as f64 <= 0.02 * wall,
        "{spins:?}"
    );
    Ok(())
}

#[test]
fn cpp_threads() -> Result<()> {
    let target = targets::cpp_times(Native::FRAME_POINTERS)?;
    let outcome = record(&target, &[CALLS], &["shop::Desk::work"])?;
    outcome.check("shop::Desk::work", THREADS)?;
    ensure!(outcome.wakers("lock")? == ["holder"]);
    ensure!(outcome.wakers("io")? == ["writer"]);
    Ok(())
}

#[test]
fn rust_threads() -> Result<()> {
    let flags = ["-O", "-g", "-Cforce-frame-pointers=yes"];
    let target = targets::rust_program("times", &flags)?;
    let outcome = record(&target, &[CALLS], &["Desk::work"])?;
    // The standard library keeps no frame pointers here, so not every channel shows as one.
    let times = outcome.times("Desk::work")?;
    let channel = times.blocked_by("channel") > 0;
    let waits: &[(&str, &[&str])] = if channel {
        &[
            ("sleep", &["sleep_ns"]),
            ("lock", &["lock_ns"]),
            ("channel", &["channel_ns"]),
            ("io", &["io_ns"]),
            ("network", &["network_ns"]),
        ]
    } else {
        &[
            ("sleep", &["sleep_ns"]),
            ("lock", &["lock_ns", "channel_ns"]),
            ("io", &["io_ns"]),
            ("network", &["network_ns"]),
        ]
    };
    outcome.check("Desk::work", waits)?;
    ensure!(outcome.wakers("io")? == ["writer"]);
    let wakers = outcome.wakers("lock")?;
    ensure!(wakers.iter().any(|name| name == "holder"), "{wakers:?}");
    Ok(())
}

/// The time of an async function from its first poll to completion is mostly between polls.
#[test]
fn rust_executions() -> Result<()> {
    let target = targets::rust_program("times", &["-g"])?;
    // What is awaited is looked at now and then, so many calls make it certain.
    let outcome = record(&target, &["40"], &["times::pause"])?;
    let rows = outcome.report.functions.iter();
    let mut executions = rows.filter(|row| row.name == "times::pause (async)");
    let row = executions.next().context("no executions")?;
    let expected = outcome.value("future_ns")?;
    let off = (row.latency_ns.total as f64 - expected).abs() / expected;
    ensure!(off <= 0.1, "{row:?} instead of {expected}");
    let times = row.time_ns.as_ref().context("nothing was seen")?;
    let awaited = times.blocked_by("await") as f64;
    let between = awaited + times.unattributed as f64;
    ensure!(
        between >= 0.7 * expected && awaited >= 0.3 * expected,
        "{times:?}"
    );
    Ok(())
}

/// A task of tokio, with two workers: what is done while it is polled is on CPU or blocked, and what it
/// awaits is seen between polls.
#[test]
fn rust_tokio() -> Result<()> {
    let target = targets::rust_example("tokio_times")?;
    let outcome = record(&target, &[CALLS], &["tokio_times::work"])?;
    let row = outcome.report.function("tokio_times::work (async)")?;
    let wall = outcome.value("wall_ns")?;
    ensure!(row.calls.to_string() == CALLS, "{row:?}");
    let off = (row.latency_ns.total as f64 - wall).abs() / wall;
    ensure!(off <= 0.02, "{row:?} instead of {wall}");
    let times = row.time_ns.as_ref().context("nothing was sampled")?;
    let near = |what: &str, got: f64, expected: &str, bound: f64| {
        let expected = outcome.value(expected)?;
        ensure!(
            (got - expected).abs() / wall <= bound,
            "{what}: {got} ns instead of {expected}; {times:?}, {:?}",
            outcome.truth.values
        );
        Ok(())
    };
    near("on CPU", times.on_cpu as f64, "cpu_ns", CPU_BOUND)?;
    // Once it has been written, the reader may wait for a CPU, as it may while it runs.
    let reading = times.blocked_by("io") as f64;
    let waited = (outcome.value("pipe_ns")? - reading).clamp(0.0, times.runnable as f64);
    near("io", reading + waited, "pipe_ns", WAIT_BOUND)?;
    let awaited = times.blocked_by("await") as f64;
    ensure!(
        awaited >= 0.3 * outcome.value("await_ns")?,
        "{times:?}, {:?}",
        outcome.truth.values
    );
    let between = awaited + times.unattributed as f64;
    near("between polls", between, "await_ns", 2.0 * UNATTRIBUTED)
}

fn goroutines(version: GoVersion, flags: &'static [&'static str]) -> Result<()> {
    let target = targets::go_scenarios(Go { version, flags })?;
    let outcome = record(&target, &["times", CALLS], &["main.(*peers).work"])?;
    ensure!(outcome.report.warnings.is_empty(), "{:?}", outcome.report);
    outcome.check(
        "main.(*peers).work",
        &[
            ("channel", &["channel_ns"]),
            ("sleep", &["sleep_ns"]),
            ("lock", &["lock_ns"]),
            ("io", &["pipe_ns", "syscall_ns"]),
            ("network", &["network_ns"]),
        ],
    )?;
    let reasons = outcome.column(
        "SELECT DISTINCT reason FROM samples WHERE reason IS NOT NULL AND weight_ns >= 5000000 ORDER BY 1",
    )?;
    if !flags.contains(&"-ldflags=-s -w") {
        ensure!(
            ["IO wait", "chan receive", "select", "sleep"]
                .iter()
                .all(|reason| reasons.iter().any(|known| known == reason)),
            "{reasons:?}"
        );
    }
    let wakers = outcome.wakers("channel")?;
    ensure!(
        !wakers.is_empty() && wakers.iter().all(|name| name.starts_with("goroutine ")),
        "{wakers:?}"
    );
    let stacks = outcome.column(
        "SELECT count(*) FROM samples s WHERE reason = 'chan receive' AND weight_ns >= 5000000
         AND NOT EXISTS (FROM stack_frames f JOIN frames USING (session_id, frame_id)
                         WHERE f.session_id = s.session_id AND f.stack_id = s.stack_id
                         AND function LIKE '%receives')",
    )?;
    ensure!(stacks == ["0"], "{stacks:?}");
    Ok(())
}

/// A goroutine that asks for a collection waits until it is done.
#[test]
fn go_waits_for_the_garbage_collector() -> Result<()> {
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let target = targets::go_scenarios(how)?;
    let outcome = record(&target, &["collect", "10"], &["main.collects"])?;
    let times = outcome.times("main.collects")?;
    let wall = outcome.value("wall_ns")?;
    let off = (times.sum() as f64 - wall).abs() / wall;
    ensure!(off <= 0.02, "{times:?} instead of {wall}");
    // The rest is what the collection does on the goroutine itself: it begins, and it sweeps.
    let waited = times.blocked_by("gc") as f64;
    let others = times.blocked.values().sum::<u64>() as f64 - waited;
    ensure!(
        waited >= 0.3 * wall && others <= 0.02 * wall,
        "{times:?} of {wall}"
    );
    ensure!(
        times.unattributed as f64 <= UNATTRIBUTED * wall,
        "{times:?}"
    );
    Ok(())
}

#[test]
fn go_current() -> Result<()> {
    goroutines(GoVersion::Current, &[])
}

#[test]
fn go_current_pie() -> Result<()> {
    goroutines(GoVersion::Current, &["-buildmode=pie"])
}

#[test]
fn go_current_stripped() -> Result<()> {
    goroutines(GoVersion::Current, &["-ldflags=-s -w"])
}

#[test]
fn go_1_24() -> Result<()> {
    goroutines(GoVersion::V1_24, &[])
}

#[test]
fn go_1_21() -> Result<()> {
    goroutines(GoVersion::V1_21, &[])
}

#[test]
fn go_of_the_distribution() -> Result<()> {
    goroutines(GoVersion::Distribution, &[])
}

/// Some 1,800 calls of 2 ms a second, of which less is watched. Each part must still have its share.
fn in_windows(options: &[&str]) -> Result<Outcome> {
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let target = targets::go_scenarios(how)?;
    let arguments = ["steady", "4", "4000"];
    let outcome = record_with(&target, &arguments, &["main.desk.order"], options)?;
    let order = outcome.report.function("main.desk.order")?;
    ensure!(order.calls == 16_000 && !order.estimated, "{order:?}");
    let times = outcome.times("main.desk.order")?;
    // Calls in windows are those that probes make longer: of their time, each part must have its share.
    let (whole, real) = (times.sum() as f64, outcome.value("wall_ns")?);
    let near = |what: &str, got: f64, expected: f64| {
        ensure!(
            (got - expected).abs() <= WINDOWS_BOUND,
            "{what}: {got:.3} of the time instead of {expected:.3}; {times:?}, {:?}",
            outcome.truth.values
        );
        Ok(())
    };
    ensure!(
        (0.9..1.3).contains(&(whole / real)),
        "{times:?} instead of {real}"
    );
    near("unattributed", times.unattributed as f64 / whole, 0.0)?;
    let mut runnable = times.runnable as f64 / whole;
    for (wait, value) in [("sleep", "sleep_ns"), ("channel", "channel_ns")] {
        let got = times.blocked_by(wait) as f64 / whole;
        let expected = outcome.value(value)? / real;
        // It may have been woken some time before it ran.
        let missing = (expected - got).max(0.0).min(runnable);
        runnable -= missing;
        near(wait, got, expected - missing)?;
    }
    Ok(outcome)
}

#[test]
fn goroutines_that_are_watched_for_a_part_of_the_time() -> Result<()> {
    let report = in_windows(&["--max-overhead", "3%"])?.report;
    let said = |warning: &String| warning.contains("what goroutines wait for is recorded");
    ensure!(report.warnings.iter().any(said), "{:?}", report.warnings);
    Ok(())
}

#[test]
fn calls_that_are_timed_in_windows() -> Result<()> {
    let report = in_windows(&["--latency", "windows", "--max-overhead", "off"])?.report;
    let order = report.function("main.desk.order")?;
    ensure!(
        0 < order.timed && order.timed < order.calls / 2,
        "{order:?}"
    );
    Ok(())
}
