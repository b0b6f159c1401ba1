//! The flame graph of the selected function: where its frames are, and the way through them.

use crate::query::FlameNode;

/// A frame of the graph. Positions are shares of the whole, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct FlameFrame {
    /// Function name.
    pub name: String,
    /// Image, file and line.
    pub detail: String,
    /// Weight with what it calls.
    pub value: u64,
    /// Weight without.
    pub own: u64,
    /// Index of the caller; `None` at the root.
    pub parent: Option<usize>,
    /// Frames above it.
    pub depth: usize,
    /// Where it begins.
    pub start: f64,
    /// Where it ends.
    pub end: f64,
}

impl FlameFrame {
    /// Kernel code.
    pub fn is_kernel(&self) -> bool {
        self.detail.starts_with("[kernel]")
    }
}

/// A step through the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the caller.
    Out,
    /// To the heaviest callee.
    In,
    /// To the neighbour before.
    Left,
    /// To the neighbour behind.
    Right,
}

/// The pane. Frames are remembered by their names from the root on, which survive a refresh.
#[derive(Clone, Debug, Default)]
pub struct FlamePane {
    frames: Option<Vec<FlameFrame>>,
    cursor: Vec<String>,
    zoom: Vec<String>,
    /// Root at the bottom.
    pub upwards: bool,
    /// It begins with the callers of the function.
    pub callers: bool,
    /// What is looked for in names; empty for nothing.
    pub search: String,
    /// The search is being typed.
    pub editing: bool,
    /// Depth of the first row shown.
    pub offset: usize,
}

impl FlamePane {
    /// Takes in an answer.
    pub fn accept(&mut self, root: &FlameNode) {
        self.frames = Some(layout(root));
    }

    /// Drops the answer.
    pub fn forget(&mut self) {
        self.frames = None;
    }

    /// Frames, callers before callees; `None` until answered. Empty when nothing was recorded.
    pub fn frames(&self) -> Option<&[FlameFrame]> {
        self.frames.as_deref()
    }

    /// Index of the frame under the cursor.
    pub fn at(&self) -> usize {
        find(self.frames().unwrap_or_default(), &self.cursor)
    }

    /// Index of the frame that fills the width.
    pub fn zoomed(&self) -> usize {
        find(self.frames().unwrap_or_default(), &self.zoom)
    }

    /// Whether `frame` is what is looked for.
    pub fn matches(&self, frame: &FlameFrame) -> bool {
        !self.search.is_empty()
            && frame.parent.is_some()
            && frame
                .name
                .to_lowercase()
                .contains(&self.search.to_lowercase())
    }

    /// Number of frames that match, and the share of the whole in or under them.
    pub fn matched(&self) -> (usize, f64) {
        let frames = self.frames().unwrap_or_default();
        let mut covered = vec![false; frames.len()];
        let (mut count, mut share) = (0, 0.0);
        for (index, frame) in frames.iter().enumerate() {
            let above = frame.parent.is_some_and(|parent| covered[parent]);
            let hit = self.matches(frame);
            covered[index] = above || hit;
            count += usize::from(hit);
            if hit && !above {
                share += frame.end - frame.start;
            }
        }
        (count, share)
    }

    /// Moves the cursor; whether it moved.
    pub fn step(&mut self, step: Step) -> bool {
        let Some(frames) = self.frames() else {
            return false;
        };
        let to = neighbour(frames, self.at(), self.zoomed(), step);
        self.go(to)
    }

    /// Moves the cursor to the next match behind it, in a circle; whether it moved.
    pub fn next_match(&mut self) -> bool {
        let Some(frames) = self.frames() else {
            return false;
        };
        let at = self.at();
        let found = (at + 1..frames.len())
            .chain(0..=at)
            .find(|&index| frames.get(index).is_some_and(|frame| self.matches(frame)));
        found.is_some_and(|to| self.go(to))
    }

    /// Begins with the callers, or with the function.
    pub fn turn_to_callers(&mut self) {
        self.callers = !self.callers;
        // Frames are known by their way from the root, which is another one now.
        self.cursor.clear();
        self.zoom.clear();
    }

    /// Moves the cursor to the root.
    pub fn home(&mut self) {
        self.cursor.clear();
    }

    fn go(&mut self, to: usize) -> bool {
        let frames = self.frames().unwrap_or_default();
        let moved = to != self.at();
        let path = path(frames, to);
        // Out of the zoomed part: show it again.
        let zoomed = self.zoomed();
        let visible = is_inside(frames, to, zoomed) || is_inside(frames, zoomed, to);
        if !visible {
            self.zoom.clear();
        }
        self.cursor = path;
        moved
    }

    /// Lets the frame under the cursor fill the width.
    pub fn zoom_in(&mut self) {
        self.zoom.clone_from(&self.cursor);
    }

    /// Shows the whole again; false if it was shown.
    pub fn zoom_out(&mut self) -> bool {
        let zoomed = self.zoomed() != 0;
        self.zoom.clear();
        zoomed
    }
}

/// Lays out a tree. Siblings are in order of name, not of weight, so that a live graph keeps its
/// shape from one answer to the next.
fn layout(root: &FlameNode) -> Vec<FlameFrame> {
    let mut frames: Vec<FlameFrame> = Vec::new();
    if root.value == 0 {
        return frames;
    }
    let total = root.value as f64;
    let mut todo = vec![(root, None, 0, 0.0)];
    while let Some((node, parent, depth, start)) = todo.pop() {
        let index = frames.len();
        let mut children: Vec<&FlameNode> = node.children.iter().collect();
        children.sort_by(|a, b| a.name.cmp(&b.name));
        let inner: u64 = children.iter().map(|child| child.value).sum();
        frames.push(FlameFrame {
            name: node.name.clone(),
            detail: node.detail.clone(),
            value: node.value,
            own: node.value.saturating_sub(inner),
            parent,
            depth,
            start,
            end: start + node.value as f64 / total,
        });
        let mut at = start;
        let mut placed = Vec::with_capacity(children.len());
        for child in children {
            placed.push((child, Some(index), depth + 1, at));
            at += child.value as f64 / total;
        }
        todo.extend(placed.into_iter().rev());
    }
    frames
}

