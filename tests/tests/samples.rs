//! Why a call is slow: what ran, and what was waited for, inside a traced function.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program,
    compare::compare,
    monigo,
    targets::{self, Go, GoVersion, Native, PrivateCopy},
};

/// A folded stack: frames, outermost first, and nanoseconds.
type Folded = (Vec<String>, u64);

fn flame(db: &str, weight: &str, directory: &Path) -> Result<Vec<Folded>> {
    let file = directory.join(format!("{weight}.folded"));
    let output = file.to_str().context("path is not UTF-8")?;
    let arguments = ["flamegraph", "--db", db, "--flame", weight, "-o", output];
    let outcome = monigo::run(arguments)?;
    ensure!(
        outcome.status == Some(0),
        "flamegraph --flame {weight}: {}",
        outcome.stderr
    );
    let text = fs::read_to_string(&file)?;
    text.lines()
        .map(|line| {
            let (frames, ns) = line.rsplit_once(' ').context("a weight")?;
            let frames = frames.split(';').map(str::to_owned).collect();
            Ok((frames, ns.parse()?))
        })
        .collect()
}

/// Position of a frame whose name contains `part`.
fn position(frames: &[String], part: &str) -> Option<usize> {
    frames.iter().position(|frame| frame.contains(part))
}

fn check(how: Native) -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("slow", how)?)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("slow.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&copy.path(), &["10"])?;
    let pid = program.pid().to_string();
    // Often, so that a busy machine cannot miss the spinning.
    let monigo = Monigo::attach(&pid, &["slow_call"], &["--db", db, "--cpu-hz", "499"])?;
    program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    ensure!(
        report.functions.iter().any(|row| row.calls == 10),
        "{report:?}"
    );
    ensure!(report.events.dropped == 0, "{report:?}");

    let off = flame(db, "offcpu", directory.path())?;
    let slept: Vec<&Folded> = off
        .iter()
        .filter(|(frames, _)| {
            let function = position(frames, "slow_call");
            let kernel = frames.iter().rposition(|frame| frame.contains("nanosleep"));
            function.is_some_and(|at| kernel.is_some_and(|kernel| kernel > at))
        })
        .collect();
    ensure!(
        slept.iter().any(|(_, ns)| *ns > 0),
        "no sleep under slow_call in {off:?}"
    );
    // The kernel never wakes a sleeper early, so ten sleeps of 20 ms are at least that long.
    let total: u64 = slept.iter().map(|(_, ns)| ns).sum();
    ensure!(total >= 200_000_000, "{total} ns in {off:?}");

    let cpu = flame(db, "cpu", directory.path())?;
    ensure!(
        cpu.iter()
            .all(|(frames, _)| position(frames, "slow_call").is_some()),
        "a sample outside slow_call: {cpu:?}"
    );
    let spinning = |(frames, ns): &Folded| position(frames, "spins").is_some() && *ns > 0;
    ensure!(cpu.iter().any(spinning), "no sample of spins in {cpu:?}");
    Ok(())
}

/// What processes map is read while they live, though they live for some milliseconds.
#[test]
fn processes_that_live_shortly_have_names() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("brief", Native::FRAME_POINTERS)?)?;
    let path = copy.path();
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("brief.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&path, &["40", "10"])?;
    let target = path.to_str().context("path is not UTF-8")?;
    let monigo = Monigo::attach(target, &["work"], &["--db", db, "--cpu-hz", "999"])?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    compare(&truth, &report)?;
    let query = "SELECT DISTINCT name FROM processes";
    let processes = monigo::output(&["query", "--db", db, "--format", "csv", query])?;
    ensure!(processes.lines().eq(["name", "brief"]), "{processes:?}");
    let (mut named, mut all) = (0, 0);
    for (frames, ns) in flame(db, "cpu", directory.path())? {
        all += ns;
        if position(&frames, "work").is_some() && position(&frames, "lives").is_some() {
            named += ns;
        }
    }
    // A busy machine can be late now and then.
    ensure!(
        all > 0 && named * 3 >= all * 2,
        "{named} ns of {all} have a name for the caller"
    );
    Ok(())
}

#[test]
fn a_slow_call_is_explained() -> Result<()> {
    check(Native::FRAME_POINTERS)
}

/// The C library keeps no frame pointers here, and neither does this program need to.
#[test]
fn unoptimised_code_too() -> Result<()> {
    check(Native::O0)
}

