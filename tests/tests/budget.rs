//! What monigo gives up to stay within its budget, and that it says so.

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Function, Moment, Report, Truth, observe,
    targets::{self, Native},
};

/// Runs the target for 3 s, at 1,000 calls a second of 20 µs each.
fn traced(options: &[&str]) -> Result<(Truth, Report)> {
    let program = targets::c_program("pace", Native::O2)?;
    observe(
        &program,
        &program,
        &["300", "10", "20000"],
        options,
        Moment::Done,
    )
}

fn calls(truth: &Truth, function: &str) -> u64 {
    truth.functions[function].calls
}

/// The one warning that mentions all of `parts`.
fn expect_warning(report: &Report, parts: &[&str]) -> Result<()> {
    let mut warnings = report.warnings.iter();
    let found = warnings.any(|warning| parts.iter().all(|part| warning.contains(part)));
    ensure!(
        found,
        "no warning mentions {parts:?}: {:#?}",
        report.warnings
    );
    Ok(())
}

fn expect_exact(truth: &Truth, function: &Function) -> Result<()> {
    let real = calls(truth, &function.name);
    ensure!(
        function.calls == real && function.calls_error == 0 && !function.estimated,
        "{function:?} instead of {real} calls"
    );
    Ok(())
}

#[test]
fn within_the_budget_everything_is_exact() -> Result<()> {
    let (truth, report) = traced(&["--max-overhead", "50%"])?;
    for name in ["step", "seldom"] {
        let function = report.function(name)?;
        expect_exact(&truth, function)?;
        ensure!(function.timed == function.calls, "{function:?}");
    }
    ensure!(report.warnings.is_empty(), "{:?}", report.warnings);
    Ok(())
}

#[test]
fn latency_in_windows_keeps_counts_exact() -> Result<()> {
    let (truth, report) = traced(&["--latency", "windows", "--max-overhead", "off"])?;
    let step = report.function("step")?;
    expect_exact(&truth, step)?;
    expect_exact(&truth, report.function("seldom")?)?;
    ensure!(
        0 < step.timed && step.timed < step.calls / 2,
        "a tenth of the calls is timed: {step:?}"
    );
    // A spin of 20 µs ends when the clock says so, never before.
    ensure!(step.latency_ns.p50 >= 18_000, "{step:?}");
    let scaled = step.latency_ns.mean * step.calls;
    ensure!(
        step.latency_ns.total.abs_diff(scaled) <= step.calls,
        "the total stands for all calls: {step:?}"
    );
    Ok(())
}

#[test]
fn beyond_the_budget_counts_are_estimated_with_an_interval() -> Result<()> {
    let (truth, report) = traced(&["--max-overhead", "0.05%"])?;
    expect_warning(&report, &["step", "estimated", "--max-overhead"])?;
    let step = report.function("step")?;
    ensure!(step.estimated && step.calls_error > 0, "{step:?}");
    // The interval holds 95 % of the time; twice as wide it practically always does.
    let real = calls(&truth, "step");
    ensure!(
        step.calls.abs_diff(real) <= 2 * step.calls_error + real / 10,
        "{} ± {} instead of {real}",
        step.calls,
        step.calls_error
    );
    // What costs nothing stays exact.
    expect_exact(&truth, report.function("seldom")?)
}

#[test]
fn a_function_that_is_too_hot_is_let_go() -> Result<()> {
    let (truth, report) = traced(&["--max-overhead", "0.0005%"])?;
    expect_warning(&report, &["step", "not probed any more"])?;
    let step = report
        .functions
        .iter()
        .find(|function| function.name == "step")
        .context("step is still in the report")?;
    ensure!(step.calls < calls(&truth, "step"), "{step:?}");
    Ok(())
}
