//! Everything in the story of a call lies within the call.

use super::*;
use crate::{
    query::{Activity, CallKey, Story},
    store::{CallRow, SampleKind, SampleRow, Wait},
};

const US: i64 = 1_000;

/// A call of 1 ms, beside which probes took 0.2 ms: it was open for 1.2 ms.
fn outer() -> CallRow {
    CallRow {
        goid: None,
        probes_ns: 200 * US as u64,
        ..fixture::call(START, 1_000 * US as u64, 1, None)
    }
}

fn inner(from_us: i64, duration_us: u64, probes_us: u64) -> CallRow {
    CallRow {
        function: 1,
        start_ns: START + from_us * US,
        duration_ns: duration_us * US as u64,
        probes_ns: probes_us * US as u64,
        ..outer()
    }
}

/// A wait that weighs at least a millisecond, as the kernel side sends it.
fn wait(from_us: i64, length_us: u64) -> SampleRow {
    let away_ns = length_us * US as u64;
    SampleRow {
        call_start_ns: START,
        wait: Some(Wait::Lock),
        runnable_ns: away_ns.max(1_000_000) / 2,
        away_ns,
        ..fixture::sample(
            START + from_us * US,
            SampleKind::OffCpu,
            away_ns.max(1_000_000),
            None,
        )
    }
}

fn story_of(calls: Vec<CallRow>, samples: Vec<SampleRow>) -> Story {
    let mut database = Database::in_memory().expect("opens");
    let session = database
        .begin_session(&fixture::session())
        .expect("session");
    let batch = Batch {
        at_ns: START + SECOND,
        functions: vec![fixture::delta(0, &[1_000_000], (1_000_000, 1_000_000))],
        calls,
        samples,
        ..Batch::default()
    };
    database.append(session, &batch).expect("batch");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let key = CallKey {
        function: 0,
        pid: 100,
        start_ns: START,
    };
    source.story(key).expect("story")
}

fn expect_within(story: &Story) {
    let nested = story.nested.iter().map(|it| (it.from_ns, it.span_ns));
    let events = story.events.iter().map(|it| (it.at_ns, it.duration_ns));
    for (from_ns, length_ns) in nested.chain(events) {
        assert!(from_ns + length_ns <= story.span_ns, "{story:?}");
    }
    for event in &story.events {
        assert!(event.runnable_ns <= event.duration_ns, "{event:?}");
    }
}

#[test]
fn a_call_lasts_as_long_as_its_probes_let_it() {
    // They begin after 1 ms of the call, when its measured duration is over.
    let calls = vec![outer(), inner(1_050, 100, 20), inner(900, 120, 10)];
    let story = story_of(calls, vec![wait(1_060, 30)]);
    expect_within(&story);
    let nested: Vec<_> = story
        .nested
        .iter()
        .map(|it| (it.from_ns, it.span_ns, it.depth))
        .collect();
    assert_eq!(nested, [(900_000, 130_000, 1), (1_050_000, 120_000, 1)]);
    assert_eq!(story.events[0].at_ns, 1_060_000);
    assert_eq!(
        story.notes,
        ["probes took 200 µs of it beside the 1.00 ms that are measured"]
    );
}

#[test]
fn a_short_wait_is_as_long_as_it_was() {
    let story = story_of(vec![outer()], vec![wait(900, 40)]);
    expect_within(&story);
    let event = &story.events[0];
    assert_eq!((event.at_ns, event.duration_ns), (900_000, 40_000));
    assert_eq!((event.weight_ns, event.runnable_ns), (1_000_000, 20_000));
    assert!(event.drawn && event.activity == Activity::Waiting);
}

/// A thread cannot return while it waits: the end of the wait was not seen.
#[test]
fn a_wait_ends_with_its_call() {
    let story = story_of(vec![outer()], vec![wait(700, 3_000)]);
    expect_within(&story);
    let event = &story.events[0];
    assert_eq!((event.at_ns, event.duration_ns), (700_000, 500_000));
    assert_eq!(
        story.notes[0],
        "the end of one wait was not seen; it is shown until the end of the call"
    );
}
