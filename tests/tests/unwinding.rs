//! Stacks of code with and without frame pointers, frame by frame as gdb sees them.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, Report,
    gdb::{self, Stack},
    monigo,
    targets::{self, Go, GoVersion, Native, PrivateCopy},
};

/// Addresses of frames that are on the stack, by the records that `of` selects.
fn stacks(db: &str, of: &str) -> Result<BTreeSet<Stack>> {
    let sql = format!(
        "SELECT string_agg(f.image || '@' || printf('%x', f.address), ' ' ORDER BY sf.depth) \
         FROM (SELECT DISTINCT stack_id FROM {of}) s \
         JOIN stack_frames sf USING (stack_id) JOIN frames f USING (frame_id) \
         WHERE NOT f.kernel AND NOT f.inlined GROUP BY s.stack_id"
    );
    let outcome = monigo::run(["query", "--format", "csv", "--db", db, &sql])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    let lines = outcome.stdout.lines().skip(1);
    Ok(lines
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect())
}

/// A run of `program`, recorded in `db`.
fn record(
    program: &Path,
    arguments: &[&str],
    functions: &[&str],
    more: &[&str],
    db: &str,
) -> Result<Report> {
    let mut target = Program::start(program, arguments)?;
    let pid = target.pid().to_string();
    let mut options = vec!["--db", db];
    options.extend(more);
    let monigo = Monigo::attach(&pid, functions, &options)?;
    target.go()?;
    let report = monigo.stop()?;
    target.finish()?;
    ensure!(report.events.dropped == 0, "{report:?}");
    Ok(report)
}

/// The first frame of a call is the function, wherever in it the call was seen.
fn callers(stacks: &BTreeSet<Stack>) -> BTreeSet<&[String]> {
    stacks
        .iter()
        .map(|stack| stack.get(1..).unwrap_or_default())
        .collect()
}

fn same_as_gdb(program: &Path) -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(program)?;
    let truth = gdb::stacks(&copy.path(), &[])?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("stacks.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let report = record(&copy.path(), &[], &["waits"], &[], db)?;
    report.expect_nothing_lost()?;

    let calls = stacks(db, "calls")?;
    let (seen, expected) = (callers(&calls), callers(&truth.calls));
    ensure!(
        seen == expected,
        "calls: only monigo {:#?}, only gdb {:#?}",
        seen.difference(&expected).collect::<Vec<_>>(),
        expected.difference(&seen).collect::<Vec<_>>()
    );
    same_waits(db, &truth.waits)
}

/// Whatever waits at one of gdb's places does so on one of gdb's stacks. The kernel runs no program for a thread
/// switch while it is inside another one, so on a busy machine a stack may be missing, but not all of one kind.
fn same_waits(db: &str, truth: &BTreeSet<Stack>) -> Result<()> {
    let waits = stacks(db, "samples WHERE kind = 'offcpu'")?;
    let kind = |stack: &Stack| (stack.first().cloned(), stack.last().cloned());
    let kinds: BTreeSet<_> = truth.iter().map(kind).collect();
    let strange: Vec<_> = waits
        .iter()
        .filter(|stack| truth.iter().any(|known| known[0] == stack[0]))
        .filter(|stack| !truth.contains(*stack))
        .collect();
    ensure!(strange.is_empty(), "{strange:#?} is not in {truth:#?}");
    let common = waits.intersection(truth).map(kind);
    let missing: Vec<_> = kinds.difference(&common.collect()).cloned().collect();
    ensure!(missing.is_empty(), "nothing of {missing:#?} in {waits:#?}");
    Ok(())
}

#[test]
fn c_without_frame_pointers() -> Result<()> {
    same_as_gdb(&targets::c_program("unwinding", Native::O2)?)
}

/// The C library in between has none.
#[test]
fn c_with_frame_pointers() -> Result<()> {
    same_as_gdb(&targets::c_program("unwinding", Native::FRAME_POINTERS)?)
}

#[test]
fn unoptimised_c_without_frame_pointers() -> Result<()> {
    const HOW: Native = Native::with(&["-O0", "-g", "-fomit-frame-pointer", "-pie", "-fPIE"]);
    same_as_gdb(&targets::c_program("unwinding", HOW)?)
}

#[test]
fn cpp_without_frame_pointers() -> Result<()> {
    same_as_gdb(&targets::cpp_program("unwinding", Native::O2)?)
}

#[test]
fn cpp_with_frame_pointers() -> Result<()> {
    same_as_gdb(&targets::cpp_program("unwinding", Native::FRAME_POINTERS)?)
}

#[test]
fn rust_without_frame_pointers() -> Result<()> {
    let flags = ["-O", "-g", "-Cforce-frame-pointers=no"];
    same_as_gdb(&targets::rust_program("unwinding", &flags)?)
}

#[test]
fn rust_with_frame_pointers() -> Result<()> {
    let flags = ["-O", "-g", "-Cforce-frame-pointers=yes"];
    same_as_gdb(&targets::rust_program("unwinding", &flags)?)
}

