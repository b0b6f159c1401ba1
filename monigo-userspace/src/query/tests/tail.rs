//! Slow calls alone, against fast ones, and one by one, over a recording with a planted cause.

mod comparing;
mod recording;

use self::{
    comparing::{check_comparison, check_errors},
    recording::{FAST_NS, SLOW_NS, batch, slow_and_fast},
};
use super::*;
use crate::query::{Activity, CallKey, Percentile, Root, TailQuestion, Wait};

fn slow(selection: Selection) -> Selection {
    Selection {
        slower_than_ns: Some(10_000_000),
        ..selection
    }
}

fn check_slow_only(source: &dyn Source) {
    let all = of(Some(0), WHOLE, Weight::Calls);
    assert_eq!(source.flame(&all).expect("flame").value, 1000);
    assert_eq!(source.flame(&slow(all)).expect("flame").value, 10);
    let percentile = Selection {
        percentile: Some(Percentile::P99),
        ..all
    };
    assert_eq!(source.flame(&percentile).expect("flame").value, 10);
    let fast = Selection {
        faster_than_ns: Some(10_000_000),
        ..all
    };
    assert_eq!(source.flame(&fast).expect("flame").value, 990);
    let wall = source
        .stacks(&slow(of(Some(0), WHOLE, Weight::Wall)), 9)
        .expect("stacks");
    assert_eq!((wall.len(), wall[0].weight), (1, 10 * SLOW_NS));
    let slowest = source.slowest(&fast, 1).expect("calls");
    assert_eq!(slowest[0].duration_ns, FAST_NS);

    // Samples of fast calls stand for the calls that were not recorded.
    let cpu = |selection| {
        source.flame(&Selection {
            weight: Weight::Cpu,
            ..selection
        })
    };
    assert_eq!(cpu(slow(all)).expect("flame").value, 10 * FAST_NS);
    assert_eq!(cpu(fast).expect("flame").value, 990 * FAST_NS);
    // Time in traced callees belongs to the function, too, but to all functions once.
    let off = |function| {
        source
            .flame(&of(function, WHOLE, Weight::OffCpu))
            .expect("flame")
            .value
    };
    assert_eq!(
        (off(Some(0)), off(Some(1)), off(None)),
        (100_000_000, 100_000_000, 100_000_000)
    );
}

fn check_figures(source: &dyn Source) {
    let all = of(Some(0), WHOLE, Weight::Wall);
    assert_eq!(source.selected(&all).expect("answers").figures, None);
    let selected = source.selected(&slow(all)).expect("answers");
    let figures = selected.figures.expect("a range");
    let row = &figures.row;
    assert_eq!((row.name.as_str(), row.calls), ("main.process_order", 10));
    // Every slow call was recorded.
    assert_eq!((row.calls_error, figures.recorded), (0, 10));
    let latency = row.latency_ns;
    assert_eq!(
        (latency.min, latency.p50, latency.max, latency.total),
        (SLOW_NS, SLOW_NS, SLOW_NS, 10 * SLOW_NS)
    );
    // 1 ms on CPU, 9 ms of lock and 1 ms of waiting for a CPU in each.
    let time = figures.time.expect("samples");
    assert_eq!(
        (time.wall, time.on_cpu, time.runnable),
        (10 * SLOW_NS, 10_000_000, 10_000_000)
    );
    assert_eq!(time.blocked.get(&Wait::Lock), Some(&90_000_000));
    assert_eq!(time.unattributed, 0);
    let count = |query: &str| source.sql(query, 1).expect("answers").rows[0][0].as_i64();
    let calls = selected.calls.calls_condition("c");
    let samples = selected.calls.samples_condition("s");
    assert_eq!(
        count(&format!("SELECT count(*) FROM calls c WHERE {calls}")),
        Some(10)
    );
    // Those of calls inside belong to them, too.
    assert_eq!(
        count(&format!("SELECT count(*) FROM samples s WHERE {samples}")),
        Some(20)
    );

    let fast = Selection {
        faster_than_ns: Some(10_000_000),
        ..all
    };
    let figures = source
        .selected(&fast)
        .expect("answers")
        .figures
        .expect("a range");
    assert_eq!((figures.row.calls, figures.recorded), (990, 99));
    // 1.96 times the root of 99 * 10 * 9.
    assert_eq!(figures.row.calls_error, 186);
}

fn check_rooted(source: &dyn Source) {
    let rooted = Selection {
        root: Root::Function,
        ..slow(of(Some(0), WHOLE, Weight::Wall))
    };
    let flame = source.flame(&rooted).expect("flame");
    let function = &flame.children[0];
    assert_eq!(
        (function.name.as_str(), function.value),
        ("main.process_order", 10 * SLOW_NS)
    );
    let names: Vec<(&str, u64)> = function
        .children
        .iter()
        .map(|child| (child.name.as_str(), child.value))
        .collect();
    assert_eq!(
        names,
        [("main.charge", 100_000_000), ("main.checksum", 10_000_000)]
    );
    let wait = &function.children[0].children[0].children[0];
    let leaves: Vec<(&str, u64)> = wait
        .children
        .iter()
        .map(|child| (child.name.as_str(), child.value))
        .collect();
    assert_eq!(
        leaves,
        [
            ("[waiting for a lock]", 90_000_000),
            ("[waiting for a CPU]", 10_000_000)
        ]
    );
    // Fast calls that were not recorded were not sampled, and that is shown.
    let flame = source
        .flame(&Selection {
            root: Root::Function,
            ..of(Some(0), WHOLE, Weight::Time)
        })
        .expect("flame");
    let missing = flame.children[0]
        .children
        .iter()
        .find(|child| child.name == "[not sampled]");
    assert_eq!(flame.value, 990 * FAST_NS + 10 * SLOW_NS);
    assert!(missing.is_some_and(|child| child.value > 800_000_000));
}

