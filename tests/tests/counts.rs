//! Counts equal what the target says about itself, exactly, and the target does the same with
//! and without monigo: every scenario in every way of compiling it.

use anyhow::{Result, ensure};
use monigo_tests::{
    Monigo, Program, check_counts,
    compare::compare,
    targets::{self, Go, GoVersion, Native, PrivateCopy},
};

/// One test per scenario, each in a module per way of compiling.
macro_rules! scenarios {
    ($check:ident { $($module:ident: $how:expr;)* } $scenarios:tt) => {
        $(mod $module {
            #[allow(unused_imports, reason = "not every way needs every name")]
            use super::*;
            scenarios!(@tests $check, $how, $scenarios);
        })*
    };
    (@tests $check:ident, $how:expr, { $($name:ident: [$($argument:expr),*];)* }) => {
        $(#[test]
        fn $name() -> Result<()> {
            $check($how, &[$($argument),*])
        })*
    };
}

fn c(how: Native, arguments: &[&str]) -> Result<()> {
    let program = targets::c_scenarios(how)?;
    check_counts(&program, &program, arguments)?;
    Ok(())
}

scenarios!(c {
    c_unoptimised: Native::O0;
    c_optimised: Native::O2;
    c_small: Native::OS;
    c_fixed_address: Native::NO_PIE;
    c_frame_pointers: Native::FRAME_POINTERS;
    c_landing_pads: Native::LANDING_PADS;
    c_nop5: Native::NOP5;
    c_stripped: Native::STRIPPED;
} {
    calls_in_threads: ["calls", "8", "1000"];
    deep_recursion: ["recursion", "5000", "3"];
    mutual_recursion: ["mutual", "101", "10"];
    tail_calls: ["tail", "1000"];
    long_jumps: ["longjmp", "10", "100"];
    short_lived_threads: ["churn", "2000", "5"];
    exit_and_cancellation: ["ends", "20"];
    fork_and_exec: ["fork", "10", "10"];
    open_at_the_end: ["open", "5", "3"];
    begun_before_attaching: ["before", "3"];
    jump_table: ["switch", "100"];
    cold_parts: ["cold", "64"];
    signal_handlers: ["signals", "100"];
});

scenarios!(c {
    c_small_fixed_stripped: Native::SMALL_FIXED_STRIPPED;
    c_fast_frame_pointers_stripped: Native::FAST_FRAME_POINTERS_STRIPPED;
    c_unoptimised_no_frame_pointers: Native::O0_NO_FRAME_POINTERS;
} {
    calls_in_threads: ["calls", "4", "500"];
    mutual_recursion: ["mutual", "101", "10"];
    tail_calls: ["tail", "1000"];
    long_jumps: ["longjmp", "10", "100"];
    cold_parts: ["cold", "64"];
});

fn cpp(how: Native, arguments: &[&str]) -> Result<()> {
    let program = targets::cpp_exceptions(how)?;
    check_counts(&program, &program, arguments)?;
    Ok(())
}

scenarios!(cpp {
    cpp_unoptimised: Native::O0;
    cpp_optimised: Native::O2;
    cpp_fixed_address: Native::NO_PIE;
    cpp_frame_pointers: Native::FRAME_POINTERS;
    cpp_landing_pads: Native::LANDING_PADS;
    cpp_small: Native::OS;
    cpp_stripped: Native::STRIPPED;
    cpp_small_fixed_stripped: Native::SMALL_FIXED_STRIPPED;
    cpp_fast_frame_pointers_stripped: Native::FAST_FRAME_POINTERS_STRIPPED;
} {
    exceptions: ["10", "100", "3"];
});

fn rust(flags: &[&str], arguments: &[&str]) -> Result<()> {
    let program = targets::rust_panics(flags)?;
    check_counts(&program, &program, arguments)?;
    Ok(())
}

