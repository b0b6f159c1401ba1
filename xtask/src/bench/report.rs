//! The report: Markdown for people, JSON for programs.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{
    figure::{Figure, Metric, Summary},
    goals::{self, Goal},
    host::Host,
    plot, slowdown,
};

/// What the report is about.
pub struct Run<'a> {
    /// Where it ran.
    pub host: &'a Host,
    /// `monigo --version`, and which file.
    pub monigo: String,
    /// Interleaved rounds of the slowdown case.
    pub rounds: usize,
    /// Whether `--quick` was given.
    pub quick: bool,
    /// How long it all took.
    pub took: Duration,
    /// The cases that ran: name and what they measure.
    pub cases: Vec<(&'static str, &'static str)>,
    /// What they measured.
    pub figures: Vec<Figure>,
    /// Cases that failed, and why.
    pub failed: Vec<(&'static str, String)>,
}

/// Writes `report.md`, `report.json` and `report.svg`.
pub fn write(run: &Run<'_>, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let goals = goals::judge(&run.figures);
    let json = json!({
        "host": run.host.to_json(),
        "monigo": run.monigo,
        "rounds": run.rounds,
        "quick": run.quick,
        "seconds": run.took.as_secs_f64(),
        "goals": goals.iter().map(Goal::to_json).collect::<Vec<_>>(),
        "figures": run.figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
        "failed": run.failed.iter().map(|(case, reason)| json!({"case": case, "reason": reason})).collect::<Vec<_>>(),
    });
    let store = |name: &str, text: &str| {
        let file = directory.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    store(
        "report.json",
        &(serde_json::to_string_pretty(&json)? + "\n"),
    )?;
    store("report.md", &markdown(run, &goals))?;
    plot::draw(&run.figures, &directory.join("report.svg"))
}

/// The goals as a table for the terminal and for the report.
pub fn goal_table(goals: &[Goal]) -> String {
    let mut text =
        "| Goal | Figure | Reached | What it consists of |\n|---|---:|---|---|\n".to_owned();
    for goal in goals {
        let reached = match goal.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not measured",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {reached} | {} |",
            goal.text, goal.figure, goal.remark
        );
    }
    text
}

fn markdown(run: &Run<'_>, goals: &[Goal]) -> String {
    let host = run.host;
    let mut text = format!(
        "# monigo, measured\n\n\
         - {}\n- Linux {}, {}, {} CPUs, {:.0} GiB; load {:.2} at the start\n",
        run.monigo, host.kernel, host.cpu, host.cpus, host.memory_gib, host.load
    );
    for (tool, version) in &host.tools {
        let _ = writeln!(text, "- {tool}: {version}");
    }
    let _ = writeln!(
        text,
        "- {} interleaved rounds{}; {:.0} s in all\n\n\
         Figures are medians, with the quartiles in parentheses.\n\n\
         ![Slowdown, time in programs, attaching and start](report.svg)\n\n## Goals\n\n{}",
        run.rounds,
        if run.quick { " (`--quick`)" } else { "" },
        run.took.as_secs_f64(),
        goal_table(goals)
    );
    for (case, about) in &run.cases {
        let figures: Vec<&Figure> = run.figures.iter().filter(|f| f.case == *case).collect();
        let _ = writeln!(text, "\n## {case}: {about}\n");
        if let Some((_, reason)) = run.failed.iter().find(|(failed, _)| failed == case) {
            let _ = writeln!(text, "This case failed: {reason}\n");
        }
        if *case == slowdown::NAME {
            text.push_str(SLOWDOWN);
        }
        table(&figures, &mut text);
    }
    text
}

/// How to read the table.
const SLOWDOWN: &str = "Each tool is attached to a process of its own, which runs a copy of the \
     same file; all stay attached while their targets are measured in turn. *Added* is the \
     CPU time that a call takes more than before the tool came. *In programs* is what the kernel measures with \
     `kernel.bpf_stats_enabled`, afterwards; it contains the measuring itself, as the empty program \
     shows. bpftrace's return probe kills targets that unwind their stack. uftrace rewrites the \
     function before the program starts; it records calls and keeps no histogram.\n\n";

/// One row for each subject and tool, one column for each metric.
fn table(figures: &[&Figure], text: &mut String) {
    let mut metrics: Vec<Metric> = Vec::new();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for figure in figures {
        if !metrics.contains(&figure.metric) {
            metrics.push(figure.metric);
        }
        let row = (figure.subject.as_str(), figure.tool.as_str());
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    text.push_str("| On | Tool |");
    for metric in &metrics {
        if *metric == slowdown::UNWINDING {
            let _ = write!(text, " {} |", metric.name);
        } else {
            let _ = write!(text, " {} ({}) |", metric.name, metric.unit);
        }
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---:|".repeat(metrics.len()));
    text.push('\n');
    let mut notes: Vec<String> = Vec::new();
    let mut above = "";
    for (subject, tool) in rows {
        let shown = if subject == above { "" } else { subject };
        above = subject;
        let _ = write!(text, "| {shown} | {tool} |");
        for metric in &metrics {
            let figure = figures.iter().find(|figure| {
                (figure.subject.as_str(), figure.tool.as_str()) == (subject, tool)
                    && figure.metric == *metric
            });
            let cell = figure.map_or_else(String::new, |figure| {
                let mut cell = match &figure.value {
                    Ok(_) if *metric == slowdown::UNWINDING => if figure.median() == Some(1.0) {
                        "yes"
                    } else {
                        "no"
                    }
                    .to_owned(),
                    Ok(summary) => show(summary),
                    Err(_) => "not available".to_owned(),
                };
                if let Some(note) = figure.value.as_ref().err().or(figure.note.as_ref()) {
                    let number =
                        notes
                            .iter()
                            .position(|known| known == note)
                            .unwrap_or_else(|| {
                                notes.push(note.clone());
                                notes.len() - 1
                            });
                    let _ = write!(cell, " [{}]", number + 1);
                }
                cell
            });
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    for (index, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "- [{}] {}", index + 1, note.replace('\n', " "));
    }
}

fn show(summary: &Summary) -> String {
    let Summary {
        median,
        low,
        high,
        samples,
    } = *summary;
    if samples < 2 {
        number(median)
    } else {
        format!("{} ({} to {})", number(median), number(low), number(high))
    }
}

/// Three digits, or whole.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => {
            let digits = format!("{:.0}", value.abs());
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            if value < 0.0 {
                format!("-{text}")
            } else {
                text
            }
        }
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::Figures;

    #[test]
    fn numbers_have_few_digits_and_groups() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(-1234.0), "-1,234");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.456), "0.46");
    }

    #[test]
    fn what_is_missing_is_said_below_the_table() {
        let mut figures = Figures::new(slowdown::NAME);
        figures.add("C", "monigo", slowdown::ADDED, &[1.0, 2.0, 3.0]);
        figures.miss(
            "C",
            "uftrace",
            slowdown::ADDED,
            &anyhow::anyhow!("not installed"),
        );
        figures.add("C", "monigo", slowdown::UNWINDING, &[1.0]);
        let figures = figures.into_vec();
        let mut text = String::new();
        table(&figures.iter().collect::<Vec<_>>(), &mut text);
        assert_eq!(
            text,
            "| On | Tool | added (ns/call) | survives unwinding |\n\
             |---|---|---:|---:|\n\
             | C | monigo | 2.00 (1.50 to 2.50) | yes |\n\
             |  | uftrace | not available [1] |  |\n\n\
             - [1] not installed\n"
        );
    }
}
