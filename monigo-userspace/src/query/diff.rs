//! Differences of flame graphs.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::FlameNode;

/// A node of the difference of two flame graphs, root first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffNode {
    /// Function name.
    pub name: String,
    /// Image, file and line for the tooltip; empty at the root.
    pub detail: String,
    /// Weight of this node with its children in what is compared with.
    pub before: u64,
    /// Weight of this node with its children in what is looked at.
    pub after: u64,
    /// Those that are largest in either first.
    pub children: Vec<DiffNode>,
}

impl DiffNode {
    /// What it weighs more than before; negative when less.
    pub fn delta(&self) -> i64 {
        self.after
            .cast_signed()
            .wrapping_sub(self.before.cast_signed())
    }

    /// Compares two flame graphs, node by node, with their weights multiplied by a factor each.
    pub fn of(before: &FlameNode, after: &FlameNode, factors: [f64; 2]) -> Self {
        let mut root = merge(Some(before), Some(after), factors);
        root.name.clone_from(&after.name);
        root
    }
}

fn merge(before: Option<&FlameNode>, after: Option<&FlameNode>, factors: [f64; 2]) -> DiffNode {
    let value = |node: Option<&FlameNode>, factor: f64| {
        node.map_or(0, |node| (node.value as f64 * factor).round() as u64)
    };
    let mut pairs: Vec<(Option<&FlameNode>, Option<&FlameNode>)> = Vec::new();
    let mut known: HashMap<(&str, &str), usize> = HashMap::new();
    for child in before.into_iter().flat_map(|node| &node.children) {
        known.insert(key(child), pairs.len());
        pairs.push((Some(child), None));
    }
    for child in after.into_iter().flat_map(|node| &node.children) {
        match known.get(&key(child)).and_then(|at| pairs.get_mut(*at)) {
            Some(pair) if pair.1.is_none() => pair.1 = Some(child),
            _ => pairs.push((None, Some(child))),
        }
    }
    let mut children: Vec<DiffNode> = pairs
        .into_iter()
        .map(|(before, after)| merge(before, after, factors))
        .collect();
    children.sort_by(|a, b| {
        let size = |node: &DiffNode| node.before.max(node.after);
        (size(b), &a.name, &a.detail).cmp(&(size(a), &b.name, &b.detail))
    });
    let shown = after.or(before);
    DiffNode {
        name: shown.map_or_else(String::new, |node| node.name.clone()),
        detail: shown.map_or_else(String::new, |node| node.detail.clone()),
        before: value(before, factors[0]),
        after: value(after, factors[1]),
        children,
    }
}

/// What makes two nodes the same: the name, and the file name of the image. Paths differ between two
/// versions of a program, and lines differ with any change above them.
fn key(node: &FlameNode) -> (&str, &str) {
    let image = node.detail.split(' ').next().unwrap_or("");
    let image = if image.starts_with('[') {
        image
    } else {
        image.rsplit('/').next().unwrap_or(image)
    };
    (&node.name, image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, detail: &str, value: u64, children: Vec<FlameNode>) -> FlameNode {
        FlameNode {
            name: name.to_owned(),
            detail: detail.to_owned(),
            value,
            children,
        }
    }

    #[test]
    fn nodes_meet_by_name_whatever_their_lines_and_folders() {
        let before = node(
            "all",
            "",
            30,
            vec![
                node(
                    "f",
                    "/v1/app a.c:1",
                    20,
                    vec![node("gone", "/v1/app", 20, vec![])],
                ),
                node("g", "/v1/app", 10, vec![]),
            ],
        );
        let after = node(
            "all",
            "",
            50,
            vec![node(
                "f",
                "/v2/app a.c:7",
                50,
                vec![node("new", "/v2/app", 40, vec![])],
            )],
        );
        let difference = DiffNode::of(&before, &after, [1.0, 2.0]);
        assert_eq!((difference.before, difference.after), (30, 100));
        let f = &difference.children[0];
        assert_eq!((f.name.as_str(), f.before, f.after), ("f", 20, 100));
        assert_eq!(f.detail, "/v2/app a.c:7");
        let inner: Vec<(&str, i64)> = f
            .children
            .iter()
            .map(|c| (c.name.as_str(), c.delta()))
            .collect();
        assert_eq!(inner, [("new", 80), ("gone", -20)]);
        assert_eq!(difference.children[1].delta(), -10);
    }
}
