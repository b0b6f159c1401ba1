//! Why slow calls are slow: a cause planted in one call of fifty comes first.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{Monigo, Program, monigo, targets::PrivateCopy};
use serde_json::Value;

mod c;
mod cpp;
mod go;
mod rust;
mod tokio;

/// A cause as it is planted, and as it must be found.
struct Planted {
    /// Argument of the target.
    reason: &'static str,
    /// What must be said to be waited for; `None` when it runs.
    wait: Option<&'static [&'static str]>,
    /// One of these must be where.
    places: &'static [&'static str],
}

/// Slow calls take at least 12 ms, fast ones 0.1 ms.
const SLOWER_THAN: &str = "8ms";

/// Records `program` with a planted cause and checks what `monigo why` says first.
fn check(program: &Path, function: &str, planted: &Planted) -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(program)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("tail.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let svg = directory.path().join("tail.svg");
    let svg = svg.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&copy.path(), &[planted.reason, "1000"])?;
    let pid = program.pid();
    // On a busy machine every call would wait for a CPU most of the time.
    monigo_tests::prefer(pid)?;
    let pid = pid.to_string();
    let options = ["--db", db, "--cpu-hz", "499", "--slower-than", SLOWER_THAN];
    let monigo = Monigo::attach(&pid, &[function], &options)?;
    program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    ensure!(report.events.dropped == 0, "{report:?}");

    let arguments = ["why", "--db", db, "--slower-than", SLOWER_THAN];
    let json = monigo::output(&[&arguments[..], &["--format", "json", "-o", svg]].concat())?;
    let tail: Value = serde_json::from_str(&json)?;
    let slow = tail["slow"]["calls"].as_u64().context("slow calls")?;
    // A lock may be free again by the time that it is asked for.
    ensure!(slow >= 15, "20 of 1000 calls are slow: {tail}");
    let first = &tail["causes"][0];
    let place = first["function"].as_str().context("a place")?;
    ensure!(
        planted.places.iter().any(|known| place.ends_with(known)),
        "{}: {first}",
        planted.reason
    );
    match planted.wait {
        Some(waits) => ensure!(
            first["activity"] == "waiting" && waits.iter().any(|wait| first["wait"] == *wait),
            "{}: {first}",
            planted.reason
        ),
        // What spins does not wait for anything but a CPU.
        None => ensure!(first["wait"].is_null(), "{}: {first}", planted.reason),
    }
    let share = first["share"].as_f64().context("a share")?;
    ensure!(share > 0.3, "{}: {first}", planted.reason);
    let text = monigo::output(&arguments)?;
    let sentence = first["sentence"].as_str().context("a sentence")?;
    ensure!(text.contains(&format!("1. {sentence}")), "{text}");
    ensure!(std::fs::read_to_string(svg)?.contains("red: more than before"));
    // Of an async function, its polls.
    let polls = report
        .functions
        .iter()
        .find(|row| row.name.ends_with(" (async poll)"));
    slow_only(db, directory.path(), polls.map(|row| row.name.as_str()))?;
    story(db, directory.path())
}

/// The flame graph of slow calls weighs them alone, and so do the other files.
fn slow_only(db: &str, directory: &Path, function: Option<&str>) -> Result<()> {
    let named = function.map_or(vec![], |name| vec!["--fn", name]);
    for name in ["slow.json", "slow.csv", "slow.firefox.json"] {
        let file = directory.join(name);
        let output = file.to_str().context("path is not UTF-8")?;
        let arguments = ["flamegraph", "--db", db, "--slower-than", SLOWER_THAN];
        monigo::output(&[&arguments[..], &["-o", output], &named].concat())?;
    }
    let summary = std::fs::read_to_string(directory.join("slow.json"))?;
    let summary: Value = serde_json::from_str(&summary)?;
    let rows = summary["functions"].as_array().context("rows")?;
    let polls = |row: &&Value| {
        row["name"]
            .as_str()
            .is_some_and(|name| !name.ends_with(" (async)"))
    };
    let function = rows.iter().find(polls).context("a function")?;
    let (calls, least) = (&function["calls"], &function["latency_ns"]["min"]);
    ensure!(
        calls
            .as_u64()
            .is_some_and(|calls| (15..=40).contains(&calls))
            && least.as_u64().is_some_and(|least| least >= 8_000_000),
        "{summary}"
    );
    let time = &function["time_ns"];
    let unattributed = time["unattributed"].as_u64().context("a rest")?;
    let total = function["latency_ns"]["total"].as_u64().context("a sum")?;
    ensure!(unattributed < total / 2, "{summary}");
    let total = |more: &[&str]| -> Result<u64> {
        let file = directory.join("calls.folded");
        let output = file.to_str().context("path is not UTF-8")?;
        let arguments = ["flamegraph", "--db", db, "--flame", "calls", "-o", output];
        monigo::output(&[&arguments[..], more, &named].concat())?;
        let text = std::fs::read_to_string(&file)?;
        let weight = |line: &str| line.rsplit_once(' ')?.1.parse::<u64>().ok();
        text.lines()
            .map(|line| weight(line).context("a weight"))
            .sum()
    };
    let (all, slow) = (total(&[])?, total(&["--slower-than", SLOWER_THAN])?);
    ensure!(slow >= 15 && slow < all / 4, "{slow} slow calls of {all}");
    let arguments = ["flamegraph", "--db", db, "--slower-than", "1h"];
    let outcome = monigo::run([&arguments[..], &named].concat())?;
    outcome.expect_error(1, &["took 1h 00m or longer", "the longest took"])?;
    let outcome = monigo::run([
        "flamegraph",
        "--db",
        db,
        "--slower-than",
        "1s",
        "--percentile",
        "99",
    ])?;
    outcome.expect_error(2, &["cannot be used with"])
}

/// The slowest call has a waterfall, and a trace that nests.
fn story(db: &str, directory: &Path) -> Result<()> {
    let file = directory.join("trace.json");
    let output = file.to_str().context("path is not UTF-8")?;
    let text = monigo::output(&["story", "--db", db, "-o", output])?;
    ensure!(text.contains("call 0-"), "{text}");
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let events = trace["traceEvents"].as_array().context("events")?;
    let spans: Vec<(f64, f64)> = events
        .iter()
        .filter(|event| event["ph"] == "X")
        .filter_map(|event| Some((event["ts"].as_f64()?, event["dur"].as_f64()?)))
        .collect();
    let &(_, whole) = spans.first().context("the call")?;
    ensure!(
        whole >= 12_000.0,
        "µs, and the call took at least 12 ms: {whole}"
    );
    ensure!(
        spans
            .iter()
            .all(|(ts, dur)| *ts >= 0.0 && ts + dur <= whole + 1.0),
        "{spans:?}"
    );
    Ok(())
}
