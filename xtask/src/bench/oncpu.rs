//! What looking at each CPU in regular intervals costs a busy target.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::Result;

use super::{
    Bench,
    figure::{Figures, Metric},
    targets::Running,
    tool::Tool,
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "oncpu";
/// Slowdown of the target.
pub const ADDED: Metric = Metric {
    name: "added",
    unit: "% of its time",
};

/// Looks per second.
pub const RATES: [u32; 2] = [99, 999];
/// Tools take a moment until they sample.
const READY: Duration = Duration::from_millis(700);
const LIMIT: Duration = Duration::from_secs(40);

/// Measures monigo and perf at each rate, each against the target alone just before.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let binary = compile(bench, "busy", &[])?;
    let scratch = bench.scratch("oncpu")?;
    let (rounds, calls) = if bench.quick { (5, 10) } else { (9, 20) };
    let mut target = Running::start(&mut Command::new(&binary))?;
    target.time(calls)?;
    for rate in RATES {
        let subject = subject(rate);
        eprintln!("    {subject}");
        for peer in [Peer::Monigo, Peer::Perf] {
            let mut added = Vec::new();
            let mut measure = || -> Result<()> {
                for _ in 0..rounds {
                    let alone = target.time(calls)?;
                    let pid = target.pid();
                    let tool = peer.start(bench, &binary, pid, rate, scratch.path())?;
                    let watched = target.time(calls);
                    // perf dies by the signal that ends it.
                    let _ = tool.interrupt(LIMIT);
                    added.push((watched? / alone - 1.0) * 100.0);
                }
                Ok(())
            };
            match measure() {
                Ok(()) => drop(figures.add(&subject, peer.name(), ADDED, &added)),
                Err(error) => figures.miss(&subject, peer.name(), ADDED, &error),
            }
        }
    }
    target.finish();
    Ok(figures)
}

/// What a rate is called.
pub fn subject(rate: u32) -> String {
    format!("{rate} looks a second at each CPU")
}

/// Compiles a target of one file.
pub(super) fn compile(bench: &Bench, name: &str, options: &[&str]) -> Result<PathBuf> {
    let binary = bench.directory.join(name);
    std::fs::create_dir_all(&bench.directory)?;
    process::output(
        Command::new("gcc")
            .args(["-O1", "-g", "-fno-omit-frame-pointer"])
            .args(options)
            .arg("-o")
            .arg(&binary)
            .arg(bench.workspace.root.join(format!("xtask/bench/{name}.c"))),
    )?;
    Ok(binary)
}

/// Who looks.
#[derive(Clone, Copy)]
pub enum Peer {
    /// monigo.
    Monigo,
    /// perf.
    Perf,
}

impl Peer {
    /// For the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monigo => "monigo, on-CPU samples inside one function",
            Self::Perf => "perf record -g of the process",
        }
    }

    fn start(
        self,
        bench: &Bench,
        binary: &Path,
        pid: u32,
        rate: u32,
        scratch: &Path,
    ) -> Result<Tool> {
        let rate = rate.to_string();
        let mut tool = match self {
            Self::Monigo => Tool::start(bench.monigo.attach(binary, pid).args([
                "--fn",
                "work",
                "--no-off-cpu",
                "--cpu-hz",
                &rate,
            ]))?,
            Self::Perf => Tool::start(
                Command::new("perf")
                    .args(["record", "-q", "-g", "-e", "cpu-clock", "-F", &rate])
                    .args(["-p", &pid.to_string(), "-o"])
                    .arg(scratch.join("perf.data")),
            )?,
        };
        if matches!(self, Self::Monigo) {
            tool.await_line(|line| line.starts_with("monigo: attached "), LIMIT)?;
        } else {
            // It says nothing when it has begun.
            thread::sleep(READY);
            tool.check()?;
        }
        Ok(tool)
    }
}
