//! What was seen of each function, and what follows from it.

use std::time::Duration;

use serde::Serialize;

/// What was seen of one function in windows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The windows together.
    pub watched: Duration,
    /// Calls that began.
    pub entered: u64,
    /// Calls that ended as well.
    pub completed: u64,
    /// Time in those.
    pub total_ns: u64,
    /// The same without time in other functions that were timed.
    pub self_ns: u64,
    /// Calls that were open when windows ended.
    pub open: u64,
    /// Time that these had been going on for.
    pub open_ns: u64,
}

/// Calls of a window from which on its mean says something by itself.
const MANY: u64 = 8;
/// Windows from which on the median of their means is used.
const WINDOWS: usize = 3;

impl Seen {
    fn add(&mut self, other: Self) {
        self.watched += other.watched;
        self.entered += other.entered;
        self.completed += other.completed;
        self.total_ns += other.total_ns;
        self.self_ns += other.self_ns;
        self.open += other.open;
        self.open_ns += other.open_ns;
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.watched.as_secs_f64();
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    }
}

/// All that was seen of one function.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// In short windows that only count.
    counted: Seen,
    /// In short windows that time calls; only the longest of them in which calls ended.
    burst: Seen,
    /// Those of the scale that is going on.
    scale: Seen,
    /// Means of the windows of that scale with [`MANY`] calls, ns.
    means: Vec<f64>,
    /// In all short windows that time calls: those that did not end in them.
    unfinished: Seen,
    /// The longest that one of those had been going on for.
    longest_open_ns: u64,
    /// In long windows.
    long: Seen,
    /// Probes slowed the function down while its calls were counted.
    slowed: bool,
}

/// How good the figures of a function are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Every call of a long window was timed.
    Measured,
    /// Estimated from short windows.
    Sampled,
    /// It is called so often that probes slowed it down: there are at least that many calls.
    AtLeast,
    /// No call that began in a window ended in it: the time is at least that.
    Unfinished,
    /// Calls were counted, none was timed.
    CountOnly,
}

/// What is known of one function.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Calls per second.
    pub calls_per_second: f64,
    /// Time in its calls as a share of the time that went by; more than 1 where threads run it at
    /// the same time.
    pub time_share: Option<f64>,
    /// The same without time in other functions that were timed.
    pub self_share: Option<f64>,
    /// Mean duration of a call, ns.
    pub mean_ns: Option<f64>,
    /// Calls that were seen.
    pub calls: u64,
    /// How good that is.
    pub basis: Basis,
}

impl Tally {
    /// Adds a short window that only counted.
    pub fn counted(&mut self, seen: Seen, slowed: bool) {
        self.counted.add(seen);
        self.slowed |= slowed;
    }

    /// Adds a window of the given scale that timed calls. Scales come in order, short windows first.
    pub fn burst(&mut self, seen: Seen, first_of_scale: bool) {
        if first_of_scale {
            self.scale = Seen::default();
            self.means.clear();
        }
        self.scale.add(seen);
        self.unfinished.watched += seen.watched;
        if seen.completed >= MANY {
            self.means
                .push(seen.total_ns as f64 / seen.completed as f64);
        }
        if self.scale.completed > 0 {
            self.burst = self.scale;
        }
    }

    /// Adds a call that was open for so long when the last of those windows ended.
    pub fn open(&mut self, open_ns: u64) {
        self.unfinished.open += 1;
        self.unfinished.open_ns += open_ns;
        self.longest_open_ns = self.longest_open_ns.max(open_ns);
    }

    /// Adds a long window.
    pub fn long(&mut self, seen: Seen) {
        self.long.add(seen);
    }

    /// Calls per second as far as known.
    pub fn rate(&self) -> f64 {
        if self.long.watched > self.counted.watched {
            self.long.per_second(self.long.entered)
        } else {
            self.counted.per_second(self.counted.entered)
        }
    }

    /// Whether any call was seen.
    pub fn was_called(&self) -> bool {
        self.counted.entered + self.burst.entered + self.long.entered > 0
    }

    /// Mean duration in short windows. Where each has many calls, the median of their means: one
    /// call during which the thread lost its CPU outweighs hundreds of short ones.
    fn burst_mean_ns(&self) -> f64 {
        let mut means = self.means.clone();
        if means.len() >= WINDOWS {
            means.sort_by(f64::total_cmp);
            return means[means.len() / 2];
        }
        self.burst.total_ns as f64 / self.burst.completed.max(1) as f64
    }

    /// Share of the time that calls take at least, none of which ended in a short window: windows see the
    /// beginning of calls only, but each lasts as long as the longest was seen to, as far as calls are alike.
    fn least_share(&self) -> f64 {
        let seen = self.unfinished.per_second(self.unfinished.open_ns);
        let watched = self.counted.watched + self.unfinished.watched;
        let began = self.counted.entered + self.unfinished.open;
        let each = began as f64 * self.longest_open_ns as f64 / watched.as_secs_f64();
        seen.max(each) / 1e9
    }

