//! `monigo diff`: what changed between two sessions, and between two times of one.

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, monigo,
    targets::{self, Native, PrivateCopy},
};
use serde_json::Value;

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
