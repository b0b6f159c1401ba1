//! A story as text and as a trace.

use serde_json::Value;

use super::{
    story::story_text,
    trace::{Stacks, trace},
};
use crate::query::{Activity, Call, NestedCall, Story, StoryEvent, Wait};

fn call(function: u32, start_ns: i64, duration_ns: u64) -> Call {
    Call {
        function,
        start_ns,
        duration_ns,
        probes_ns: 0,
        pid: 100,
        tid: 101,
        goid: None,
        cpu: 0,
        weight: 1,
        stack: None,
    }
}

fn event(at_ns: u64, duration_ns: u64, activity: Activity, place: &str) -> StoryEvent {
    StoryEvent {
        at_ns,
        duration_ns,
        weight_ns: duration_ns.max(1_000_000),
        runnable_ns: 0,
        drawn: false,
        activity,
        wait: (activity == Activity::Waiting).then_some(Wait::Lock),
        reason: None,
        waker: (activity == Activity::Waiting).then(|| "worker-2".to_owned()),
        place: place.to_owned(),
        stack: None,
    }
}

/// 20 ms: runs 3 ms, calls `charge`, which waits 10 ms for a lock; then a short wait.
fn story() -> Story {
    let start_ns = 1_764_000_000_000_000_000;
    Story {
        call: call(0, start_ns, 20_000_000),
        function: "handle".to_owned(),
        span_ns: 20_000_000,
        nested: vec![NestedCall {
            call: call(1, start_ns + 4_000_000, 12_000_000),
            function: "charge".to_owned(),
            from_ns: 4_000_000,
            span_ns: 12_000_000,
            depth: 1,
        }],
        events: vec![
            event(1_000_000, 0, Activity::Running, "checksum"),
            event(2_000_000, 0, Activity::Running, "checksum"),
            event(
                5_000_000,
                10_000_000,
                Activity::Waiting,
                "lock called from charge",
            ),
            StoryEvent {
                drawn: true,
                ..event(17_000_000, 400_000, Activity::Waiting, "handle")
            },
            event(19_500_000, 500_000, Activity::Runnable, "handle"),
        ],
        sampled_ns: 14_000_000,
        notes: vec!["a note".to_owned()],
    }
}

#[test]
fn a_waterfall_for_people() {
    insta::assert_snapshot!(story_text(&story(), Some(120)));
}

#[test]
fn a_trace_has_what_its_readers_require() {
    let story = story();
    let stacks = Stacks {
        events: vec![vec!["leaf".to_owned(), "handle".to_owned()]; story.events.len()],
        callers: vec!["handle".to_owned(), "main".to_owned()],
    };
    let trace = trace(&story, "/srv/shop", &stacks);
    let events = trace["traceEvents"].as_array().expect("events");
    let mut spans: Vec<(&str, f64, f64)> = Vec::new();
    for event in events {
        let phase = event["ph"].as_str().expect("a phase");
        assert!(event["name"].is_string(), "{event}");
        assert_eq!(
            (&event["pid"], &event["tid"]),
            (&Value::from(100), &Value::from(101))
        );
        match phase {
            "M" => assert!(event["args"]["name"].is_string(), "{event}"),
            "i" => assert!(event["ts"].is_f64() && event["s"] == "t", "{event}"),
            "X" => spans.push((
                event["name"].as_str().expect("a name"),
                event["ts"].as_f64().expect("µs"),
                event["dur"].as_f64().expect("µs"),
            )),
            other => panic!("phase {other}"),
        }
    }
    assert_eq!(
        spans,
        [
            ("handle", 0.0, 20_000.0),
            ("charge", 4_000.0, 12_000.0),
            ("waiting for a lock", 5_000.0, 10_000.0),
            ("waiting for a lock", 17_000.0, 400.0),
            ("waiting for a CPU", 19_500.0, 500.0),
        ]
    );
    // Spans of one thread nest or are apart, or readers misplace them.
    for (index, a) in spans.iter().enumerate() {
        for b in &spans[index + 1..] {
            let apart = a.1 + a.2 <= b.1 || b.1 + b.2 <= a.1;
            let inside = a.1 <= b.1 && b.1 + b.2 <= a.1 + a.2;
            assert!(apart || inside, "{a:?} {b:?}");
        }
    }
    let instants = events.iter().filter(|event| event["ph"] == "i").count();
    assert_eq!(instants, 2, "samples while it ran");
}
