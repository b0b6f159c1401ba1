//! The clock of recordings: kernel time to Unix time.
//!
//! There is one for the whole process, so that everything it writes is in order. It never goes back: when the host's
//! clock is set back, it goes on as before, ahead of the host's, until that has caught up. When the host's clock is
//! set forward, it follows. Each reading of the kernel's clock has one Unix time, whenever it is asked for, so calls and
//! the samples in them stay together.

use std::sync::{PoisonError, RwLock};

use nix::time::{ClockId, clock_gettime};

/// The host's clock is followed when it is ahead by more than this, ns. Less is not a clock that was set.
const FOLLOWED_NS: i64 = 100_000_000;
/// What sets the host's clock by less is not told, ns.
const TOLD_NS: i64 = 1_000_000_000;
/// Periods and changes that are remembered.
const MOST: usize = 1_000;

static CLOCK: RwLock<Clock> = RwLock::new(Clock::new());

/// Unix time in ns, on the clock of recordings.
pub fn unix_ns() -> i64 {
    let look = Look::take();
    let settled = {
        let clock = CLOCK.read().unwrap_or_else(PoisonError::into_inner);
        clock.settled(&look)
    };
    settled.unwrap_or_else(|| {
        let mut clock = CLOCK.write().unwrap_or_else(PoisonError::into_inner);
        clock.take(&look)
    })
}

/// Unix time in ns of a `bpf_ktime_get_ns` reading, on the clock of recordings.
pub fn unix_of(ktime_ns: u64) -> i64 {
    let clock = CLOCK.read().unwrap_or_else(PoisonError::into_inner);
    clock.unix_of(i64::try_from(ktime_ns).unwrap_or(i64::MAX))
}

/// By how much the clock was set forward within `(from_ns, to_ns]`, Unix times, ns.
pub fn skipped(from_ns: i64, to_ns: i64) -> u64 {
    let clock = CLOCK.read().unwrap_or_else(PoisonError::into_inner);
    clock.skipped(from_ns, to_ns)
}

/// The Unix time at which what is `age_ns` old at `now_ns` was measured: time that the clock was set forward by is not
/// age.
pub fn before(now_ns: i64, age_ns: i64) -> i64 {
    let clock = CLOCK.read().unwrap_or_else(PoisonError::into_inner);
    clock.before(now_ns, age_ns)
}

/// Changes of the host's clock since `seen`, which is how many there were, as sentences.
pub fn changes(seen: &mut u64) -> Vec<String> {
    let clock = CLOCK.read().unwrap_or_else(PoisonError::into_inner);
    let new = clock.changed.saturating_sub(*seen) as usize;
    *seen = clock.changed;
    let first = clock.changes.len().saturating_sub(new);
    clock.changes[first..]
        .iter()
        .map(|by| sentence(*by))
        .collect()
}

/// What is said of a clock that was set by so much, ns.
fn sentence(by_ns: i64) -> String {
    let by = crate::export::format::duration_ns(by_ns.unsigned_abs());
    if by_ns > 0 {
        format!(
            "the host's clock was set forward by {by}: nothing was missed, and times go on from there"
        )
    } else {
        format!(
            "the host's clock was set back by {by}: nothing was missed, and times go on ahead of it until it has caught up, or until monigo is started again"
        )
    }
}

/// The clocks at one instant, ns: those of the kernel programs and of the host's start enclose the one that can be set.
#[derive(Clone, Copy, Debug)]
struct Look {
    boot_before: i64,
    before: i64,
    unix: i64,
    after: i64,
    boot_after: i64,
}

impl Look {
    fn take() -> Self {
        Self {
            boot_before: read(ClockId::CLOCK_BOOTTIME),
            before: read(ClockId::CLOCK_MONOTONIC),
            unix: read(ClockId::CLOCK_REALTIME),
            after: read(ClockId::CLOCK_MONOTONIC),
            boot_after: read(ClockId::CLOCK_BOOTTIME),
        }
    }

