//! Why slow calls are slow: a cause planted in one call of fifty comes first.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, monigo,
    targets::{self, Go, GoVersion, Native, PrivateCopy},
};
use serde_json::Value;

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

fn c(planted: &Planted) -> Result<()> {
    let program = targets::c_program("tail", Native::FRAME_POINTERS)?;
    check(&program, "handle", planted)
}

#[test]
fn a_lock_held_by_another_thread() -> Result<()> {
    c(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["reserve_stock", "handle"],
    })
}

#[test]
fn a_sleep() -> Result<()> {
    c(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["sleep_ms", "back_off", "handle"],
    })
}

#[test]
fn a_computation() -> Result<()> {
    c(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

#[test]
fn a_slow_pipe() -> Result<()> {
    c(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["take", "read_answer", "handle"],
    })
}

fn cpp(planted: &Planted) -> Result<()> {
    let program = targets::cpp_tail(Native::FRAME_POINTERS)?;
    check(&program, "shop::handle", planted)
}

#[test]
fn a_mutex_in_cpp() -> Result<()> {
    cpp(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["Stock::reserve", "shop::handle"],
    })
}

#[test]
fn a_sleep_in_cpp() -> Result<()> {
    cpp(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["back_off", "shop::handle"],
    })
}

#[test]
fn a_computation_in_cpp() -> Result<()> {
    cpp(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

#[test]
fn a_pipe_in_cpp() -> Result<()> {
    cpp(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["read_answer", "shop::handle"],
    })
}

fn go(planted: &Planted) -> Result<()> {
    let program = targets::go_tail(Go {
        version: GoVersion::Current,
        flags: &[],
    })?;
    check(&program, "main.handle", planted)
}

#[test]
fn a_computation_in_go() -> Result<()> {
    go(&Planted {
        reason: "spin",
        wait: None,
        places: &["main.checksum"],
    })
}

#[test]
fn a_mutex_in_go() -> Result<()> {
    go(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["main.reserveStock"],
    })
}

#[test]
fn a_sleep_in_go() -> Result<()> {
    go(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["main.backOff"],
    })
}

#[test]
fn a_channel_in_go() -> Result<()> {
    go(&Planted {
        reason: "channel",
        wait: Some(&["channel"]),
        places: &["main.receive"],
    })
}

#[test]
fn a_pipe_in_go() -> Result<()> {
    go(&Planted {
        reason: "pipe",
        wait: Some(&["io", "network"]),
        places: &["main.readAnswer"],
    })
}

fn rust(planted: &Planted) -> Result<()> {
    let flags = ["-O", "-g", "-Cforce-frame-pointers=yes"];
    let program = targets::rust_program("tail", &flags)?;
    check(&program, "tail::handle", planted)
}

#[test]
fn a_mutex_in_rust() -> Result<()> {
    rust(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["reserve_stock", "handle"],
    })
}

#[test]
fn a_sleep_in_rust() -> Result<()> {
    rust(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["back_off", "handle"],
    })
}

