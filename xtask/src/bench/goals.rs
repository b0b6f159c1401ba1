//! What monigo is to reach, and whether it does.

use serde_json::{Value, json};

use super::{
    attach,
    figure::{Figure, Metric},
    looks, offcpu, oncpu,
    peers::Peer,
    questions, records,
    report::number,
    sampling, screen, slowdown, soak, start, unwind,
};

/// One goal.
pub struct Goal {
    /// In words.
    pub text: &'static str,
    /// The figure, for people; empty if it was not measured.
    pub figure: String,
    /// Whether it is reached, if it was measured.
    pub reached: Option<bool>,
    /// What the figure is made of.
    pub remark: String,
}

impl Goal {
    fn new(text: &'static str, unit: &str, value: Option<f64>, reached: fn(f64) -> bool) -> Self {
        Self {
            text,
            figure: value.map_or_else(String::new, |value| format!("{} {unit}", number(value))),
            reached: value.map(reached),
            remark: String::new(),
        }
    }

    fn remark(mut self, remark: String) -> Self {
        if self.reached.is_some() {
            self.remark = remark;
        }
        self
    }

    /// For the JSON report.
    pub fn to_json(&self) -> Value {
        json!({
            "goal": self.text,
            "figure": self.figure,
            "reached": self.reached,
            "remark": self.remark,
        })
    }
}

/// Compares figures with all goals.
pub fn judge(figures: &[Figure]) -> Vec<Goal> {
    let mut goals = of_probes(&Look(figures));
    goals.extend(of_stacks(&Look(figures)));
    goals.extend(of_store(&Look(figures)));
    goals
}

/// Those of copied stacks.
fn of_stacks(look: &Look<'_>) -> Vec<Goal> {
    vec![
        Goal::new(
            "50,000 copied stacks/s unwound on one core",
            "stacks/s",
            look.one(unwind::COPIES, "monigo's unwinder", unwind::UNWOUND),
            |rate| rate >= 50_000.0,
        )
        .remark(format!(
            "perf script unwinds {}",
            shown(look.one(unwind::COPIES, "perf script", unwind::UNWOUND))
        )),
        Goal::new(
            "less taken by samples with copied stacks than by perf record --call-graph dwarf",
            "of perf's",
            look.copying(),
            |share| share < 1.0,
        ),
        Goal::new(
            "less taken by on-CPU samples than by perf record -g",
            "of perf's (worst)",
            look.sampling(sampling::LOST),
            |share| share < 1.0,
        ),
        Goal::new(
            "a look at a CPU takes less in the kernel than one of perf record -g",
            "of perf's (worst)",
            look.sampling(looks::HANDLER),
            |share| share < 1.0,
        ),
        Goal::new(
            "less added to each thread switch than by bpftrace",
            "of bpftrace's",
            look.switching(offcpu::ADDED),
            |share| share < 1.0,
        )
        .remark(format!(
            "in programs alone {} of bpftrace's",
            shown(look.switching(offcpu::PROGRAMS))
        )),
    ]
}

/// Those of what is kept.
fn of_store(look: &Look<'_>) -> Vec<Goal> {
    let slowest = look.slowest_answer();
    vec![
        Goal::new(
            "each question over 10 million rows answered within 100 ms",
            "ms (slowest)",
            slowest.map(|(ms, _)| ms),
            |ms| ms <= 100.0,
        )
        .remark(slowest.map_or_else(String::new, |(_, question)| question.to_owned())),
        Goal::new(
            "memory flat in ten minutes of a hundred times as many records as usual",
            "% more in the last minute than in the sixth",
            look.one(soak::SUBJECT, "monigo", soak::GROWTH),
            |percent| percent <= 10.0,
        ),
    ]
}

