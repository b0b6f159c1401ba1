//! Merging stacks into a flame graph.

use std::collections::HashMap;

use super::{
    FlameNode, Frame, Weight,
    stacks::{Stacks, Weights},
};

/// Name of the node that holds calls recorded without a stack.
const NO_STACK: &str = "[no stack]";
/// Name of the node under which stacks hang whose outermost frame is not known.
const TRUNCATED: &str = "[truncated]";

/// A node while it is being built.
#[derive(Default)]
struct Node<'a> {
    /// Weight of the stacks that end here.
    own: u64,
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
        let value = match weight {
            // The time of a call holds that of the traced calls inside it.
            Weight::Wall => self.own.max(inner),
            Weight::Calls | Weight::Cpu | Weight::OffCpu => self.own + inner,
        };
        FlameNode {
            name: name.to_owned(),
            detail: detail(image, self.file, self.line),
            value,
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

/// Merges the stacks of `weights`, of one function or all, from the outermost frame inwards.
/// `names` are the names of the functions by id.
pub(super) fn merge(
    stacks: &Stacks,
    weights: &Weights,
    names: &[String],
    function: Option<u32>,
    weight: Weight,
) -> FlameNode {
    let mut root = Node::default();
    for (&(id, stack), weighed) in weights {
        if function.is_some_and(|function| function != id) {
            continue;
        }
        let value = weighed.weight(weight);
        if value == 0 {
            continue;
        }
        let known = stack.and_then(|stack| stacks.by_id.get(&stack));
        let Some(stack) = known.filter(|stack| !stack.frames.is_empty()) else {
            let mut node = root.named(NO_STACK);
            if let Some(name) = names.get(id as usize) {
                node = node.named(name);
            }
            node.own += value;
            continue;
        };
        let mut node = &mut root;
        if stack.truncated {
            node = node.named(TRUNCATED);
        }
        for frame in stack.frames.iter().rev() {
            if let Some(frame) = stacks.frames.get(frame) {
                node = node.child(frame);
            }
        }
        node.own += value;
    }
    root.finish("all", "", weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_traced_calls_inside_is_not_added_twice() {
        let tree = || {
            let mut root = Node::default();
            let outer = root.named("outer");
            outer.own = 10;
            outer.named("inner").own = 4;
            root
        };
        let wall = tree().finish("all", "", Weight::Wall);
        assert_eq!((wall.value, wall.children[0].value), (10, 10));
        assert_eq!(wall.children[0].children[0].value, 4);
        let calls = tree().finish("all", "", Weight::Calls);
        assert_eq!((calls.value, calls.children[0].value), (14, 14));
    }
}