#[test]
fn a_computation_in_rust() -> Result<()> {
    rust(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

#[test]
fn a_pipe_in_rust() -> Result<()> {
    rust(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["read_answer", "handle"],
    })
}

fn tokio(planted: &Planted) -> Result<()> {
    let program = targets::rust_example("tokio_tail")?;
    check(&program, "tokio_tail::handle", planted)
}

/// While it is polled, as in any function.
#[test]
fn a_computation_in_tokio() -> Result<()> {
    tokio(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

/// What is awaited is in no poll: the future says it between polls, with the line.
fn awaited(reason: &str, awaits: &str, code: &str) -> Result<()> {
    monigo_tests::require_root()?;
    let program = targets::rust_example("tokio_tail")?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("awaited.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&program, &[reason, "15000"])?;
    monigo_tests::prefer(program.pid())?;
    let pid = program.pid().to_string();
    let options = ["--db", db, "--slower-than", SLOWER_THAN];
    let monigo = Monigo::attach(&pid, &["tokio_tail::handle"], &options)?;
    program.go()?;
    monigo.stop()?;
    program.finish()?;
    let source = include_str!("../targets/tokio/tail.rs");
    let line = source.lines().position(|line| line.contains(code));
    let line = line.context("the target has such a line")? + 1;
    let executions = ["--db", db, "--fn", "tokio_tail::handle (async)"];
    let json = monigo::output(
        &[
            &["why"],
            &executions[..],
            &["--slower-than", SLOWER_THAN, "--format", "json"],
        ]
        .concat(),
    )?;
    let tail: Value = serde_json::from_str(&json)?;
    let first = &tail["causes"][0];
    ensure!(
        first["activity"] == "waiting" && first["wait"] == "await",
        "{first}"
    );
    ensure!(first["function"] == "tokio_tail::handle", "{first}");
    ensure!(first["callee"] == awaits, "{first}");
    let share = first["share"].as_f64().context("a share")?;
    // On a busy machine, other calls are slow for want of a CPU.
    ensure!(share > 0.1, "{tail}");
    let sentence = first["sentence"].as_str().context("a sentence")?;
    ensure!(
        sentence.contains(&format!(
            "is suspended at .await in `tokio_tail::handle` (tail.rs:{line}), which awaits `{awaits}`"
        )),
        "{sentence}"
    );
    let text = monigo::output(&[&["why"], &executions[..]].concat())?;
    ensure!(text.contains("(async poll)"), "{text}");
    let text = monigo::output(&[&["story"], &executions[..]].concat())?;
    ensure!(text.contains("what its polls did"), "{text}");
    let folded = directory.path().join("awaited.folded");
    let folded = folded.to_str().context("path is not UTF-8")?;
    monigo::output(
        &[
            &["flamegraph"],
            &executions[..],
            &["--flame", "time", "--root", "function", "-o", folded],
        ]
        .concat(),
    )?;
    let folded = std::fs::read_to_string(folded)?;
    let chain = format!("tokio_tail::handle (async);{awaits}");
    let suspended =
        |line: &str| line.starts_with(&chain) && line.contains(";[suspended at .await] ");
    ensure!(folded.lines().any(suspended), "{folded}");
    Ok(())
}

#[test]
fn an_awaited_sleep_in_tokio() -> Result<()> {
    awaited(
        "await-sleep",
        "tokio::time::sleep::Sleep",
        "tokio::time::sleep(SLOW).await,",
    )
}

#[test]
fn an_awaited_mutex_in_tokio() -> Result<()> {
    awaited(
        "await-lock",
        "tokio::sync::mutex::lock",
        "shop.awaited.lock().await",
    )
}

#[test]
fn a_blocking_mutex_in_tokio() -> Result<()> {
    tokio(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["reserve_stock", "handle"],
    })
}

#[test]
fn a_blocking_sleep_in_tokio() -> Result<()> {
    tokio(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["back_off"],
    })
}

#[test]
fn a_blocking_pipe_in_tokio() -> Result<()> {
    tokio(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["read_answer"],
    })
}

/// Two sessions of one file, the second of which sleeps in one call of fifty.
#[test]
fn what_changed_between_two_sessions() -> Result<()> {
    monigo_tests::require_root()?;
    let program = targets::c_program("tail", Native::FRAME_POINTERS)?;
    let copy = PrivateCopy::of(&program)?;
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("diff.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    for reason in ["nothing", "sleep"] {
        let mut program = Program::start(&copy.path(), &[reason, "500"])?;
        monigo_tests::prefer(program.pid())?;
        let pid = program.pid().to_string();
        let monigo = Monigo::attach(&pid, &["handle"], &["--db", db])?;
        program.go()?;
        monigo.stop()?;
        program.finish()?;
    }
    let svg = directory.path().join("diff.svg");
    let output = svg.to_str().context("path is not UTF-8")?;
    let arguments = ["diff", "--db", db, "--fn", "handle", "-o", output];
    let json = monigo::output(&[&arguments[..], &["--format", "json"]].concat())?;
    let comparison: Value = serde_json::from_str(&json)?;
    ensure!(comparison["before"]["session"] == 1 && comparison["after"]["session"] == 2);
    let handle = &comparison["functions"][0];
    let mean = |side: &str| handle[side]["mean_ns"].as_u64().context("a mean");
    // 12 ms in one call of fifty.
    ensure!(mean("after")? > 240_000, "{handle}");
    ensure!(
        handle["before"]["calls"] == 500 && handle["after"]["calls"] == 500,
        "{handle}"
    );
    ensure!(std::fs::read_to_string(svg)?.contains("session 2"));
    let outcome = monigo::run(["diff", "--db", db, "--session", "1"])?;
    outcome.expect_error(2, &["no session before 1", "--with"])
}

/// Two times of one session: a new build of the same program sleeps in one call of fifty.
#[test]
fn what_changed_between_two_times() -> Result<()> {
    monigo_tests::require_root()?;
    let program = targets::c_program("tail", Native::FRAME_POINTERS)?;
    let copy = PrivateCopy::of(&program)?;
    let path = copy.path();
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("times.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let path_text = path.to_str().context("path is not UTF-8")?;
    let options = ["--db", db, "--flush", "100ms"];
    let monigo = Monigo::attach(path_text, &["handle"], &options)?;
    let mut until = String::new();
    for (reason, calls) in [("nothing", "500"), ("sleep", "1000")] {
        let mut program = Program::start(&path, &[reason, "500"])?;
        monigo_tests::prefer(program.pid())?;
        program.go()?;
        // All that was before is written before what comes after begins.
        loop {
            let counts = monigo::output(&[
                "query",
                "--db",
                db,
                "--format",
                "csv",
                "SELECT sum(calls)::BIGINT, (max(at_ns) - (SELECT max(started_ns) FROM sessions)) / 1e9 FROM function_deltas",
            ])?;
            let row = counts.lines().nth(1).context("a row")?;
            let (sum, at) = row.split_once(',').context("two columns")?;
            if sum == calls {
                until = if until.is_empty() {
                    at.to_owned()
                } else {
                    until
                };
                break;
            }
        }
        program.finish()?;
    }
    monigo.stop()?;
    let arguments = ["diff", "--db", db, "--fn", "handle", "--format", "json"];
    let parts = ["--against-to", &until, "--from", &until];
    let json = monigo::output(&[&arguments[..], &parts].concat())?;
    let comparison: Value = serde_json::from_str(&json)?;
    let handle = &comparison["functions"][0];
    ensure!(
        handle["before"]["calls"] == 500 && handle["after"]["calls"] == 500,
        "{handle}"
    );
    let mean = |side: &str| handle[side]["mean_ns"].as_u64().context("a mean");
    // 12 ms in one call of fifty.
    ensure!(
        mean("after")? > 240_000 && mean("after")? > mean("before")? + 100_000,
        "{handle}"
    );
    Ok(())
}
