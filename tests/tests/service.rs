//! What monigo stores of a service beside its calls, against a target that knows.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, monigo,
    targets::{self, Go, GoVersion, PrivateCopy},
};

/// Series and the least and the greatest value that were stored.
type Stored = BTreeMap<String, (f64, f64)>;

fn stored(db: &str) -> Result<Stored> {
    let query = "SELECT name, min(value), max(value) FROM readings GROUP BY name";
    let outcome = monigo::run(["query", "--db", db, query, "--format", "json"])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    let table: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
    let rows = table["rows"].as_array().context("rows")?;
    rows.iter()
        .map(|row| {
            let name = row[0].as_str().context("name")?.to_owned();
            Ok((
                name,
                (
                    row[1].as_f64().context("least")?,
                    row[2].as_f64().context("greatest")?,
                ),
            ))
        })
        .collect()
}

/// The target belongs to another user, and monigo has given up most of its privileges.
fn readings_of_another_user(version: GoVersion) -> Result<()> {
    monigo_tests::require_root()?;
    let target = targets::go_parked(Go {
        version,
        flags: &[],
    })?;
    let copy = PrivateCopy::of(&target)?;
    let directory = copy.path();
    let directory = directory.parent().context("directory")?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    let recordings = tempfile::tempdir()?;
    let db = recordings.path().join("service.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start_as_nobody(&copy.path(), &[])?;
    let pid = program.pid().to_string();
    let monigo = Monigo::attach(&pid, &["main.work"], &["--db", db])?;
    let truth = program.go()?;
    // Through the monigo that records.
    let mut seen = Stored::new();
    for _ in 0..200 {
        seen = stored(db)?;
        let rate = seen.get("cores_used_by_service");
        if rate.is_some_and(|(_, most)| *most > 0.0) {
            break;
        }
        program.go()?;
    }
    let report = monigo.stop()?;
    program.finish()?;
    ensure!(report.function("main.work")?.calls >= 10, "{report:?}");
    let goroutines = truth.values["goroutines"] as f64;
    ensure!(
        seen.get("goroutines") == Some(&(goroutines, goroutines)),
        "{goroutines} goroutines: {seen:?}"
    );
    let least = |name: &str| seen.get(name).map(|(least, _)| *least);
    ensure!(least("processes") == Some(1.0), "{seen:?}");
    for readable in ["disk_read_bytes", "open_files", "bytes_received"] {
        ensure!(least(readable).is_some(), "{readable}: {seen:?}");
    }
    ensure!(
        least("memory_used_by_service").is_some_and(|bytes| bytes > 500_000.0),
        "{seen:?}"
    );
    if version == GoVersion::Current {
        ensure!(
            least("heap_alloc_by_service").is_some_and(|bytes| bytes > 0.0),
            "{seen:?}"
        );
    }
    let (_, health) = seen["service_health_percent"];
    ensure!((0.0..=100.0).contains(&health), "{seen:?}");
    Ok(())
}

#[test]
fn service_of_another_user_distribution_go() -> Result<()> {
    readings_of_another_user(GoVersion::Distribution)
}

#[test]
fn service_of_another_user_current_go() -> Result<()> {
    readings_of_another_user(GoVersion::Current)
}

/// Number of goroutines that are in `function`, in this state, for one of these reasons.
fn parked(routines: &serde_json::Value, function: &str, state: &str, reasons: &[&str]) -> u64 {
    let groups = routines["groups"].as_array().map_or(&[][..], Vec::as_slice);
    let is_there = |group: &&serde_json::Value| {
        let frames = group["call_stack"].as_array();
        group["state"] == state
            && reasons.iter().any(|reason| group["wait_reason"] == *reason)
            && frames.is_some_and(|frames| {
                let mut names = frames.iter().filter_map(serde_json::Value::as_str);
                names.any(|name| name.split_whitespace().next() == Some(function))
            })
    };
    let groups = groups.iter().filter(is_there);
    groups.filter_map(|group| group["count"].as_u64()).sum()
}

/// As a user asks for them, while the probes are in; stripped programs, too.
#[test]
fn service_goroutines_over_the_api() -> Result<()> {
    monigo_tests::require_root()?;
    for flags in [&[][..], &["-ldflags=-s -w"]] {
        let version = GoVersion::Current;
        let target = targets::go_parked(Go { version, flags })?;
        let copy = PrivateCopy::of(&target)?;
        let mut program = Program::start(&copy.path(), &[])?;
        let pid = program.pid().to_string();
        let (monigo, address) = Monigo::attach_and_serve(&pid, &["main.work"], &[])?;
        let expected: [(&str, &str, &[&str], u64); 6] = [
            ("main.receives", "waiting", &["chan receive"], 3),
            ("main.selects", "waiting", &["select"], 4),
            ("main.sleeps", "waiting", &["sleep"], 5),
            ("main.locks", "waiting", &["sync.Mutex.Lock"], 6),
            ("main.accepts", "waiting", &["IO wait"], 1),
            ("main.calls", "syscall", &[""], 2),
        ];
        let mut routines = serde_json::Value::Null;
        // They are on their way to where they park when the target says that it is ready.
        for _ in 0..50 {
            routines = monigo::get(address, "/monigo/api/v1/go-routines-stats")?;
            let right = |(function, state, reasons, count): &(&str, &str, &[&str], u64)| {
                parked(&routines, function, state, reasons) == *count
            };
            if expected.iter().all(right) {
                break;
            }
            program.go()?;
        }
        for (function, state, reasons, count) in expected {
            let found = parked(&routines, function, state, reasons);
            ensure!(found == count, "{function}: {found}; {routines:#}");
        }
        let truth = program.go()?;
        let total = routines["number_of_goroutines"].as_i64();
        ensure!(total == Some(truth.values["goroutines"]), "{routines:#}");
        let info = monigo::get(address, "/monigo/api/v1/service-info")?;
        ensure!(info["go_version"] == "go1.27.3", "{info:#}");
        let metrics = monigo::get(address, "/monigo/api/v1/metrics")?;
        ensure!(
            metrics["core_statistics"]["goroutines"].as_i64() == total,
            "{metrics:#}"
        );
        monigo.stop()?;
        program.finish()?;
    }
    Ok(())
}
