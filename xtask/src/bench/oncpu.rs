//! What looking at each CPU in regular intervals costs a busy target.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

use super::{
    Bench,
    figure::Figures,
    looks::{self, HANDLER},
    sampling::{LOST, SLOWER, Sampled, Shape, monigo, perf},
    tool::Tool,
    turns::Turns,
};

/// Name of the case.
pub const NAME: &str = "oncpu";
/// Looks per second. At the last, a look's cost shows above all noise; it is the same at any rate.
pub const RATES: [u32; 3] = [99, 999, 4999];

/// Measures monigo and perf in turns at each rate, each against the target alone.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    // Calls take some 60 ms, so that their probes cost nothing.
    let shape = Shape {
        frame_pointers: true,
        blocks: 300_000,
    };
    // At least 10 s, in which monigo writes once.
    let calls = if bench.quick { 5 } else { 180 };
    let mut target = Sampled::start(bench, &shape, calls)?;
    for rate in RATES {
        eprintln!("    {}", subject(rate));
        taken(bench, &mut target, rate, &mut figures)?;
        in_the_timer(bench, &mut target, rate, &mut figures)?;
    }
    target.finish();
    Ok(figures)
}

/// What looks take of the target's time, as it sees it.
fn taken(bench: &Bench, target: &mut Sampled, rate: u32, figures: &mut Figures) -> Result<()> {
    // The fewer looks, the more of the difference is chance in what the host's own ticks take.
    let rounds = match (bench.quick, rate) {
        (true, _) => 3,
        (false, 99) => 9,
        (false, _) => 5,
    };
    let scratch = bench.scratch("oncpu")?;
    let mut turns = Turns::new(Peer::ALL);
    for _ in 0..rounds {
        turns.round(|peer| {
            let file = scratch.path().join(peer.file());
            let tool = peer.start(bench, target, rate, &file)?;
            let taken = target.under(tool)?;
            fs::remove_file(&file)?;
            Ok([taken.lost, taken.slower])
        });
    }
    for (peer, measured) in turns.finish() {
        match measured {
            Ok([lost, slower]) => {
                figures.add(&subject(rate), peer.name(), LOST, &lost);
                figures.add(&subject(rate), peer.name(), SLOWER, &slower);
            }
            Err(error) => figures.miss(&subject(rate), peer.name(), LOST, &error),
        }
    }
    Ok(())
}

/// What a look takes in the kernel, which chance reaches less.
fn in_the_timer(
    bench: &Bench,
    target: &mut Sampled,
    rate: u32,
    figures: &mut Figures,
) -> Result<()> {
    let (rounds, seconds) = if bench.quick { (3, 2) } else { (5, 6) };
    let scratch = bench.scratch("oncpu")?;
    let mut turns = Turns::new(Peer::ALL);
    for _ in 0..rounds {
        turns.round(|peer| {
            let file = scratch.path().join(peer.file());
            let tool = peer.start(bench, target, rate, &file)?;
            let handler = looks::handler(target, tool, Duration::from_secs(seconds))?;
            fs::remove_file(&file)?;
            Ok([handler])
        });
    }
    for (peer, measured) in turns.finish() {
        match measured {
            Ok([handler]) => {
                figures.add(&subject(rate), peer.name(), HANDLER, &handler);
            }
            Err(error) => figures.miss(&subject(rate), peer.name(), HANDLER, &error),
        }
    }
    Ok(())
}

/// What a rate is called.
pub fn subject(rate: u32) -> String {
    format!("{rate} looks a second at each CPU")
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
    const ALL: [Self; 2] = [Self::Monigo, Self::Perf];

    /// For the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monigo => "monigo, on-CPU samples inside one function",
            Self::Perf => "perf record -g of the process",
        }
    }

    /// Where it writes to; what one leaves that fails is not met by the other.
    const fn file(self) -> &'static str {
        match self {
            Self::Monigo => "monigo.duckdb",
            Self::Perf => "perf.data",
        }
    }

    fn start(self, bench: &Bench, target: &Sampled, rate: u32, file: &Path) -> Result<Tool> {
        let hz = rate.to_string();
        match self {
            Self::Monigo => monigo(bench, target, &["--cpu-hz", &hz], file),
            Self::Perf => perf(&["-g", "-F", &hz], target.pid(), file),
        }
    }
}
