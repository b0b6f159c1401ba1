//! Causes planted in the target on Tokio: in a poll, and between polls.

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{Monigo, Program, monigo, targets};
use serde_json::Value;

use crate::{Planted, SLOWER_THAN, check};

/// While it is polled, as in any function.
fn find(planted: &Planted) -> Result<()> {
    let program = targets::rust_example("tokio_tail")?;
    check(&program, "tokio_tail::handle", planted)
}

#[test]
fn a_computation_in_tokio() -> Result<()> {
    find(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

#[test]
fn a_blocking_mutex_in_tokio() -> Result<()> {
    find(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["reserve_stock", "handle"],
    })
}

#[test]
fn a_blocking_sleep_in_tokio() -> Result<()> {
    find(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["back_off"],
    })
}

#[test]
fn a_blocking_pipe_in_tokio() -> Result<()> {
    find(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["read_answer"],
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
    let source = include_str!("../../targets/tokio/tail.rs");
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
