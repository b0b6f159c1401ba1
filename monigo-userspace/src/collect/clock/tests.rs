use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// A look at `second` after the host's start, with the host's clock set to the Unix time that it began at and `ahead_ns`.
fn look(second: i64, ahead_ns: i64) -> Look {
    let now = second * SECOND;
    Look {
        boot_before: now,
        before: now,
        unix: 1_000 * HOUR + now + ahead_ns,
        after: now,
        boot_after: now,
    }
}

/// As [`unix_ns`] asks.
fn ask(clock: &mut Clock, look: Look) -> i64 {
    clock.settled(&look).unwrap_or_else(|| clock.take(&look)) - 1_000 * HOUR
}

#[test]
fn it_follows_forward_and_never_goes_back() {
    let mut clock = Clock::new();
    assert_eq!(ask(&mut clock, look(1, 0)), SECOND);
    assert_eq!(ask(&mut clock, look(2, -HOUR)), 2 * SECOND);
    assert_eq!(ask(&mut clock, look(3, -HOUR)), 3 * SECOND);
    assert_eq!(ask(&mut clock, look(4, HOUR)), 4 * SECOND + HOUR);
    assert_eq!(ask(&mut clock, look(5, HOUR)), 5 * SECOND + HOUR);
    assert_eq!(clock.changes, [-HOUR, 2 * HOUR]);
    let mut seen = 1;
    let told: Vec<String> = clock.changes[seen as usize..]
        .iter()
        .map(|by| sentence(*by))
        .collect();
    seen += told.len() as u64;
    assert_eq!(seen, clock.changed);
    assert!(told[0].contains("set forward by 2"), "{told:?}");
    assert!(
        sentence(-HOUR).contains("set back by"),
        "{}",
        sentence(-HOUR)
    );
}

#[test]
fn a_reading_of_the_kernel_has_one_time() {
    let mut clock = Clock::new();
    ask(&mut clock, look(10, 0));
    let begun = clock.unix_of(11 * SECOND);
    ask(&mut clock, look(12, HOUR));
    assert_eq!(clock.unix_of(11 * SECOND), begun);
    // Also of what began before monigo did.
    assert_eq!(clock.unix_of(0), begun - 11 * SECOND);
    assert_eq!(clock.unix_of(13 * SECOND), begun + 2 * SECOND + HOUR);
}

#[test]
fn time_that_was_skipped_is_not_age() {
    let mut clock = Clock::new();
    let start = ask(&mut clock, look(0, 0)) + 1_000 * HOUR;
    let now = ask(&mut clock, look(60, 2 * HOUR)) + 1_000 * HOUR;
    assert_eq!(clock.skipped(start, now), 2 * HOUR as u64);
    assert_eq!(clock.skipped(start, now - HOUR), 0);
    assert_eq!(clock.skipped(now, now + HOUR), 0);
    // A minute ago is the start, however late the clock is now.
    assert_eq!(clock.before(now, 60 * SECOND), start);
    assert_eq!(clock.before(now, 10 * SECOND), start + 50 * SECOND);
    assert_eq!(clock.before(now, HOUR), start + 60 * SECOND - HOUR);
    // Of a time before the leap nothing was skipped.
    assert_eq!(clock.before(start + SECOND, HOUR), start + SECOND - HOUR);
}

#[test]
fn a_host_that_slept_was_not_set() {
    let mut clock = Clock::new();
    ask(&mut clock, look(1, 0));
    // The kernel programs' clock stands still meanwhile; the other two do not.
    let mut awake = look(2, 0);
    awake.boot_before += HOUR;
    awake.boot_after += HOUR;
    awake.unix += HOUR;
    assert_eq!(ask(&mut clock, awake), 2 * SECOND + HOUR);
    assert!(clock.changes.is_empty());
}

#[test]
fn a_thread_that_rested_between_readings_is_no_change() {
    let mut clock = Clock::new();
    ask(&mut clock, look(1, 0));
    let mut rested = look(2, 0);
    rested.after += 5 * SECOND;
    rested.boot_after += 5 * SECOND;
    assert_eq!(ask(&mut clock, rested), 7 * SECOND);
    let mut rested = look(8, 0);
    rested.unix += 5 * SECOND;
    rested.after += 5 * SECOND;
    rested.boot_after += 5 * SECOND;
    assert_eq!(ask(&mut clock, rested), 13 * SECOND);
    assert!(clock.changes.is_empty() && clock.periods.len() == 1);
}

#[test]
fn memory_is_bounded() {
    let mut clock = Clock::new();
    for second in 0..3 * MOST as i64 {
        ask(&mut clock, look(second, 2 * second * SECOND));
    }
    assert_eq!(clock.periods.len(), MOST);
    assert_eq!(clock.changes.len(), MOST);
}

proptest! {
    #[test]
    fn order_survives_whatever_is_set(steps in prop::collection::vec((1_i64..100, -10_000_i64..10_000), 1..60)) {
        let mut clock = Clock::new();
        let (mut second, mut last) = (0, i64::MIN);
        let mut asked = Vec::new();
        for (passed, ahead) in steps {
            second += passed;
            let now = ask(&mut clock, look(second, ahead * SECOND));
            prop_assert!(now > last);
            prop_assert!(now >= (second + ahead) * SECOND - FOLLOWED_NS, "behind the host's");
            last = now;
            asked.push((second, now));
        }
        for (second, now) in &asked {
            prop_assert_eq!(clock.unix_of(second * SECOND) - 1_000 * HOUR, *now);
        }
        let (first, last) = (asked[0], asked[asked.len() - 1]);
        let unix = |time: i64| time + 1_000 * HOUR;
        let passed = (last.0 - first.0) * SECOND;
        prop_assert_eq!(clock.skipped(unix(first.1), unix(last.1)) as i64, last.1 - first.1 - passed);
        prop_assert_eq!(clock.before(unix(last.1), passed), unix(first.1));
    }
}
