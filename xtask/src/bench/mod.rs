//! `cargo xtask bench`: what monigo costs and how fast it is, beside its peers, in one run.
//!
//! Each case hands figures to the report; a peer that cannot be measured is a figure that says
//! why. What a case changes on the host (`kernel.bpf_stats_enabled`) it restores.

mod attach;
mod big;
mod figure;
mod gaps;
mod goals;
mod host;
mod hour;
mod image;
mod kernel;
mod looks;
mod offcpu;
mod oncpu;
mod peers;
mod plot;
mod questions;
mod records;
mod report;
mod sampling;
mod screen;
mod slowdown;
mod soak;
mod start;
mod symbols;
mod targets;
mod tool;
mod turns;
mod unwind;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tempfile::TempDir;

use self::{figure::Figures, host::Host, peers::Monigo, targets::Program};
use crate::{
    build,
    setup::{self, Scope},
    workspace::Workspace,
};

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// Measure only this case; can be repeated
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// List the cases
    #[arg(long)]
    list: bool,
    /// Fewer rounds and smaller inputs: under two minutes, for a first look
    #[arg(long)]
    quick: bool,
    /// Where report.md, report.json and report.svg go [default: bench/ in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Measure this monigo instead of building one
    #[arg(long, value_name = "FILE")]
    monigo: Option<PathBuf>,
    /// Measure the build of the dev profile
    #[arg(long, hide = true, conflicts_with = "monigo")]
    dev: bool,
}

/// A case: its name, what it measures, and how.
struct Case {
    name: &'static str,
    about: &'static str,
    run: fn(&Bench) -> Result<Figures>,
}

const CASES: [Case; 12] = [
    Case {
        name: slowdown::NAME,
        about: "what a traced call costs the target, and what of it the kernel programs take",
        run: slowdown::run,
    },
    Case {
        name: attach::NAME,
        about: "how long attaching and detaching 1, 100 and all functions of a large Go program takes",
        run: attach::run,
    },
    Case {
        name: records::NAME,
        about: "how many full records a second reach DuckDB without loss",
        run: records::run,
    },
    Case {
        name: questions::NAME,
        about: "how long questions over 10 million rows take",
        run: questions::run,
    },
    Case {
        name: start::NAME,
        about: "start to first number on small and large programs",
        run: start::run,
    },
    Case {
        name: screen::NAME,
        about: "start to first name on the screen, on small and large programs",
        run: screen::run,
    },
    Case {
        name: unwind::NAME,
        about: "what copying stacks costs a target without frame pointers, and how fast copies are unwound",
        run: unwind::run,
    },
    Case {
        name: symbols::NAME,
        about: "how fast addresses become frames, beside blazesym",
        run: symbols::run,
    },
    Case {
        name: oncpu::NAME,
        about: "what on-CPU samples cost a busy target, beside perf",
        run: oncpu::run,
    },
    Case {
        name: offcpu::NAME,
        about: "what recording waits costs thread switches outside traced calls, beside bpftrace",
        run: offcpu::run,
    },
    Case {
        name: hour::NAME,
        about: "memory and file size of as many samples as an hour brings",
        run: hour::run,
    },
    Case {
        name: soak::NAME,
        about: "whether memory stays flat in ten minutes of 100,000 records a second",
        run: soak::run,
    },
];

/// Programs that use the library directly.
struct Examples {
    /// Fills a store.
    store: PathBuf,
    /// Records and asks.
    query: PathBuf,
    /// Unwinds stacks of its own.
    unwind: PathBuf,
    /// Looks up addresses of its own.
    symbols: PathBuf,
}

impl Examples {
    fn build(workspace: &Workspace, profile: &str) -> Result<Self> {
        let example = |name| build::example(workspace, profile, name);
        Ok(Self {
            store: example("store_rate")?,
            query: example("query_rate")?,
            unwind: example("unwind_rate")?,
            symbols: example("symbol_rate")?,
        })
    }
}

/// What the cases share.
struct Bench<'a> {
    workspace: &'a Workspace,
    monigo: Monigo,
    /// For targets and what belongs to a run.
    directory: PathBuf,
    /// Only where monigo is built here.
    examples: Option<Examples>,
    rounds: usize,
    quick: bool,
}

impl Bench<'_> {
    /// The targets of the slowdown cases, compiled.
    fn programs(&self) -> Result<Vec<(&'static str, Result<Program>)>> {
        targets::compile(self.workspace, &self.directory.join("targets"))
    }

    /// A program that uses the library directly.
    fn example(&self, choose: fn(&Examples) -> &PathBuf) -> Result<&Path> {
        let examples = self.examples.as_ref();
        let path = examples.map(|examples| choose(examples).as_path());
        path.context("only with a monigo that this task has built: it needs the library")
    }

    /// A directory that is gone afterwards, beside the targets: copies of files stay on their disk.
    fn scratch(&self, name: &str) -> Result<TempDir> {
        fs::create_dir_all(&self.directory)?;
        tempfile::Builder::new()
            .prefix(name)
            .tempdir_in(&self.directory)
            .context("no scratch directory")
    }
}

/// Measures and writes the report.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.list {
        for case in &CASES {
            println!("{:<10} {}", case.name, case.about);
        }
        return Ok(());
    }
    let cases = choose(&options.only)?;
    let mut examples = None;
    let monigo = if let Some(file) = &options.monigo {
        file.canonicalize()
            .with_context(|| format!("cannot open {}", file.display()))?
    } else {
        setup::run(workspace, Scope::Bench)?;
        let profile = if options.dev { "dev" } else { "release" };
        examples = Some(Examples::build(workspace, profile)?);
        build::profile(workspace, profile)?
    };
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "attaching needs root; what is built is measured by\n  sudo -E env \"PATH=$PATH\" cargo xtask bench --monigo {}",
            crate::process::quote(&monigo.to_string_lossy())
        );
    }
    let directory = workspace.target.join("bench");
    let bench = Bench {
        workspace,
        monigo: Monigo::new(monigo)?,
        rounds: if options.quick { 7 } else { 21 },
        quick: options.quick,
        examples,
        directory: directory.clone(),
    };
    let host = Host::read();
    let started = Instant::now();
    let mut figures = Vec::new();
    let mut failed = Vec::new();
    for case in &cases {
        eprintln!("==> {}: {}", case.name, case.about);
        match (case.run)(&bench) {
            Ok(measured) => figures.extend(measured.into_vec()),
            Err(error) => {
                eprintln!("    {} failed: {error:#}", case.name);
                failed.push((case.name, format!("{error:#}")));
            }
        }
    }
    let output = options.output.clone().unwrap_or(directory);
    let run = report::Run {
        host: &host,
        monigo: format!(
            "{} ({})",
            bench.monigo.version()?,
            bench.monigo.binary().display()
        ),
        rounds: bench.rounds,
        quick: bench.quick,
        took: started.elapsed(),
        cases: cases.iter().map(|case| (case.name, case.about)).collect(),
        figures,
        failed,
    };
    report::write(&run, &output)?;
    println!("{}", report::goal_table(&goals::judge(&run.figures)));
    println!("report: {}", output.join("report.md").display());
    if run.figures.iter().all(|figure| figure.value.is_err()) {
        bail!("nothing could be measured");
    }
    Ok(())
}

fn choose(only: &[String]) -> Result<Vec<&'static Case>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| CASES.iter().all(|case| case.name != **name))
    {
        bail!("there is no case {unknown:?}; --list names them");
    }
    Ok(CASES
        .iter()
        .filter(|case| only.is_empty() || only.iter().any(|name| name == case.name))
        .collect())
}
