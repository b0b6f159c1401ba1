//! A small recording for tests.

use super::{
    Batch, CallRow, ExitProbe, Frame, FunctionDelta, LossDelta, NewFrame, NewFunction, NewSession,
    NewStack, ProcessRow, SampleKind, SampleRow,
};
use crate::{plan::CostClass, service::Reading, symbols::Language};
use monigo_common::histogram::bucket_of;

/// Start of the recording, Unix time in ns.
pub(crate) const START: i64 = 1_764_000_000_000_000_000;
/// A second in ns.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// A session of a Go target with two functions, `main.process_order` and `main.charge`.
pub(crate) fn session() -> NewSession {
    let function = |name: &str, entry_address| NewFunction {
        cost_ns: 16_000,
        floor_ns: 150,
        count_ns: 2_000,
        name: name.to_owned(),
        linkage_name: name.to_owned(),
        image: "/srv/orders".to_owned(),
        file: Some("/src/main.go".to_owned()),
        line: Some(42),
        entry_address,
        exit: ExitProbe::Ret,
        sites: 3,
        cost_class: CostClass::SingleStep,
        instances: Vec::new(),
    };
    NewSession {
        started_ns: START,
        monigo_version: "0.1.0".to_owned(),
        host: "host".to_owned(),
        kernel: "6.18.0".to_owned(),
        command_line: "monigo attach /srv/orders --fn process_order".to_owned(),
        flush_ns: SECOND,
        label: None,
        target_path: "/srv/orders".to_owned(),
        build_id: None,
        language: Language::Go,
        runtime_version: Some("go1.24.11".to_owned()),
        retention: "7d".to_owned(),
        warnings: Vec::new(),
        functions: vec![
            function("main.process_order", 0x48_1234),
            function("main.charge", 0x48_2000),
        ],
    }
}

/// What one function did when calls took these times, in ns. `extremes` are of the session.
pub(crate) fn delta(function: u32, durations: &[u64], extremes: (u64, u64)) -> FunctionDelta {
    let mut buckets = std::collections::BTreeMap::new();
    for &ns in durations {
        *buckets.entry(bucket_of(ns) as u16).or_default() += 1;
    }
    FunctionDelta {
        function,
        entered: durations.len() as u64,
        calls: durations.len() as u64,
        timed: durations.len() as u64,
        total_ns: durations.iter().sum(),
        self_ns: durations.iter().sum(),
        min_ns: extremes.0,
        max_ns: extremes.1,
        buckets: buckets.into_iter().collect(),
        ..FunctionDelta::default()
    }
}

/// A sample inside function 0.
pub(crate) fn sample(
    taken_ns: i64,
    kind: SampleKind,
    weight_ns: u64,
    stack: Option<u64>,
) -> SampleRow {
    SampleRow {
        id: u64::try_from(taken_ns).unwrap_or(0),
        call_start_ns: 0,
        callers: Vec::new(),
        runnable_ns: 0,
        wait: None,
        reason: None,
        waker: None,
        function: 0,
        kind,
        taken_ns,
        weight_ns,
        away_ns: if kind == SampleKind::OffCpu {
            weight_ns
        } else {
            0
        },
        pid: 100,
        tid: 101,
        goid: None,
        stack,
    }
}

/// A recorded call of function 0.
pub(crate) fn call(start_ns: i64, duration_ns: u64, weight: u32, stack: Option<u64>) -> CallRow {
    CallRow {
        function: 0,
        start_ns,
        duration_ns,
        probes_ns: 0,
        pid: 100,
        tid: 101,
        goid: Some(7),
        cpu: 1,
        weight,
        stack,
    }
}

/// A figure of the service or the host.
pub(crate) fn reading(at_ns: i64, name: &str, value: f64) -> Reading {
    Reading {
        at_ns,
        name: name.to_owned(),
        value,
    }
}

fn frame(id: u64, function: &str, line: u32) -> NewFrame {
    NewFrame {
        id,
        frame: Frame {
            function: function.to_owned(),
            image: "/srv/orders".to_owned(),
            address: 0x48_0000 + id,
            file: Some("/src/main.go".to_owned()),
            line: Some(line),
            inlined: false,
            kernel: false,
        },
    }
}

/// Three flushes. `main.process_order`: 1000 calls of 1 to 1000 µs in the first, none in the
/// second, one of 50 ms in the third; two unwound, one in flight. `main.charge`: ten of 1 ms. In the first
/// flush a sample on CPU and two off CPU. `service_cpu_load` is 20, 40 half a second later, and 90 after
/// two seconds.
pub(crate) fn batches() -> Vec<Batch> {
    let spread: Vec<u64> = (1..=1000).map(|us| us * 1000).collect();
    let mut first = delta(0, &spread, (1000, 1_000_000));
    first.entered += 3;
    first.unwound = 2;
    first.unmatched = 4;
    let at = |second: i64| START + second * SECOND;
    vec![
        Batch {
            at_ns: at(1),
            beside_ns: 0,
            skipped_ns: 0,
            functions: vec![first, delta(1, &[1_000_000; 10], (1_000_000, 1_000_000))],
            calls: vec![
                call(at(0) + 10, 300_000, 100, Some(1)),
                call(at(0) + 20, 500_000, 100, Some(2)),
                call(at(0) + 30, 700_000, 100, None),
            ],
            samples: vec![
                sample(at(0) + 15, SampleKind::Cpu, 10_000_000, Some(1)),
                sample(at(0) + 25, SampleKind::OffCpu, 30_000_000, Some(2)),
                sample(at(0) + 35, SampleKind::OffCpu, 1_000_000, None),
            ],
            frames: vec![
                frame(1, "main.process_order", 42),
                frame(2, "main.worker", 10),
                frame(3, "main.main", 5),
                frame(4, "main.retry", 77),
            ],
            stacks: vec![
                NewStack {
                    id: 1,
                    frames: vec![1, 2, 3],
                    truncated: false,
                },
                NewStack {
                    id: 2,
                    frames: vec![1, 4, 2, 3],
                    truncated: false,
                },
            ],
            held_stacks: Vec::new(),
            processes: vec![ProcessRow {
                pid: 100,
                name: "orders".to_owned(),
                seen_ns: at(0),
            }],
            notices: Vec::new(),
            losses: vec![LossDelta {
                cause: "ring_full".to_owned(),
                count: 5,
            }],
            readings: vec![
                reading(at(0), "service_cpu_load", 20.0),
                reading(at(0), "system_cpu_load", 50.0),
                reading(at(0) + SECOND / 2, "service_cpu_load", 40.0),
            ],
        },
        Batch {
            at_ns: at(2),
            ..Batch::default()
        },
        Batch {
            at_ns: at(3),
            readings: vec![reading(at(2), "service_cpu_load", 90.0)],
            functions: vec![delta(0, &[50_000_000], (1000, 50_000_000))],
            calls: vec![call(at(2), 50_000_000, 1, Some(2))],
            ..Batch::default()
        },
    ]
}

/// Appends the fixture and ends the session.
pub(crate) fn record(store: &mut dyn super::Store) -> i64 {
    let id = store.begin_session(&session()).expect("session");
    for batch in batches() {
        store.append(id, &batch).expect("batch");
    }
    store.end_session(id, START + 3 * SECOND).expect("end");
    id
}