fn check_tail(source: &dyn Source) {
    for question in [
        TailQuestion::default(),
        TailQuestion {
            slower_than_ns: Some(10_000_000),
            ..TailQuestion::default()
        },
    ] {
        let tail = source.tail(&question).expect("tail");
        assert_eq!(tail.name, "main.process_order");
        assert_eq!(
            (tail.slow.recorded, tail.slow.calls, tail.slow.mean_ns),
            (10, 10, SLOW_NS)
        );
        assert_eq!(
            (tail.fast.recorded, tail.fast.calls, tail.fast.mean_ns),
            (99, 990, FAST_NS)
        );
        assert_eq!((tail.extra_ns, tail.unattributed_ns), (10_000_000, 0));
        let sentences: Vec<&str> = tail
            .causes
            .iter()
            .map(|cause| cause.sentence.as_str())
            .collect();
        assert_eq!(
            sentences,
            [
                "90% of the extra time is waiting for a lock (sync.Mutex.Lock) in `sync.(*Mutex).Lock`, called from `main.charge`; woken by thread `worker-2` in `main.restock`",
                "10% of the extra time is waiting for a CPU in `sync.(*Mutex).Lock`, called from `main.charge`",
            ]
        );
        let first = &tail.causes[0];
        assert_eq!(
            (first.slow_ns, first.fast_ns, first.stack),
            (9_000_000, 0, Some(3))
        );
        assert_eq!(tail.notes, [] as [&str; 0]);
        let function = &tail.tree.children[0];
        assert_eq!((function.before, function.after), (FAST_NS, SLOW_NS));
        let checksum = function
            .children
            .iter()
            .find(|child| child.name == "main.checksum");
        assert_eq!(
            checksum.map(|node| (node.before, node.after)),
            Some((FAST_NS, FAST_NS))
        );
    }
}

fn check_story(source: &dyn Source) {
    let slowest = source
        .slowest(&of(Some(0), WHOLE, Weight::Wall), 1)
        .expect("calls");
    let key = CallKey::from(&slowest[0]);
    assert_eq!(key.to_string().parse(), Ok(key));
    let story = source.story(key).expect("story");
    assert_eq!(story.function, "main.process_order");
    let nested = &story.nested[0];
    assert_eq!(
        (story.nested.len(), nested.function.as_str()),
        (1, "main.charge")
    );
    assert_eq!((nested.from_ns, nested.depth), (1_000_000, 1));
    let [ran, waited] = story.events.as_slice() else {
        panic!("{:?}", story.events);
    };
    assert_eq!(
        (ran.at_ns, ran.duration_ns, ran.activity),
        (100, 0, Activity::Running)
    );
    // It would outlast the call by 1 µs.
    assert_eq!((waited.at_ns, waited.duration_ns), (1_001_000, 9_999_000));
    assert_eq!(
        (waited.wait, waited.waker.as_deref()),
        (Some(Wait::Lock), Some("worker-2"))
    );
    assert_eq!(waited.place, "sync.(*Mutex).Lock called from main.charge");
    assert_eq!(story.sampled_ns, SLOW_NS);
    let unknown = CallKey { start_ns: 1, ..key };
    assert!(matches!(
        source.story(unknown),
        Err(QueryError::NoSuchCalls(_))
    ));
}

fn check_all(source: &dyn Source) {
    check_slow_only(source);
    check_figures(source);
    check_rooted(source);
    check_tail(source);
    check_story(source);
    check_errors(source);
    check_comparison(source);
}

#[test]
fn slow_calls_are_told_from_fast_ones() {
    let (_database, source) = slow_and_fast();
    check_all(&source);
}

#[test]
fn and_through_the_socket() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("slow.duckdb");
    let (_database, source) = slow_and_fast();
    let _server = serve_socket(&path, Arc::new(source), None).expect("serves");
    check_all(&RemoteSource::open(&path, None, socket::locked(&path)).expect("connects"));
}

/// Recordings of a monigo that did not store which call a sample belongs to.
#[test]
fn old_samples_belong_to_the_call_that_was_open_then() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    database.append(id, &batch()).expect("batch");
    database
        .reader()
        .expect("reads")
        .with(|connection| {
            connection.execute_batch(
                "UPDATE samples SET sample_id = NULL, call_start_ns = NULL, wait = NULL, runnable_ns = NULL, away_ns = NULL;
                 DELETE FROM sample_callers;",
            )
        })
        .expect("made old");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let story = source
        .slowest(&of(Some(0), WHOLE, Weight::Wall), 1)
        .expect("calls");
    let story = source.story(CallKey::from(&story[0])).expect("story");
    assert_eq!(
        story.events[1].wait,
        Some(Wait::Lock),
        "by the kernel's frames"
    );
    let tail = source.tail(&TailQuestion::default()).expect("tail");
    assert_eq!(tail.slow.sampled_ns, FAST_NS, "its own samples");
}
