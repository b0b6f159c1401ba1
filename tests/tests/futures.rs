//! Async functions in Rust: polls, and executions from the first poll to completion.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Report, Truth,
    compare::{Moment, observe},
    monigo::{self, Function},
    targets,
};

/// What the probes of a poll may take, ns: monigo subtracts it, the target's own clocks do not.
const PROBES_NS: u64 = 60_000;

const ARGUMENTS: [&str; 3] = ["20", "10", "3"];

/// The async functions, each with those that it awaits, and how often.
const AWAITED: [(&str, &[&str]); 8] = [
    ("fetch", &[]),
    ("ready", &[]),
    ("large", &[]),
    ("pair", &[]),
    ("outer", &["inner"]),
    ("inner", &[]),
    // One holds another, and that one `fetch`.
    ("wrap", &["fetch"]),
    ("stuck", &[]),
];

struct Observed {
    truth: Truth,
    report: Report,
}

impl Observed {
    fn value(&self, name: &str) -> Result<u64> {
        let value = self.truth.values.get(name);
        let value = value.with_context(|| format!("the target does not print {name}"))?;
        Ok(u64::try_from(*value)?)
    }

    /// The row of `kind`, "async" or "async poll", of a function.
    fn row(&self, function: &str, kind: &str) -> Option<&Function> {
        let path = format!("futures::{function}");
        let mut rows = self.report.functions.iter();
        rows.find(|row| {
            let name = row.name.strip_suffix(&format!(" ({kind})"));
            name.is_some_and(|name| {
                name == path || kind == "async poll" && name.starts_with(&format!("{path}::"))
            })
        })
    }

    fn polls(&self, function: &str) -> Result<u64> {
        self.value(&format!("{function}_polls"))
    }

    fn check_polls(&self, function: &str) -> Result<()> {
        let row = self.row(function, "async poll").context("no such row")?;
        let seen = (row.calls, row.unwound, row.in_flight);
        let unwound = self.value(&format!("{function}_unwound_polls"))?;
        let expected = (self.polls(function)?, unwound, 0);
        ensure!(seen == expected, "{seen:?}, the target says {expected:?}");
        Ok(())
    }

    fn check_executions(&self, function: &str, awaited: &[&str]) -> Result<()> {
        let row = self.row(function, "async").context("no such row")?;
        let expected = self.truth.functions[function];
        let seen = (row.calls, row.unwound, row.in_flight);
        ensure!(
            seen == (expected.calls, expected.unwound, expected.in_flight),
            "{seen:?}, the target says {expected:?}"
        );
        let mut polls = self.polls(function)?;
        for other in awaited {
            polls += self.polls(other)?;
        }
        let least = self.value(&format!("{function}_inside_ns"))?;
        let most = self.value(&format!("{function}_around_ns"))?;
        let (least, wall) = (
            least.saturating_sub(polls * PROBES_NS),
            row.latency_ns.total,
        );
        ensure!(
            least <= wall && wall <= most,
            "{wall} ns in all, not between {least} and {most}"
        );
        let own = row.self_ns.context("no self_ns")?;
        ensure!(
            own <= wall,
            "{own} ns of its own in {wall} ns from first poll to completion"
        );
        Ok(())
    }
}

fn watch(flags: &[&str], more: &[&str], moment: Moment) -> Result<Observed> {
    let program = targets::rust_program("futures", flags)?;
    // Without copies of stacks, of which so many calls at once are too many, with a warning.
    let mut options = vec!["--max-overhead", "off", "--stacks", "fp"];
    options.extend(more);
    let (truth, report) = observe(&program, &program, &ARGUMENTS, &options, moment)?;
    Ok(Observed { truth, report })
}

/// All differences in one error.
fn check_each(check: impl Fn(&str, &[&str]) -> Result<()>) -> Result<()> {
    let mut differences = String::new();
    for (function, awaited) in AWAITED {
        if let Err(error) = check(function, awaited) {
            writeln!(differences, "{function}: {error}")?;
        }
    }
    ensure!(differences.is_empty(), "{differences}");
    Ok(())
}

fn check(flags: &[&str], more: &[&str]) -> Result<()> {
    let mut observed = watch(flags, more, Moment::Done)?;
    // What is said of such kernels in any case.
    let of_kernel = |warning: &String| warning.contains("where the stacks of threads are");
    observed
        .report
        .warnings
        .retain(|warning| !of_kernel(warning));
    observed.report.expect_nothing_lost()?;
    check_each(|function, awaited| {
        observed.check_polls(function)?;
        observed.check_executions(function, awaited)
    })
}