scenarios!(rust {
    rust_debug: &["-C", "opt-level=0", "-g"];
    rust_release: &["-C", "opt-level=3"];
    rust_frame_pointers: &["-C", "opt-level=3", "-C", "force-frame-pointers=yes"];
    rust_v0_names: &["-C", "opt-level=3", "-C", "symbol-mangling-version=v0"];
    rust_fixed_address: &["-C", "opt-level=3", "-C", "relocation-model=static"];
    rust_small: &["-C", "opt-level=s", "-C", "codegen-units=1"];
    rust_without_debug_information: &["-C", "opt-level=2", "-C", "strip=debuginfo"];
    rust_fixed_address_frame_pointers: &[
        "-C", "opt-level=2", "-C", "relocation-model=static", "-C", "force-frame-pointers=yes",
    ];
} {
    panics: ["10", "100", "3"];
});

fn go(how: Go, arguments: &[&str]) -> Result<()> {
    let program = targets::go_scenarios(how)?;
    check_counts(&program, &program, arguments)?;
    Ok(())
}

scenarios!(go {
    go_current: Go { version: GoVersion::Current, flags: &[] };
    go_current_stripped: Go { version: GoVersion::Current, flags: &["-ldflags=-s -w"] };
    go_current_pie: Go { version: GoVersion::Current, flags: &["-buildmode=pie"] };
    go_current_unoptimised: Go { version: GoVersion::Current, flags: &["-gcflags=all=-N -l"] };
    go_old: Go { version: GoVersion::Distribution, flags: &[] };
    go_old_stripped: Go { version: GoVersion::Distribution, flags: &["-ldflags=-s -w"] };
} {
    calls_in_goroutines: ["calls", "8", "500"];
    deep_recursion: ["recursion", "5000", "3"];
    panic_and_recover: ["panic", "4", "10", "100"];
    goexit: ["goexit", "5", "50"];
    migration_between_threads: ["migrate", "16", "20", "10"];
    stack_growth: ["growth", "20", "300"];
    short_lived_goroutines: ["churn", "20", "100"];
    open_at_the_end: ["open", "5", "3"];
    generic_function: ["generic", "100"];
});

// The versions in between: fewer ways and scenarios, since each takes a compiler's time.
scenarios!(go {
    go_1_21: Go { version: GoVersion::V1_21, flags: &[] };
    go_1_21_stripped: Go { version: GoVersion::V1_21, flags: &["-ldflags=-s -w"] };
    go_1_24: Go { version: GoVersion::V1_24, flags: &[] };
    go_1_24_stripped: Go { version: GoVersion::V1_24, flags: &["-ldflags=-s -w"] };
    go_current_pie_stripped: Go {
        version: GoVersion::Current,
        flags: &["-buildmode=pie", "-ldflags=-s -w"],
    };
} {
    calls_in_goroutines: ["calls", "8", "500"];
    panic_and_recover: ["panic", "4", "10", "100"];
    goexit: ["goexit", "5", "50"];
    migration_between_threads: ["migrate", "16", "20", "10"];
    stack_growth: ["growth", "20", "300"];
    generic_function: ["generic", "100"];
});

#[test]
fn shared_library() -> Result<()> {
    for how in [Native::O0, Native::O2, Native::STRIPPED] {
        let (library, user) = targets::library_and_user(how)?;
        check_counts(&user, &library, &["1000"])?;
    }
    Ok(())
}

/// One instruction that is entry and exit: counted exactly, with nothing to measure.
#[test]
fn instant_functions() -> Result<()> {
    for how in [Native::O0, Native::O2] {
        let program = targets::c_program("instant", how)?;
        let (_, report) = check_counts(&program, &program, &["1000"])?;
        for name in ["only_returns", "pad_and_return", "only_jumps"] {
            let row = report.functions.iter().find(|row| row.name == name);
            ensure!(
                row.is_some_and(|row| row.probe.sites == 1 && row.latency_ns.max == 0),
                "{name}: {row:?}"
            );
        }
    }
    Ok(())
}

