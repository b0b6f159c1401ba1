//! Firefox Profiler: what each thread did when, with the recorded calls as markers.

use std::collections::HashMap;

use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, CategoryPairHandle, CpuDelta, Frame as FrameLabel, FrameFlags,
    FrameInfo, MarkerFieldFlags, MarkerFieldFormat, MarkerLocations, MarkerTiming,
    Profile as Firefox, ReferenceTimestamp, SamplingInterval, StaticSchemaMarker,
    StaticSchemaMarkerField, StringHandle, ThreadHandle, Timestamp, WeightType,
};
use serde_json::Value;

use super::{super::parquet::integer, Profile, WeighedStack};
use crate::query::{CallSpan, QueryError, Source};

/// Most samples, and most calls, in a file: the profiler page has to hold them all.
const MOST: u32 = 1_000_000;

/// A recorded call as a marker.
struct Call {
    name: StringHandle,
    category: CategoryHandle,
    weight: f64,
}

impl StaticSchemaMarker for Call {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "Call";
    const LOCATIONS: MarkerLocations =
        MarkerLocations::MARKER_CHART.union(MarkerLocations::MARKER_TABLE);
    const TABLE_LABEL: Option<&'static str> = Some("{marker.name}");
    const FIELDS: &'static [StaticSchemaMarkerField] = &[StaticSchemaMarkerField {
        key: "weight",
        label: "Calls it stands for",
        format: MarkerFieldFormat::Integer,
        flags: MarkerFieldFlags::empty(),
    }];

    fn name(&self, _profile: &mut Firefox) -> StringHandle {
        self.name
    }

    fn category(&self, _profile: &mut Firefox) -> CategoryHandle {
        self.category
    }

    fn string_field_value(&self, _field: u32) -> StringHandle {
        self.name
    }

    fn number_field_value(&self, _field: u32) -> f64 {
        self.weight
    }
}

/// The recording as JSON for <https://profiler.firefox.com>: `chosen` calls, and the samples that belong
/// to them.
pub fn firefox(
    source: &dyn Source,
    profile: &Profile,
    chosen: &CallSpan,
) -> Result<String, QueryError> {
    let samples = source.sql(
        &format!(
            "SELECT pid, tid, taken_ns, weight_ns, kind = 'cpu', stack_id FROM samples s
             WHERE {} ORDER BY taken_ns",
            chosen.samples_condition("s")
        ),
        MOST,
    )?;
    let calls = source.sql(
        &format!(
            "SELECT pid, tid, start_ns, duration_ns, weight, name
             FROM calls c JOIN functions USING (session_id, function_id)
             WHERE {} ORDER BY start_ns",
            chosen.calls_condition("c")
        ),
        MOST,
    )?;
    let mut file = File::new(profile);
    for row in &samples.rows {
        file.sample(row);
    }
    for row in &calls.rows {
        file.call(row);
    }
    serde_json::to_string(&file.firefox).map_err(|error| QueryError::Store(error.to_string()))
}

struct File<'a> {
    firefox: Firefox,
    started_ns: i64,
    target: &'a str,
    stacks: HashMap<u64, &'a WeighedStack>,
    threads: HashMap<(u32, u32), ThreadHandle>,
    processes: HashMap<u32, fxprof_processed_profile::ProcessHandle>,
    on_cpu: CategoryHandle,
    off_cpu: CategoryHandle,
    kernel: CategoryHandle,
    calls: CategoryHandle,
}

