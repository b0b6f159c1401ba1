//! Answers about goroutines from caches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use super::{
    MOST_GROUPS, MOST_ROUTINES,
    fields::GoroutineState,
    group::{ByAddress, Named, group},
    history::History,
    runtime::Heap,
    snapshot::{Goroutine, Snapshot, Source},
};
use crate::sync::lock;
use crate::{
    service::{Metrics, RoutineKind, RoutineReader, Routines, ServiceError, frame_text},
    symbols::{
        Image,
        demangle::printable,
        go,
        symbolize::{SharedFrame, Symbolizer},
    },
    system::metrics::{Cache, rfc3339},
};

/// How long a look serves.
const TIME_TO_LIVE: Duration = Duration::from_secs(1);
/// Looking takes at most 1 part in this of the time.
const REST: u32 = 100;
const NS_PER_MINUTE: u64 = 60_000_000_000;

/// Reads goroutines of processes that run one Go program.
pub struct GoReader {
    image: Arc<Image>,
    source: OnceLock<Result<Source, go::GoroutineError>>,
    reasons: OnceLock<Vec<String>>,
    heap: OnceLock<Result<Heap, String>>,
    symbolizer: Mutex<Symbolizer>,
    counts: Cache<Option<Counts>>,
    looks: Cache<Result<Routines, ServiceError>>,
    history: Mutex<History>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    goroutines: u64,
    stack_bytes: u64,
}

/// What makes two goroutines of a process the same before they have names.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    state: GoroutineState,
    wait_reason: u8,
    stack: Vec<u64>,
    truncated: bool,
    created_at: u64,
}

impl GoReader {
    /// Of processes that run `image`, with looks for growth as far apart as `history` says.
    pub fn new(image: Arc<Image>, history: History) -> Self {
        let mut symbolizer = Symbolizer::new();
        symbolizer.add_image(Arc::clone(&image));
        Self {
            image,
            source: OnceLock::new(),
            reasons: OnceLock::new(),
            heap: OnceLock::new(),
            symbolizer: Mutex::new(symbolizer),
            counts: Cache::new(TIME_TO_LIVE, REST),
            looks: Cache::new(TIME_TO_LIVE, REST),
            history: Mutex::new(history),
        }
    }

    fn source(&self) -> Result<&Source, ServiceError> {
        let source = || Source::new(Arc::clone(&self.image));
        self.source
            .get_or_init(source)
            .as_ref()
            .map_err(|error| ServiceError::Unavailable(error.to_string()))
    }

    pub(super) fn look(&self, pids: &[u32]) -> Result<Routines, ServiceError> {
        let source = self.source()?;
        let reasons = self.reasons.get_or_init(|| go::wait_reasons(&self.image));
        let now_ns = monotonic_ns();
        let mut total = Snapshot::default();
        let mut parts = Vec::new();
        let mut failures = Vec::new();
        let mut read = 0;
        for &pid in pids {
            let snapshot = match source.read(pid, true) {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    failures.push(error.to_string());
                    continue;
                }
            };
            read += 1;
            let grouped = by_address(&snapshot.goroutines, now_ns);
            let mut symbolizer = lock(&self.symbolizer);
            // Its id may have come back with other addresses.
            symbolizer.forget(pid);
            for (key, grouped) in grouped {
                parts.push((named(&mut symbolizer, pid, reasons, &key), grouped));
            }
            drop(symbolizer);
            total.add(snapshot);
        }
        if read == 0
            && let Some(failure) = failures.pop()
        {
            return Err(ServiceError::Failed(failure));
        }
        let mut groups = group(parts);
        let mut remarks = remarks(source, &total, groups.len());
        remarks.append(&mut failures);
        groups.truncate(MOST_GROUPS);
        Ok(Routines {
            kind: RoutineKind::Goroutines,
            time: rfc3339(crate::collect::unix_ns()),
            number_of_goroutines: total.count,
            remarks,
            groups,
        })
    }

    fn counted(&self, pids: &[u32]) -> Option<Counts> {
        *self.counts.get(|| {
            let source = self.source().ok()?;
            let snapshots: Vec<Snapshot> = pids
                .iter()
                .filter_map(|pid| source.read(*pid, false).ok())
                .collect();
            (!snapshots.is_empty()).then(|| Counts {
                goroutines: snapshots.iter().map(|snapshot| snapshot.count).sum(),
                stack_bytes: snapshots.iter().map(|snapshot| snapshot.stack_bytes).sum(),
            })
        })
    }
}

impl RoutineReader for GoReader {
    fn count(&self, pids: &[u32]) -> Option<(RoutineKind, u64)> {
        let counts = self.counted(pids)?;
        Some((RoutineKind::Goroutines, counts.goroutines))
    }

