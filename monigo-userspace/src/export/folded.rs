//! Folded stacks: one line a stack, outermost frame first, then the weight.

use crate::query::FlameNode;

/// The stacks of a flame graph in folded form; the root is left out.
///
/// Characters with a meaning in the format are replaced: `;` in a name becomes `:`, line breaks
/// become spaces.
pub fn folded(root: &FlameNode) -> String {
    let mut text = String::new();
    let mut path = Vec::new();
    for child in &root.children {
        walk(child, &mut path, &mut text);
    }
    text
}

fn walk(node: &FlameNode, path: &mut Vec<String>, text: &mut String) {
    path.push(clean(&node.name));
    let inner: u64 = node.children.iter().map(|child| child.value).sum();
    let own = node.value.saturating_sub(inner);
    if own > 0 {
        text.push_str(&path.join(";"));
        text.push(' ');
        text.push_str(&own.to_string());
        text.push('\n');
    }
    for child in &node.children {
        walk(child, path, text);
    }
    path.pop();
}

pub(super) fn clean(name: &str) -> String {
    let mut name = name.replace(';', ":").replace(['\n', '\r'], " ");
    // Readers would take a number at the end of the last frame for a second weight.
    if let Some((head, tail)) = name.rsplit_once(' ')
        && tail.chars().all(|c| c.is_ascii_digit() || c == '.')
    {
        name = format!("{head}_{tail}");
    }
    if name.is_empty() {
        name.push_str("[unknown]");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, value: u64, children: Vec<FlameNode>) -> FlameNode {
        FlameNode {
            name: name.to_owned(),
            value,
            children,
            ..FlameNode::default()
        }
    }

    #[test]
    fn own_weight_is_what_children_leave() {
        let root = node(
            "all",
            15,
            vec![
                node("main", 10, vec![node("work", 7, vec![])]),
                node("other", 5, vec![node("leaf", 5, vec![])]),
            ],
        );
        assert_eq!(folded(&root), "main 3\nmain;work 7\nother;leaf 5\n");
    }

    #[test]
    fn names_cannot_break_the_format() {
        let root = node("all", 1, vec![node("a;b\nc 12", 1, vec![])]);
        assert_eq!(folded(&root), "a:b c_12 1\n");
    }
}
