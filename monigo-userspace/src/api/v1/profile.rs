//! Reports about one function, made from its recording.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    export::{self, OutputError, format},
    query::{FlameNode, FunctionRow, QueryError, Selection, Source, StackRow, Window},
};

/// Stacks and calls that a report lists.
const MOST_ROWS: u32 = 200;
/// Lines of the tables of frames.
const MOST_LINES: usize = 100;

/// Kinds of reports, with the names that `go tool pprof` gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Figures of the function, and its heaviest frames.
    Text,
    /// The heaviest frames.
    Top,
    /// Who calls whom, from the outermost caller inwards.
    Tree,
    /// The heaviest stacks, frame by frame.
    Traces,
    /// The slowest recorded calls with all that is kept of them, and folded stacks.
    Raw,
    /// A picture.
    Flamegraph,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Top,
        Self::Tree,
        Self::Traces,
        Self::Raw,
        Self::Flamegraph,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Top => "top",
            Self::Tree => "tree",
            Self::Traces => "traces",
            Self::Raw => "raw",
            Self::Flamegraph => "flamegraph",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// Not in the recording.
    #[error("no function '{0}' is traced; `function` lists those that are")]
    Function(String),
    /// Nothing to draw.
    #[error("{0}")]
    Stacks(String),
    /// The recording does not answer.
    #[error(transparent)]
    Query(QueryError),
}

/// Makes a report about the function of this name.
pub fn make(source: &dyn Source, name: &str, kind: Kind) -> Result<String, Missing> {
    let functions = source.functions(Window::default())?;
    let Some(row) = functions.into_iter().find(|row| row.name == name) else {
        let short: String = name.chars().take(200).collect();
        return Err(Missing::Function(short));
    };
    let selection = Selection {
        function: Some(row.id),
        ..Selection::default()
    };
    Ok(match kind {
        Kind::Text => {
            let stacks = source.stacks(&selection, MOST_ROWS)?;
            format!("{}\n{}", figures(&row), table(&frames(&stacks)))
        }
        Kind::Top => table(&frames(&source.stacks(&selection, MOST_ROWS)?)),
        Kind::Tree => tree(&source.flame(&selection)?),
        Kind::Traces => traces(&source.stacks(&selection, MOST_ROWS)?),
        Kind::Raw => raw(source, &selection)?,
        Kind::Flamegraph => {
            export::selection_svg(source, &selection).map_err(|error| match error {
                OutputError::Query(error) => Missing::Query(error),
                other => Missing::Stacks(other.to_string()),
            })?
        }
    })
}

fn figures(row: &FunctionRow) -> String {
    let latency = row.latency_ns;
    let mut text = format!("{}\n", row.name);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:>12}  {value}");
    };
    line("calls", &row.shown_calls());
    line("rate", &row.shown_rate());
    line("errors", &format::count(row.unwound));
    line("in flight", &format::count(row.in_flight));
    line("total", &row.shown_total());
    for (name, ns) in [
        ("min", latency.min),
        ("mean", latency.mean),
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("max", latency.max),
    ] {
        line(name, &row.shown_ns(ns));
    }
    line("image", &row.image);
    if let Some(file) = &row.file {
        let at = row.line.map_or_else(String::new, |line| format!(":{line}"));
        line("source", &format!("{file}{at}"));
    }
    text
}

/// Weight of a frame, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weights {
    /// Innermost.
    flat: u64,
    /// Anywhere on the stack.
    cumulative: u64,
}

/// Frames by name.
fn frames(stacks: &[StackRow]) -> BTreeMap<&str, Weights> {
    let mut frames: BTreeMap<&str, Weights> = BTreeMap::new();
    for stack in stacks {
        if let Some(innermost) = stack.frames.first() {
            frames.entry(&innermost.function).or_default().flat += stack.weight;
        }
        // A function that is on a stack twice is one function.
        let mut seen: Vec<&str> = stack
            .frames
            .iter()
            .map(|frame| frame.function.as_str())
            .collect();
        seen.sort_unstable();
        seen.dedup();
        for name in seen {
            frames.entry(name).or_default().cumulative += stack.weight;
        }
    }
    frames
}

