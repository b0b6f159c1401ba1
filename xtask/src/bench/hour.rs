//! What an hour of samples takes: memory of monigo and the file, from as many rows in less time.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Bench,
    figure::{Figures, Metric},
    sampling::{self, Shape},
    targets::Running,
    tool::Tool,
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "hour";

const SAMPLES: Metric = Metric {
    name: "samples",
    unit: "rows",
};
/// Memory that nobody shares, at the end.
const MEMORY: Metric = Metric {
    name: "resident, anonymous",
    unit: "MB",
};
/// The same when the target was attached to.
const MEMORY_FIRST: Metric = Metric {
    name: "at the beginning",
    unit: "MB",
};
/// Most that was resident, mapped files included.
const PEAK: Metric = Metric {
    name: "resident, at most",
    unit: "MB",
};
const FILE: Metric = Metric {
    name: "file",
    unit: "MB",
};

/// Looks a second at each CPU by default, and here.
const USUAL_HZ: u64 = 99;
const HZ: u64 = 4999;
const HOUR_S: u64 = 3600;
const LIMIT: Duration = Duration::from_mins(1);
const MB: f64 = 1e6;

/// Samples one busy thread fast until there are as many rows as in an hour of the usual rate.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let share = if bench.quick { 10 } else { 1 };
    let wanted = HOUR_S * USUAL_HZ / share;
    let time = Duration::from_secs_f64(wanted as f64 / HZ as f64);
    let subject = format!(
        "one busy thread, {wanted} samples in {:.0} s as at {USUAL_HZ} Hz in {} minutes",
        time.as_secs_f64(),
        60 / share
    );
    eprintln!("    {subject}");
    let binary = sampling::compile(
        bench,
        &Shape {
            frame_pointers: true,
            blocks: 6000,
        },
    )?;
    let scratch = bench.scratch("hour")?;
    let file = scratch.path().join("hour.duckdb");
    let mut target = Running::start(&mut Command::new(&binary))?;
    let mut command = bench.monigo.attach(&binary, target.pid());
    command.args(["--fn", "chunk", "--no-off-cpu", "--sample-rate", "1000"]);
    command
        .args(["--cpu-hz", &HZ.to_string(), "--db"])
        .arg(&file);
    let mut tool = Tool::start(&mut command)?;
    tool.await_attached(LIMIT)?;
    let first = memory(tool.pid(), "RssAnon")?;
    let started = Instant::now();
    while started.elapsed() < time {
        target.time(400)?;
        tool.check()?;
    }
    let (last, peak) = (memory(tool.pid(), "RssAnon")?, memory(tool.pid(), "VmHWM")?);
    tool.interrupt(LIMIT)?;
    target.finish();
    let samples = samples(bench, &file)?;
    ensure!(
        samples > wanted as f64 / 2.0,
        "only {samples} samples came of {wanted}"
    );
    let bytes = fs::metadata(&file)?.len();
    figures.add(&subject, "monigo", SAMPLES, &[samples]).note = Some(
        "flushes, and rows by function, are those of the shorter time; stacks are the few of one loop"
            .to_owned(),
    );
    figures.add(&subject, "monigo", MEMORY_FIRST, &[first / MB]);
    figures.add(&subject, "monigo", MEMORY, &[last / MB]);
    figures.add(&subject, "monigo", PEAK, &[peak / MB]);
    figures.add(&subject, "monigo", FILE, &[bytes as f64 / MB]);
    Ok(figures)
}

/// A figure of `/proc/PID/status`, bytes.
pub(super) fn memory(pid: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("no {name} of process {pid}"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0)
}

fn samples(bench: &Bench, file: &Path) -> Result<f64> {
    let mut command = Command::new(bench.monigo.binary());
    command.args(["query", "--format", "csv", "--db"]).arg(file);
    let text = process::output(command.arg("SELECT count(*) FROM samples"))?;
    let rows = text.lines().nth(1).context("no number of samples")?;
    Ok(rows.trim().parse()?)
}
