//! A recording with a planted cause.

use super::*;
use crate::store::{CallRow, Frame, NewFrame, NewStack, SampleKind, SampleRow, Waker};

pub(super) const FAST_NS: u64 = 1_000_000;
pub(super) const SLOW_NS: u64 = 11_000_000;
const EVERY: i64 = 20_000_000;

fn frame(id: u64, function: &str, kernel: bool) -> NewFrame {
    let image = if kernel { "[kernel]" } else { "/srv/orders" };
    NewFrame {
        id,
        frame: Frame {
            function: function.to_owned(),
            image: image.to_owned(),
            address: id,
            file: None,
            line: None,
            inlined: false,
            kernel,
        },
    }
}

fn stack(id: u64, frames: &[u64]) -> NewStack {
    NewStack {
        id,
        frames: frames.to_vec(),
        truncated: false,
    }
}

/// 990 calls of 1 ms, of which 1 in 10 is recorded, and ten of 11 ms, which all are. Each spins for
/// 1 ms; slow ones then wait for 10 ms inside `main.charge`, which is traced, too.
pub(super) fn batch() -> Batch {
    let mut calls = Vec::new();
    let mut samples = Vec::new();
    let mut durations = vec![FAST_NS; 990];
    durations.extend([SLOW_NS; 10]);
    for index in 0..109_i64 {
        let slow = index % 10 == 9 && index < 100;
        let start_ns = START + index * EVERY;
        let duration_ns = if slow { SLOW_NS } else { FAST_NS };
        calls.push(CallRow {
            goid: None,
            ..fixture::call(start_ns, duration_ns, if slow { 1 } else { 10 }, Some(1))
        });
        samples.push(SampleRow {
            call_start_ns: start_ns,
            ..fixture::sample(start_ns + 100, SampleKind::Cpu, FAST_NS, Some(2))
        });
        if !slow {
            continue;
        }
        let inner_ns = start_ns + 1_000_000;
        calls.push(CallRow {
            function: 1,
            goid: None,
            ..fixture::call(inner_ns, 10_000_000, 1, Some(1))
        });
        samples.push(SampleRow {
            function: 1,
            call_start_ns: inner_ns,
            callers: vec![(0, start_ns)],
            wait: Some(Wait::Lock),
            runnable_ns: 1_000_000,
            reason: Some("sync.Mutex.Lock".to_owned()),
            waker: Some(Waker {
                tid: 7,
                name: "worker-2".to_owned(),
                stack: Some(4),
            }),
            ..fixture::sample(inner_ns + 1000, SampleKind::OffCpu, 10_000_000, Some(3))
        });
    }
    // Of calls that were not recorded.
    samples.push(SampleRow {
        call_start_ns: START - 5,
        ..fixture::sample(START + 7, SampleKind::Cpu, 500, Some(2))
    });
    for (id, sample) in (1..).zip(&mut samples) {
        sample.id = id;
    }
    Batch {
        at_ns: START + SECOND,
        functions: vec![
            fixture::delta(0, &durations, (FAST_NS, SLOW_NS)),
            fixture::delta(1, &[10_000_000; 10], (10_000_000, 10_000_000)),
        ],
        calls,
        samples,
        frames: vec![
            frame(1, "main.process_order", false),
            frame(2, "main.checksum", false),
            frame(3, "main.charge", false),
            frame(4, "sync.(*Mutex).Lock", false),
            frame(5, "futex_wait", true),
            frame(6, "main.restock", false),
            frame(7, "main.main", false),
        ],
        stacks: vec![
            stack(1, &[1, 7]),
            stack(2, &[2, 1, 7]),
            stack(3, &[5, 4, 3, 1, 7]),
            stack(4, &[6, 7]),
        ],
        ..Batch::default()
    }
}

pub(super) fn slow_and_fast() -> (Database, DuckSource) {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    database.append(id, &batch()).expect("batch");
    database.end_session(id, START + SECOND).expect("end");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    (database, source)
}
