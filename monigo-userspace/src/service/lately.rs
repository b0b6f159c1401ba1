//! Latency of the last minute, which objectives are compared with.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    query::{FunctionRow, QueryError, Source, Window},
    sync::lock,
    system::metrics::Cache,
};

/// An answer is about at least this long.
const LATELY: Duration = Duration::from_mins(1);
/// How long an answer serves.
const LIVE: Duration = Duration::from_secs(5);
/// Asking takes at most 1 part in this of the time, unless an answer would serve longer than [`SERVE`].
const REST: u32 = 50;
/// How long an answer serves at most: every minute is seen in a window of which it is the larger part.
const SERVE: Duration = Duration::from_secs(20);

/// Functions over the last minute, and over whatever came since the look before: on a host that is slow to
/// answer, or with flushes further apart than a minute, no flush goes unseen.
pub struct Lately {
    cache: Cache<Vec<FunctionRow>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The last flush that was looked at, Unix time in ns.
    upto_ns: Option<i64>,
    /// What it brought.
    rows: Vec<FunctionRow>,
}

impl Default for Lately {
    fn default() -> Self {
        Self::with_cache(Cache::new(LIVE, REST))
    }
}

impl Lately {
    fn with_cache(cache: Cache<Vec<FunctionRow>>) -> Self {
        Self {
            cache: cache.at_most(SERVE),
            seen: Mutex::default(),
        }
    }

    /// Functions of the source lately; what was known last while it cannot answer.
    pub fn functions(&self, source: &dyn Source) -> Arc<Vec<FunctionRow>> {
        self.ask(
            || Ok(source.overview()?.last_flush_ns),
            |window| source.functions(window),
        )
    }

    /// The minute ends with the last flush: the clock of the recording decides, not the host's, which may be set.
    fn ask(
        &self,
        last_flush: impl FnOnce() -> Result<Option<i64>, QueryError>,
        functions: impl FnOnce(Window) -> Result<Vec<FunctionRow>, QueryError>,
    ) -> Arc<Vec<FunctionRow>> {
        self.cache.get(|| {
            let mut seen = lock(&self.seen);
            let looked = last_flush().and_then(|last_ns| {
                let Some(last_ns) = last_ns else {
                    return Ok((None, Vec::new()));
                };
                let window = Window {
                    from_ns: Some(begin(last_ns, seen.upto_ns)),
                    to_ns: None,
                };
                Ok((Some(last_ns), functions(window)?))
            });
            match looked {
                Ok((upto_ns, rows)) => *seen = Seen { upto_ns, rows },
                Err(error) => {
                    tracing::debug!("latencies could not be compared with objectives: {error}");
                }
            }
            seen.rows.clone()
        })
    }
}

/// Where a look begins when the last flush was at `last_ns`, and the look before saw those until `seen_ns`.
fn begin(last_ns: i64, seen_ns: Option<i64>) -> i64 {
    let lately_ns = i64::try_from(LATELY.as_nanos()).unwrap_or(i64::MAX);
    let minute = last_ns.saturating_sub(lately_ns);
    seen_ns.map_or(minute, |seen_ns| minute.min(seen_ns))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::LazyLock, time::Instant};

    use super::*;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// A clock that only the test moves.
    fn clock() -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START + NOW.get()
    }

    fn pass(time: Duration) {
        NOW.set(NOW.get() + time);
    }

    fn now_ns() -> i64 {
        i64::try_from(NOW.get().as_nanos()).unwrap()
    }

    /// Looks every second while time passes, with a flush every `flush`; how many of them were in no look's window.
    fn unseen(flush: Duration, answer_takes: Duration, looks: u32) -> usize {
        NOW.set(Duration::from_hours(1));
        let lately = Lately::with_cache(Cache::new(LIVE, REST).with_clock(clock));
        let flush_ns = i64::try_from(flush.as_nanos()).unwrap();
        let last = || now_ns() / flush_ns * flush_ns;
        let begun = last();
        let mut windows = Vec::new();
        for _ in 0..looks {
            lately.ask(
                || Ok(Some(last())),
                |window| {
                    windows.push((window.from_ns.unwrap(), last()));
                    pass(answer_takes);
                    Ok(Vec::new())
                },
            );
            pass(Duration::from_secs(1));
        }
        let end = windows.last().unwrap().1;
        assert!(windows.len() > 1 && end > begun, "{windows:?}");
        let flushes = (begun..=end).step_by(flush.as_nanos() as usize);
        flushes
            .filter(|at| !windows.iter().any(|(after, upto)| after < at && at <= upto))
            .count()
    }

    #[test]
    fn a_flush_is_seen_however_long_an_answer_takes() {
        let second = Duration::from_secs(1);
        assert_eq!(unseen(second, Duration::ZERO, 200), 0);
        // At 50 times as long, an answer would serve for longer than a minute.
        assert_eq!(unseen(second, 2 * second, 200), 0);
        assert_eq!(unseen(second, 100 * second, 200), 0);
    }

    #[test]
    fn flushes_further_apart_than_a_minute_are_seen() {
        assert_eq!(unseen(Duration::from_mins(5), Duration::ZERO, 2_000), 0);
    }

    #[test]
    fn an_answer_that_took_long_serves_no_longer_than_allowed() {
        NOW.set(Duration::ZERO);
        let lately = Lately::with_cache(Cache::new(LIVE, REST).with_clock(clock));
        let asked = Cell::new(0);
        let ask = || {
            lately.ask(
                || Ok(Some(now_ns())),
                |_| {
                    asked.set(asked.get() + 1);
                    pass(Duration::from_secs(2));
                    Ok(Vec::new())
                },
            )
        };
        ask();
        let almost = Duration::from_secs(19);
        pass(almost);
        ask();
        assert_eq!(asked.get(), 1);
        pass(SERVE.saturating_sub(almost));
        ask();
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn what_a_failed_look_missed_is_in_the_next() {
        NOW.set(Duration::ZERO);
        let lately = Lately::with_cache(Cache::new(Duration::ZERO, 0).with_clock(clock));
        let minutes = |count: i64| count * 60_000_000_000;
        lately.ask(|| Ok(Some(minutes(10))), |_| Ok(Vec::new()));
        let failed = || Err(QueryError::Store("locked".to_owned()));
        lately.ask(failed, |_| panic!("asked in vain"));
        let mut from_ns = None;
        lately.ask(
            || Ok(Some(minutes(20))),
            |window| {
                from_ns = window.from_ns;
                Ok(Vec::new())
            },
        );
        assert_eq!(from_ns, Some(minutes(10)));
    }

    #[test]
    fn nothing_is_asked_before_the_first_flush() {
        let lately = Lately::default();
        let rows = lately.ask(|| Ok(None), |_| panic!("nothing was flushed"));
        assert!(rows.is_empty());
    }
}