/// Names from below the root down to a frame.
fn path(frames: &[FlameFrame], index: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = Some(index);
    while let Some(frame) = at.and_then(|at| frames.get(at)) {
        if frame.parent.is_some() {
            names.push(frame.name.clone());
        }
        at = frame.parent;
    }
    names.reverse();
    names
}

/// The frame that a path names, or its nearest caller that still exists.
fn find(frames: &[FlameFrame], path: &[String]) -> usize {
    let mut at = 0;
    for name in path {
        let child = frames
            .iter()
            .position(|frame| frame.parent == Some(at) && frame.name == *name);
        match child {
            Some(child) => at = child,
            None => break,
        }
    }
    at
}

/// Whether `inner` is `outer`, or is called by it.
pub fn is_inside(frames: &[FlameFrame], inner: usize, outer: usize) -> bool {
    let mut at = Some(inner);
    while let Some(index) = at {
        if index == outer {
            return true;
        }
        at = frames.get(index).and_then(|frame| frame.parent);
    }
    false
}

fn neighbour(frames: &[FlameFrame], at: usize, zoomed: usize, step: Step) -> usize {
    let Some(frame) = frames.get(at) else {
        return 0;
    };
    let width = |index: &usize| frames[*index].end - frames[*index].start;
    match step {
        Step::Out => frame.parent.unwrap_or(at),
        Step::In => {
            // Above the zoomed frame only the way to it is shown.
            let above = at != zoomed && is_inside(frames, zoomed, at);
            (0..frames.len())
                .filter(|&index| frames[index].parent == Some(at))
                .filter(|&index| !above || is_inside(frames, zoomed, index))
                .max_by(|a, b| width(a).total_cmp(&width(b)))
                .unwrap_or(at)
        }
        Step::Left | Step::Right => {
            let level = (0..frames.len()).filter(|&index| {
                frames[index].depth == frame.depth && is_inside(frames, index, zoomed)
            });
            let found = if step == Step::Left {
                level
                    .filter(|&index| frames[index].start < frame.start)
                    .max_by(|a, b| frames[*a].start.total_cmp(&frames[*b].start))
            } else {
                level
                    .filter(|&index| frames[index].start > frame.start)
                    .min_by(|a, b| frames[*a].start.total_cmp(&frames[*b].start))
            };
            found.unwrap_or(at)
        }
    }
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

    fn pane() -> FlamePane {
        let mut pane = FlamePane::default();
        pane.accept(&node(
            "all",
            100,
            vec![
                node("b", 60, vec![node("x", 40, vec![]), node("w", 15, vec![])]),
                node("a", 30, vec![node("w", 30, vec![])]),
            ],
        ));
        pane
    }

    fn name(pane: &FlamePane) -> &str {
        &pane.frames().expect("answered")[pane.at()].name
    }

    #[test]
    fn siblings_stand_in_order_of_name() {
        let pane = pane();
        let frames = pane.frames().expect("answered");
        let names: Vec<&str> = frames.iter().map(|frame| frame.name.as_str()).collect();
        assert_eq!(names, ["all", "a", "w", "b", "w", "x"]);
        assert_eq!((frames[3].start, frames[3].own), (0.3, 5));
        assert!((frames[5].start - 0.45).abs() < 1e-9 && (frames[5].end - 0.85).abs() < 1e-9);
        let mut empty = FlamePane::default();
        empty.accept(&FlameNode::default());
        assert_eq!(empty.frames(), Some(&[][..]));
        assert!(!empty.step(Step::In));
    }

    #[test]
    fn steps_lead_to_what_is_beside() {
        let mut pane = pane();
        assert!(pane.step(Step::In) && name(&pane) == "b");
        assert!(pane.step(Step::Left) && name(&pane) == "a");
        assert!(!pane.step(Step::Left));
        assert!(pane.step(Step::Right) && pane.step(Step::In) && name(&pane) == "x");
        assert!(!pane.step(Step::In));
        assert!(pane.step(Step::Out) && name(&pane) == "b");
    }

    #[test]
    fn zoom_and_cursor_survive_a_refresh() {
        let mut pane = pane();
        pane.step(Step::In);
        pane.zoom_in();
        pane.step(Step::In);
        // Another frame has come in before them, and `x` has gone.
        pane.accept(&node(
            "all",
            10,
            vec![
                node("a", 1, vec![]),
                node("aa", 1, vec![]),
                node("b", 8, vec![]),
            ],
        ));
        assert_eq!(name(&pane), "b");
        assert_eq!(pane.zoomed(), pane.at());
        // Neighbours outside of the zoomed part are not there.
        assert!(!pane.step(Step::Left));
        assert!(pane.step(Step::Out) && name(&pane) == "all");
        assert!(pane.zoom_out() && !pane.zoom_out());
    }

    #[test]
    fn matches_count_each_part_once() {
        let mut pane = pane();
        assert_eq!(pane.matched().0, 0);
        pane.search = "W".to_owned();
        let (count, share) = pane.matched();
        assert_eq!(count, 2);
        assert!((share - 0.45).abs() < 1e-9);
        assert!(pane.next_match() && pane.at() == 2);
        assert!(pane.next_match() && pane.at() == 4);
        assert!(pane.next_match() && pane.at() == 2);
        pane.search = "nothing".to_owned();
        assert!(!pane.next_match());
    }
}
