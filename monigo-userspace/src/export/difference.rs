//! Differences of flame graphs as SVG, by inferno.

use std::fmt::Write as _;

use inferno::flamegraph::{Options, TextTruncateDirection};

use super::{OutputError, folded::clean, format, svg::draw};
use crate::query::{Comparison, DiffNode, DiffUnit, Tail};

/// Draws where the time of slow calls goes, and where they differ from fast ones.
pub fn tail_svg(tail: &Tail) -> Result<String, OutputError> {
    let subtitle = format!(
        "a call of {} or longer takes {} on average, one below {} takes {}; width is ns per call, {LEGEND}",
        format::duration_ns(tail.slower_than_ns),
        format::duration_ns(tail.slow.mean_ns),
        format::duration_ns(tail.faster_than_ns),
        format::duration_ns(tail.fast.mean_ns),
    );
    let title = format!("monigo: slow calls of {} against fast ones", tail.name);
    picture(&tail.tree, title, subtitle, "ns per call")
}

/// Draws how two recordings differ.
pub fn comparison_svg(comparison: &Comparison) -> Result<String, OutputError> {
    let side = |part: &crate::query::PartSummary| {
        format!(
            "session {} ({})",
            part.session,
            format::duration_ns(part.duration_ns)
        )
    };
    let unit = comparison.unit.name();
    let subtitle = format!(
        "{} against {}; width is {unit}, {LEGEND}",
        side(&comparison.after),
        side(&comparison.before),
    );
    let title = format!("monigo: difference, {}", comparison.after.target);
    let unit = match comparison.unit {
        DiffUnit::CallsPerKilosecond => "calls per 1000 s",
        DiffUnit::NsPerCall | DiffUnit::NsPerSecond => unit,
    };
    picture(&comparison.tree, title, subtitle, unit)
}

/// How the picture is read.
const LEGEND: &str = "of whichever has more; red: more than before, blue: less";

fn picture(
    root: &DiffNode,
    title: String,
    subtitle: String,
    unit: &str,
) -> Result<String, OutputError> {
    let mut lines = String::new();
    let mut path = String::new();
    walk_children(root, &mut path, &mut lines);
    if lines.is_empty() {
        return Err(OutputError::NoSamples("inside"));
    }
    let mut options = Options::default();
    options.title = title;
    options.subtitle = Some(subtitle);
    unit.clone_into(&mut options.count_name);
    options.deterministic = true;
    options.text_truncate_direction = TextTruncateDirection::Left;
    draw(&mut options, &lines.lines().collect::<Vec<_>>())
}

/// Writes a line for each node, parents first. inferno gives a frame the difference of the line
/// that ends in it, so each node, and not each leaf alone, has one. It computes the difference of two
/// numbers in two's complement, which allows one that is larger than what a node has of its own.
fn walk(node: &DiffNode, path: &mut String, lines: &mut String) {
    let length = path.len();
    if !path.is_empty() {
        path.push(';');
    }
    path.push_str(&clean(&node.name));
    let own = node_width(node) - node.children.iter().map(node_width).sum::<u64>();
    let first = own.wrapping_sub(node.delta().cast_unsigned());
    let _ = writeln!(lines, "{path} {first} {own}");
    walk_children(node, path, lines);
    path.truncate(length);
}

fn walk_children(node: &DiffNode, path: &mut String, lines: &mut String) {
    // Those of one name are one frame to inferno if they are neighbours.
    let mut children: Vec<&DiffNode> = node.children.iter().collect();
    children.sort_by(|a, b| a.name.cmp(&b.name));
    for child in children {
        walk(child, path, lines);
    }
}

/// What a node and those below are wide: for each own part whichever side has more.
fn node_width(node: &DiffNode) -> u64 {
    let children = &node.children;
    let before = node
        .before
        .saturating_sub(children.iter().map(|c| c.before).sum());
    let after = node
        .after
        .saturating_sub(children.iter().map(|c| c.after).sum());
    before.max(after) + children.iter().map(node_width).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, before: u64, after: u64, children: Vec<DiffNode>) -> DiffNode {
        DiffNode {
            name: name.to_owned(),
            before,
            after,
            children,
            ..DiffNode::default()
        }
    }

    #[test]
    fn every_node_says_how_it_differs() {
        let tail = Tail {
            name: "handle".to_owned(),
            tree: node(
                "all",
                40,
                100,
                vec![node(
                    "handle",
                    40,
                    100,
                    vec![
                        node("lock", 0, 80, vec![]),
                        node("gone", 30, 0, vec![]),
                        node("same", 10, 20, vec![]),
                    ],
                )],
            ),
            ..Tail::default()
        };
        let svg = tail_svg(&tail).expect("draws");
        // 80 of the lock, 20 of the same, 30 of what is gone.
        for text in [
            "handle (130 ns per call, 100.00%; +46.15%)",
            "lock (80 ns per call, 61.54%; +61.54%)",
            "gone (30 ns per call, 23.08%; -23.08%)",
            "same (20 ns per call, 15.38%; +7.69%)",
            "red: more than before",
        ] {
            assert!(svg.contains(text), "{text}\n{svg}");
        }
    }

    #[test]
    fn frames_stay_whole_whatever_their_neighbours_are_called() {
        let comparison = Comparison {
            tree: node(
                "all",
                30,
                60,
                vec![
                    node("b", 10, 20, vec![]),
                    node("a", 10, 20, vec![node("x", 5, 10, vec![])]),
                    node("a.b", 10, 20, vec![]),
                ],
            ),
            ..Comparison::default()
        };
        let svg = comparison_svg(&comparison).expect("draws");
        assert_eq!(svg.matches("<title>a (20 ").count(), 1, "{svg}");
        assert_eq!(svg.matches("<title>a.b (20 ").count(), 1, "{svg}");
    }

    #[test]
    fn nothing_is_no_picture() {
        assert!(tail_svg(&Tail::default()).is_err());
    }
}