/// Those of probes and records.
fn of_probes(look: &Look<'_>) -> Vec<Goal> {
    let endbr = |subject: &str| subject.starts_with("C endbr64");
    let unwinding = |subject: &str| {
        ["C++", "Rust", "Go"]
            .iter()
            .any(|language| subject.starts_with(language))
    };
    let any = |_: &str| true;
    let first_of = |(ratio, _): (f64, &str)| ratio;
    let everywhere = [Peer::Bpftrace, Peer::BpftraceSites]
        .into_iter()
        .filter_map(|peer| look.least(peer, &|subject| look.survives(subject, peer)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let milliseconds = |metric| look.one(attach::ALL, "monigo", metric);
    let first = ["C, 20 MB", "Go, 20 MB"]
        .iter()
        .filter_map(|subject| look.one(subject, "monigo", start::FIRST))
        .reduce(f64::max);
    vec![
        Goal::new(
            "5 times less slowdown than bpftrace on `endbr64; push` in C, at least",
            "× less",
            look.least(Peer::Bpftrace, &endbr).map(first_of),
            |ratio| ratio >= 5.0,
        )
        .remark(look.limit(look.least(Peer::Bpftrace, &endbr))),
        Goal::new(
            "1.5 times less than bpftrace on first instruction and returns in Go, Rust and C++, at least",
            "× less (worst)",
            look.least(Peer::BpftraceSites, &unwinding).map(first_of),
            |ratio| ratio >= 1.5,
        )
        .remark(look.limit(look.least(Peer::BpftraceSites, &unwinding))),
        Goal::new(
            "less slowdown than bpftrace everywhere",
            "× less (worst)",
            everywhere.map(first_of),
            |ratio| ratio > 1.0,
        )
        .remark(look.limit(everywhere)),
        Goal::new(
            "within 1.15 of an empty program on the same sites",
            "× (worst)",
            look.least(Peer::Empty, &any).map(|(ratio, _)| 1.0 / ratio),
            |ratio| ratio <= 1.15,
        )
        .remark(look.limit(look.least(Peer::Empty, &any))),
        Goal::new(
            "monigo's programs take at most half of bpftrace's nanoseconds per call",
            "of bpftrace's (worst)",
            look.programs().map(|(share, _)| share),
            |share| share <= 0.5,
        )
        .remark(look.programs().map_or_else(String::new, |(_, remark)| remark)),
        Goal::new(
            "15,000 functions attached within 150 ms",
            "ms",
            milliseconds(attach::ATTACHED),
            |ms| ms <= 150.0,
        )
        .remark(look.note(attach::ALL, attach::TOTAL)),
        Goal::new(
            "15,000 functions planned and attached within 1.5 s",
            "ms from start to attached",
            milliseconds(attach::TOTAL),
            |ms| ms <= 1500.0,
        )
        .remark(format!(
            "planning {} ms, attaching {} ms; the rest reads the file and loads programs and maps",
            shown(milliseconds(attach::PLANNED)),
            shown(milliseconds(attach::ATTACHED))
        )),
        Goal::new(
            "300,000 full records/s into DuckDB without loss on two cores",
            "records/s",
            look.one(records::BEST, "monigo", records::KEPT),
            |rate| rate >= 300_000.0,
        )
        .remark(format!(
            "{}; the store alone takes {} rows/s",
            look.note(records::BEST, records::KEPT),
            shown(look.one(records::STORE, "monigo's store", records::KEPT))
        )),
        Goal::new("first number within 1 s on 20 MB", "ms (slower of two)", first, |ms| {
            ms <= 1000.0
        })
        .remark(format!(
            "includes {} ms in which calls are counted",
            start::WINDOW.as_millis()
        )),
        Goal::new(
            "first name on the screen within 1 s on 200 MB, with nothing kept of an earlier run",
            "ms",
            look.one(screen::LARGE, "monigo, nothing kept", screen::FIRST_NAME),
            |ms| ms <= 1000.0,
        )
        .remark(format!(
            "with a kept list of functions {} ms",
            shown(look.one(screen::LARGE, "monigo", screen::FIRST_NAME))
        )),
    ]
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "(not measured)".to_owned(), number)
}

struct Look<'a>(&'a [Figure]);

