//! What copying stacks costs a target without frame pointers, and how fast copies are unwound.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Bench,
    figure::{Figures, Metric},
    sampling::{LOST, SECOND, SLOWER, Sampled, Shape, monigo, perf},
    tool::Tool,
    turns::Turns,
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "unwind";
/// Samples.
pub const SAMPLES: Metric = Metric {
    name: "samples",
    unit: "per second of CPU time",
};
/// Speed of unwinding on one core.
pub const UNWOUND: Metric = Metric {
    name: "unwound",
    unit: "stacks/s",
};
/// The subject of what sampling costs.
pub const SAMPLED: &str = "C without frame pointers, sampled 4,999 times a second";
/// The subject of unwinding.
pub const COPIES: &str = "copied stacks";

/// The tools that copy.
pub const MONIGO_COPIES: &str = "monigo --stacks dwarf";
/// See [`MONIGO_COPIES`].
pub const PERF_COPIES: &str = "perf record --call-graph dwarf,16384";

/// Samples a second: as many that their cost shows.
const HZ: &str = "4999";

/// Who samples.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sampler {
    Monigo(&'static str),
    Perf(&'static str),
}

impl Sampler {
    const ALL: [Self; 4] = [
        Self::Monigo("dwarf"),
        Self::Perf("dwarf,16384"),
        Self::Monigo("fp"),
        Self::Perf("fp"),
    ];

    fn name(self) -> String {
        match self {
            Self::Monigo(stacks) => format!("monigo --stacks {stacks}"),
            Self::Perf(graph) => format!("perf record --call-graph {graph}"),
        }
    }

    fn start(self, bench: &Bench, target: &Sampled, file: &Path) -> Result<Tool> {
        match self {
            Self::Monigo(stacks) => {
                monigo(bench, target, &["--cpu-hz", HZ, "--stacks", stacks], file)
            }
            Self::Perf(graph) => perf(&["-F", HZ, "--call-graph", graph], target.pid(), file),
        }
    }

    fn samples(self, bench: &Bench, file: &Path) -> Result<f64> {
        let text = match self {
            Self::Monigo(_) => {
                let mut command = Command::new(bench.monigo.binary());
                command.args(["query", "--format", "csv", "--db"]).arg(file);
                let sql = "SELECT count(*) FROM samples WHERE kind = 'cpu'";
                let text = process::output(command.arg(sql))?;
                text.lines().nth(1).unwrap_or_default().to_owned()
            }
            Self::Perf(_) => {
                let mut command = Command::new("perf");
                command.args(["script", "--no-inline", "-F", "time", "-G", "-i"]);
                process::output(command.arg(file))?
                    .lines()
                    .count()
                    .to_string()
            }
        };
        text.trim().parse().context("no number of samples")
    }
}

/// Samples a target in turns, then unwinds.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let scratch = bench.scratch("unwind")?;
    let (rounds, calls) = if bench.quick { (3, 2) } else { (15, 3) };
    let shape = Shape {
        frame_pointers: false,
        blocks: SECOND,
    };
    let mut target = Sampled::start(bench, &shape, calls)?;
    let mut recorded: Option<PathBuf> = None;
    let mut turns = Turns::new(Sampler::ALL);
    for round in 0..rounds {
        turns.round(|sampler| {
            let stem = sampler.name().replace([' ', ','], "-");
            let file = scratch.path().join(format!("{stem}-{round}"));
            let tool = sampler.start(bench, &target, &file)?;
            let taken = target.under(tool)?;
            let samples = sampler.samples(bench, &file)? * 1e9 / taken.cpu_ns;
            if sampler.name() == PERF_COPIES {
                recorded = Some(file);
            }
            Ok([taken.lost, taken.slower, samples])
        });
    }
    for (sampler, measured) in turns.finish() {
        match measured {
            Ok([lost, slower, samples]) => {
                figures.add(SAMPLED, &sampler.name(), LOST, &lost);
                figures.add(SAMPLED, &sampler.name(), SLOWER, &slower);
                figures.add(SAMPLED, &sampler.name(), SAMPLES, &samples);
            }
            Err(error) => figures.miss(SAMPLED, &sampler.name(), LOST, &error),
        }
    }
    target.finish();
    let own = own_rate(bench).map(|rate| vec![rate]);
    report(&mut figures, "monigo's unwinder", own);
    let script = recorded.context("perf recorded nothing");
    let script = script
        .and_then(|file| script_rate(&file))
        .map(|rate| vec![rate]);
    report(&mut figures, "perf script", script);
    Ok(figures)
}

fn report(figures: &mut Figures, tool: &str, rates: Result<Vec<f64>>) {
    match rates {
        Ok(rates) => {
            figures.add(COPIES, tool, UNWOUND, &rates);
        }
        Err(error) => figures.miss(COPIES, tool, UNWOUND, &error),
    }
}

/// Stacks a second that monigo unwinds on one core.
fn own_rate(bench: &Bench) -> Result<f64> {
    let example = bench.example(|examples| &examples.unwind)?;
    let said: Value = serde_json::from_str(&process::output(Command::new(example).arg("3"))?)?;
    let number = |name: &str| said[name].as_f64().with_context(|| format!("no {name}"));
    ensure!(
        number("complete")? > 0.99 * number("stacks")?,
        "not all stacks were unwound to their end: {said}"
    );
    Ok(number("stacks")? / number("wall_s")?)
}

/// Stacks a second that perf unwinds, without names.
fn script_rate(file: &Path) -> Result<f64> {
    let mut command = Command::new("perf");
    command.args(["script", "--no-inline", "-F", "ip", "-i"]);
    let started = Instant::now();
    let text = process::output(command.arg(file))?;
    let seconds = started.elapsed().as_secs_f64();
    let stacks = text.split("\n\n").filter(|stack| !stack.trim().is_empty());
    Ok(stacks.count() as f64 / seconds)
}
