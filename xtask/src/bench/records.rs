//! How many full records a second go from the ring buffer into DuckDB without loss.

use std::{path::Path, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

use super::{
    Bench,
    figure::{Figures, Metric},
    targets::Running,
    tool::Tool,
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "records";
/// Records kept.
pub const KEPT: Metric = Metric {
    name: "recorded",
    unit: "records/s",
};
/// Records lost.
pub const LOST: Metric = Metric {
    name: "lost",
    unit: "%",
};
/// monigo's CPU time.
pub const CPU: Metric = Metric {
    name: "monigo's CPU",
    unit: "µs/record",
};
/// Of two CPUs that would be 200 %.
pub const SHARE: Metric = Metric {
    name: "monigo's CPU",
    unit: "% of one CPU",
};
/// The subject of the highest rate without loss.
pub const BEST: &str = "highest rate without loss";
/// The subject of batches that are made in monigo.
pub const STORE: &str = "batches straight into the store";

const LIMIT: Duration = Duration::from_mins(1);

/// Records calls of a target at growing rates, and fills a store directly.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let binary = compile(bench)?;
    let (rates, seconds): (&[u64], u64) = if bench.quick {
        (&[50_000, 200_000, 400_000], 3)
    } else {
        (
            &[
                50_000, 100_000, 200_000, 300_000, 400_000, 600_000, 1_000_000,
            ],
            5,
        )
    };
    let mut best: Option<Measured> = None;
    for &rate in rates {
        let subject = format!("target asked for {rate} calls/s");
        eprintln!("    {subject}");
        match measure(bench, &binary, rate, seconds) {
            Err(error) => figures.miss(&subject, "monigo", KEPT, &error),
            Ok(measured) => {
                measured.report(&subject, &mut figures);
                let reached = best.as_ref().map_or(0.0, |best| best.kept);
                // A target that is too slow for the rate only repeats the last figure.
                let stuck = measured.calls < rate as f64 * 0.7;
                if measured.lost == 0.0 && measured.kept > reached {
                    best = Some(measured);
                }
                if stuck {
                    break;
                }
            }
        }
    }
    match best {
        Some(best) => best.report(BEST, &mut figures),
        None => figures.miss(
            BEST,
            "monigo",
            KEPT,
            &anyhow::anyhow!("every rate lost records"),
        ),
    }
    if let Err(error) = store(bench, &mut figures) {
        figures.miss(STORE, "monigo's store", KEPT, &error);
    }
    Ok(figures)
}

/// Compiles the target.
pub(super) fn compile(bench: &Bench) -> Result<std::path::PathBuf> {
    let binary = bench.directory.join("rate");
    std::fs::create_dir_all(&bench.directory)?;
    let object = bench.directory.join("rate.o");
    process::output(
        Command::new("gcc")
            .args(["-O1", "-g", "-fno-pie", "-pg", "-mfentry", "-mnop-mcount"])
            .args(["-fcf-protection=none", "-pthread", "-c", "-o"])
            .arg(&object)
            .arg(bench.workspace.root.join("xtask/bench/rate.c")),
    )?;
    process::output(
        Command::new("gcc")
            .args(["-no-pie", "-pthread", "-o"])
            .args([&binary, &object]),
    )?;
    Ok(binary)
}

struct Measured {
    /// Per second.
    calls: f64,
    kept: f64,
    /// Percent.
    lost: f64,
    cpu_us: f64,
    share: f64,
    exit: String,
}

impl Measured {
    fn report(&self, subject: &str, figures: &mut Figures) {
        figures.add(subject, "monigo", KEPT, &[self.kept]).note = Some(format!(
            "the target made {:.0} calls/s; exit {}",
            self.calls, self.exit
        ));
        figures.add(subject, "monigo", LOST, &[self.lost]);
        figures.add(subject, "monigo", CPU, &[self.cpu_us]);
        figures.add(subject, "monigo", SHARE, &[self.share]);
    }
}

fn measure(bench: &Bench, binary: &Path, rate: u64, seconds: u64) -> Result<Measured> {
    let scratch = bench.scratch("records")?;
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let mut target = Running::start(Command::new(binary).args([
        threads.to_string(),
        rate.to_string(),
        seconds.to_string(),
    ]))?;
    let before = children_cpu()?;
    let mut command = bench.monigo.attach_lean(binary, target.pid());
    command
        .args(["--fn", "work", "--sample-rate", "1", "--db"])
        .arg(scratch.path().join("records.duckdb"));
    let mut tool = Tool::start(&mut command)?;
    tool.await_attached(LIMIT)?;
    let answer = target.ask("go")?;
    let end = tool.interrupt(LIMIT)?;
    // The target is still there: only the tool has been waited for.
    let cpu = children_cpu()?.saturating_sub(before);
    target.finish();

    let mut numbers = answer.split(' ').map(str::parse::<u64>);
    let (Some(Ok(calls)), Some(Ok(taken_ns))) = (numbers.next(), numbers.next()) else {
        bail!("the target said {answer:?}");
    };
    let summary: Value = serde_json::from_str(&end.output)?;
    let number = |name: &str| {
        summary["events"][name]
            .as_u64()
            .with_context(|| format!("no events.{name}"))
    };
    let (recorded, dropped) = (number("recorded")?, number("dropped")?);
    let taken = taken_ns as f64 / 1e9;
    Ok(Measured {
        calls: calls as f64 / taken,
        kept: recorded as f64 / taken,
        lost: dropped as f64 * 100.0 / (recorded + dropped).max(1) as f64,
        cpu_us: cpu.as_secs_f64() * 1e6 / recorded.max(1) as f64,
        share: cpu.as_secs_f64() * 100.0 / taken,
        exit: summary["functions"][0]["probe"]["exit"]
            .as_str()
            .unwrap_or("?")
            .to_owned(),
    })
}

/// CPU time of the children that have been waited for.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_secs(value.tv_sec() as u64) + Duration::from_micros(value.tv_usec() as u64)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// An example of the library makes batches as a flush would and appends them.
fn store(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let example = bench.example(|examples| &examples.store)?;
    let scratch = bench.scratch("store")?;
    let seconds = if bench.quick { "3" } else { "6" };
    let text = process::output(
        Command::new(example)
            .arg(scratch.path().join("store.duckdb"))
            .arg(seconds),
    )?;
    let said: Value = serde_json::from_str(&text)?;
    let number = |name: &str| said[name].as_f64().with_context(|| format!("no {name}"));
    let (rows, wall, cpu) = (number("rows")?, number("wall_s")?, number("cpu_s")?);
    figures
        .add(STORE, "monigo's store", KEPT, &[rows / wall])
        .note = Some("appended and committed one batch after the other".to_owned());
    figures.add(STORE, "monigo's store", CPU, &[cpu * 1e6 / rows]);
    figures.add(STORE, "monigo's store", SHARE, &[cpu * 100.0 / wall]);
    Ok(())
}
