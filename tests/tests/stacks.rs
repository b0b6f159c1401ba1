//! Calls on several stacks of one thread, calls interrupted anywhere, and threads and goroutines
//! that come and go in great number.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Moment, check_counts, check_counts_after_end, observe,
    targets::{self, Go, GoVersion, Native},
};

const COROUTINES_BY_HAND: Native = Native::with(&["-O2", "-g", "-DASSEMBLY"]);
const COROUTINES_BY_HAND_UNOPTIMISED: Native = Native::with(&["-O0", "-g", "-DASSEMBLY"]);

fn counts_are_exact(program: &Path, arguments: &[&str]) -> Result<()> {
    check_counts(program, program, arguments)?;
    Ok(())
}

/// A call left by a jump from a stack that is not used again can only be known to have ended when
/// its process has.
fn counts_are_exact_in_the_end(program: &Path, arguments: &[&str]) -> Result<()> {
    check_counts_after_end(program, arguments)?;
    Ok(())
}

/// Below and above the interrupted stack, in static memory and on the heap; every third handler
/// leaves with a jump.
#[test]
fn alternate_signal_stacks() -> Result<()> {
    for how in [Native::O2, Native::O0, Native::FRAME_POINTERS] {
        counts_are_exact_in_the_end(&targets::c_program("sigstack", how)?, &["30"])?;
    }
    Ok(())
}

fn coroutines(arguments: &[&str]) -> Result<()> {
    for how in [
        Native::O2,
        Native::O0,
        COROUTINES_BY_HAND,
        COROUTINES_BY_HAND_UNOPTIMISED,
    ] {
        counts_are_exact(&targets::c_program("coroutines", how)?, arguments)?;
    }
    Ok(())
}

#[test]
fn coroutines_in_turn() -> Result<()> {
    coroutines(&["turns", "30", "20"])
}

#[test]
fn coroutines_nested() -> Result<()> {
    coroutines(&["nested", "20", "10"])
}

#[test]
fn coroutines_migrating_between_threads() -> Result<()> {
    coroutines(&["migrating", "12", "10"])
}

#[test]
fn coroutines_destroyed_inside_a_call() -> Result<()> {
    for how in [Native::O2, COROUTINES_BY_HAND] {
        let program = targets::c_program("coroutines", how)?;
        counts_are_exact_in_the_end(&program, &["abandoned", "12", "10"])?;
    }
    Ok(())
}

#[test]
fn coroutines_without_stacks() -> Result<()> {
    for how in [Native::O2, Native::O0] {
        counts_are_exact(&targets::cpp_generators(how)?, &["50", "20"])?;
    }
    Ok(())
}

/// Handlers on the interrupted stack, at any instruction of traced functions and of their probes.
#[test]
fn signals_at_a_high_rate() -> Result<()> {
    for how in [Native::O2, Native::NOP5] {
        let arguments = ["1000", "4000", "2", "100000"];
        counts_are_exact(&targets::c_program("storm", how)?, &arguments)?;
    }
    Ok(())
}

#[test]
fn a_hundred_thousand_threads() -> Result<()> {
    let program = targets::c_scenarios(Native::O2)?;
    let (truth, report) = check_counts(&program, &program, &["churn", "100000", "2"])?;
    ensure!(truth.functions["short_work"].calls == 200_000, "{truth:?}");
    report.expect_all_counted()
}

#[test]
fn a_hundred_thousand_goroutines() -> Result<()> {
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let program = targets::go_scenarios(how)?;
    let (truth, report) = check_counts(&program, &program, &["churn", "100", "1000"])?;
    ensure!(truth.functions["caller"].calls == 100_000, "{truth:?}");
    report.expect_nothing_lost()
}

/// Calls that there is no room for are told, and every other one is counted.
#[test]
fn more_goroutines_than_are_kept() -> Result<()> {
    const GOROUTINES: u64 = 140_000;
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let program = targets::go_scenarios(how)?;
    let arguments = ["open", &GOROUTINES.to_string(), "0"];
    let options = ["--stacks", "off", "--no-off-cpu", "--cpu-hz", "0"];
    let (truth, report) = observe(&program, &program, &arguments, &options, Moment::Done)?;
    ensure!(
        truth.functions["stays"].in_flight == GOROUTINES,
        "{truth:?}"
    );
    let told = report.warnings.iter().find_map(|warning| {
        let (lost, rest) = warning.split_once(" calls were not counted: ")?;
        rest.contains("more threads or goroutines").then_some(lost)
    });
    let told = told.with_context(|| format!("nothing of it in {:?}", report.warnings))?;
    let lost: u64 = told.replace(',', "").parse()?;
    let seen = report.function("stays")?.in_flight;
    ensure!(
        lost > 0 && seen + lost == GOROUTINES,
        "{seen} seen, {lost} lost"
    );
    Ok(())
}
