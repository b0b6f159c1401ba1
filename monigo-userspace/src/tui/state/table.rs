//! Sorting, filter and selection of the function table.

use std::cmp::Ordering;

use crate::query::FunctionRow;

/// Columns of the function table, from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Name.
    Name,
    /// Completed calls.
    Calls,
    /// Calls per second.
    Rate,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// Longest.
    Max,
    /// Summed duration.
    Total,
    /// The same without time in other traced functions.
    SelfTime,
    /// Share in the summed duration of all functions.
    Share,
}

impl Column {
    /// Every column, from the left.
    pub const ALL: [Self; 10] = [
        Self::Name,
        Self::Calls,
        Self::Rate,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::Max,
        Self::Total,
        Self::SelfTime,
        Self::Share,
    ];

    /// Heading.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Name => "function",
            Self::Calls => "calls",
            Self::Rate => "rate",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::Total => "total",
            Self::SelfTime => "self",
            Self::Share => "share",
        }
    }

    /// The column `by` places to the right (or left, when negative), in a circle.
    pub fn step(self, by: isize) -> Self {
        let count = Self::ALL.len() as isize;
        Self::ALL[(self as isize + by).rem_euclid(count) as usize]
    }

    /// Orders two rows by this column, smallest first.
    pub fn compare(self, a: &FunctionRow, b: &FunctionRow) -> Ordering {
        match self {
            Self::Name => a.name.cmp(&b.name),
            Self::Calls => a.calls.cmp(&b.calls),
            Self::Rate => a.rate.total_cmp(&b.rate),
            Self::P50 => a.latency_ns.p50.cmp(&b.latency_ns.p50),
            Self::P90 => a.latency_ns.p90.cmp(&b.latency_ns.p90),
            Self::P99 => a.latency_ns.p99.cmp(&b.latency_ns.p99),
            Self::Max => a.latency_ns.max.cmp(&b.latency_ns.max),
            Self::Total => a.latency_ns.total.cmp(&b.latency_ns.total),
            Self::SelfTime => a.self_ns.cmp(&b.self_ns),
            Self::Share => a.share.total_cmp(&b.share),
        }
    }
}

/// Sorting, filter and selection.
#[derive(Clone, Debug)]
pub struct TableState {
    /// Sorted by this column.
    pub sort: Column,
    /// Largest first.
    pub descending: bool,
    /// Only names that contain this are shown. Case matters only when it has a capital.
    pub filter: String,
    /// Typed characters go to the filter.
    pub editing: bool,
    /// Id of the selected function; stays with the function when rows move.
    pub selected: Option<u32>,
    /// First row shown.
    pub offset: usize,
}

impl Default for TableState {
    fn default() -> Self {
        Self {
            sort: Column::Total,
            descending: true,
            filter: String::new(),
            editing: false,
            selected: None,
            offset: 0,
        }
    }
}

impl TableState {
    /// Indexes of the rows that pass the filter, in order. Equal rows are ordered by name, so
    /// that they do not swap places at each refresh.
    pub fn visible(&self, rows: &[FunctionRow]) -> Vec<usize> {
        let mut visible: Vec<usize> = (0..rows.len())
            .filter(|&index| self.match_in(&rows[index].name).is_some())
            .collect();
        visible.sort_by(|&a, &b| {
            let (a, b) = (&rows[a], &rows[b]);
            let order = self.sort.compare(a, b);
            let order = if self.descending {
                order.reverse()
            } else {
                order
            };
            order
                .then_with(|| a.name.cmp(&b.name))
                .then_with(|| a.id.cmp(&b.id))
        });
        visible
    }

    /// Where the filter first matches `name`, in bytes; an empty range without a filter.
    pub fn match_in(&self, name: &str) -> Option<std::ops::Range<usize>> {
        if self.filter.is_empty() {
            return Some(0..0);
        }
        if self.filter.chars().any(char::is_uppercase) {
            let start = name.find(&self.filter)?;
            return Some(start..start + self.filter.len());
        }
        let wanted: Vec<char> = self.filter.chars().collect();
        let folded: Vec<(usize, char)> = name
            .char_indices()
            .map(|(at, character)| (at, character.to_lowercase().next().unwrap_or(character)))
            .collect();
        let first = folded.windows(wanted.len()).position(|part| {
            part.iter()
                .zip(&wanted)
                .all(|((_, character), wanted)| character == wanted)
        })?;
        let end = folded
            .get(first + wanted.len())
            .map_or(name.len(), |&(at, _)| at);
        Some(folded[first].0..end)
    }

    /// Sorts by `column`: numbers largest first, names from A.
    pub fn sort_by(&mut self, column: Column) {
        self.sort = column;
        self.descending = column != Column::Name;
    }

    /// Moves the selection by `by` rows, stopping at the ends. Whether it moved.
    pub fn select_by(&mut self, rows: &[FunctionRow], by: isize) -> bool {
        let visible = self.visible(rows);
        let Some(last) = visible.len().checked_sub(1) else {
            return false;
        };
        let current = visible
            .iter()
            .position(|&row| Some(rows[row].id) == self.selected)
            .unwrap_or(0);
        let target = current.saturating_add_signed(by).min(last);
        let id = rows[visible[target]].id;
        let moved = self.selected != Some(id);
        self.selected = Some(id);
        moved
    }
}
