//! What monigo takes for itself while it records.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, Report,
    monigo::run,
    require_root,
    standstill::Standstill,
    targets::{self, PrivateCopy},
};

/// Longest wait for anything to change: how fast calls come depends on the host.
const PATIENCE: Duration = Duration::from_mins(3);

fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse::<u64>()? * 1024)
}

/// The file and its log.
fn taken(db: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    size(db) + size(&db.with_extension("duckdb.wal"))
}

fn report(db: &str) -> Result<Report> {
    let outcome = run(["report", "--db", db, "--format", "json"])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    Ok(serde_json::from_str(&outcome.stdout)?)
}

/// Waits until `hot` was called so often, watching the size of the database.
fn await_calls(db: &Path, calls: u64, limit: u64) -> Result<()> {
    let mut standstill = Standstill::default();
    loop {
        let size = taken(db);
        ensure!(size <= limit, "the database takes {size} bytes");
        let report = report(db.to_str().context("path is not UTF-8")?)?;
        let now = report.function("hot")?.calls;
        if now >= calls {
            return Ok(());
        }
        ensure!(standstill.at(now) < PATIENCE, "no more calls: {report:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Ten times as many calls are recorded in full as monigo would choose; memory and database stay
/// within bounds.
#[test]
fn memory_and_database_are_bounded() -> Result<()> {
    const LIMIT: u64 = 64 << 20;
    require_root()?;
    let copy = PrivateCopy::of(&targets::rust_program("busy", &["-O"])?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("load.duckdb");
    let options = [
        "--db",
        &db.to_string_lossy(),
        "--max-size",
        "64MiB",
        "--sample-rate",
        "20",
        "--flush",
        "200ms",
    ];
    let target = Program::start(&path, &[])?;
    let monigo = Monigo::attach(&image, &["hot", "slow"], &options)?;
    await_calls(&db, 1_000_000, LIMIT)?;
    let before = resident_bytes(monigo.pid())?;
    await_calls(&db, 4_000_000, LIMIT)?;
    let after = resident_bytes(monigo.pid())?;
    // What is kept of the database in memory can grow to the database's size.
    let growth = after.saturating_sub(before);
    ensure!(
        growth <= LIMIT + (32 << 20),
        "from {before} to {after} bytes"
    );
    drop(monigo);
    drop(target);
    Ok(())
}