/// What monigo measures lies between what the function sees of itself and what its caller sees.
#[test]
fn durations_are_true() -> Result<()> {
    let program = targets::c_program("latency", Native::O2)?;
    let (truth, report) = check_counts(&program, &program, &["50"])?;
    for name in ["spins", "sleeps"] {
        let Some(row) = report.functions.iter().find(|row| row.name == name) else {
            anyhow::bail!("{name} is not in the report");
        };
        let bound = |kind: &str| truth.values[&format!("{name}_{kind}")] as u64;
        let measured = row.latency_ns;
        for (what, value) in [
            ("min", measured.min),
            ("max", measured.max),
            ("sum", measured.total),
        ] {
            let inside = bound(&format!("inside_{what}"));
            let around = bound(&format!("around_{what}"));
            ensure!(
                inside <= value && value <= around,
                "{name}: {what} is {value} ns; {inside} inside, {around} around"
            );
        }
    }
    Ok(())
}

/// What began before monigo attached is no call of the session, and its end is told.
#[test]
fn a_call_that_is_open_at_attach() -> Result<()> {
    let go = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let c = (targets::c_scenarios(Native::O2)?, "begins_early");
    for (program, function) in [c, (targets::go_scenarios(go)?, "beginsEarly")] {
        let (_, report) = check_counts(&program, &program, &["before", "3"])?;
        let row = report.function(function)?;
        ensure!(row.unmatched == 1, "{row:?}");
    }
    Ok(())
}

/// A path means every process, a PID only that one.
#[test]
fn one_process_of_two() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let mut traced = Program::start(&path, &["calls", "2", "100"])?;
    let mut other = Program::start(&path, &["calls", "3", "50"])?;
    let pid = traced.pid().to_string();
    let by_pid = Monigo::attach(&pid, &["leaf", "caller"], &[])?;
    let by_option = Monigo::attach(&image, &["leaf", "caller"], &["--pid", &pid])?;
    let everyone = Monigo::attach(&image, &["leaf", "caller"], &[])?;
    let truth = traced.go()?;
    let mut sum = other.go()?;
    for (name, count) in &mut sum.functions {
        count.calls += truth.functions[name].calls;
    }
    compare(&truth, &by_pid.stop()?)?;
    compare(&truth, &by_option.stop()?)?;
    compare(&sum, &everyone.stop()?)?;
    traced.finish()?;
    other.finish()
}

/// Attached to a path before any process runs it.
#[test]
fn process_started_later() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let monigo = Monigo::attach(&image, &["recurse"], &[])?;
    let mut target = Program::start(&path, &["recursion", "100", "2"])?;
    let truth = target.go()?;
    let report = monigo.stop()?;
    ensure!(
        report.target.pids.contains(&target.pid()),
        "pid {} is not among {:?}",
        target.pid(),
        report.target.pids
    );
    compare(&truth, &report)?;
    target.finish()
}

/// Exactly N calls, then monigo ends by itself.
#[test]
fn max_calls() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let mut target = Program::start(&path, &["calls", "2", "500"])?;
    let monigo = Monigo::attach(&image, &["leaf"], &["--max-calls", "123"])?;
    target.go()?;
    let report = monigo.report()?;
    ensure!(
        report.functions[0].calls == 123,
        "{} calls instead of 123",
        report.functions[0].calls
    );
    target.finish()
}

/// One perf event a site, as on kernels that have no better link.
#[test]
fn perf_links() -> Result<()> {
    monigo_tests::require_root()?;
    let go = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    for (program, arguments) in [
        (targets::c_scenarios(Native::O2)?, ["recursion", "50", "2"]),
        (targets::cpp_exceptions(Native::O2)?, ["10", "100", "3"]),
        (targets::go_scenarios(go)?, ["recursion", "50", "2"]),
    ] {
        let copy = PrivateCopy::of(&program)?;
        let image = copy.path().to_string_lossy().into_owned();
        let alone = monigo_tests::compare::run_alone(&copy.path(), &arguments)?;
        let functions: Vec<&str> = alone.functions.keys().map(String::as_str).collect();
        let mut target = Program::start(&copy.path(), &arguments)?;
        let monigo = Monigo::attach(&image, &functions, &["--perf-links"])?;
        let truth = target.go()?;
        compare(&truth, &monigo.stop()?)?;
        target.finish()?;
    }
    Ok(())
}

