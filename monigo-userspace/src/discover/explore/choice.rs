//! Which functions are timed together.

use std::collections::HashSet;

use super::Explorer;
use crate::discover::pace;

impl Explorer<'_> {
    /// Functions with the share of one CPU's time that timing them costs, dearest first.
    pub(super) fn by_cost(&self) -> Vec<(u32, f64)> {
        let mut set: Vec<(u32, f64)> = (0..)
            .zip(&self.tallies)
            .map(|(id, tally)| {
                let share = tally.rate() * f64::from(self.price(id).cost_ns) / 1e9;
                (id, share)
            })
            .collect();
        set.sort_by(|a, b| b.1.total_cmp(&a.1));
        set
    }

    pub(super) fn time_share(&self, id: u32) -> f64 {
        let figures = self.tallies[id as usize].figures();
        figures
            .and_then(|figures| figures.time_share)
            .unwrap_or(0.0)
    }

    /// Functions whose timing together costs no more than a long window may: for half of that those
    /// which seem to take most time, for the rest those that cost least.
    pub(super) fn affordable(&self, by_cost: &[(u32, f64)]) -> Vec<u32> {
        let mut by_time: Vec<(u32, f64)> = by_cost
            .iter()
            .copied()
            .filter(|(_, cost)| *cost > 0.0)
            .collect();
        by_time.sort_by(|a, b| self.time_share(b.0).total_cmp(&self.time_share(a.0)));
        let mut taken = HashSet::new();
        let mut left = pace::LONG_SHARE / 2.0;
        for &(id, cost) in &by_time {
            if cost <= left / 2.0 {
                left -= cost;
                taken.insert(id);
            }
        }
        left += pace::LONG_SHARE / 2.0;
        for &(id, cost) in by_cost.iter().rev() {
            if cost <= left && taken.insert(id) {
                left -= cost;
            }
        }
        taken.into_iter().collect()
    }
}

/// Where the sets of functions begin that are timed together, in a list that has the dearest
/// first: all, then without the dearest, and so on, each a fraction as dear as the one before.
pub(super) fn scales(set: &[(u32, f64)]) -> Vec<usize> {
    /// How much less each costs.
    const STEP: f64 = 8.0;
    let mut scales = Vec::new();
    let mut share: f64 = set.iter().map(|(_, share)| share).sum();
    let mut limit = f64::INFINITY;
    for (index, (_, own)) in set.iter().enumerate() {
        if share <= limit {
            scales.push(index);
            limit = share / STEP;
        }
        if share <= pace::LONG_SHARE {
            break;
        }
        share -= own;
    }
    scales
}

#[cfg(test)]
mod tests {
    use super::scales;

    #[test]
    fn scales_leave_out_the_dearest_step_by_step() {
        assert_eq!(scales(&[]), Vec::<usize>::new());
        // Cheap enough for the long window at once.
        assert_eq!(scales(&[(0, 0.01), (1, 0.01)]), [0]);
        let set = [(0, 8.0), (1, 0.5), (2, 0.4), (3, 0.05), (4, 0.01)];
        assert_eq!(scales(&set), [0, 1, 3]);
    }
}
