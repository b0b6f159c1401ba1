//! What copying stacks costs a target without frame pointers, and how fast copies are unwound.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    Bench,
    figure::{Figures, Metric},
    targets::Running,
    tool::Tool,
    turns::Turns,
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "unwind";
/// What sampling with stacks takes.
pub const ADDED: Metric = Metric {
    name: "added",
    unit: "% of the target's CPU time",
};
/// Samples.
pub const TAKEN: Metric = Metric {
    name: "taken",
    unit: "samples per second of CPU time",
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
const LIMIT: Duration = Duration::from_mins(1);
/// Calls of about a millisecond in a slice of time.
const CALLS: u64 = 25;

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

    fn start(self, bench: &Bench, binary: &Path, pid: u32, file: &Path) -> Result<Tool> {
        let mut command = match self {
            Self::Monigo(stacks) => {
                let mut command = bench.monigo.attach(binary, pid);
                command.args(["--fn", "chunk", "--cpu-hz", HZ, "--no-off-cpu"]);
                command.args(["--stacks", stacks, "--db"]).arg(file);
                command
            }
            Self::Perf(graph) => {
                let mut command = Command::new("perf");
                command.args(["record", "-e", "cpu-clock", "-F", HZ, "--call-graph", graph]);
                command.args(["-p", &pid.to_string(), "-o"]).arg(file);
                command
            }
        };
        let mut tool = Tool::start(&mut command)?;
        if matches!(self, Self::Monigo(_)) {
            tool.await_line(|text| text.starts_with("monigo: attached "), LIMIT)?;
        } else {
            // It says nothing; its file grows when it has begun.
            let started = Instant::now();
            while fs::metadata(file).map_or(0, |file| file.len()) == 0 {
                tool.check()?;
                ensure!(started.elapsed() < LIMIT, "perf does not begin");
                thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(tool)
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
    let binary = compile(bench)?;
    let scratch = bench.scratch("unwind")?;
    let mut target = Running::start(&mut Command::new(&binary))?;
    target.time(CALLS)?;
    let (rounds, slices) = if bench.quick { (3, 16) } else { (9, 24) };
    let mut recorded: Option<PathBuf> = None;
    let mut turns = Turns::new(Sampler::ALL);
    for round in 0..rounds {
        turns.round(|sampler| {
            let stem = sampler.name().replace([' ', ','], "-");
            let file = scratch.path().join(format!("{stem}-{round}"));
            let figures = sample(bench, sampler, &binary, &mut target, &file, slices)?;
            if sampler.name() == PERF_COPIES {
                recorded = Some(file);
            }
            Ok(figures)
        });
    }
    for (sampler, measured) in turns.finish() {
        match measured {
            Ok([added, taken]) => {
                figures.add(SAMPLED, &sampler.name(), ADDED, &added);
                figures.add(SAMPLED, &sampler.name(), TAKEN, &taken);
            }
            Err(error) => figures.miss(SAMPLED, &sampler.name(), ADDED, &error),
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

/// What sampling adds, in percent, and samples per second of CPU time.
fn sample(
    bench: &Bench,
    sampler: Sampler,
    binary: &Path,
    target: &mut Running,
    file: &Path,
    slices: usize,
) -> Result<[f64; 2]> {
    let plain = target.undisturbed(CALLS, slices)?;
    let tool = sampler.start(bench, binary, target.pid(), file)?;
    // The first calls meet the tool at its start.
    let first = target.time(CALLS)?;
    let watched = target.undisturbed(CALLS, slices)?;
    // About: each slice takes a little longer than the fastest do.
    let cpu_ns = (first + watched * slices as f64) * CALLS as f64;
    tool.interrupt(LIMIT)?;
    let taken = sampler.samples(bench, file)? * 1e9 / cpu_ns;
    Ok([(watched / plain - 1.0) * 100.0, taken])
}

fn compile(bench: &Bench) -> Result<PathBuf> {
    fs::create_dir_all(&bench.directory)?;
    let binary = bench.directory.join("spin");
    process::output(
        Command::new("gcc")
            .args(["-O2", "-g", "-fomit-frame-pointer", "-o"])
            .arg(&binary)
            .arg(bench.workspace.root.join("xtask/bench/spin.c")),
    )?;
    Ok(binary)
}

/// Stacks a second that monigo unwinds on one core.
fn own_rate(bench: &Bench) -> Result<f64> {
    let Some(example) = &bench.unwind_example else {
        bail!("only with a monigo that this task has built: it needs the library");
    };
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