fn table(frames: &BTreeMap<&str, Weights>) -> String {
    if frames.is_empty() {
        return NO_STACKS.to_owned();
    }
    let total: u64 = frames.values().map(|weights| weights.flat).sum();
    let share = |part: u64| format::percent(part as f64 / total.max(1) as f64);
    let mut rows: Vec<(&&str, &Weights)> = frames.iter().collect();
    rows.sort_by_key(|(name, weights)| {
        let order = (weights.flat, weights.cumulative);
        (std::cmp::Reverse(order), **name)
    });
    let mut text = format!(
        "time inside recorded calls, scaled to all: {}\n{:>10} {:>7} {:>10} {:>7}  name\n",
        format::duration_ns(total),
        "flat",
        "flat%",
        "cum",
        "cum%"
    );
    for (name, weights) in rows.iter().take(MOST_LINES) {
        let _ = writeln!(
            text,
            "{:>10} {:>7} {:>10} {:>7}  {name}",
            format::duration_ns(weights.flat),
            share(weights.flat),
            format::duration_ns(weights.cumulative),
            share(weights.cumulative),
        );
    }
    if let Some(more @ 1..) = rows.len().checked_sub(MOST_LINES) {
        let _ = writeln!(text, "and {more} more");
    }
    text
}

const NO_STACKS: &str = "no call was recorded with a stack\n";

fn tree(root: &FlameNode) -> String {
    if root.children.is_empty() {
        return NO_STACKS.to_owned();
    }
    let mut text = format!("{:>10} {:>7}  name\n", "time", "share");
    // Stacks are at most some hundreds of frames deep, but nobody promises.
    let mut open: Vec<(usize, &FlameNode)> = vec![(0, root)];
    while let Some((depth, node)) = open.pop() {
        let _ = writeln!(
            text,
            "{:>10} {:>7}  {:indent$}{}",
            format::duration_ns(node.value),
            format::percent(node.value as f64 / root.value.max(1) as f64),
            "",
            node.name,
            indent = 2 * depth
        );
        open.extend(node.children.iter().rev().map(|child| (depth + 1, child)));
    }
    text
}

fn traces(stacks: &[StackRow]) -> String {
    if stacks.is_empty() {
        return NO_STACKS.to_owned();
    }
    let mut text = String::new();
    for stack in stacks {
        let _ = writeln!(
            text,
            "{} in about {} calls",
            format::duration_ns(stack.weight),
            format::count(stack.calls)
        );
        for frame in &stack.frames {
            let _ = writeln!(text, "    {}", frame.function);
        }
        if stack.truncated {
            text.push_str("    (the stack goes on)\n");
        }
    }
    text
}

fn raw(source: &dyn Source, selection: &Selection) -> Result<String, QueryError> {
    let mut text =
        String::from("start_unix_ns\tduration_ns\tpid\ttid\tgoroutine\tcpu\tstands_for\tstack\n");
    let optional = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for call in source.slowest(selection, MOST_ROWS)? {
        let _ = writeln!(
            text,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            call.start_ns,
            call.duration_ns,
            call.pid,
            call.tid,
            optional(call.goid),
            call.cpu,
            call.weight,
            optional(call.stack)
        );
    }
    text.push('\n');
    text.push_str(&export::folded(&source.flame(selection)?));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Frame;

    fn stack(weight: u64, names: &[&str]) -> StackRow {
        let frames = names.iter().map(|name| Frame {
            function: (*name).to_owned(),
            image: String::new(),
            address: 0,
            file: None,
            line: None,
            inlined: false,
            kernel: false,
        });
        StackRow {
            weight,
            calls: 3,
            frames: frames.collect(),
            ..StackRow::default()
        }
    }

    #[test]
    fn frames_count_once_a_stack() {
        let stacks = [
            stack(30, &["work", "work", "main"]),
            stack(10, &["wait", "main"]),
        ];
        let frames = frames(&stacks);
        let weights = |flat, cumulative| Weights { flat, cumulative };
        assert_eq!(frames["work"], weights(30, 30));
        assert_eq!(frames["wait"], weights(10, 10));
        assert_eq!(frames["main"], weights(0, 40));
        let table = table(&frames);
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[2].ends_with("work") && lines[4].ends_with("main"),
            "{table}"
        );
        assert!(lines[4].contains("100%"), "{table}");
    }

    #[test]
    fn trees_are_indented() {
        let leaf = |name: &str, value| FlameNode {
            name: name.to_owned(),
            value,
            ..FlameNode::default()
        };
        let root = FlameNode {
            children: vec![
                FlameNode {
                    children: vec![leaf("work", 75)],
                    ..leaf("main", 75)
                },
                leaf("other", 25),
            ],
            ..leaf("all", 100)
        };
        let text = tree(&root);
        let names: Vec<&str> = text.lines().skip(1).map(|line| &line[20..]).collect();
        assert_eq!(names, ["all", "  main", "    work", "  other"]);
    }

    #[test]
    fn nothing_recorded_is_said() {
        for text in [
            table(&frames(&[])),
            tree(&FlameNode::default()),
            traces(&[]),
        ] {
            assert_eq!(text, NO_STACKS);
        }
    }
}
