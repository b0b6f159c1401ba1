use super::*;
use crate::store::{SampleKind, fixture};

const LIMIT: u64 = 1000;

fn sample(taken_ns: i64, function: u32, start_ns: i64, callers: &[Key]) -> SampleRow {
    SampleRow {
        function,
        call_start_ns: start_ns,
        callers: callers.to_vec(),
        ..fixture::sample(taken_ns, SampleKind::Cpu, 1, None)
    }
}

fn call(function: u32, start_ns: i64) -> CallRow {
    CallRow {
        function,
        goid: None,
        ..fixture::call(start_ns, 1, 1, None)
    }
}

fn times(samples: &[SampleRow]) -> Vec<i64> {
    samples.iter().map(|sample| sample.taken_ns).collect()
}

#[test]
fn the_record_of_the_call_decides() {
    let mut pending = Pending::new(LIMIT);
    assert!(pending.sample(sample(10, 0, 5, &[])).0.is_empty());
    assert!(pending.sample(sample(20, 0, 5, &[])).0.is_empty());
    assert_eq!(times(&pending.call(&call(0, 5))), [10, 20]);
    assert!(pending.call(&call(0, 5)).is_empty());
    assert_eq!(pending.held, 0);
}

#[test]
fn a_call_without_a_record_is_dropped_with_the_next() {
    let mut pending = Pending::new(LIMIT);
    pending.sample(sample(10, 0, 5, &[]));
    pending.sample(sample(30, 0, 25, &[]));
    assert_eq!(pending.held, 1);
    assert!(
        pending.call(&call(0, 5)).is_empty(),
        "too late, so it was not recorded"
    );
    assert_eq!(times(&pending.call(&call(0, 25))), [30]);
}

#[test]
fn a_call_that_already_took_long_will_be_recorded() {
    let mut pending = Pending::new(LIMIT);
    pending.sample(sample(10, 0, 5, &[]));
    let (released, dropped) = pending.sample(sample(1005, 0, 5, &[]));
    assert_eq!((times(&released), dropped), (vec![10, 1005], 0));
    let (released, _) = pending.sample(sample(2000, 0, 5, &[]));
    assert_eq!(times(&released), [2000]);
}

#[test]
fn samples_of_calls_inside_wait_for_those_around() {
    let mut pending = Pending::new(LIMIT);
    pending.sample(sample(10, 1, 8, &[(0, 5)]));
    pending.sample(sample(20, 0, 5, &[]));
    pending.sample(sample(30, 1, 28, &[(0, 5)]));
    assert_eq!(times(&pending.call(&call(1, 28))), [30]);
    assert_eq!(times(&pending.call(&call(0, 5))), [10, 20]);
}

#[test]
fn others_do_not_matter() {
    let mut pending = Pending::new(LIMIT);
    pending.sample(sample(10, 0, 5, &[]));
    let other = SampleRow {
        tid: 999,
        ..sample(20, 0, 15, &[])
    };
    pending.sample(other);
    assert_eq!(pending.held, 2);
    assert_eq!(times(&pending.call(&call(0, 5))), [10]);
    pending.forget(100);
    assert_eq!((pending.held, pending.owners.len()), (0, 0));
}

#[test]
fn memory_has_a_limit_and_what_goes_is_counted() {
    let mut pending = Pending::new(LIMIT);
    pending.most = 8;
    let mut dropped = 0;
    for at in 0..20 {
        let sample = SampleRow {
            tid: at,
            ..sample(i64::from(at), 0, i64::from(at) - 1, &[])
        };
        let (released, lost) = pending.sample(sample);
        assert!(released.is_empty());
        dropped += lost;
        assert!(pending.held <= 8);
    }
    assert_eq!(pending.held as u64 + dropped, 20);
    assert!(pending.owners.len() <= 8);
    assert_eq!(
        times(&pending.call(&CallRow {
            tid: 19,
            ..call(0, 18)
        })),
        [19],
        "the newest stay"
    );
}

/// A future, and a sample of it that waits in `executions`, outermost last.
fn suspended(address: u64, taken_ns: i64, executions: &[Key]) -> (FutureKey, SampleRow) {
    let future = FutureKey {
        pid: 100,
        site: 1,
        address,
    };
    let (function, start_ns) = executions[0];
    let sample = SampleRow {
        tid: 0,
        ..sample(taken_ns, function, start_ns, &executions[1..])
    };
    (future, sample)
}

#[test]
fn executions_go_with_their_record_whichever_thread_ends_them() {
    let mut pending = Pending::new(LIMIT);
    let mut take = |address, taken_ns, executions: &[Key]| {
        let (future, sample) = suspended(address, taken_ns, executions);
        times(&pending.suspended(future, sample).0)
    };
    assert!(take(0x10, 20, &[(1, 15), (0, 5)]).is_empty());
    assert!(take(0x10, 40, &[(1, 35), (0, 5)]).is_empty());
    assert!(take(0x20, 50, &[(0, 45)]).is_empty());
    assert_eq!(take(0x20, 1045, &[(0, 45)]), [50, 1045], "slow by now");
    assert_eq!(times(&pending.call(&call(1, 35))), [40], "the inner one");
    let last = CallRow {
        tid: 999,
        ..call(0, 5)
    };
    assert_eq!(times(&pending.call(&last)), [20]);
    assert_eq!(pending.held, 0);
}

#[test]
fn a_future_in_the_place_of_another_shows_that_it_is_over() {
    let mut pending = Pending::new(LIMIT);
    for (taken_ns, start_ns) in [(10, 5), (30, 25)] {
        let (future, sample) = suspended(0x10, taken_ns, &[(0, start_ns)]);
        pending.suspended(future, sample);
    }
    assert_eq!(pending.held, 1);
    assert!(pending.call(&call(0, 5)).is_empty());
    assert_eq!(times(&pending.call(&call(0, 25))), [30]);
}

#[test]
fn executions_without_a_record_are_dropped_once_it_would_have_come() {
    let mut pending = Pending::new(LIMIT);
    let (kept, sample_kept) = suspended(0x10, 10, &[(1, 8), (0, 5)]);
    let (ended, sample_ended) = suspended(0x20, 10, &[(0, 6)]);
    pending.suspended(kept, sample_kept);
    pending.suspended(ended, sample_ended);
    pending.sample(sample(10, 0, 5, &[]));
    let is_open = |future, outermost| future == kept && outermost == (0, 5);
    let start = Instant::now();
    pending.sweep(start, is_open);
    pending.sweep(start + ON_ITS_WAY / 2, is_open);
    assert_eq!(pending.held, 3, "the record may be on its way");
    pending.sweep(start + ON_ITS_WAY, is_open);
    assert_eq!((pending.held, pending.futures.len()), (2, 2));
    assert!(pending.call(&call(0, 6)).is_empty());
    assert_eq!(times(&pending.call(&call(1, 8))), [10]);
    pending.forget(100);
    pending.sweep(start, |_, _| false);
    assert_eq!((pending.held, pending.over.len()), (0, 0));
}
