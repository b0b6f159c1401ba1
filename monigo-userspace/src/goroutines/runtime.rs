//! What the runtime of a Go program knows of its heap, from its own variables.

use super::{memory::Memory, snapshot::Source};
use crate::{
    service::{MemStatsRecord, Metrics},
    symbols::{Image, go},
};

/// Pauses that the runtime remembers.
const PAUSES: u64 = 256;

/// Where the figures are.
#[derive(Clone, Debug)]
pub struct Heap {
    figures: Vec<(Figure, u64)>,
    pauses: Option<u64>,
}

/// A word in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Figure {
    InUse,
    Free,
    Released,
    TotalAlloc,
    TotalFree,
    MappedReady,
    PauseTotal,
    Collections,
}

const CONTROLLER: [(Figure, &str); 6] = [
    (Figure::InUse, "heapInUse"),
    (Figure::Free, "heapFree"),
    (Figure::Released, "heapReleased"),
    (Figure::TotalAlloc, "totalAlloc"),
    (Figure::TotalFree, "totalFree"),
    (Figure::MappedReady, "mappedReady"),
];
const STATISTICS: [(Figure, &str); 2] = [
    (Figure::PauseTotal, "pause_total_ns"),
    (Figure::Collections, "numgc"),
];

/// Sums over processes.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    in_use: u64,
    free: u64,
    released: u64,
    total_alloc: u64,
    total_free: u64,
    mapped_ready: u64,
    pause_total_ns: u64,
    collections: u64,
    pause_last_ns: u64,
}

impl Heap {
    /// Finds them by DWARF and symbols, or says what is missing.
    pub fn of(image: &Image) -> Result<Self, String> {
        let mut figures = Vec::new();
        let mut pauses = None;
        for (variable, structure, wanted) in [
            (
                "runtime.gcController",
                "runtime.gcControllerState",
                &CONTROLLER[..],
            ),
            ("runtime.memstats", "runtime.mstats", &STATISTICS[..]),
        ] {
            let Some((at, members)) = go::variable(image, variable, structure) else {
                return Err(
                    "the figures of the Go heap are missing: the program has no DWARF or no symbols that tell where they are; build it without -ldflags=-s and -w"
                        .to_owned(),
                );
            };
            let place = |name: &str| {
                let offset = members.get(name)?;
                at.checked_add(u64::from(*offset))
            };
            figures.extend(
                wanted
                    .iter()
                    .filter_map(|(figure, name)| Some((*figure, place(name)?))),
            );
            pauses = pauses.or_else(|| place("pause_ns"));
        }
        if figures.len() < CONTROLLER.len() + STATISTICS.len() {
            let version = image.go().map_or("Go", |go| go.version.as_str());
            return Err(format!(
                "the figures of the Go heap are missing: {version} keeps them in a way that this monigo does not know"
            ));
        }
        Ok(Self { figures, pauses })
    }

    /// Adds the figures of all processes to `metrics`.
    pub fn describe(&self, source: &Source, pids: &[u32], metrics: &mut Metrics) {
        let mut sums = Sums::default();
        let mut read = 0;
        for &pid in pids {
            let Ok(bias) = source.bias(pid) else { continue };
            let Some(memory) = Memory::of(pid) else {
                continue;
            };
            if self.add(memory, bias, &mut sums).is_ok() {
                read += 1;
            }
        }
        if read == 0 {
            return;
        }
        let record = |name: &str, value: u64, unit: &str, description: &str| MemStatsRecord {
            record_name: name.to_owned(),
            record_description: description.to_owned(),
            record_value: value as f64,
            record_unit: unit.to_owned(),
        };
        let heap_sys = sums
            .in_use
            .saturating_add(sums.free)
            .saturating_add(sums.released);
        metrics.mem_stats_records.extend([
            record(
                "HeapAlloc",
                sums.total_alloc.saturating_sub(sums.total_free),
                "bytes",
                "Objects that are allocated and not freed, but for what threads have not reported yet.",
            ),
            record("HeapInuse", sums.in_use, "bytes", "Memory of spans that hold objects."),
            record(
                "HeapIdle",
                sums.free.saturating_add(sums.released),
                "bytes",
                "Memory of spans that hold nothing.",
            ),
            record(
                "HeapReleased",
                sums.released,
                "bytes",
                "The part of it that was returned to the operating system.",
            ),
            record("HeapSys", heap_sys, "bytes", "Memory that the heap has reserved."),
            record(
                "TotalAlloc",
                sums.total_alloc,
                "bytes",
                "All that was ever allocated for objects.",
            ),
            record(
                "Sys",
                sums.mapped_ready.saturating_add(sums.released),
                "bytes",
                "Memory that the runtime has from the operating system.",
            ),
            record("NumGC", sums.collections, "count", "Garbage collections that were completed."),
            record(
                "PauseTotalNs",
                sums.pause_total_ns,
                "ns",
                "Time in which garbage collections stopped everything.",
            ),
        ]);
        metrics.memory_statistics.gc_pause_total_ns = Some(sums.pause_total_ns);
        metrics.memory_statistics.gc_pause_last_ns =
            (sums.collections > 0).then_some(sums.pause_last_ns);
    }

    fn add(&self, memory: Memory, bias: u64, sums: &mut Sums) -> nix::Result<()> {
        // Whatever is there: it is another program's memory.
        let add = |sum: &mut u64, value: u64| *sum = sum.saturating_add(value);
        let mut own = 0;
        for (figure, at) in &self.figures {
            let value = memory.word(at.wrapping_add(bias))?;
            match figure {
                Figure::InUse => add(&mut sums.in_use, value),
                Figure::Free => add(&mut sums.free, value),
                Figure::Released => add(&mut sums.released, value),
                Figure::TotalAlloc => add(&mut sums.total_alloc, value),
                Figure::TotalFree => add(&mut sums.total_free, value),
                Figure::MappedReady => add(&mut sums.mapped_ready, value),
                Figure::PauseTotal => add(&mut sums.pause_total_ns, value),
                Figure::Collections => {
                    // Four bytes.
                    own = value & u64::from(u32::MAX);
                    add(&mut sums.collections, own);
                }
            }
        }
        if let Some(pauses) = self.pauses.filter(|_| own > 0) {
            let at = pauses + 8 * ((own - 1) % PAUSES);
            sums.pause_last_ns = sums.pause_last_ns.max(memory.word(at.wrapping_add(bias))?);
        }
        Ok(())
    }
}
