//! Exports, opened by those they are for.

use std::{collections::HashMap, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, monigo,
    targets::{self, GoVersion, Native, PrivateCopy},
};

/// Records calls of `slow_call` and returns the recording.
fn recorded(directory: &Path) -> Result<String> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("slow", Native::O2)?)?;
    let db = directory.join("slow.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut program = Program::start(&copy.path(), &["10"])?;
    let pid = program.pid().to_string();
    let monigo = Monigo::attach(&pid, &["slow_call"], &["--db", db, "--sample-rate", "1"])?;
    program.go()?;
    monigo.stop()?;
    program.finish()?;
    Ok(db.to_owned())
}

fn export(db: &str, file: &Path) -> Result<()> {
    let output = file.to_str().context("path is not UTF-8")?;
    let outcome = monigo::run(["flamegraph", "--db", db, "-o", output])?;
    ensure!(outcome.status == Some(0), "{output}: {}", outcome.stderr);
    Ok(())
}

/// Answers of the recording itself: one row.
fn query(db: &str, sql: &str) -> Result<Vec<String>> {
    let outcome = monigo::run(["query", "--db", db, sql, "--format", "csv"])?;
    ensure!(outcome.status == Some(0), "{sql}: {}", outcome.stderr);
    let row = outcome.stdout.lines().nth(1).context("a row")?;
    Ok(row.split(',').map(str::to_owned).collect())
}

/// Sums by sample type that `go tool pprof` reads, which checks the file on the way.
fn pprof_sums(file: &Path) -> Result<HashMap<String, i64>> {
    let output = Command::new(GoVersion::Current.compiler()?)
        .args(["tool", "pprof", "-raw"])
        .arg(file)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut lines = text.lines().skip_while(|line| *line != "Samples:").skip(1);
    let kinds: Vec<String> = lines
        .next()
        .context("sample types")?
        .split_whitespace()
        .filter_map(|kind| kind.split('/').next().map(str::to_owned))
        .collect();
    let mut sums = vec![0; kinds.len()];
    for line in lines.take_while(|line| *line != "Locations") {
        let Some((values, _)) = line.split_once(':') else {
            continue;
        };
        for (sum, value) in sums.iter_mut().zip(values.split_whitespace()) {
            *sum += value.parse::<i64>().with_context(|| line.to_owned())?;
        }
    }
    Ok(kinds.into_iter().zip(sums).collect())
}

#[test]
fn pprof_is_read_by_go() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let db = recorded(directory.path())?;
    let file = directory.path().join("slow.pb.gz");
    export(&db, &file)?;
    let sums = pprof_sums(&file)?;
    let truth = query(
        &db,
        "SELECT (SELECT sum(weight) FROM calls), (SELECT sum(weight * duration_ns) FROM calls),
                (SELECT sum(weight_ns) FROM samples WHERE kind = 'offcpu')",
    )?;
    for (kind, expected) in ["calls", "wall", "offcpu"].into_iter().zip(&truth) {
        let sum = sums
            .get(kind)
            .with_context(|| format!("{kind} in {sums:?}"))?;
        ensure!(
            sum.to_string() == *expected,
            "{kind}: {sum} in the file, {expected} in the recording"
        );
    }
    Ok(())
}

/// Their readers are asked in unit tests (DuckDB) and in the dashboard's (speedscope).
#[test]
fn other_formats_are_written_whole() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let db = recorded(directory.path())?;
    let write = |name: &str| {
        let file = directory.path().join(name);
        export(&db, &file)?;
        Ok::<_, anyhow::Error>(std::fs::read(&file)?)
    };
    let parquet = write("slow.parquet")?;
    ensure!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    for name in ["slow.speedscope.json", "slow.firefox.json"] {
        let text = write(name)?;
        let _: serde_json::Value = serde_json::from_slice(&text).context(name)?;
        let text = String::from_utf8(text)?;
        ensure!(text.contains("slow_call"), "{name} has no slow_call");
    }
    let outcome = monigo::run(["flamegraph", "--db", &db, "-o", "slow.png"])?;
    outcome.expect_error(2, &["slow.png", ".speedscope.json"])
}
