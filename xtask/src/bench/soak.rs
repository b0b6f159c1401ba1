//! Whether monigo's memory stays flat while far more is recorded than usual.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Bench,
    figure::{Figures, Metric},
    hour::memory,
    records::compile,
    targets::Running,
    tool::Tool,
};

/// Name of the case.
pub const NAME: &str = "soak";
/// Of the last tenth of the time beyond that in the middle: until then what `DuckDB` keeps of the file
/// in memory grows up to its limit.
pub const GROWTH: Metric = Metric {
    name: "growth of resident memory from the middle of the time to the end",
    unit: "%",
};
/// The subject.
pub const SUBJECT: &str = "a target of 100,000 calls/s, each recorded in full";

const RESIDENT: Metric = Metric {
    name: "resident, over time",
    unit: "MB",
};
const MIDDLE: Metric = Metric {
    name: "resident in the tenth after the middle",
    unit: "MB",
};
const LAST: Metric = Metric {
    name: "resident in the last tenth",
    unit: "MB",
};
const KEPT: Metric = Metric {
    name: "recorded",
    unit: "records/s",
};
const LOST: Metric = Metric {
    name: "lost",
    unit: "%",
};

/// About 1,000 records/s are usual; this is a hundred times as many.
const RATE: u64 = 100_000;
const LIMIT: Duration = Duration::from_mins(1);
const MB: f64 = 1e6;

/// Records into a file for ten minutes, and looks at monigo's memory.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let (seconds, each) = if bench.quick { (30, 1) } else { (600, 10) };
    let binary = compile(bench)?;
    let scratch = bench.scratch("soak")?;
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let mut target = Running::start(Command::new(&binary).args([
        threads.to_string(),
        RATE.to_string(),
        seconds.to_string(),
    ]))?;
    let mut command = bench.monigo.attach(&binary, target.pid());
    command
        .args(["--fn", "work", "--sample-rate", "1", "--db"])
        .arg(scratch.path().join("soak.duckdb"));
    let mut tool = Tool::start(&mut command)?;
    tool.await_attached(LIMIT)?;
    target.send("go");
    let (started, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut resident = Vec::new();
    while started.elapsed() < time {
        let next = Duration::from_secs(each * (resident.len() as u64 + 1));
        thread::sleep(next.saturating_sub(started.elapsed()));
        tool.check()?;
        resident.push(memory(tool.pid(), "VmRSS")? / MB);
    }
    let answer = target.answer()?;
    let end = tool.interrupt(LIMIT)?;
    target.finish();

    let summary: Value = serde_json::from_str(&end.output)?;
    let number = |name: &str| {
        summary["events"][name]
            .as_f64()
            .with_context(|| format!("no events.{name}"))
    };
    let (recorded, dropped) = (number("recorded")?, number("dropped")?);
    let tenth = (resident.len() / 10).max(1);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let middle = resident.len() / 2;
    let (middle, last) = (
        mean(&resident[middle..middle + tenth]),
        mean(&resident[resident.len() - tenth..]),
    );
    let shown: Vec<String> = resident.iter().map(|mb| format!("{mb:.0}")).collect();
    figures.add(SUBJECT, "monigo", RESIDENT, &resident).note = Some(format!(
        "after every {each} s of {seconds}: {}; the target said {answer:?} (calls, ns)",
        shown.join(" ")
    ));
    figures.add(SUBJECT, "monigo", MIDDLE, &[middle]);
    figures.add(SUBJECT, "monigo", LAST, &[last]);
    figures.add(SUBJECT, "monigo", GROWTH, &[(last / middle - 1.0) * 100.0]);
    figures.add(SUBJECT, "monigo", KEPT, &[recorded / seconds as f64]);
    let share = dropped * 100.0 / (recorded + dropped).max(1.0);
    figures.add(SUBJECT, "monigo", LOST, &[share]);
    Ok(figures)
}
