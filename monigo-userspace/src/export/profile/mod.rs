//! Stacks in the formats of other profilers.

mod firefox;
mod pprof;
mod speedscope;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use self::{firefox::firefox, pprof::pprof, speedscope::speedscope};
use crate::query::{Frame, Overview, QueryError, Selection, Source, StackRow, Weight};

/// Every weight, as ordered in files.
pub const WEIGHTS: [Weight; 5] = [
    Weight::Wall,
    Weight::Cpu,
    Weight::OffCpu,
    Weight::Calls,
    Weight::Time,
];

/// A stack and what it weighs, by [`WEIGHTS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeighedStack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// The outermost frame is not known.
    pub truncated: bool,
    /// By [`WEIGHTS`]. Time of traced calls inside a call weighs at theirs and not at its stack,
    /// so that readers can sum up.
    pub weights: [u64; WEIGHTS.len()],
}

/// What goes into a file.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The recording.
    pub overview: Overview,
    /// What a reader should show first.
    pub first: Weight,
    /// Distinct stacks, by id.
    pub stacks: Vec<(u64, WeighedStack)>,
}

impl Profile {
    /// Reads the stacks of a selection.
    pub fn read(source: &dyn Source, selection: &Selection) -> Result<Self, QueryError> {
        let mut stacks: HashMap<u64, WeighedStack> = HashMap::new();
        for (index, weight) in WEIGHTS.into_iter().enumerate() {
            let selection = Selection {
                weight,
                ..*selection
            };
            if selection.shown_weight() != weight {
                continue;
            }
            let mut rows = source.stacks(&selection, u32::MAX)?;
            if weight == Weight::Wall {
                take_off_nested(&mut rows);
            }
            for row in rows {
                let stack = stacks.entry(row.id).or_default();
                stack.weights[index] += row.weight;
                stack.truncated = row.truncated;
                stack.frames = row.frames;
            }
        }
        let mut stacks: Vec<_> = stacks
            .into_iter()
            .filter(|(_, stack)| stack.weights.iter().any(|weight| *weight > 0))
            .collect();
        stacks.sort_unstable_by_key(|(id, _)| *id);
        Ok(Self {
            overview: source.overview()?,
            first: selection.shown_weight(),
            stacks,
        })
    }

    /// Whether anything has the weight that was asked for.
    pub fn is_empty(&self) -> bool {
        let first = position(self.first);
        self.stacks
            .iter()
            .all(|(_, stack)| stack.weights[first] == 0)
    }
}

/// Index in [`WEIGHTS`].
fn position(weight: Weight) -> usize {
    WEIGHTS.iter().position(|each| *each == weight).unwrap_or(0)
}

/// Wall-clock time of a call holds that of the traced calls inside it, whose stacks go on where its
/// own ends. Takes it off, so that each instant weighs once.
fn take_off_nested(rows: &mut [StackRow]) {
    /// A code location, whatever the line.
    type Place<'a> = (&'a str, &'a str);
    #[derive(Default)]
    struct Node<'a> {
        own: u64,
        children: HashMap<Place<'a>, usize>,
    }
    let mut nodes: Vec<Node<'_>> = vec![Node::default()];
    let mut ends = Vec::with_capacity(rows.len());
    for row in rows.iter() {
        let mut at = 0;
        for frame in row.frames.iter().rev() {
            let place = (frame.function.as_str(), frame.image.as_str());
            let next = nodes.len();
            let found = *nodes[at].children.entry(place).or_insert(next);
            if found == next {
                nodes.push(Node::default());
            }
            at = found;
        }
        nodes[at].own += row.weight;
        ends.push(at);
    }
    // Children come after their parents.
    let mut values = vec![0_u64; nodes.len()];
    let mut shares = vec![1.0; nodes.len()];
    for (at, node) in nodes.iter().enumerate().rev() {
        let inner: u64 = node.children.values().map(|&child| values[child]).sum();
        values[at] = node.own.max(inner);
        if node.own > 0 {
            shares[at] = node.own.saturating_sub(inner) as f64 / node.own as f64;
        }
    }
    let shares: Vec<f64> = ends.into_iter().map(|end| shares[end]).collect();
    for (row, share) in rows.iter_mut().zip(shares) {
        row.weight = (row.weight as f64 * share).round() as u64;
    }
}

/// What a weight is called in the formats, and its unit there.
pub(super) const fn kind(weight: Weight) -> (&'static str, &'static str) {
    match weight {
        Weight::Wall => ("wall", "nanoseconds"),
        Weight::Cpu => ("cpu", "nanoseconds"),
        Weight::OffCpu => ("offcpu", "nanoseconds"),
        Weight::Calls => ("calls", "count"),
        Weight::Time => ("time", "nanoseconds"),
    }
}
