//! What retention deletes while a recording goes on, and what remains.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, monigo, require_root,
    standstill::Standstill,
    targets::{self, Native, PrivateCopy},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Longest wait for anything to change.
const PATIENCE: Duration = Duration::from_mins(2);
/// Depths from which the target calls its first function.
const EARLY_DEPTHS: u64 = 40;

/// The number that a query answers with.
fn number(db: &str, sql: &str) -> Result<u64> {
    let outcome = monigo::run(["query", "--db", db, sql, "--format", "csv"])?;
    ensure!(outcome.status == Some(0), "{sql}: {}", outcome.stderr);
    let value = outcome.stdout.lines().nth(1).context("no row")?;
    Ok(value.trim().parse()?)
}

/// Waits until the number that a query answers with is as wanted.
fn await_number(db: &str, sql: &str, wanted: impl Fn(u64) -> bool) -> Result<u64> {
    let mut standstill = Standstill::default();
    loop {
        let found = number(db, sql)?;
        if wanted(found) {
            return Ok(found);
        }
        ensure!(standstill.at(found) < PATIENCE, "{sql}: {found}");
    }
}

/// Calls by stack, as a flame graph shows them: frames, outermost first.
fn flame(db: &str, directory: &Path) -> Result<Vec<(String, u64)>> {
    let file = directory.join("calls.folded");
    let output = file.to_str().context("path is not UTF-8")?;
    let arguments = ["flamegraph", "--db", db, "--flame", "calls", "-o", output];
    let outcome = monigo::run(arguments)?;
    ensure!(outcome.status == Some(0), "flamegraph: {}", outcome.stderr);
    let text = fs::read_to_string(&file)?;
    text.lines()
        .map(|line| {
            let (frames, calls) = line.rsplit_once(' ').context("a weight")?;
            Ok((frames.to_owned(), calls.parse()?))
        })
        .collect()
}

fn stacks_of(function: &str) -> String {
    format!(
        "SELECT count(DISTINCT stack_id) AS n FROM calls JOIN functions USING (session_id, function_id)
         WHERE name = '{function}'"
    )
}

/// Rows that refer to a stack that is gone, and stacks with a frame that is gone.
const DANGLING: &str = "
    SELECT (SELECT count(*) FROM (SELECT session_id, stack_id FROM calls UNION ALL
                                  SELECT session_id, stack_id FROM samples)
            ANTI JOIN stacks USING (session_id, stack_id) WHERE stack_id IS NOT NULL)
         + (SELECT count(*) FROM stack_frames ANTI JOIN frames USING (session_id, frame_id)) AS n";
const STACKS: &str = "SELECT count(*) AS n FROM stacks";

/// The stacks of old calls go with them, those of new calls stay, and those that come again are there again.
#[test]
fn stacks_go_with_the_calls_that_had_them() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("phases", Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("short.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let options = [
        "--db",
        db,
        "--retention",
        "3s",
        "--flush",
        "100ms",
        "--sample-rate",
        "1",
    ];
    let mut target = Program::start(&path, &[])?;
    let turn = || kill(Pid::from_raw(target.pid() as i32), Signal::SIGUSR1);
    let monigo = Monigo::attach(&image, &["early_work", "late_work"], &options)?;

    await_number(db, &stacks_of("early_work"), |n| n >= EARLY_DEPTHS)?;
    let shown = flame(db, directory.path())?;
    let early = |frames: &str| frames.contains("early_path") && frames.ends_with("early_work");
    let late = |frames: &str| frames.contains("late_path") && frames.ends_with("late_work");
    ensure!(shown.iter().all(|(frames, _)| early(frames)), "{shown:?}");
    let before = number(db, STACKS)?;

    turn()?;
    await_number(db, &stacks_of("early_work"), |n| n == 0)?;
    let after = await_number(db, STACKS, |n| n < EARLY_DEPTHS / 2)?;
    ensure!(
        before >= EARLY_DEPTHS && after >= 3,
        "{before}, then {after}"
    );
    await_number(db, DANGLING, |n| n == 0)?;
    let shown = flame(db, directory.path())?;
    ensure!(
        shown.iter().all(|(frames, _)| late(frames)) && shown.len() >= 3,
        "{shown:?}"
    );

    turn()?;
    await_number(db, &stacks_of("early_work"), |n| n >= EARLY_DEPTHS)?;
    let shown = flame(db, directory.path())?;
    ensure!(
        shown
            .iter()
            .all(|(frames, _)| early(frames) || late(frames)),
        "{shown:?}"
    );
    let truth = target.go()?;
    let report = monigo.stop()?;
    target.finish()?;
    ensure!(report.events.dropped == 0, "{report:?}");

    ensure!(number(db, DANGLING)? == 0, "a stack or a frame is missing");
    let shown = flame(db, directory.path())?;
    for (function, belongs) in [
        ("early_work", &early as &dyn Fn(&str) -> bool),
        ("late_work", &late),
    ] {
        let of_function = shown.iter().filter(|(frames, _)| belongs(frames));
        let drawn: u64 = of_function.map(|(_, calls)| calls).sum();
        let kept = number(
            db,
            &format!(
                "SELECT coalesce(sum(weight), 0)::BIGINT AS n FROM v_calls WHERE name = '{function}'"
            ),
        )?;
        let made = truth.functions[function].calls;
        ensure!(
            drawn == kept && kept < made,
            "{function}: {drawn}, {kept}, {made}"
        );
    }
    Ok(())
}