    /// By how much the host's clock is ahead, at least: the thread may have rested between the readings.
    const fn ahead_of(&self, period: &Period) -> i64 {
        self.unix - self.after - period.offset_ns
    }
}

/// Unix time is kernel time and this, from then on.
#[derive(Clone, Copy, Debug)]
struct Period {
    from_ktime_ns: i64,
    offset_ns: i64,
}

#[derive(Debug)]
struct Clock {
    /// Ascending, in both.
    periods: Vec<Period>,
    /// Unix time at the host's start, as the host's clock says.
    started_ns: i64,
    /// By how much the host's clock was set, the latest last.
    changes: Vec<i64>,
    changed: u64,
}

impl Clock {
    const fn new() -> Self {
        Self {
            periods: Vec::new(),
            started_ns: 0,
            changes: Vec::new(),
            changed: 0,
        }
    }

    /// The time of a look that brings nothing new.
    fn settled(&self, look: &Look) -> Option<i64> {
        let period = self.periods.last()?;
        let quiet = look.ahead_of(period) <= FOLLOWED_NS && self.set_by(look).is_none();
        quiet.then(|| look.after.saturating_add(period.offset_ns))
    }

    /// By how much the host's clock was set. It goes on while the host sleeps, as that of its start does.
    fn set_by(&self, look: &Look) -> Option<i64> {
        let (least, most) = (look.unix - look.boot_after, look.unix - look.boot_before);
        let (forward, back) = (least - self.started_ns, most - self.started_ns);
        if forward > TOLD_NS {
            Some(forward)
        } else {
            (back < -TOLD_NS).then_some(back)
        }
    }

    fn take(&mut self, look: &Look) -> i64 {
        match self.periods.last().copied() {
            None => {
                self.started_ns = look.unix - look.boot_after;
                self.periods.push(Period {
                    from_ktime_ns: look.before,
                    offset_ns: look.unix - i64::midpoint(look.before, look.after),
                });
            }
            Some(period) => {
                if let Some(by) = self.set_by(look) {
                    self.started_ns += by;
                    self.changed += 1;
                    push(&mut self.changes, by);
                }
                let ahead = look.ahead_of(&period);
                // Another thread may have been later and written first.
                if ahead > FOLLOWED_NS && look.after > period.from_ktime_ns {
                    let next = Period {
                        from_ktime_ns: look.after,
                        offset_ns: period.offset_ns + ahead,
                    };
                    push(&mut self.periods, next);
                }
            }
        }
        let offset_ns = self.periods.last().map_or(0, |period| period.offset_ns);
        look.after.saturating_add(offset_ns)
    }

    fn unix_of(&self, ktime_ns: i64) -> i64 {
        let later = self
            .periods
            .partition_point(|period| period.from_ktime_ns <= ktime_ns);
        let period = self.periods.get(later.saturating_sub(1));
        ktime_ns.saturating_add(period.map_or(0, |period| period.offset_ns))
    }

    /// Unix times at which the clock was set forward, before and after, the latest first.
    fn leaps(&self) -> impl Iterator<Item = (i64, i64)> {
        let pairs = self.periods.windows(2).rev();
        pairs.map(|pair| {
            let at = pair[1].from_ktime_ns;
            (at + pair[0].offset_ns, at + pair[1].offset_ns)
        })
    }

    fn skipped(&self, from_ns: i64, to_ns: i64) -> u64 {
        let within = self
            .leaps()
            .filter(|(start, end)| *start >= from_ns && *end <= to_ns);
        within.map(|(start, end)| (end - start) as u64).sum()
    }

    fn before(&self, now_ns: i64, age_ns: i64) -> i64 {
        let mut then = now_ns.saturating_sub(age_ns);
        for (start, end) in self.leaps() {
            if end <= now_ns && then < end {
                then = then.saturating_sub(end - start);
            }
        }
        then
    }
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= MOST {
        list.remove(0);
    }
    list.push(item);
}

fn read(clock: ClockId) -> i64 {
    // These clocks cannot fail on Linux.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

#[cfg(test)]
mod tests;
