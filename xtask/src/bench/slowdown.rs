//! What a traced call costs the target, and what the kernel programs take of that.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    Bench,
    figure::{Figures, Metric},
    kernel::{Ends, Statistics},
    peers::{Peer, Plan, Watched},
    targets::{Program, Running},
};

/// Name of the case.
pub const NAME: &str = "slowdown";
/// Slowdown of a call.
pub const ADDED: Metric = Metric {
    name: "added",
    unit: "ns/call",
};
/// The same, as a multiple of monigo's.
pub const RATIO: Metric = Metric {
    name: "of monigo's",
    unit: "×",
};
/// Time in kernel programs.
pub const PROGRAMS: Metric = Metric {
    name: "in programs",
    unit: "ns/call",
};
/// Runs of kernel programs.
pub const RUNS: Metric = Metric {
    name: "program runs",
    unit: "per call",
};
/// Not measured, only said.
pub const UNWINDING: Metric = Metric {
    name: "survives unwinding",
    unit: "yes = 1",
};

/// Calls that are made to see whether probes are in place.
const TRIAL_CALLS: u64 = 1000;
/// Times in a row that they have to be: any moment can be slow.
const TRIALS: usize = 4;
/// A probed call takes longer than this many plain ones, and than this many nanoseconds.
const PROBED: (f64, f64) = (8.0, 50.0);
/// bpftrace compiles its program for a second or two.
const ATTACH_LIMIT: Duration = Duration::from_secs(40);
/// One measurement.
const CHUNK: Duration = Duration::from_millis(40);
/// uftrace writes 32 bytes a call.
const MOST_CALLS: u64 = 150_000;

/// Measures every target.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    for (name, program) in &bench.programs()? {
        let measured = program
            .as_ref()
            .map_err(|error| anyhow!("{error:#}"))
            .and_then(|program| measure(bench, program, &mut figures));
        if let Err(error) = measured {
            figures.miss(name, "all", ADDED, &error);
        }
    }
    Ok(figures)
}

/// A peer that is attached.
struct Entrant {
    peer: Peer,
    watched: Watched,
    plain_ns: f64,
    calls: u64,
    added_ns: Vec<f64>,
    programs_ns: Vec<f64>,
    runs: Vec<f64>,
    failed: Option<anyhow::Error>,
}

fn measure(bench: &Bench, program: &Program, figures: &mut Figures) -> Result<()> {
    let plan = bench.monigo.plan(program)?;
    let subject = subject(program, &plan);
    eprintln!("    {subject}");
    let scratch = bench.scratch("run")?;
    let mut entrants = Vec::new();
    for peer in Peer::ALL {
        match Watched::start(peer, &bench.monigo, program, &plan, scratch.path(), plain) {
            Ok((watched, plain_ns)) => entrants.push(Entrant {
                peer,
                watched,
                plain_ns,
                calls: 0,
                added_ns: Vec::new(),
                programs_ns: Vec::new(),
                runs: Vec::new(),
                failed: None,
            }),
            Err(error) => figures.miss(&subject, peer.name(), ADDED, &error),
        }
    }
    for entrant in &mut entrants {
        let ready = entrant.await_probes();
        entrant.keep(ready);
    }
    // Several probes are not in place at one moment.
    thread::sleep(Duration::from_millis(500));
    for entrant in &mut entrants {
        let chosen = entrant.choose_calls();
        entrant.keep(chosen);
    }
    for _ in 0..bench.rounds {
        for entrant in &mut entrants {
            entrant.round();
        }
    }
    kernel_time(&mut entrants, bench.rounds.min(5));
    report(program, &plan, &subject, entrants, figures);
    Ok(())
}

fn subject(program: &Program, plan: &Plan) -> String {
    format!(
        "{} ({}), exit {}",
        program.name, program.function.beginning, plan.exit
    )
}

/// Nanoseconds of a call that nobody probes.
fn plain(target: &mut Running) -> Result<f64> {
    target.time(100_000)?;
    let times = (0..3)
        .map(|_| target.time(1_000_000))
        .collect::<Result<Vec<_>>>()?;
    Ok(times.into_iter().fold(f64::INFINITY, f64::min))
}

