//! Groups over time: which of them grow.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::service::RoutineGroup;

/// Looks that are kept: ten minutes.
const LOOKS: usize = 60;
/// Rises in a row that make a leak likely.
const RISES: usize = 5;

/// Counts by group of the looks so far.
#[derive(Debug)]
pub struct History {
    every: Duration,
    last: Option<Instant>,
    looks: VecDeque<HashMap<String, u64>>,
}

impl Default for History {
    fn default() -> Self {
        Self::every(Self::EVERY)
    }
}

impl History {
    /// Time between looks that count.
    pub const EVERY: Duration = Duration::from_secs(10);

    /// Keeps looks that are this far apart.
    pub const fn every(every: Duration) -> Self {
        Self {
            every,
            last: None,
            looks: VecDeque::new(),
        }
    }

    /// Whether it is time for a look.
    pub fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= self.every)
    }

    /// Takes a look, if it is time for one.
    pub fn take(&mut self, groups: &[RoutineGroup]) {
        if !self.is_due() {
            return;
        }
        self.last = Some(Instant::now());
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        let counts = groups
            .iter()
            .map(|group| (group.signature.clone(), group.count));
        self.looks.push_back(counts.collect());
    }

    /// Says of each group how it grew.
    pub fn judge(&self, groups: &mut [RoutineGroup]) {
        for group in groups {
            let mut counts = self.looks.iter().map(|look| count(look, &group.signature));
            if let Some(first) = counts.next() {
                group.growth = group.count.cast_signed() - first.cast_signed();
            }
            let lately = self.looks.len().checked_sub(RISES + 1);
            group.growing = lately.is_some_and(|from| {
                let counts: Vec<u64> = self
                    .looks
                    .range(from..)
                    .map(|look| count(look, &group.signature))
                    .collect();
                counts.windows(2).all(|pair| pair[0] < pair[1])
            });
        }
    }
}

fn count(look: &HashMap<String, u64>, signature: &str) -> u64 {
    look.get(signature).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(count: u64) -> Vec<RoutineGroup> {
        let mut grouped = super::super::Grouped::default();
        for id in 0..count {
            grouped.add(id, None);
        }
        super::super::group([(super::super::Named::default(), grouped)])
    }

    fn judged(counts: &[u64]) -> RoutineGroup {
        let mut history = History::every(Duration::ZERO);
        for count in counts {
            history.take(&of(*count));
        }
        let mut groups = of(*counts.last().unwrap());
        history.judge(&mut groups);
        groups.remove(0)
    }

    #[test]
    fn five_rises_make_a_leak_likely() {
        assert!(!judged(&[1, 2, 3, 4, 5]).growing, "four rises");
        let group = judged(&[1, 2, 3, 4, 5, 6]);
        assert!(group.growing);
        assert_eq!(group.growth, 5);
        assert!(!judged(&[1, 2, 3, 3, 5, 6]).growing);
        assert!(!judged(&[1, 2, 3, 4, 5, 6, 6]).growing, "it stopped");
        assert_eq!(judged(&[9, 2]).growth, -7);
    }

    #[test]
    fn a_new_group_has_grown_from_nothing() {
        let mut history = History::every(Duration::ZERO);
        history.take(&[]);
        let mut groups = of(3);
        history.take(&groups.clone());
        history.judge(&mut groups);
        assert_eq!(groups[0].growth, 3);
    }

    #[test]
    fn looks_too_close_together_do_not_count() {
        let mut history = History::every(Duration::from_hours(1));
        for count in 1..10 {
            history.take(&of(count));
        }
        let mut groups = of(10);
        history.judge(&mut groups);
        assert!(!groups[0].growing);
        assert_eq!(groups[0].growth, 9);
    }

    proptest! {
        #[test]
        fn growing_means_rising(counts in proptest::collection::vec(1_u64..5, 1..80)) {
            let group = judged(&counts);
            let rises = counts.windows(2).rev().take_while(|pair| pair[0] < pair[1]).count();
            prop_assert_eq!(group.growing, rises >= RISES);
            let first = counts[counts.len().saturating_sub(LOOKS)];
            prop_assert_eq!(group.growth, counts[counts.len() - 1] as i64 - first as i64);
        }
    }
}