impl<'a> File<'a> {
    fn new(profile: &'a Profile) -> Self {
        let overview = &profile.overview;
        let started =
            ReferenceTimestamp::from_millis_since_unix_epoch(overview.started_ns as f64 / 1e6);
        let mut firefox = Firefox::new(&overview.target, started, SamplingInterval::from_millis(1));
        firefox.set_os_name(&format!("Linux {}", overview.kernel));
        // Frames have their names already.
        firefox.set_symbolicated(true);
        Self {
            started_ns: overview.started_ns,
            target: &overview.target,
            stacks: profile
                .stacks
                .iter()
                .map(|(id, stack)| (*id, stack))
                .collect(),
            threads: HashMap::new(),
            processes: HashMap::new(),
            on_cpu: firefox.add_category("On CPU", CategoryColor::Green),
            off_cpu: firefox.add_category("Off CPU", CategoryColor::Blue),
            kernel: firefox.add_category("Kernel", CategoryColor::Orange),
            calls: firefox.add_category("Traced calls", CategoryColor::Purple),
            firefox,
        }
    }

    /// Time since the start of the recording; a call can have begun before it.
    fn at(&self, unix_ns: i64) -> Timestamp {
        let since = u64::try_from(unix_ns.saturating_sub(self.started_ns)).unwrap_or(0);
        Timestamp::from_nanos_since_reference(since)
    }

    fn thread(&mut self, row: &[Value]) -> Option<ThreadHandle> {
        let (pid, tid) = (integer(row, 0)?, integer(row, 1)?);
        let (pid, tid) = (u32::try_from(pid).ok()?, u32::try_from(tid).ok()?);
        let start = Timestamp::from_nanos_since_reference(0);
        let firefox = &mut self.firefox;
        let process = *self
            .processes
            .entry(pid)
            .or_insert_with(|| firefox.add_process(self.target, pid, start));
        let thread = *self.threads.entry((pid, tid)).or_insert_with(|| {
            let thread = firefox.add_thread(process, tid, start, pid == tid);
            firefox.set_thread_samples_weight_type(thread, WeightType::TracingMs);
            firefox.set_thread_show_markers_in_timeline(thread, true);
            thread
        });
        Some(thread)
    }

    fn sample(&mut self, row: &[Value]) {
        let (Some(thread), Some(taken_ns), Some(weight_ns)) =
            (self.thread(row), integer(row, 2), integer(row, 3))
        else {
            return;
        };
        let running = row.get(4).and_then(Value::as_bool) == Some(true);
        let category = if running { self.on_cpu } else { self.off_cpu };
        let stack = integer(row, 5)
            .and_then(|id| u64::try_from(id).ok())
            .and_then(|id| self.stacks.get(&id).copied());
        let frames: Vec<FrameInfo> = stack
            .into_iter()
            .flat_map(|stack| stack.frames.iter().rev())
            .map(|frame| FrameInfo {
                frame: FrameLabel::Label(self.firefox.intern_string(&frame.function)),
                category_pair: CategoryPairHandle::from(if frame.kernel {
                    self.kernel
                } else {
                    category
                }),
                flags: FrameFlags::empty(),
            })
            .collect();
        let stack = self.firefox.intern_stack_frames(thread, frames.into_iter());
        let ran = if running {
            CpuDelta::from_nanos(u64::try_from(weight_ns).unwrap_or(0))
        } else {
            CpuDelta::ZERO
        };
        // Whole milliseconds are what the format takes.
        let weight = i32::try_from((weight_ns + 500_000) / 1_000_000).unwrap_or(i32::MAX);
        let at = self.at(taken_ns);
        self.firefox
            .add_sample(thread, at, stack, ran, weight.max(1));
    }

    fn call(&mut self, row: &[Value]) {
        let (Some(thread), Some(start_ns), Some(duration_ns)) =
            (self.thread(row), integer(row, 2), integer(row, 3))
        else {
            return;
        };
        let name = row.get(5).and_then(Value::as_str).unwrap_or_default();
        let marker = Call {
            name: self.firefox.intern_string(name),
            category: self.calls,
            weight: integer(row, 4).unwrap_or(1) as f64,
        };
        let (from, to) = (
            self.at(start_ns),
            self.at(start_ns.saturating_add(duration_ns)),
        );
        self.firefox
            .add_marker(thread, MarkerTiming::Interval(from, to), marker);
    }
}
