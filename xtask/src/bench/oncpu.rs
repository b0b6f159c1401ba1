//! What looking at each CPU in regular intervals costs a busy target.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

use super::{
    Bench,
    figure::{Figures, Metric},
    looks::{self, HANDLER},
    sampling::{LOST, SECOND, SLOWER, Sampled, Shape, monigo, perf},
    tool::Tool,
    turns::Turns,
};

/// Name of the case.
pub const NAME: &str = "oncpu";
/// Looks per second. At the last, their cost shows above all noise; the rarer they are, the colder the caches that they meet.
pub const RATES: [u32; 3] = [99, 999, 4999];

/// Measures monigo and perf in turns at each rate, each against the target alone.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let shape = Shape {
        frame_pointers: true,
        blocks: SECOND,
    };
    // In 10 s monigo writes once.
    let calls = if bench.quick { 2 } else { 10 };
    let mut target = Sampled::start(bench, &shape, calls)?;
    for rate in RATES {
        eprintln!("    {}", subject(rate));
        // The fewer looks, the less they take, and the more of the difference is chance.
        let rounds = match (bench.quick, rate) {
            (true, _) => 3,
            (false, 99) => 15,
            (false, 999) => 9,
            (false, _) => 5,
        };
        in_turns(
            bench,
            &mut target,
            rate,
            rounds,
            &mut figures,
            [LOST, SLOWER],
            |target, tool| {
                let taken = target.under(tool)?;
                Ok([taken.lost, taken.slower])
            },
        )?;
        // Chance reaches this less.
        let (rounds, seconds) = if bench.quick { (3, 2) } else { (5, 6) };
        in_turns(
            bench,
            &mut target,
            rate,
            rounds,
            &mut figures,
            [HANDLER],
            |target, tool| Ok([looks::handler(target, tool, Duration::from_secs(seconds))?]),
        )?;
    }
    target.finish();
    Ok(figures)
}

/// Measures each tool in each round; `measure` ends the tool that it is given.
fn in_turns<const N: usize>(
    bench: &Bench,
    target: &mut Sampled,
    rate: u32,
    rounds: usize,
    figures: &mut Figures,
    metrics: [Metric; N],
    measure: impl Fn(&mut Sampled, Tool) -> Result<[f64; N]>,
) -> Result<()> {
    let scratch = bench.scratch("oncpu")?;
    let mut turns = Turns::new(Peer::ALL);
    for _ in 0..rounds {
        turns.round(|peer| {
            let file = scratch.path().join(peer.file());
            let tool = peer.start(bench, target, rate, &file)?;
            let values = measure(target, tool)?;
            fs::remove_file(&file)?;
            Ok(values)
        });
    }
    for (peer, measured) in turns.finish() {
        match measured {
            Ok(measured) => {
                for (metric, values) in metrics.into_iter().zip(&measured) {
                    figures.add(&subject(rate), peer.name(), metric, values);
                }
            }
            Err(error) => figures.miss(&subject(rate), peer.name(), metrics[0], &error),
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