impl Look<'_> {
    fn find(&self, subject: &str, tool: &str, metric: Metric) -> Option<&Figure> {
        self.0.iter().find(|figure| {
            figure.subject == subject && figure.tool == tool && figure.metric == metric
        })
    }

    fn one(&self, subject: &str, tool: &str, metric: Metric) -> Option<f64> {
        self.find(subject, tool, metric)?.median()
    }

    fn note(&self, subject: &str, metric: Metric) -> String {
        self.find(subject, "monigo", metric)
            .and_then(|figure| figure.note.clone())
            .unwrap_or_default()
    }

    /// What samples with copied stacks take, as a share of what they take with perf.
    fn copying(&self) -> Option<f64> {
        let taken = |tool| self.one(unwind::SAMPLED, tool, sampling::LOST);
        let perf = taken(unwind::PERF_COPIES).filter(|perf| *perf > 0.0)?;
        Some(taken(unwind::MONIGO_COPIES)?.max(0.0) / perf)
    }

    /// What on-CPU samples take, as a share of what they take with perf, at the rate at which that is most.
    fn sampling(&self, metric: Metric) -> Option<f64> {
        let shares = oncpu::RATES.into_iter().filter_map(|rate| {
            let taken = |peer: oncpu::Peer| self.one(&oncpu::subject(rate), peer.name(), metric);
            let perf = taken(oncpu::Peer::Perf).filter(|perf| *perf > 0.0)?;
            Some(taken(oncpu::Peer::Monigo)?.max(0.0) / perf)
        });
        shares.reduce(f64::max)
    }

    /// What watching switches adds, as a share of what it adds with bpftrace.
    fn switching(&self, metric: Metric) -> Option<f64> {
        let added = |peer: offcpu::Peer| self.one(offcpu::SUBJECT, peer.name(), metric);
        let bpftrace = added(offcpu::Peer::Bpftrace).filter(|added| *added > 0.0)?;
        Some(added(offcpu::Peer::Monigo)?.max(0.0) / bpftrace)
    }

    /// The question that takes longest, and how long, ms.
    fn slowest_answer(&self) -> Option<(f64, &str)> {
        let answers = self
            .0
            .iter()
            .filter(|figure| figure.metric == questions::ANSWER);
        answers
            .filter_map(|figure| Some((figure.median()?, figure.subject.as_str())))
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Subjects of the slowdown case.
    fn subjects(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|figure| {
                figure.metric == slowdown::ADDED && figure.tool == Peer::MonigoLean.name()
            })
            .map(|figure| figure.subject.as_str())
    }

    /// Least ratio of a peer's slowdown to monigo's, and where.
    fn least(&self, peer: Peer, wanted: &dyn Fn(&str) -> bool) -> Option<(f64, &str)> {
        self.subjects()
            .filter(|subject| wanted(subject))
            .filter_map(|subject| {
                let ratio = self.one(subject, peer.name(), slowdown::RATIO)?;
                Some((ratio, subject))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Whether a peer can be used on a target at all: not if it kills it.
    fn survives(&self, subject: &str, peer: Peer) -> bool {
        self.one(subject, peer.name(), slowdown::UNWINDING) != Some(0.0)
    }

    /// What probes on monigo's sites cost at the least.
    fn limit(&self, worst: Option<(f64, &str)>) -> String {
        let Some((_, subject)) = worst else {
            return String::new();
        };
        let added = |peer: Peer| {
            self.one(subject, peer.name(), slowdown::ADDED)
                .map_or_else(|| "?".to_owned(), number)
        };
        format!(
            "{subject}: an empty program on the same sites adds {} of monigo's {} ns",
            added(Peer::Empty),
            added(Peer::MonigoLean)
        )
    }

    /// The worst share of bpftrace's program time, and where it is.
    fn programs(&self) -> Option<(f64, String)> {
        self.subjects()
            .filter_map(|subject| {
                let monigo = self.one(subject, Peer::MonigoLean.name(), slowdown::PROGRAMS)?;
                let bpftrace = [Peer::Bpftrace, Peer::BpftraceSites]
                    .into_iter()
                    .filter(|peer| self.survives(subject, *peer))
                    .filter_map(|peer| self.one(subject, peer.name(), slowdown::PROGRAMS))
                    .reduce(f64::min)?;
                let empty = self.one(subject, Peer::Empty.name(), slowdown::PROGRAMS)?;
                Some((
                    monigo / bpftrace,
                    format!(
                        "{}: {monigo:.0} of {bpftrace:.0} ns; the kernel measures {empty:.0} ns for empty programs, too",
                        subject.split(" (").next()?
                    ),
                ))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::Figures;

    #[test]
    fn goals_that_were_not_measured_are_neither_reached_nor_missed() {
        assert!(
            judge(&[])
                .iter()
                .all(|goal| goal.reached.is_none() && goal.remark.is_empty())
        );
    }

    #[test]
    fn a_ratio_is_compared_with_its_goal() {
        let mut figures = Figures::new(slowdown::NAME);
        let subject = "C endbr64; push (endbr64; push), exit ret";
        let lean = Peer::MonigoLean.name();
        figures.add(subject, lean, slowdown::ADDED, &[100.0]);
        figures.add(subject, Peer::Bpftrace.name(), slowdown::RATIO, &[6.0]);
        figures.add(subject, Peer::Empty.name(), slowdown::RATIO, &[0.5]);
        let goals = judge(&figures.into_vec());
        assert_eq!(goals[0].reached, Some(true));
        assert_eq!(goals[1].reached, None);
        assert_eq!(goals[3].reached, Some(false), "{}", goals[3].figure);
    }
}