    fn routines(&self, pids: &[u32]) -> Result<Routines, ServiceError> {
        let mut routines = (*self.looks.get(|| self.look(pids))).clone()?;
        let mut history = lock(&self.history);
        history.take(&routines.groups);
        history.judge(&mut routines.groups);
        Ok(routines)
    }

    fn runtime(&self, pids: &[u32], metrics: &mut Metrics) {
        if let Some(counts) = self.counted(pids) {
            metrics.memory_statistics.stack_memory_usage_bytes = Some(counts.stack_bytes);
        }
        let heap = self.heap.get_or_init(|| Heap::of(&self.image));
        match (heap, self.source()) {
            (Ok(heap), Ok(source)) => heap.describe(source, pids, metrics),
            (Err(remark), _) => metrics.remarks.push(remark.clone()),
            (_, Err(error)) => metrics.remarks.push(error.to_string()),
        }
    }

    fn tick(&self, pids: &[u32]) {
        let due = lock(&self.history).is_due();
        if due && !pids.is_empty() {
            // What it says is for those who ask.
            let _ = self.routines(pids);
        }
    }
}

impl Snapshot {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.system += other.system;
        self.stack_bytes += other.stack_bytes;
        self.restless += other.restless;
        self.too_large += other.too_large;
        self.goroutines.extend(other.goroutines);
    }
}

fn by_address(goroutines: &[Goroutine], now_ns: u64) -> ByAddress<Key> {
    let mut grouped: ByAddress<Key> = HashMap::new();
    for goroutine in goroutines {
        let waits = matches!(
            goroutine.state,
            GoroutineState::Waiting | GoroutineState::Leaked
        );
        let key = Key {
            state: goroutine.state,
            wait_reason: if waits { goroutine.wait_reason } else { 0 },
            stack: goroutine.stack.clone(),
            truncated: goroutine.truncated,
            created_at: goroutine.created_at,
        };
        let since = Some(goroutine.wait_since_ns).filter(|since| waits && *since > 0);
        let minutes = since
            .and_then(|since| now_ns.checked_sub(since))
            .map(|ns| ns / NS_PER_MINUTE);
        grouped.entry(key).or_default().add(goroutine.id, minutes);
    }
    grouped
}

fn named(symbolizer: &mut Symbolizer, pid: u32, reasons: &[String], key: &Key) -> Named {
    let text = |frame: &SharedFrame| frame_text(&frame.into());
    let mut call_stack = Vec::new();
    for address in &key.stack {
        match symbolizer.frames(pid, *address, false) {
            Some(frames) => call_stack.extend(frames.iter().map(text)),
            None => call_stack.push(format!("[unknown] {address:#x}")),
        }
    }
    if key.truncated {
        call_stack.push("…".to_owned());
    }
    let created_by = key
        .created_at
        .checked_sub(1)
        .and_then(|address| symbolizer.frames(pid, address, false))
        .and_then(|frames| frames.first().map(text));
    let wait_reason = match (key.wait_reason, reasons.get(usize::from(key.wait_reason))) {
        (_, Some(reason)) => printable(reason.clone()),
        (0, None) => String::new(),
        (number, None) => format!("reason {number}"),
    };
    Named {
        state: key.state.name().to_owned(),
        wait_reason,
        call_stack,
        created_by: created_by.unwrap_or_default(),
    }
}

fn remarks(source: &Source, total: &Snapshot, groups: usize) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut say = |count: u64, one: &str, many: &str| match count {
        0 => {}
        1 => remarks.push(format!("1 goroutine {one}")),
        count => remarks.push(format!("{count} goroutines {many}")),
    };
    let running = total
        .goroutines
        .iter()
        .filter(|goroutine| goroutine.state == GoroutineState::Running)
        .count();
    say(
        running as u64,
        "runs: its stack cannot be read without stopping it",
        "run: their stacks cannot be read without stopping them",
    );
    say(
        total.restless,
        "changed each time it was copied; its stack is not shown",
        "changed each time they were copied; their stacks are not shown",
    );
    say(
        total.too_large,
        "has a stack for which there was no room",
        "have stacks for which there was no room",
    );
    say(
        total.system,
        "of the runtime itself is left out",
        "of the runtime itself are left out",
    );
    let beyond = total.count.saturating_sub(total.goroutines.len() as u64);
    if beyond > 0 {
        remarks.push(format!(
            "{beyond} of {} goroutines are counted but not listed; at most {MOST_ROUTINES} of a process are",
            total.count
        ));
    }
    if groups > MOST_GROUPS {
        remarks.push(format!(
            "the largest {MOST_GROUPS} of {groups} groups are listed"
        ));
    }
    if !source.knows_system() {
        remarks.push("goroutines of the runtime itself cannot be told from others in this version of Go without DWARF, and are listed, too".to_owned());
    }
    remarks
}

fn monotonic_ns() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}
