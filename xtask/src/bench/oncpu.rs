//! What looking at each CPU in regular intervals costs a busy target.

use anyhow::Result;

use super::{
    Bench,
    figure::Figures,
    sampling::{LOST, SLOWER, Sampled, Shape, monigo, perf},
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
    // The fewer looks, the more of the difference is chance in what the host's own ticks take.
    let rounds = |rate| match (bench.quick, rate) {
        (true, _) => 3,
        (false, 99) => 25,
        (false, _) => 5,
    };
    // At least 10 s, in which monigo writes once.
    let calls = if bench.quick { 5 } else { 180 };
    let mut target = Sampled::start(bench, &shape, calls)?;
    for rate in RATES {
        let subject = subject(rate);
        eprintln!("    {subject}");
        let scratch = bench.scratch("oncpu")?;
        let mut turns = Turns::new([Peer::Monigo, Peer::Perf]);
        for round in 0..rounds(rate) {
            turns.round(|peer| {
                let (hz, file) = (rate.to_string(), scratch.path().join(round.to_string()));
                let tool = match peer {
                    Peer::Monigo => monigo(bench, &target, &["--cpu-hz", &hz], &file)?,
                    Peer::Perf => perf(&["-g", "-F", &hz], target.pid(), &file)?,
                };
                let taken = target.under(tool)?;
                std::fs::remove_file(&file)?;
                Ok([taken.lost, taken.slower])
            });
        }
        for (peer, measured) in turns.finish() {
            match measured {
                Ok([lost, slower]) => {
                    figures.add(&subject, peer.name(), LOST, &lost);
                    figures.add(&subject, peer.name(), SLOWER, &slower);
                }
                Err(error) => figures.miss(&subject, peer.name(), LOST, &error),
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
}
