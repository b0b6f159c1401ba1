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
    turns::Turns,
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "oncpu";
/// Slowdown of the target.
pub const ADDED: Metric = Metric {
    name: "added",
    unit: "% of its time",
};

/// Calls in a slice of time: each takes some 50 ms.
const CALLS: u64 = 2;
/// Looks per second.
pub const RATES: [u32; 2] = [99, 999];
/// Tools take a moment until they sample.
const READY: Duration = Duration::from_millis(700);
const LIMIT: Duration = Duration::from_secs(40);

/// Measures monigo and perf in turns at each rate, each against the target alone just before.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let binary = compile(bench, "busy", &[])?;
    let scratch = bench.scratch("oncpu")?;
    let (rounds, slices) = if bench.quick { (5, 5) } else { (11, 15) };
    let mut target = Running::start(&mut Command::new(&binary))?;
    target.time(CALLS)?;
    for rate in RATES {
        let subject = subject(rate);
        eprintln!("    {subject}");
        let mut turns = Turns::new([Peer::Monigo, Peer::Perf]);
        for _ in 0..rounds {
            turns.round(|peer| {
                let alone = target.undisturbed(CALLS, slices)?;
                let pid = target.pid();
                let tool = peer.start(bench, &binary, pid, rate, scratch.path())?;
                let watched = target.undisturbed(CALLS, slices);
                // perf dies by the signal that ends it.
                let _ = tool.interrupt(LIMIT);
                Ok([(watched? / alone - 1.0) * 100.0])
            });
        }
        for (peer, measured) in turns.finish() {
            match measured {
                Ok([added]) => drop(figures.add(&subject, peer.name(), ADDED, &added)),
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