/// Each of them, though looks and waits of one call follow those of another.
#[test]
fn calls_from_two_places_have_their_own_callers() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("callers", Native::FRAME_POINTERS)?)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("callers.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&copy.path(), &[])?;
    let pid = program.pid().to_string();
    let monigo = Monigo::attach(&pid, &["work"], &["--db", db, "--cpu-hz", "999"])?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    ensure!(report.events.dropped == 0, "{report:?}");
    let real = |name: &str| {
        let value = truth.values.get(name).copied();
        value.with_context(|| format!("no {name} in {truth:?}"))
    };
    // The kernel never wakes a sleeper early, but late.
    let bounds = [("cpu", "spun_ns", 1.3), ("offcpu", "slept_ns", f64::MAX)];
    for (weight, name, most) in bounds {
        let flame = flame(db, weight, directory.path())?;
        let caller = |(frames, ns): &Folded| {
            let at = frames.iter().position(|frame| frame == "work")?;
            Some((frames.get(at.checked_sub(1)?)?.clone(), *ns))
        };
        let mut sums = BTreeMap::<String, u64>::new();
        for stack in &flame {
            let (caller, ns) = caller(stack).with_context(|| format!("{stack:?}"))?;
            *sums.entry(caller).or_default() += ns;
        }
        let callers: Vec<&str> = sums.keys().map(String::as_str).collect();
        ensure!(callers == ["one", "other"], "{weight}: {sums:?}");
        let real = real(name)? as f64;
        for ns in sums.values().map(|ns| *ns as f64) {
            ensure!(
                ns > 0.7 * real && ns < most * real,
                "{weight}: {sums:?} of {real}"
            );
        }
    }
    Ok(())
}

/// What leaves calls without passing their ends, and what it leaves.
struct Left<'a> {
    /// Catches, and cleans up.
    catches: &'a str,
    /// Is left.
    left: &'a str,
}

/// What comes after calls were left is none of theirs.
fn check_left(program: &Path, functions: &[&str], pairs: &[Left<'_>], more: &[&str]) -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(program)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("left.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&copy.path(), &["200"])?;
    let pid = program.pid().to_string();
    let options = [&["--db", db, "--cpu-hz", "499"], more].concat();
    let monigo = Monigo::attach(&pid, functions, &options)?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    for (name, calls) in &truth.functions {
        let row = report.function(name)?;
        ensure!(
            (row.calls, row.unwound) == (calls.calls, calls.unwound),
            "{row:?} instead of {calls:?}"
        );
    }
    for weight in ["cpu", "offcpu"] {
        let stacks = flame(db, weight, directory.path())?;
        let under = |function: &str, other: &str| -> u64 {
            let inside = |frames: &[String]| {
                let function = position(frames, function)?;
                (position(frames, other)? > function).then_some(())
            };
            let stacks = stacks.iter();
            let of_both = stacks.filter(|(frames, _)| inside(frames).is_some());
            of_both.map(|(_, ns)| ns).sum()
        };
        let afterwards = |(frames, _): &Folded| position(frames, "afterwards").is_some();
        ensure!(!stacks.iter().any(afterwards), "{weight}: {stacks:?}");
        for Left { catches, left } in pairs {
            ensure!(under(catches, "cleans_up") > 0, "{weight}: {stacks:?}");
            ensure!(under(left, "cleans_up") == 0, "{weight}: {stacks:?}");
        }
    }
    Ok(())
}

const PANICS: Left<'static> = Left {
    catches: "catches",
    left: "deeper",
};

#[test]
fn calls_that_an_exception_left_get_no_samples() -> Result<()> {
    let program = targets::cpp_left(Native::O2)?;
    let functions = ["throws", "deeper", "catches"];
    check_left(&program, &functions, &[PANICS], &[])
}

const RUST: [&str; 6] = [
    "left::throws",
    "left::deeper",
    "left::catches",
    "left::leaps",
    "left::lands",
    "left::closes",
];
const LEAPS: Left<'static> = Left {
    catches: "lands",
    left: "leaps",
};

/// A panic that is caught, and a jump out of several frames.
#[test]
fn calls_that_a_panic_or_a_jump_left_get_no_samples() -> Result<()> {
    let program = targets::rust_program("left", &["-O", "-g"])?;
    check_left(&program, &RUST, &[PANICS, LEAPS], &[])
}

/// Samples of goroutines name the traced function.
#[test]
fn goroutines_are_sampled_while_they_run() -> Result<()> {
    monigo_tests::require_root()?;
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let copy = PrivateCopy::of(&targets::go_scenarios(how)?)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("go.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&copy.path(), &["burn", "2", "5"])?;
    let pid = program.pid().to_string();
    let monigo = Monigo::attach(&pid, &["main.burn"], &["--db", db])?;
    program.go()?;
    monigo.stop()?;
    program.finish()?;
    let cpu = flame(db, "cpu", directory.path())?;
    let called = |frames: &[String]| {
        let function = frames.iter().position(|frame| frame == "main.burn");
        function > position(frames, "main.burns.func1")
    };
    ensure!(
        !cpu.is_empty() && cpu.iter().all(|(frames, _)| called(frames)),
        "{cpu:?}"
    );
    Ok(())
}