/// Jumps and nops before an epilogue stand for the return: every call is seen to end once.
#[test]
fn epilogues() -> Result<()> {
    monigo_tests::require_root()?;
    let program = targets::c_program("epilogues", Native::O2)?;
    let arguments = ["20"];
    let alone = monigo_tests::compare::run_alone(&program, &arguments)?;
    let functions: Vec<&str> = alone.functions.keys().map(String::as_str).collect();
    for options in [
        &["--exit-probe", "ret"][..],
        &["--exit-probe", "ret", "--perf-links"],
    ] {
        let copy = PrivateCopy::of(&program)?;
        let image = copy.path().to_string_lossy().into_owned();
        let mut target = Program::start(&copy.path(), &arguments)?;
        let monigo = Monigo::attach(&image, &functions, options)?;
        let truth = target.go()?;
        let report = monigo.stop()?;
        compare(&truth, &report)?;
        ensure!(truth == alone, "{truth:?}, alone {alone:?}");
        for row in &report.functions {
            // A return is single-stepped. One call of `recursive` would pass three cheaper sites,
            // which is no gain.
            let kept = row.name == "recursive";
            ensure!(kept != (row.probe.cost_class == "emulated"), "{row:?}");
        }
        target.finish()?;
    }
    Ok(())
}

/// A session of known length ends by itself.
#[test]
fn duration() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let mut target = Program::start(&path, &["calls", "1", "1"])?;
    let report = Monigo::attach(&image, &["leaf"], &["--duration", "300ms"])?.report()?;
    target.go()?;
    ensure!(
        report.duration_ns >= 300_000_000,
        "{} ns",
        report.duration_ns
    );
    ensure!(report.functions[0].calls == 0, "{:?}", report.functions);
    target.finish()
}

/// Killed without a chance to clean up, monigo leaves no probe and a target that runs on.
#[test]
fn monigo_killed() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let mut target = Program::start(&path, &["recursion", "50", "2"])?;
    let monigo = Monigo::attach(&image, &["recurse"], &[])?;
    // Dropping kills it with SIGKILL and waits for its end.
    drop(monigo);
    let truth = target.go()?;
    ensure!(truth.values["total"] == 100, "{truth:?}");
    target.finish()
}

/// The landing pad is skipped for the cheap instruction behind it, a 5-byte nop is preferred.
#[test]
fn cost_classes() -> Result<()> {
    monigo_tests::require_root()?;
    for (how, offset, class) in [
        (Native::LANDING_PADS, 4, "emulated"),
        (Native::NOP5, 0, "nop5"),
    ] {
        let copy = PrivateCopy::of(&targets::c_scenarios(how)?)?;
        let path = copy.path();
        let image = path.to_string_lossy().into_owned();
        let outcome = monigo_tests::monigo::run(["list", &image, "caller", "--format", "json"])?;
        ensure!(outcome.status == Some(0), "{}", outcome.stderr);
        let listed: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
        let entry = &listed["functions"][0]["sites"][0];
        ensure!(
            entry["kind"] == "entry" && entry["cost_class"] == class,
            "{listed}"
        );
        let mut target = Program::start(&path, &["calls", "1", "10"])?;
        let monigo = Monigo::attach(&image, &["caller"], &[])?;
        target.go()?;
        let report = monigo.stop()?;
        let probe = &report.functions[0].probe;
        ensure!(
            probe.exit == "ret" || probe.exit == "uretprobe",
            "{probe:?}"
        );
        let entry = u64::from_str_radix(probe.entry.trim_start_matches("0x"), 16)?;
        ensure!(entry % 16 == offset, "{probe:?}");
        target.finish()?;
    }
    Ok(())
}
