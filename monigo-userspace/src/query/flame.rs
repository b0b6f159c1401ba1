//! Merging stacks into a flame graph, or two into a difference.

use std::collections::HashMap;

use super::{DiffNode, FlameNode, Frame, Weight, stacks::Stacks};

/// Name of the node that holds calls recorded without a stack.
const NO_STACK: &str = "[no stack]";
/// Name of the node under which stacks hang whose outermost frame is not known.
const TRUNCATED: &str = "[truncated]";

/// A node while it is being built. It has two weights; a plain flame graph uses the first.
#[derive(Default)]
struct Node<'a> {
    /// Weight of the stacks that end here.
    own: [f64; 2],
    file: Option<&'a str>,
    line: Option<u32>,
    children: HashMap<(&'a str, &'a str), Self>,
}

impl<'a> Node<'a> {
    fn child(&mut self, frame: &'a Frame) -> &mut Self {
        let new = !self
            .children
            .contains_key(&(frame.function.as_str(), frame.image.as_str()));
        let node = self
            .children
            .entry((&frame.function, &frame.image))
            .or_default();
        if new {
            node.file = frame.file.as_deref();
            node.line = frame.line;
        } else if node.line != frame.line {
            // Calls from several lines are one node; naming one of the lines would mislead.
            node.line = None;
        }
        node
    }

    fn named(&mut self, name: &'a str) -> &mut Self {
        self.children.entry((name, "")).or_default()
    }

    fn finish(self, name: &str, image: &str, weight: Weight) -> FlameNode {
        let mut children: Vec<_> = self
            .children
            .into_iter()
            .map(|((name, image), node)| node.finish(name, image, weight))
            .collect();
        children.sort_by(|a, b| (b.value, &a.name, &a.detail).cmp(&(a.value, &b.name, &b.detail)));
        let inner = children.iter().map(|child| child.value).sum();
        let own = self.own[0] as u64;
        let value = match weight {
            // The time of a call holds that of the traced calls inside it.
            Weight::Wall => own.max(inner),
            Weight::Calls | Weight::Cpu | Weight::OffCpu | Weight::Time => own + inner,
        };
        FlameNode {
            name: name.to_owned(),
            detail: detail(image, self.file, self.line),
            value,
            children,
        }
    }

    fn finish_difference(self, name: &str, image: &str, weight: Weight) -> DiffNode {
        let mut children: Vec<_> = self
            .children
            .into_iter()
            .map(|((name, image), node)| node.finish_difference(name, image, weight))
            .collect();
        children.sort_by(|a, b| {
            let size = |node: &DiffNode| node.before.max(node.after);
            (size(b), &a.name, &a.detail).cmp(&(size(a), &b.name, &b.detail))
        });
        let value = |own: f64, inner: fn(&DiffNode) -> u64| {
            let inner: u64 = children.iter().map(inner).sum();
            match weight {
                Weight::Wall => (own as u64).max(inner),
                _ => own as u64 + inner,
            }
        };
        DiffNode {
            name: name.to_owned(),
            detail: detail(image, self.file, self.line),
            before: value(self.own[0], |child| child.before),
            after: value(self.own[1], |child| child.after),
            children,
        }
    }
}

fn detail(image: &str, file: Option<&str>, line: Option<u32>) -> String {
    match (file, line) {
        (Some(file), Some(line)) => format!("{image} {file}:{line}"),
        (Some(file), None) => format!("{image} {file}"),
        (None, _) => image.to_owned(),
    }
}

/// Frames at which stacks begin: those of a traced function.
#[derive(Clone, Copy, Debug)]
pub(super) struct RootAt<'a> {
    pub name: &'a str,
    pub image: &'a str,
}

impl RootAt<'_> {
    pub fn is(self, frame: &Frame) -> bool {
        frame.function == self.name && frame.image == self.image
    }
}

/// A flame graph, or a difference of two, while stacks are added.
pub(super) struct Tree<'a> {
    stacks: &'a Stacks,
    /// Names of the functions by id.
    names: &'a [String],
    root_at: Option<RootAt<'a>>,
    root: Node<'a>,
}

impl<'a> Tree<'a> {
    pub fn new(stacks: &'a Stacks, names: &'a [String], root_at: Option<RootAt<'a>>) -> Self {
        Self {
            stacks,
            names,
            root_at,
            root: Node::default(),
        }
    }

    /// Adds what a stack of `function` weighs, under `leaf` if there is one.
    pub fn add(
        &mut self,
        function: u32,
        stack: Option<u64>,
        leaf: Option<&'static str>,
        weights: [f64; 2],
    ) {
        let known = stack.and_then(|stack| self.stacks.by_id.get(&stack));
        let known = known.filter(|stack| !stack.frames.is_empty());
        let mut node = &mut self.root;
        if let Some(stack) = known {
            let frames = stack.frames.iter().rev();
            let mut frames: Vec<&Frame> = frames
                .filter_map(|frame| self.stacks.frames.get(frame))
                .collect();
            let mut truncated = stack.truncated;
            if let Some(root_at) = self.root_at {
                // The outermost, so that recursion nests.
                if let Some(first) = frames.iter().position(|frame| root_at.is(frame)) {
                    frames.drain(..first);
                    truncated = false;
                } else {
                    node = node
                        .children
                        .entry((root_at.name, root_at.image))
                        .or_default();
                }
            }
            if truncated {
                node = node.named(TRUNCATED);
            }
            for frame in frames {
                node = node.child(frame);
            }
        } else if let Some(root_at) = self.root_at {
            node = node
                .children
                .entry((root_at.name, root_at.image))
                .or_default();
            node = node.named(NO_STACK);
        } else {
            node = node.named(NO_STACK);
            if let Some(name) = self.names.get(function as usize) {
                node = node.named(name);
            }
        }
        if let Some(leaf) = leaf {
            node = node.named(leaf);
        }
        for (own, weight) in node.own.iter_mut().zip(weights) {
            *own += weight;
        }
    }

    /// Adds time of the function at the root of which nothing else is known.
    pub fn add_unexplained(&mut self, name: &'static str, weights: [f64; 2]) {
        let Some(root_at) = self.root_at else { return };
        let node = self.root.children.entry((root_at.name, root_at.image));
        let node = node.or_default().named(name);
        for (own, weight) in node.own.iter_mut().zip(weights) {
            *own += weight;
        }
    }

    /// The flame graph of the first weights.
    pub fn flame(self, weight: Weight) -> FlameNode {
        self.root.finish("all", "", weight)
    }

    /// The difference between the first weights and the second.
    pub fn difference(self, weight: Weight) -> DiffNode {
        self.root.finish_difference("all", "", weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_traced_calls_inside_is_not_added_twice() {
        let tree = || {
            let mut root = Node::default();
            let outer = root.named("outer");
            outer.own = [10.0, 20.0];
            outer.named("inner").own = [4.0, 0.0];
            root
        };
        let wall = tree().finish("all", "", Weight::Wall);
        assert_eq!((wall.value, wall.children[0].value), (10, 10));
        assert_eq!(wall.children[0].children[0].value, 4);
        let calls = tree().finish("all", "", Weight::Calls);
        assert_eq!((calls.value, calls.children[0].value), (14, 14));
        let difference = tree().finish_difference("all", "", Weight::Calls);
        assert_eq!((difference.before, difference.after), (14, 20));
        assert_eq!(difference.children[0].children[0].delta(), -4);
    }
}
