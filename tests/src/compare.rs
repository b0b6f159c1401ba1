//! Compares monigo's counts with the target's own.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    monigo::{Function, Monigo, Report},
    program::{Count, Program, Truth},
    require_root,
    targets::PrivateCopy,
};

/// When monigo's counts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The target has printed its truth and waits.
    Done,
    /// The target has ended: every call that was still open has ended with it.
    Ended,
}

/// Runs `program` with and without monigo attached to `image`. The target must do and print the
/// same both times, and monigo must count exactly what the target counted.
pub fn check_counts(program: &Path, image: &Path, arguments: &[&str]) -> Result<(Truth, Report)> {
    let (truth, report) = observe(program, image, arguments, &[], Moment::Done)?;
    compare(&truth, &report)?;
    Ok((truth, report))
}

/// Like [`check_counts`], but compares after the target's end, which turns calls in flight into
/// unwound ones.
pub fn check_counts_after_end(program: &Path, arguments: &[&str]) -> Result<(Truth, Report)> {
    let (mut truth, report) = observe(program, program, arguments, &[], Moment::Ended)?;
    for count in truth.functions.values_mut() {
        count.unwound += count.in_flight;
        count.in_flight = 0;
    }
    compare(&truth, &report)?;
    Ok((truth, report))
}

/// Runs `program` with and without monigo attached to `image` and with `more` options. The target
/// must do and print the same both times; what monigo counted is for the caller to judge.
pub fn observe(
    program: &Path,
    image: &Path,
    arguments: &[&str],
    more: &[&str],
    moment: Moment,
) -> Result<(Truth, Report)> {
    require_root()?;
    let copy = PrivateCopy::of(program)?;
    let own = copy.path();
    // A library stays where its user looks for it.
    let (image, program) = (if program == image { &own } else { image }, &*own);
    let alone = run_alone(program, arguments)?;
    let mut target = Program::start(program, arguments)?;
    let functions: Vec<&str> = alone.functions.keys().map(String::as_str).collect();
    let image = image.to_str().context("path is not UTF-8")?;
    let monigo = Monigo::attach(image, &functions, more)?;
    let truth = target.go().context("the target, with monigo attached")?;
    let report = match moment {
        Moment::Done => {
            let report = monigo.stop()?;
            target.finish().context("the target, after monigo")?;
            report
        }
        Moment::Ended => {
            target
                .finish()
                .context("the target, with monigo attached")?;
            monigo.stop()?
        }
    };
    ensure!(
        truth.functions == alone.functions,
        "the target counts other things under monigo: {truth:?}, alone {alone:?}"
    );
    ensure!(
        report.target.pids.iter().all(|pid| *pid > 0),
        "pids {:?}",
        report.target.pids
    );
    same_values(&alone, &truth)?;
    Ok((truth, report))
}

/// The target's result without anybody watching.
pub fn run_alone(program: &Path, arguments: &[&str]) -> Result<Truth> {
    let mut target = Program::start(program, arguments)?;
    let truth = target.go().context("the target, alone")?;
    target.finish().context("the target, alone")?;
    Ok(truth)
}

/// Measured times differ from run to run; everything else must not.
fn same_values(alone: &Truth, watched: &Truth) -> Result<()> {
    let timed = |name: &str| name.contains("_inside_") || name.contains("_around_");
    for (name, value) in &alone.values {
        ensure!(
            timed(name) || watched.values.get(name) == Some(value),
            "the target computed {name} = {:?} under monigo and {value} alone",
            watched.values.get(name)
        );
    }
    Ok(())
}

/// Compares every function of `truth` with the report; all differences in one error.
pub fn compare(truth: &Truth, report: &Report) -> Result<()> {
    let mut differences = String::new();
    for (name, expected) in &truth.functions {
        let rows: Vec<&Function> = report
            .functions
            .iter()
            .filter(|row| is_called(&row.name, name))
            .collect();
        if rows.is_empty() {
            writeln!(differences, "{name}: not in the report")?;
            continue;
        }
        let seen = rows.iter().fold(Count::default(), |sum, row| Count {
            calls: sum.calls + row.calls,
            unwound: sum.unwound + row.unwound,
            in_flight: sum.in_flight + row.in_flight,
        });
        if seen != *expected {
            writeln!(
                differences,
                "{name}: {seen:?}, the target says {expected:?}"
            )?;
        }
        if rows.len() > 1 {
            let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            writeln!(differences, "{name}: several rows, {names:?}")?;
        }
        for row in rows {
            check_latency(row, &mut differences)?;
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    let probes: Vec<String> = report
        .functions
        .iter()
        .map(|row| format!("{} {:?}", row.name, row.probe))
        .collect();
    bail!(
        "{differences}warnings {:?}\nprobes {probes:#?}",
        report.warnings
    )
}

fn check_latency(row: &Function, differences: &mut String) -> Result<()> {
    let l = row.latency_ns;
    if row.calls == 0 {
        return Ok(());
    }
    // Percentiles are buckets' middles, at most 3 % off.
    let ascending = [l.p50, l.p90, l.p99, l.p999]
        .windows(2)
        .all(|pair| pair[0] <= pair[1]);
    let bounded = l.min <= l.mean && l.mean <= l.max && l.p999 <= l.max + l.max / 32 + 1;
    if !ascending || !bounded || l.total < l.max {
        writeln!(differences, "{}: impossible latencies {l:?}", row.name)?;
    }
    Ok(())
}

/// Whether monigo's `shown` name is what a user calls `name`: equal, or equal behind a `::`, `.`
/// or `/`, once parameters and generic arguments are taken off.
pub fn is_called(shown: &str, name: &str) -> bool {
    let ends = |shown: &str| {
        shown.strip_suffix(name).is_some_and(|rest| {
            rest.is_empty() || rest.ends_with("::") || rest.ends_with('.') || rest.ends_with('/')
        })
    };
    if ends(shown) {
        return true;
    }
    let cut = ["::<", "[", "<", "("]
        .iter()
        .filter_map(|mark| shown.rfind(mark))
        .filter(|at| *at > 0 && !shown[..*at].ends_with('.'))
        .min();
    cut.is_some_and(|at| ends(&shown[..at]))
}

#[cfg(test)]
mod tests {
    use super::is_called;

    #[test]
    fn names() {
        for (shown, name) in [
            ("leaf", "leaf"),
            ("panics::descend", "descend"),
            ("<panics::Square as panics::Shape>::area", "area"),
            ("panics::sum_of::<u32>", "sum_of"),
            ("panics::sum_of<u32>", "sum_of"),
            ("shop::Order::total(long) const", "shop::Order::total"),
            ("nested(long, bool)", "nested"),
            ("main.(*Server).Handle", "(*Server).Handle"),
            ("main.sumOf[go.shape.int]", "sumOf"),
        ] {
            assert!(is_called(shown, name), "{shown} {name}");
        }
        for (shown, name) in [
            ("leaflet", "leaf"),
            ("newleaf", "leaf"),
            ("main.(*Server).Handle", "Server"),
        ] {
            assert!(!is_called(shown, name), "{shown} {name}");
        }
    }
}