impl Entrant {
    /// An entrant that has failed is measured no further.
    fn keep(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    fn await_probes(&mut self) -> Result<()> {
        let deadline = Instant::now() + ATTACH_LIMIT;
        let (times, least_ns) = PROBED;
        let mut slow = 0;
        while slow < TRIALS {
            if self.watched.target.time(TRIAL_CALLS)? > (self.plain_ns * times).max(least_ns) {
                slow += 1;
                continue;
            }
            slow = 0;
            self.watched.check()?;
            if Instant::now() > deadline || self.watched.is_in_place_at_start() {
                bail!("its probes have no effect here");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn choose_calls(&mut self) -> Result<()> {
        if self.failed.is_none() {
            let call_ns = self.watched.target.time(TRIAL_CALLS)?;
            self.calls =
                ((CHUNK.as_nanos() as f64 / call_ns) as u64).clamp(TRIAL_CALLS, MOST_CALLS);
        }
        Ok(())
    }

    fn round(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let result = self.watched.target.time(self.calls).map(|call_ns| {
            self.added_ns.push(call_ns - self.plain_ns);
        });
        self.keep(result);
    }

    fn count(&mut self) -> Result<()> {
        let Some(before) = self.watched.usage()? else {
            return Ok(());
        };
        self.watched.target.time(self.calls)?;
        let used = self
            .watched
            .usage()?
            .context("it had programs before")?
            .since(before);
        if used.runs < self.calls {
            bail!(
                "its programs ran {} times in {} calls",
                used.runs,
                self.calls
            );
        }
        self.programs_ns
            .push(used.time_ns as f64 / self.calls as f64);
        self.runs.push(used.runs as f64 / self.calls as f64);
        Ok(())
    }
}

/// Measured by the kernel, which makes every run of a program a little slower meanwhile: not in the
/// rounds that measure the slowdown.
fn kernel_time(entrants: &mut [Entrant], rounds: usize) {
    let statistics = Statistics::enable();
    for _ in 0..rounds {
        for entrant in entrants
            .iter_mut()
            .filter(|entrant| entrant.failed.is_none())
        {
            let result = match &statistics {
                Ok(_) => entrant.count(),
                Err(error) => Err(anyhow!("{error:#}")),
            };
            if let Err(error) = result {
                eprintln!("    {}: kernel statistics: {error:#}", entrant.peer.name());
            }
        }
    }
}

fn report(
    program: &Program,
    plan: &Plan,
    subject: &str,
    entrants: Vec<Entrant>,
    figures: &mut Figures,
) {
    let reference: Vec<f64> = entrants
        .iter()
        .find(|entrant| entrant.peer == Peer::MonigoLean)
        .map(|entrant| entrant.added_ns.clone())
        .unwrap_or_default();
    for mut entrant in entrants {
        let tool = entrant.peer.name();
        if let Some(error) = &entrant.failed {
            figures.miss(subject, tool, ADDED, error);
            if entrant.watched.is_dead() {
                figures.add(subject, tool, UNWINDING, &[0.0]);
            }
            entrant.watched.finish();
            continue;
        }
        let figure = figures.add(subject, tool, ADDED, &entrant.added_ns);
        if matches!(entrant.peer, Peer::Monigo | Peer::MonigoLean) {
            figure.note = Some(format!(
                "entry site at +{}, {}; dearest site: {}",
                plan.entry.saturating_sub(program.function.address),
                match plan.ends {
                    Ends::Sites => format!("{} exit site(s)", plan.exits.len()),
                    Ends::Returns => "return probe".to_owned(),
                },
                plan.cost_class
            ));
        }
        // Round by round, so that what slowed all of one round down does not count.
        let ratios: Vec<f64> = entrant
            .added_ns
            .iter()
            .zip(&reference)
            .map(|(own, monigo)| own / monigo)
            .collect();
        if !ratios.is_empty() {
            figures.add(subject, tool, RATIO, &ratios);
        }
        if !entrant.programs_ns.is_empty() {
            figures.add(subject, tool, PROGRAMS, &entrant.programs_ns);
            figures.add(subject, tool, RUNS, &entrant.runs);
        }
        if program.unwinds {
            let answer = entrant.watched.target.ask("unwind");
            if let Err(error) = &answer {
                eprintln!("    {subject}, {tool}: {error:#} when it unwound");
            }
            let survives = f64::from(u8::from(answer.is_ok()));
            figures.add(subject, tool, UNWINDING, &[survives]).note =
                answer.err().map(|error| format!("{error:#}"));
        }
        entrant.watched.finish();
    }
}