    /// What follows; `None` without any call.
    pub fn figures(&self) -> Option<Figures> {
        if !self.was_called() {
            return None;
        }
        let calls = self.counted.entered + self.burst.entered + self.long.entered;
        let long = &self.long;
        if long.entered > 0 && long.watched >= self.counted.watched {
            let ended = long.completed > 0;
            return Some(Figures {
                calls_per_second: long.per_second(long.entered),
                time_share: Some(long.per_second(long.total_ns + long.open_ns) / 1e9),
                self_share: ended.then(|| long.per_second(long.self_ns) / 1e9),
                mean_ns: ended.then(|| long.total_ns as f64 / long.completed as f64),
                calls,
                basis: if ended {
                    Basis::Measured
                } else {
                    Basis::Unfinished
                },
            });
        }
        let rate = self.rate();
        let timed = self.burst.completed > 0;
        if !timed && self.unfinished.open > 0 {
            return Some(Figures {
                calls_per_second: rate,
                time_share: Some(self.least_share()),
                self_share: None,
                mean_ns: None,
                calls,
                basis: Basis::Unfinished,
            });
        }
        let mean_ns = self.burst_mean_ns();
        let own_part = self.burst.self_ns as f64 / self.burst.total_ns.max(1) as f64;
        Some(Figures {
            calls_per_second: rate,
            time_share: timed.then_some(rate * mean_ns / 1e9),
            self_share: timed.then_some(rate * mean_ns / 1e9 * own_part),
            mean_ns: timed.then_some(mean_ns),
            calls,
            basis: match (timed, self.slowed) {
                (_, true) => Basis::AtLeast,
                (true, false) => Basis::Sampled,
                (false, false) => Basis::CountOnly,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ms: u64, entered: u64, completed: u64, total_ns: u64) -> Seen {
        Seen {
            watched: Duration::from_millis(ms),
            entered,
            completed,
            total_ns,
            self_ns: total_ns / 2,
            ..Seen::default()
        }
    }

    #[test]
    fn nothing_follows_from_nothing() {
        let mut tally = Tally::default();
        tally.counted(seen(20, 0, 0, 0), false);
        assert_eq!(tally.figures(), None);
    }

    #[test]
    fn hot_functions_are_extrapolated() {
        let mut tally = Tally::default();
        tally.counted(seen(10, 1000, 0, 0), false);
        assert_eq!(tally.figures().unwrap().basis, Basis::CountOnly);
        tally.burst(seen(1, 50, 50, 100_000), true);
        let figures = tally.figures().unwrap();
        assert_eq!(figures.basis, Basis::Sampled);
        assert!((figures.calls_per_second - 100_000.0).abs() < 1e-6);
        assert!((figures.mean_ns.unwrap() - 2000.0).abs() < 1e-6);
        assert!((figures.time_share.unwrap() - 0.2).abs() < 1e-9);
        assert!((figures.self_share.unwrap() - 0.1).abs() < 1e-9);
        tally.counted(seen(10, 1000, 0, 0), true);
        assert_eq!(tally.figures().unwrap().basis, Basis::AtLeast);
    }

    #[test]
    fn one_interrupted_call_does_not_make_a_hot_function_slow() {
        let mut tally = Tally::default();
        tally.counted(seen(10, 1000, 0, 0), false);
        for (index, total_ns) in [10_000, 4_000_000, 10_000].into_iter().enumerate() {
            tally.burst(seen(1, 100, 100, total_ns), index == 0);
        }
        assert!((tally.figures().unwrap().mean_ns.unwrap() - 100.0).abs() < 1e-6);
    }

    #[test]
    fn calls_longer_than_windows_show_by_what_they_left_open() {
        let mut tally = Tally::default();
        tally.counted(seen(10, 1, 0, 0), false);
        tally.burst(seen(4, 1, 0, 0), true);
        tally.open(2_000_000);
        let figures = tally.figures().unwrap();
        assert_eq!(figures.basis, Basis::Unfinished);
        assert!((figures.time_share.unwrap() - 0.5).abs() < 1e-9);
        // Calls of 10 ms, 50 a second, in windows of 4 ms: what windows hold of them is not all.
        let mut tally = Tally::default();
        tally.counted(seen(100, 5, 0, 0), false);
        for index in 0..25 {
            tally.burst(seen(4, u64::from(index % 5 == 0), 0, 0), index == 0);
            if index % 5 == 0 {
                tally.open(1_000_000 + index * 100_000);
            }
        }
        let share = tally.figures().unwrap().time_share.unwrap();
        assert!((share - 0.15).abs() < 1e-9, "{share}");
    }

    #[test]
    fn long_windows_count_as_they_are() {
        let mut tally = Tally::default();
        tally.counted(seen(20, 0, 0, 0), false);
        tally.long(Seen {
            open: 1,
            open_ns: 300_000_000,
            ..seen(1000, 2, 1, 200_000_000)
        });
        let figures = tally.figures().unwrap();
        assert_eq!(figures.basis, Basis::Measured);
        assert!((figures.time_share.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(figures.calls, 2);
        let mut tally = Tally::default();
        tally.long(Seen {
            open: 1,
            open_ns: 300_000_000,
            ..seen(1000, 1, 0, 0)
        });
        let figures = tally.figures().unwrap();
        assert_eq!(figures.basis, Basis::Unfinished);
        assert_eq!(figures.mean_ns, None);
    }

    #[test]
    fn longer_windows_replace_shorter_ones_once_calls_end_in_them() {
        let mut tally = Tally::default();
        tally.counted(seen(10, 100, 0, 0), false);
        tally.burst(seen(1, 5, 5, 5000), true);
        tally.burst(seen(20, 5, 0, 0), true);
        assert!((tally.figures().unwrap().mean_ns.unwrap() - 1000.0).abs() < 1e-6);
        tally.burst(seen(20, 5, 1, 9000), false);
        assert!((tally.figures().unwrap().mean_ns.unwrap() - 9000.0).abs() < 1e-6);
    }
}
