//! How long attaching and detaching takes.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Bench, big,
    figure::{Figures, Metric},
    peers,
    targets::Running,
    tool::{End, Line, Tool},
};

/// Name of the case.
pub const NAME: &str = "attach";
/// From the start of the tool until its probes are in place.
pub const TOTAL: Metric = Metric {
    name: "start to attached",
    unit: "ms",
};
/// The part of it that looks for sites.
pub const PLANNED: Metric = Metric {
    name: "planning",
    unit: "ms",
};
/// The part of it in which probes are put in place.
pub const ATTACHED: Metric = Metric {
    name: "attaching",
    unit: "ms",
};
/// Removing the probes.
pub const DETACHED: Metric = Metric {
    name: "detaching",
    unit: "ms",
};
/// From the signal until the tool has ended.
pub const ENDED: Metric = Metric {
    name: "Ctrl-C to end",
    unit: "ms",
};
/// How the report calls the largest number of functions.
pub const ALL: &str = "Go, all functions";

const BATCH: &str = "Go, 100 functions";
const BPFTRACE: &str = "bpftrace, uprobe and uretprobe";
const LIMIT: Duration = Duration::from_secs(90);

/// Measures one, a hundred and all functions.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let binary = big::go(bench.workspace, &bench.directory)?;
    let target = Running::start(&mut Command::new(&binary))?;
    let rounds = if bench.quick { 2 } else { 5 };
    let cases: [(&str, &str); 3] = [
        ("Go, 1 function", "main.work"),
        (BATCH, "main.bench*"),
        (ALL, "*"),
    ];
    for (subject, pattern) in cases {
        eprintln!("    {subject}");
        let mut monigo = Times::default();
        let mut peer = Times::default();
        for round in 0..rounds {
            monigo.try_once(|| with_monigo(bench, &binary, target.pid(), pattern));
            // Its perf events take a tenth of a second each to go, thousands minutes.
            let enough = match subject {
                ALL => 0,
                BATCH => 1,
                _ => rounds,
            };
            if round < enough {
                peer.try_once(|| with_bpftrace(&binary, target.pid(), pattern));
            }
        }
        monigo.report(subject, "monigo", &mut figures);
        if subject == ALL {
            let reason = anyhow::anyhow!(
                "one perf event a function and direction: minutes to attach and to detach (see 100 functions)"
            );
            figures.miss(subject, BPFTRACE, TOTAL, &reason);
        } else {
            peer.report(subject, BPFTRACE, &mut figures);
        }
    }
    Ok(figures)
}

/// What one tool took in each round, in ms.
#[derive(Default)]
struct Times {
    all: Vec<(Metric, Vec<f64>)>,
    note: Option<String>,
    failed: Option<anyhow::Error>,
}

type Once = (Vec<(Metric, Option<Duration>)>, Option<String>);

impl Times {
    fn try_once(&mut self, measure: impl FnOnce() -> Result<Once>) {
        if self.failed.is_some() {
            return;
        }
        match measure() {
            Err(error) => self.failed = Some(error),
            Ok((times, note)) => {
                self.note = note;
                for (metric, time) in times {
                    let Some(time) = time else { continue };
                    let ms = time.as_secs_f64() * 1e3;
                    match self.all.iter_mut().find(|(known, _)| *known == metric) {
                        Some((_, values)) => values.push(ms),
                        None => self.all.push((metric, vec![ms])),
                    }
                }
            }
        }
    }

    fn report(self, subject: &str, tool: &str, figures: &mut Figures) {
        if let Some(error) = &self.failed {
            figures.miss(subject, tool, TOTAL, error);
            return;
        }
        for (metric, values) in self.all {
            let figure = figures.add(subject, tool, metric, &values);
            if metric == TOTAL {
                figure.note.clone_from(&self.note);
            }
        }
    }
}

fn with_monigo(bench: &Bench, binary: &Path, pid: u32, pattern: &str) -> Result<Once> {
    let mut tool = Tool::start(
        bench
            .monigo
            .attach_lean(binary, pid)
            .args(["--fn", pattern, "--all"]),
    )?;
    let said = tool.await_attached(LIMIT)?;
    let end = tool.interrupt(LIMIT)?;
    Ok((
        vec![
            (TOTAL, Some(said.after)),
            (PLANNED, phase(&end.errors, "planned in ")),
            (ATTACHED, phase(&end.errors, "attached in ")),
            (DETACHED, phase(&end.errors, "detached in ")),
            (ENDED, Some(end.took)),
        ],
        said.text.strip_prefix("monigo: ").map(str::to_owned),
    ))
}

fn with_bpftrace(binary: &Path, pid: u32, pattern: &str) -> Result<Once> {
    let place = format!("{}:{pattern}", binary.display());
    let program = peers::histogram(
        &[format!("uprobe:{place}")],
        &[format!("uretprobe:{place}")],
    );
    let mut tool = Tool::start(
        Command::new("bpftrace")
            // It says so when all probes are attached: made for its own tests.
            .env("__BPFTRACE_NOTIFY_PROBES_ATTACHED", "1")
            .args(["-p", &pid.to_string(), "-e", &program]),
    )?;
    let said = tool
        .await_line(|text| text.contains("NOTIFY_PROBES_ATTACHED"), LIMIT)
        .context("it does not say when it is ready, or was not")?;
    let End { took, .. } = tool.interrupt(LIMIT)?;
    Ok((vec![(TOTAL, Some(said.after)), (ENDED, Some(took))], None))
}

/// How long monigo says that a phase took.
fn phase(lines: &[Line], words: &str) -> Option<Duration> {
    lines.iter().find_map(|line| {
        let (_, rest) = line.text.split_once(words)?;
        duration(rest.split_whitespace().next()?)
    })
}

/// Reads what `Duration`'s `Debug` writes, and `45 ms`'s first word is not enough for.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim_end_matches([',', ';', '.']);
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_from_the_log() {
        let line = |text: &str| Line {
            after: Duration::ZERO,
            text: text.to_owned(),
        };
        let lines = [
            line("INFO monigo: planned in 1.5s, 15000 functions"),
            line("INFO monigo: attached in 45.25ms"),
        ];
        assert_eq!(
            phase(&lines, "planned in "),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            phase(&lines, "attached in "),
            Some(Duration::from_micros(45_250))
        );
        assert_eq!(phase(&lines, "detached in "), None);
    }
}
