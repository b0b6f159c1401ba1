//! Samples made up, and what they explain.

use super::*;
use crate::symbols::Language;

const APP: &str = "/srv/shop";
const LIBC: &str = "/usr/lib/libc.so.6";
const CODE: Code<'_> = Code {
    language: Language::C,
    target: APP,
    name: "handle",
    image: APP,
};

fn frames(names: &[(&str, &str)]) -> Vec<Frame> {
    let frame = |(function, image): &(&str, &str)| Frame {
        function: (*function).to_owned(),
        image: (*image).to_owned(),
        address: 0,
        file: None,
        line: None,
        inlined: false,
        kernel: *image == "[kernel]",
    };
    names.iter().map(frame).collect()
}

fn placed(names: &[(&str, &str)]) -> (String, Option<String>, Option<String>) {
    let frames = frames(names);
    let place = place(&frames.iter().collect::<Vec<_>>(), &CODE, true);
    (place.function, place.callee, place.caller)
}

#[test]
fn what_is_inlined_is_a_place_only_where_it_waits() {
    let mut frames = frames(&[
        ("Mutex::lock", APP),
        ("std::thing", LIBC),
        ("reserve", APP),
        ("handle", APP),
    ]);
    frames[0].image = LIBC.to_owned();
    frames[0].inlined = true;
    frames[1].inlined = true;
    let frames: Vec<&Frame> = frames.iter().collect();
    let callee = |waiting| place(&frames, &CODE, waiting).callee;
    assert_eq!(callee(true), some("std::thing"));
    assert_eq!(callee(false), None);
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "what it is compared with is optional"
)]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_place_is_the_innermost_own_frame_inside_the_function() {
    let kernel = ("futex_wait", "[kernel]");
    let outer = [("handle", APP), ("main", APP)];
    let stack =
        |inner: &[(&'static str, &'static str)]| placed(&[&[kernel], inner, &outer].concat());
    assert_eq!(
        stack(&[
            ("__lll_lock_wait", LIBC),
            ("pthread_mutex_lock", LIBC),
            ("reserve", APP)
        ]),
        (
            "reserve".to_owned(),
            some("pthread_mutex_lock"),
            some("handle")
        )
    );
    assert_eq!(
        stack(&[("spin", APP)]),
        ("spin".to_owned(), None, some("handle"))
    );
    assert_eq!(stack(&[]), ("handle".to_owned(), None, None));
    assert_eq!(
        stack(&[("nanosleep", LIBC)]),
        ("handle".to_owned(), some("nanosleep"), None)
    );
    // The walk lost the function: what is inside of it is not known.
    assert_eq!(
        placed(&[("x", LIBC), ("y", LIBC)]),
        ("handle".to_owned(), some("y"), None)
    );
}

fn sum(slow: bool, off_cpu: bool, wait: Option<Wait>, weight_ns: f64) -> SampleSum {
    SampleSum {
        function: 0,
        stack: Some(1),
        off_cpu,
        wait,
        told: true,
        reason: None,
        waker: wait.map(|_| "worker-2".to_owned()),
        waker_stack: wait.map(|_| 9),
        slow,
        weight_ns,
        runnable_ns: 0.0,
        samples: 20,
    }
}

fn group(recorded: u64, calls: u64, mean_ns: u64) -> CallGroup {
    CallGroup {
        recorded,
        calls,
        mean_ns,
        ..CallGroup::default()
    }
}

#[test]
fn causes_are_ranked_by_what_slow_calls_do_more() {
    let lock = frames(&[
        ("futex_wait", "[kernel]"),
        ("pthread_mutex_lock", LIBC),
        ("reserve", APP),
        ("handle", APP),
    ]);
    let spin = frames(&[("checksum", APP), ("handle", APP)]);
    let waker = frames(&[
        ("futex_wake", "[kernel]"),
        ("pthread_mutex_unlock", LIBC),
        ("restock", APP),
    ]);
    let (slow_lock, slow_spin, fast_spin) = (
        sum(true, true, Some(Wait::Lock), 20.0 * 8e6),
        sum(true, false, None, 20.0 * 3e6),
        sum(false, false, None, 1000.0 * 1e6),
    );
    let input = Input {
        code: CODE,
        slow: group(20, 20, 11_000_000),
        fast: group(50, 1000, 1_000_000),
        samples: vec![
            (&slow_lock, lock.iter().collect()),
            (&slow_spin, spin.iter().collect()),
            (&fast_spin, spin.iter().collect()),
        ],
        wakers: [(9, waker.iter().collect())].into(),
    };
    let found = explain(&input);
    assert_eq!((found.extra_ns, found.unattributed_ns), (10_000_000, 0));
    assert_eq!(
        (found.slow.sampled_ns, found.fast.sampled_ns),
        (11_000_000, 1_000_000)
    );
    let sentences: Vec<&str> = found
        .causes
        .iter()
        .map(|cause| cause.sentence.as_str())
        .collect();
    assert_eq!(
        sentences,
        [
            "80% of the extra time is waiting for a lock in `pthread_mutex_lock`, called from `reserve`; woken by thread `worker-2` in `restock`",
            "20% of the extra time is running in `checksum`, called from `handle`",
        ]
    );
    assert_eq!(found.notes, [] as [&str; 0]);
}

#[test]
fn what_is_not_known_is_said() {
    let spin = frames(&[("handle", APP)]);
    let slow = SampleSum {
        samples: 2,
        ..sum(true, false, None, 2.0 * 4e6)
    };
    let input = |samples| Input {
        code: CODE,
        slow: group(2, 2, 10_000_000),
        fast: group(5, 100, 1_000_000),
        samples,
        wakers: HashMap::new(),
    };
    let found = explain(&input(vec![(&slow, spin.iter().collect())]));
    assert_eq!(found.unattributed_ns, 5_000_000);
    assert_eq!(
        found.notes,
        [
            "only 2 slow calls and 2 samples in them: the shares are rough",
            "nothing was sampled inside the fast calls, which may be too short",
            "55.6% of the extra time is in no sample",
        ]
    );
    let nothing = explain(&input(Vec::new()));
    assert!(nothing.causes.is_empty());
    assert!(nothing.notes[0].starts_with("nothing was sampled inside the slow calls"));
}

#[test]
fn shares_never_exceed_the_whole() {
    let spin = frames(&[("handle", APP)]);
    let slow = sum(true, false, None, 30e6);
    let input = Input {
        code: CODE,
        slow: group(1, 1, 10_000_000),
        fast: group(0, 0, 0),
        samples: vec![(&slow, spin.iter().collect())],
        wakers: HashMap::new(),
    };
    let found = explain(&input);
    assert!((found.causes[0].share - 1.0).abs() < 1e-9);
    assert_eq!(found.unattributed_ns, 0);
    assert!(found.notes[0].starts_with("no fast call was recorded"));
}
