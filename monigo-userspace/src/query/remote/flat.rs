//! Flame graphs as a list: nesting as deep as a stack exceeds what JSON readers accept.

use serde::{Deserialize, Serialize};

use crate::query::{DiffNode, FlameNode};

/// A node of a tree.
pub(super) trait Nested {
    /// The nodes below.
    fn children(&mut self) -> &mut Vec<Self>
    where
        Self: Sized;
}

impl Nested for FlameNode {
    fn children(&mut self) -> &mut Vec<Self> {
        &mut self.children
    }
}

impl Nested for DiffNode {
    fn children(&mut self) -> &mut Vec<Self> {
        &mut self.children
    }
}

/// A node without its children and how deep it is; a list of them in the order of a walk is a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlatNode<T> {
    /// 0 is the root.
    pub depth: u32,
    /// The node.
    pub node: T,
}

/// Walks the tree.
pub(super) fn flatten<T: Nested>(root: T) -> Vec<FlatNode<T>> {
    let mut flat = Vec::new();
    let mut rest = vec![(0, root)];
    while let Some((depth, mut node)) = rest.pop() {
        let children = std::mem::take(node.children());
        rest.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
        flat.push(FlatNode { depth, node });
    }
    flat
}

/// Rebuilds the tree; `None` when the depths are not those of a walk.
pub(super) fn unflatten<T: Nested>(flat: Vec<FlatNode<T>>) -> Option<T> {
    // The path from the root to the node read last.
    let mut path: Vec<T> = Vec::new();
    for FlatNode { depth, node } in flat {
        let depth = depth as usize;
        if depth > path.len() || (depth == 0 && !path.is_empty()) {
            return None;
        }
        while path.len() > depth {
            close(&mut path);
        }
        path.push(node);
    }
    while path.len() > 1 {
        close(&mut path);
    }
    path.pop()
}

/// Moves the innermost open node into its parent.
fn close<T: Nested>(path: &mut Vec<T>) {
    if let Some(done) = path.pop()
        && let Some(parent) = path.last_mut()
    {
        parent.children().push(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, children: Vec<FlameNode>) -> FlameNode {
        FlameNode {
            name: name.to_owned(),
            value: 1,
            children,
            ..FlameNode::default()
        }
    }

    #[test]
    fn a_tree_survives() {
        let tree = node(
            "all",
            vec![
                node(
                    "a",
                    vec![node("b", vec![]), node("c", vec![node("d", vec![])])],
                ),
                node("e", vec![]),
            ],
        );
        assert_eq!(unflatten(flatten(tree.clone())), Some(tree));
    }

    #[test]
    fn nesting_beyond_what_json_readers_accept_survives() {
        let deep = (0..400).fold(node("leaf", vec![]), |inner, _| node("f", vec![inner]));
        let json = serde_json::to_string(&flatten(deep.clone())).expect("serializes");
        let flat = serde_json::from_str(&json).expect("deserializes");
        assert_eq!(unflatten(flat), Some(deep));
    }

    #[test]
    fn nonsense_is_refused() {
        let at = |depth| FlatNode {
            depth,
            node: node("", vec![]),
        };
        assert_eq!(unflatten::<FlameNode>(vec![]), None);
        assert_eq!(unflatten(vec![at(1)]), None);
        assert_eq!(unflatten(vec![at(0), at(2)]), None);
        assert_eq!(unflatten(vec![at(0), at(0)]), None);
    }
}
