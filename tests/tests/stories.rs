//! What is told of single calls lies within them, also where not all calls are timed.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, monigo,
    targets::{self, Native, PrivateCopy},
};
use serde_json::Value;

/// Records a target while it runs.
fn record(program: &Path, arguments: &[&str], functions: &[&str], options: &[&str]) -> Result<()> {
    let copy = PrivateCopy::of(program)?;
    let mut program = Program::start(&copy.path(), arguments)?;
    let pid = program.pid().to_string();
    let monigo = Monigo::attach(&pid, functions, options)?;
    program.go()?;
    monigo.stop()?;
    program.finish()
}

/// Reads the stories of the `most` slowest calls of a function, and checks that each span lies within its
/// call. Returns how many spans there were off CPU, and how many of those were short.
fn stories(db: &str, function: &str, most: usize) -> Result<(usize, usize)> {
    let (mut spans, mut short) = (0, 0);
    for slowest in 1..=most {
        let slowest = slowest.to_string();
        let text = monigo::output(&[
            "story",
            "--db",
            db,
            "--fn",
            function,
            "--slowest",
            &slowest,
            "--format",
            "json",
        ])?;
        let story: Value = serde_json::from_str(&text)?;
        let number = |value: &Value, name: &str| value[name].as_u64().context("a number");
        let whole = number(&story, "span_ns")?;
        ensure!(
            whole == number(&story["call"], "duration_ns")? + number(&story["call"], "probes_ns")?,
            "{story}"
        );
        for nested in story["nested"].as_array().context("nested")? {
            let end = number(nested, "from_ns")? + number(nested, "span_ns")?;
            ensure!(end <= whole, "{nested} in {story}");
        }
        for event in story["events"].as_array().context("events")? {
            let length = number(event, "duration_ns")?;
            ensure!(
                number(event, "at_ns")? + length <= whole,
                "{event} in {story}"
            );
            ensure!(number(event, "runnable_ns")? <= length, "{event}");
            spans += usize::from(length > 0);
            short += usize::from(event["drawn"] == true);
        }
        let notes = story["notes"].to_string();
        ensure!(!notes.contains("not seen"), "{story}");
    }
    Ok((spans, short))
}

/// Calls that are open when a window is closed end unseen.
#[test]
fn between_windows_nothing_belongs_to_a_call() -> Result<()> {
    monigo_tests::require_root()?;
    let program = targets::c_program("rhythm", Native::FRAME_POINTERS)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("windows.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let options = ["--db", db, "--latency", "windows", "--sample-rate", "1"];
    // Without the kernel's help with the stack, only the time tells that a call may be over.
    let options = [&options[..], &["--stacks", "fp"]].concat();
    record(&program, &["6000"], &["works"], &options)?;
    let file = directory.path().join("offcpu.folded");
    let output = file.to_str().context("path is not UTF-8")?;
    monigo::output(&["flamegraph", "--db", db, "--flame", "offcpu", "-o", output])?;
    let stacks = fs::read_to_string(&file)?;
    ensure!(stacks.contains("works;"), "{stacks}");
    ensure!(!stacks.contains("elsewhere"), "{stacks}");
    let (spans, short) = stories(db, "works", 20)?;
    ensure!(spans >= 20 && short > 0, "{spans} spans, {short} short");
    Ok(())
}

/// Traced calls inside, whose probes take time that is no part of their duration.
#[test]
fn every_span_lies_within_its_call() -> Result<()> {
    monigo_tests::require_root()?;
    let program = targets::c_program("times", Native::O2)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("times.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let functions = ["work", "spins", "sleeps", "locks", "reads", "receives"];
    let options = ["--db", db, "--sample-rate", "1"];
    record(&program, &["10"], &functions, &options)?;
    let (spans, _) = stories(db, "work", 10)?;
    ensure!(spans >= 30, "each sleeps, locks and reads: {spans}");
    let text = monigo::output(&["story", "--db", db, "--fn", "work", "--format", "json"])?;
    let story: Value = serde_json::from_str(&text)?;
    let nested = story["nested"].as_array().context("nested")?;
    let names: Vec<_> = nested.iter().map(|it| it["function"].as_str()).collect();
    ensure!(
        names == functions[1..].iter().copied().map(Some).collect::<Vec<_>>(),
        "{names:?}"
    );
    Ok(())
}