/// Go always keeps frame pointers, but in the function that makes system calls.
fn go_same_as_gdb(flags: &'static [&'static str]) -> Result<()> {
    monigo_tests::require_root()?;
    let how = Go {
        version: GoVersion::Current,
        flags,
    };
    let copy = PrivateCopy::of(&targets::go_unwinding(how)?)?;
    let truth = gdb::go_stacks(&copy.path())?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("go.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let more = ["--sample-rate", "1"];
    let report = record(&copy.path(), &[], &["main.waits"], &more, db)?;
    report.expect_nothing_lost()?;
    let calls = stacks(db, "calls")?;
    let (seen, expected) = (callers(&calls), callers(&truth.calls));
    ensure!(
        seen == expected && !seen.is_empty(),
        "only monigo {:#?}, only gdb {:#?}",
        seen.difference(&expected).collect::<Vec<_>>(),
        expected.difference(&seen).collect::<Vec<_>>()
    );
    same_waits(db, &truth.waits)
}

#[test]
fn go_with_frame_pointers() -> Result<()> {
    go_same_as_gdb(&[])
}

#[test]
fn unoptimised_position_independent_go() -> Result<()> {
    go_same_as_gdb(&["-buildmode=pie", "-gcflags=all=-N -l"])
}

/// What is not copied is missing, and that is said.
#[test]
fn a_stack_longer_than_the_copy_is_marked() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("unwinding", Native::O2)?)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("long.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let report = record(&copy.path(), &["40000"], &["waits"], &[], db)?;
    let warned = |text: &&String| text.contains("stacks end early") && text.contains("longer");
    ensure!(
        report.warnings.iter().any(|text| warned(&text)),
        "{report:?}"
    );
    let sql = "SELECT count(*) FILTER (NOT truncated) AS whole, count(*) AS stacks FROM stacks
               WHERE stack_id IN (SELECT stack_id FROM calls UNION SELECT stack_id FROM samples)";
    let outcome = monigo::run(["query", "--format", "csv", "--db", db, sql])?;
    let counts = outcome.stdout.lines().nth(1).context("a row")?;
    let (whole, all) = counts.split_once(',').context("two columns")?;
    ensure!(whole == "0" && all != "0", "{counts}");
    let calls = stacks(db, "calls")?;
    let reaches = |stack: &Stack| stack.iter().any(|frame| frame.contains("libc"));
    ensure!(!calls.is_empty() && calls.iter().all(reaches), "{calls:?}");
    Ok(())
}

/// A return probe takes the return address from the stack. Callers are there all the same.
#[test]
fn return_probes_hide_no_caller() -> Result<()> {
    monigo_tests::require_root()?;
    let program = targets::c_program("unwinding", Native::FRAME_POINTERS)?;
    for mode in ["fp", "dwarf"] {
        let copy = PrivateCopy::of(&program)?;
        let directory = tempfile::tempdir()?;
        let db = directory.path().join("hidden.duckdb");
        let db = db.to_str().context("path is not UTF-8")?;
        let functions = ["sorts", "descends"];
        let more = ["--stacks", mode, "--exit-probe", "uretprobe"];
        let report = record(&copy.path(), &[], &functions, &more, db)?;
        let descends = report.function("descends")?;
        ensure!(descends.probe.exit == "uretprobe", "{report:?}");
        // Six deep on the initial thread, four on the others.
        let names = stack_names(db, "calls")?;
        for expected in [
            "sorts<descends<descends<descends<descends<descends<descends<main<",
            "sorts<descends<descends<descends<descends<in_thread<",
            "descends<main<",
        ] {
            ensure!(
                names.iter().any(|stack| stack.starts_with(expected)),
                "{mode}: {expected} is not in {names:#?}"
            );
        }
    }
    Ok(())
}

fn stack_names(db: &str, of: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT string_agg(f.function, '<' ORDER BY sf.depth) \
         FROM (SELECT DISTINCT stack_id FROM {of}) s \
         JOIN stack_frames sf USING (stack_id) JOIN frames f USING (frame_id) GROUP BY s.stack_id"
    );
    let outcome = monigo::run(["query", "--format", "csv", "--db", db, &sql])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    Ok(outcome.stdout.lines().skip(1).map(str::to_owned).collect())
}

/// Go always keeps frame pointers, and has no such tables.
#[test]
fn go_is_walked_by_frame_pointers() -> Result<()> {
    monigo_tests::require_root()?;
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let copy = PrivateCopy::of(&targets::go_scenarios(how)?)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("go.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let more = ["--stacks", "dwarf"];
    let report = record(&copy.path(), &["burn", "2", "5"], &["main.burn"], &more, db)?;
    report.expect_nothing_lost()?;
    let names = stack_names(db, "calls")?;
    ensure!(
        !names.is_empty() && names.iter().all(|stack| stack.contains("main.burns.func1")),
        "{names:?}"
    );
    Ok(())
}
