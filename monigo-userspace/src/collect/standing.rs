//! For how much a sample or a recorded call stands whose function is watched in time windows only.
//!
//! What was measured in an interval stands for that interval and for those before it in which nothing was, so that the
//! parts add up to the whole that is stored of the function, whatever windows and load did meanwhile. The first one
//! stands for half of the time until the next window as well, since at the end half of such a time is left on average.

/// By how much more than windows are rare a measurement may stand for at the most.
const MOST: f64 = 2.0;

/// Time of each function that nothing stands for yet, ns, by id.
#[derive(Clone, Debug, Default)]
pub struct Unseen {
    functions: Vec<Time>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Time {
    unseen_ns: f64,
    measured: bool,
}

impl Unseen {
    /// Starts over.
    pub fn clear(&mut self) {
        self.functions.clear();
    }

    /// A function took `total_ns` in an interval, of which `measured_ns` was measured; windows are open for `share` of
    /// the time. Returns the factor for what was measured, and `None` if nothing was.
    pub fn factor(
        &mut self,
        function: u32,
        total_ns: u64,
        measured_ns: u64,
        share: f64,
    ) -> Option<f64> {
        let place = function as usize;
        if self.functions.len() <= place {
            self.functions.resize(place + 1, Time::default());
        }
        let time = &mut self.functions[place];
        time.unseen_ns += total_ns as f64;
        if measured_ns == 0 {
            return None;
        }
        let (measured, rarity) = (measured_ns as f64, 1.0 / share.max(0.001));
        if !time.measured {
            time.measured = true;
            time.unseen_ns += measured * (rarity - 1.0) / 2.0;
        }
        let factor = (time.unseen_ns / measured).clamp(1.0, MOST * rarity);
        time.unseen_ns -= factor * measured;
        Some(factor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_measured_stands_for_what_came_before() {
        let mut unseen = Unseen::default();
        assert_eq!(unseen.factor(3, 100, 100, 0.5), Some(1.5));
        assert_eq!(unseen.factor(3, 100, 0, 0.5), None);
        assert_eq!(unseen.factor(3, 100, 50, 0.5), Some(4.0));
        assert_eq!(unseen.factor(2, 100, 100, 0.1), Some(5.5), "another one");
        // A short part of a window is not to stand for all of it.
        assert_eq!(unseen.factor(3, 100, 1, 0.5), Some(4.0));
        assert_eq!(unseen.factor(3, 100, 98, 0.5), Some(2.0));
    }

    proptest! {
        #[test]
        fn the_parts_add_up(intervals in prop::collection::vec((0_u64..1_000_000, 0.05_f64..1.0), 1..50)) {
            let mut unseen = Unseen::default();
            let (mut whole, mut stood_for, mut ahead) = (0.0, 0.0, 0.0);
            for (total, part) in intervals {
                let measured = (total as f64 * part) as u64;
                let factor = unseen.factor(0, total, measured, 0.01);
                whole += total as f64;
                stood_for += factor.unwrap_or(0.0) * measured as f64;
                if ahead == 0.0 {
                    ahead = measured as f64 * 99.0 / 2.0;
                }
            }
            prop_assert!((whole + ahead - stood_for - unseen.functions[0].unseen_ns).abs() < 1.0);
        }
    }
}
