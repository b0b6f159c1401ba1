//! Goroutines or threads with the same state and stack.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::service::RoutineGroup;

/// Ids that a group names.
const NAMED_IDS: usize = 20;
/// Who waits for longer is stale.
const STALE_MINUTES: u64 = 10;

/// What makes two of them the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// State.
    pub state: String,
    /// What is waited for.
    pub wait_reason: String,
    /// Frames as shown, innermost first.
    pub call_stack: Vec<String>,
    /// Where it was created.
    pub created_by: String,
}

impl Named {
    /// The same for the same group in every look. Not for secrets: anyone can find two groups with
    /// the same one.
    fn signature(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Those of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouped {
    /// Ids, ascending; at most those that are shown.
    pub ids: Vec<u64>,
    /// How many.
    pub count: u64,
    /// Of the one that waits longest.
    pub blocked_minutes: Option<u64>,
}

impl Grouped {
    /// Adds one.
    pub fn add(&mut self, id: u64, blocked_minutes: Option<u64>) {
        self.count += 1;
        if self.ids.len() < NAMED_IDS {
            self.ids.push(id);
        }
        self.blocked_minutes = self.blocked_minutes.max(blocked_minutes);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.ids.extend(&other.ids);
        self.ids.sort_unstable();
        self.ids.truncate(NAMED_IDS);
        self.blocked_minutes = self.blocked_minutes.max(other.blocked_minutes);
    }
}

/// Groups, largest first. What differs by address only, and not in what is shown, is one.
pub fn group(parts: impl IntoIterator<Item = (Named, Grouped)>) -> Vec<RoutineGroup> {
    let mut groups: BTreeMap<Named, Grouped> = BTreeMap::new();
    for (named, grouped) in parts {
        groups.entry(named).or_default().merge(&grouped);
    }
    let mut groups: Vec<RoutineGroup> = groups
        .into_iter()
        .map(|(named, grouped)| RoutineGroup {
            signature: named.signature(),
            state: named.state,
            wait_reason: named.wait_reason,
            count: grouped.count,
            blocked_minutes: grouped.blocked_minutes,
            growth: 0,
            stale: grouped
                .blocked_minutes
                .is_some_and(|minutes| minutes > STALE_MINUTES),
            growing: false,
            call_stack: named.call_stack,
            created_by: named.created_by,
            ids: grouped.ids,
            names: Vec::new(),
        })
        .collect();
    groups.sort_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then_with(|| a.signature.cmp(&b.signature))
    });
    groups
}

/// Adds up by addresses first, since names cost more.
pub type ByAddress<K> = HashMap<K, Grouped>;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(state: &str, frame: &str) -> Named {
        Named {
            state: state.to_owned(),
            call_stack: vec![frame.to_owned()],
            ..Named::default()
        }
    }

    fn grouped(ids: std::ops::Range<u64>, minutes: Option<u64>) -> Grouped {
        let mut grouped = Grouped::default();
        for id in ids {
            grouped.add(id, minutes);
        }
        grouped
    }

    #[test]
    fn the_same_to_look_at_is_one_group() {
        let groups = group([
            (named("waiting", "a"), grouped(0..2, Some(3))),
            (named("waiting", "b"), grouped(10..14, None)),
            (named("waiting", "a"), grouped(20..21, Some(11))),
            (named("runnable", "a"), grouped(30..31, None)),
        ]);
        let counts: Vec<u64> = groups.iter().map(|group| group.count).collect();
        assert_eq!(counts, [4, 3, 1]);
        assert_eq!(groups[1].ids, [0, 1, 20]);
        assert_eq!(groups[1].blocked_minutes, Some(11));
        assert!(groups[1].stale);
        assert!(!groups[0].stale);
        assert_ne!(groups[1].signature, groups[2].signature);
        let again = group([(named("waiting", "a"), grouped(5..6, None))]);
        assert_eq!(again[0].signature, groups[1].signature);
    }

    #[test]
    fn only_some_ids_are_named() {
        let groups = group([
            (named("waiting", "a"), grouped(100..200, None)),
            (named("waiting", "a"), grouped(0..100, None)),
        ]);
        assert_eq!(groups[0].count, 200);
        assert_eq!(groups[0].ids, (0..20).collect::<Vec<u64>>());
    }
}