#[test]
fn optimised() -> Result<()> {
    check(&["-C", "opt-level=2", "-g"], &[])
}

/// Here the functions exist themselves as well: they only make the futures.
#[test]
fn unoptimised() -> Result<()> {
    check(&["-C", "opt-level=0", "-g"], &[])
}

#[test]
fn newer_mangling() -> Result<()> {
    let flags = "-C opt-level=3 -g -C symbol-mangling-version=v0 -C codegen-units=1";
    check(&flags.split(' ').collect::<Vec<_>>(), &[])
}

#[test]
fn fixed_address_and_frame_pointers() -> Result<()> {
    let flags = "-C opt-level=2 -g -C relocation-model=static -C force-frame-pointers=yes";
    check(&flags.split(' ').collect::<Vec<_>>(), &[])
}

#[test]
fn by_perf_events() -> Result<()> {
    let older = ["--perf-links", "--portable-programs"];
    check(&["-C", "opt-level=2", "-g"], &older[..1])?;
    check(&["-C", "opt-level=2", "-g"], &older)
}

/// An execution that was left behind is over when its process is.
#[test]
fn open_at_the_end() -> Result<()> {
    let observed = watch(&["-C", "opt-level=2", "-g"], &[], Moment::Ended)?;
    let row = observed.row("stuck", "async").context("no such row")?;
    let seen = (row.calls, row.unwound, row.in_flight);
    ensure!(seen == (0, 1, 0), "{seen:?}");
    Ok(())
}

/// Nothing says where futures have their state: polls only, and a warning.
#[test]
fn without_debug_information() -> Result<()> {
    let observed = watch(
        &["-C", "opt-level=2", "-C", "strip=debuginfo"],
        &[],
        Moment::Done,
    )?;
    check_each(|function, _| {
        observed.check_polls(function)?;
        ensure!(observed.row(function, "async").is_none(), "executions");
        Ok(())
    })?;
    let warnings = observed.report.warnings.join("\n");
    for part in ["only their polls", "DWARF"] {
        ensure!(warnings.contains(part), "{part:?} is not in: {warnings}");
    }
    Ok(())
}

/// Calls are timed for a part of the time only: polls are counted, executions are not, and monigo
/// says so.
#[test]
fn in_windows() -> Result<()> {
    let flags = ["-C", "opt-level=2", "-g"];
    let observed = watch(&flags, &["--latency", "windows"], Moment::Done)?;
    check_each(|function, _| {
        let row = observed.row(function, "async poll");
        let row = row.context("no such row")?;
        // How a poll ends is not seen outside windows.
        let seen = row.calls + row.unwound + row.in_flight;
        let unwound = observed.value(&format!("{function}_unwound_polls"))?;
        let polls = observed.polls(function)? + unwound;
        ensure!(seen == polls, "{seen} polls, the target says {polls}");
        let row = observed.row(function, "async").context("no such row")?;
        let begun = row.calls + row.unwound;
        let count = observed.truth.functions[function];
        let all = count.calls + count.unwound + count.in_flight;
        ensure!(begun <= all, "{begun} executions, there were {all}");
        Ok(())
    })?;
    let warnings = observed.report.warnings.join("\n");
    ensure!(
        warnings.contains("executions are not measured any more"),
        "no word about executions: {warnings}"
    );
    Ok(())
}

/// Where only slow calls are explained, looks at fast executions go with them.
#[test]
fn looks_go_with_their_executions() -> Result<()> {
    let program = targets::rust_program("futures", &["-C", "opt-level=2", "-g"])?;
    let directory = tempfile::tempdir()?;
    let looks = |slower_than: &str| -> Result<u64> {
        let db = directory.path().join(slower_than);
        let db = db.to_str().context("path is not UTF-8")?;
        let mut options = vec!["--db", db, "--max-overhead", "off", "--stacks", "fp"];
        // So that no fast call is recorded to compare with.
        options.extend(["--sample-rate", "1000000000", "--slower-than", slower_than]);
        observe(
            &program,
            &program,
            &["20", "100", "3"],
            &options,
            Moment::Done,
        )?;
        let count = "SELECT count(*) FROM samples WHERE wait = 'await'";
        let answer = monigo::output(&["query", "--db", db, "--format", "csv", count])?;
        Ok(answer.lines().nth(1).context("a row")?.parse()?)
    };
    let (all, slow) = (looks("1ns")?, looks("1h")?);
    ensure!(all > 0, "futures were not looked at");
    ensure!(slow == 0, "{slow} of {all} looks were at slow executions");
    Ok(())
}
