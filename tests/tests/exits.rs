//! How monigo chooses to see the end of calls: the kernel's return probes where nothing in the
//! process can be harmed by them, breakpoints on the exits everywhere else.

use anyhow::{Result, ensure};
use monigo_tests::{
    Monigo, Program, Report, Truth, check_counts,
    compare::{Moment, compare, observe},
    require_root,
    targets::{self, Go, GoVersion, Native, PrivateCopy},
};

/// Checks the counts and how each function's end was seen.
fn ends_seen_by(expected: &str, (truth, report): &(Truth, Report)) -> Result<()> {
    for name in truth.functions.keys() {
        let exit = &report.function(name)?.probe.exit;
        ensure!(
            exit == expected,
            "{name}: ends seen by {exit}, {expected} expected; warnings {:?}",
            report.warnings
        );
    }
    Ok(())
}

fn variant(expected: &str, name: &str) -> Result<()> {
    let program = targets::exits_program(name)?;
    ends_seen_by(expected, &check_counts(&program, &program, &["100", "20"])?)
}

/// One test per variant of the target.
macro_rules! variants {
    ($expected:literal: $($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() -> Result<()> {
            variant($expected, $name)
        })*
    };
}

variants!("uretprobe":
    plain_c: "PLAIN";
);

variants!("ret":
    may_exit_threads: "PTHREAD_EXIT";
    may_cancel_threads: "PTHREAD_CANCEL";
    may_switch_contexts: "CONTEXT";
    may_use_an_alternate_stack: "ALTERNATE";
    may_load_libraries: "DLOPEN";
    may_raise_exceptions: "RAISE";
    may_walk_its_stack: "UNWIND";
    may_take_backtraces: "BACKTRACE";
    links_a_library_that_may: "LIBRARY";
    switches_stacks_in_assembly: "ASSEMBLY";
    runs_under_a_seccomp_filter: "SECCOMP";
);

/// The kernel nests return probes 64 deep. `work`, which does not recurse, is free to have one.
#[test]
fn recursive_functions() -> Result<()> {
    let program = targets::exits_program("RECURSION")?;
    let (_, report) = check_counts(&program, &program, &["20", "200"])?;
    for name in ["recurse", "is_even", "is_odd"] {
        let exit = &report.function(name)?.probe.exit;
        ensure!(exit == "ret", "{name}: ends seen by {exit}");
    }
    Ok(())
}

#[test]
fn languages_that_unwind() -> Result<()> {
    let program = targets::cpp_exceptions(Native::O2)?;
    ends_seen_by(
        "ret",
        &check_counts(&program, &program, &["10", "100", "1"])?,
    )?;
    let program = targets::rust_panics(&["-C", "opt-level=3"])?;
    ends_seen_by(
        "ret",
        &check_counts(&program, &program, &["10", "100", "1"])?,
    )?;
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let program = targets::go_scenarios(how)?;
    ends_seen_by(
        "ret",
        &check_counts(&program, &program, &["calls", "4", "100"])?,
    )
}

/// The kernel drops the return probes that a jump leaves behind; so must the counts.
#[test]
fn long_jumps_past_return_probes() -> Result<()> {
    let program = targets::exits_program("JUMP")?;
    check_counts(&program, &program, &["100"])?;
    let forced = ["--exit-probe", "uretprobe"];
    let (truth, report) = observe(&program, &program, &["100"], &forced, Moment::Done)?;
    compare(&truth, &report)?;
    ends_seen_by("uretprobe", &(truth, report))
}

/// A function that ends by jumping to another one shares its return address with it.
#[test]
fn tail_calls_between_functions_with_return_probes() -> Result<()> {
    let program = targets::exits_program("TAIL")?;
    check_counts(&program, &program, &["100"])?;
    Ok(())
}

/// Recursion that the code does not show. The kernel refuses return probes from the 65th level on:
/// the target must not notice, and what is missing from the counts must be said.
#[test]
fn deeper_than_return_probes_nest() -> Result<()> {
    let program = targets::exits_program("POINTER")?;
    for (depth, options) in [
        ("50", [].as_slice()),
        ("200", &[]),
        ("200", &["--exit-probe", "uretprobe"]),
    ] {
        let (truth, report) = observe(&program, &program, &["20", depth], options, Moment::Done)?;
        let expected = truth.functions["hops"];
        let seen = report.function("hops")?;
        let counted = seen.calls + seen.unwound + seen.in_flight;
        ensure!(
            counted <= expected.calls,
            "hops: {counted} calls counted, the target made {}",
            expected.calls
        );
        let missing = expected.calls - seen.calls;
        ensure!(
            missing == 0 || !report.warnings.is_empty(),
            "{missing} calls of {} are missing without a word, depth {depth}",
            expected.calls
        );
        ensure!(
            depth != "50" || missing == 0,
            "{missing} calls are missing though the kernel nests return probes that deep"
        );
        let work = report.function("work")?;
        ensure!(work.calls == truth.functions["work"].calls, "{work:?}");
    }
    Ok(())
}

/// Once it is noticed, ends are seen by exit sites, which know no such limit.
#[test]
fn deep_nesting_replaces_return_probes() -> Result<()> {
    const DEPTH: u64 = 200;
    /// The kernel takes some more; the kernel programs leave it room.
    const NESTED: u64 = 60;
    require_root()?;
    let copy = PrivateCopy::of(&targets::exits_program("POINTER")?)?;
    let arguments = ["20", &DEPTH.to_string()];
    let mut first = Program::start(&copy.path(), &arguments)?;
    let mut second = Program::start(&copy.path(), &arguments)?;
    let image = copy.path().to_string_lossy().into_owned();
    let mut monigo = Monigo::attach(&image, &["hops", "work"], &[])?;
    let before = first.go()?.functions["hops"].calls;
    monigo.ever_said(&["nest deeper than return probes"])?;
    let after = second.go()?.functions["hops"].calls;
    let report = monigo.stop()?;
    let seen = report.function("hops")?;
    // Of the first, what nests deeper is missing at most; of the second, nothing.
    let least = before * NESTED / DEPTH + after;
    ensure!(
        (least..=before + after).contains(&seen.calls),
        "{seen:?}, not {least} to {}",
        before + after
    );
    let said = |warning: &String| warning.contains("nest deeper than return probes");
    ensure!(report.warnings.iter().any(said), "{:?}", report.warnings);
    first.finish()?;
    second.finish()
}
