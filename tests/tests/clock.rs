//! A host whose clock is set while monigo records.

use std::{fs::File, net::SocketAddr, os::unix::fs::FileExt as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program,
    agent::{Flushes, await_listed, leaf_calls, leaf_of, text},
    monigo::{fetch, get, post, run},
    require_root,
    targets::{self, Native},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const HOUR: i64 = 3600;

/// The time of day as the monigo of this test sees it.
struct Clock {
    folder: TempDir,
    file: File,
}

impl Clock {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = File::options()
            .create_new(true)
            .write(true)
            .open(folder.path().join("clock"))?;
        let clock = Self { folder, file };
        clock.set(0)?;
        Ok(clock)
    }

    /// So many seconds ahead of what it is.
    fn set(&self, ahead: i64) -> Result<()> {
        Ok(self.file.write_all_at(&ahead.to_ne_bytes(), 0)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A monigo that goes by it.
    fn spawn(&self, arguments: &[&str]) -> Result<Monigo> {
        let library = targets::clock()?;
        let file = self.path("clock");
        let variables = [
            ("LD_PRELOAD", text(&library)?),
            ("MONIGO_TEST_CLOCK", text(&file)?),
        ];
        Monigo::spawn_with(arguments, &variables)
    }
}

/// The times of an answer, which must ascend, in seconds of Unix time.
fn ascending(answer: &Value) -> Result<Vec<f64>> {
    let points = answer.as_array().context("no array")?;
    let times: Vec<&str> = points.iter().filter_map(|p| p["time"].as_str()).collect();
    ensure!(times.len() == points.len(), "{answer}");
    let seconds = |time: &str| -> Result<f64> {
        let parsed: jiff::Timestamp = time.parse()?;
        Ok(parsed.as_nanosecond() as f64 / 1e9)
    };
    let times: Vec<f64> = times.into_iter().map(seconds).collect::<Result<_>>()?;
    ensure!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    Ok(times)
}

/// The times of an answer about everything that there is.
fn over_all_time(address: SocketAddr, path: &str, mut question: Value) -> Result<Vec<f64>> {
    let now = jiff::Timestamp::now();
    question["start_time"] = json!((now - jiff::SignedDuration::from_mins(10)).to_string());
    question["end_time"] = json!((now + jiff::SignedDuration::from_mins(80)).to_string());
    question["points"] = json!(2_000);
    ascending(&post(
        address,
        &format!("/monigo/api/v1/{path}"),
        &question,
    )?)
}

/// The clock goes back an hour and forward two, so by more than measurements are kept: nothing is lost, deleted or out of
/// order, and both are told.
#[test]
fn a_clock_that_is_set_disturbs_no_recording() -> Result<()> {
    require_root()?;
    let clock = Clock::new()?;
    let image = targets::c_scenarios(Native::O2)?;
    let db = clock.path("m.duckdb");
    let mut monigo = clock.spawn(&[
        "attach",
        text(&image)?,
        "--fn",
        "leaf",
        "--no-tui",
        "--port",
        "0",
        "--format",
        "json",
        "--max-overhead",
        "off",
        "--sample-rate",
        "1",
        "--flush",
        "100ms",
        "--retention",
        "30min",
        "--db",
        text(&db)?,
    ])?;
    let address = monigo.await_address()?;
    monigo.await_attached()?;
    let session = get(address, "/api/v1/overview")?["session"].to_string();
    let mut total = 0;
    for (ahead, told) in [
        (0, None),
        (-HOUR, Some("set back by 1h 00m")),
        (HOUR, Some("set forward by 2h 00m")),
    ] {
        clock.set(ahead)?;
        if let Some(told) = told {
            monigo.await_message(told)?;
        }
        let mut program = Program::start(&image, &["calls", "1", "200"])?;
        total += leaf_of(&program.go()?)?;
        program.finish()?;
        // What was measured before is still there.
        leaf_calls(address, &session, total)?;
        await_listed(address, &session, |row| row["running"] == true)?;
        let (status, body) = fetch(address, "/readyz")?;
        ensure!(status == 200, "{status} {body}");
    }

    let mut flushes = Flushes::of(address, "/api/v1/events")?;
    for (path, question) in [
        ("reports", json!({"topic": "LoadStatistics"})),
        ("reports", json!({"topic": "FunctionLatency"})),
        (
            "service-metrics",
            json!({"field_name": ["system_memory_load"]}),
        ),
    ] {
        // It never went back, so it went forward by one hour only. Readings are taken once a second.
        let mut length = 0.0;
        while length < HOUR as f64 {
            flushes.await_next()?;
            let times = over_all_time(address, path, question.clone())?;
            length = times.last().context("nothing is there")? - times[0];
        }
        ensure!(length < HOUR as f64 * 1.2, "{length}");
    }
    let lately = json!({"topic": "FunctionLatency", "time_frame": "5m"});
    let lately = post(address, "/monigo/api/v1/reports", &lately)?;
    ensure!(
        lately.as_array().is_some_and(|rows| !rows.is_empty()),
        "{lately}"
    );

    let report = monigo.stop()?;
    let stored = run(["report", "--db", text(&db)?, "--format", "json"])?;
    ensure!(stored.status == Some(0), "{stored:?}");
    for report in [&report, &serde_json::from_str(&stored.stdout)?] {
        let leaf = report.function("leaf")?;
        ensure!(leaf.calls == total && leaf.timed == total, "{leaf:?}");
        ensure!(report.events.recorded == total, "{:?}", report.events);
        ensure!(report.events.dropped == 0, "{:?}", report.events);
        for told in ["set back by 1h 00m", "set forward by 2h 00m"] {
            let found = report.warnings.iter().any(|warning| warning.contains(told));
            ensure!(found, "{told}: {:?}", report.warnings);
        }
        // The test took less than what was skipped.
        ensure!(
            report.duration_ns < HOUR as u64 * 1_000_000_000,
            "{report:?}"
        );
    }
    Ok(())
}
