//! A made-up recording: log-normal latencies that drift, kept as histograms per flush like the
//! real store keeps them, so that every view adds up.

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::over_time;
use monigo::{
    plan::CostClass,
    query::{
        Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, ExitProbe, FlameNode, Frame,
        FunctionRow, Heatmap, Latency, LatencyPoint, LatencyQuestion, LossRow, Overview, ProbeRow,
        QueryError, ReadingsPoint, ReadingsQuestion, Selection, SeriesPoint, Source, StackRow,
        Story, Table, Tail, TailQuestion, TimeParts, Wait, Weight, Window,
    },
    symbols::Language,
};
use monigo_common::histogram::{bounds, bucket_of, representative};

/// Name, file, line, calls a second, median in ns, spread (sigma of the logarithm).
type Shape = (&'static str, &'static str, u32, f64, f64, f64);

const SHAPES: [Shape; 12] = [
    (
        "main.(*Service).ProcessOrder",
        "order/service.go",
        48,
        820.0,
        1.9e6,
        0.55,
    ),
    (
        "main.(*Service).chargeCard",
        "order/payment.go",
        112,
        790.0,
        9.4e5,
        0.7,
    ),
    (
        "main.(*Inventory).Reserve",
        "order/inventory.go",
        31,
        1640.0,
        1.2e5,
        0.8,
    ),
    (
        "main.(*Inventory).lockShelf",
        "order/inventory.go",
        77,
        3280.0,
        2.1e4,
        1.1,
    ),
    (
        "main.validateOrder",
        "order/validate.go",
        19,
        820.0,
        4.6e4,
        0.35,
    ),
    (
        "main.(*Cache[go.shape.string]).Get",
        "order/cache.go",
        22,
        12_400.0,
        410.0,
        0.5,
    ),
    ("main.priceOf", "order/price.go", 9, 5200.0, 880.0, 0.3),
    (
        "encoding/json.(*Decoder).Decode",
        "encoding/json/stream.go",
        49,
        820.0,
        3.1e4,
        0.4,
    ),
    (
        "main.(*Audit).append",
        "order/audit.go",
        64,
        815.0,
        1.4e4,
        1.4,
    ),
    (
        "main.sendConfirmation",
        "order/mail.go",
        15,
        12.0,
        4.8e7,
        0.5,
    ),
    (
        "main.(*Service).retryCharge",
        "order/payment.go",
        168,
        3.1,
        2.6e7,
        0.6,
    ),
    (
        "main.(*Service).rebuildIndex",
        "order/index.go",
        12,
        0.0,
        1.0e6,
        0.1,
    ),
];
/// Index of the function that starts with a call and sends none at all.
const SILENT: usize = SHAPES.len() - 1;
/// One call in this many is kept in full.
const SAMPLE: u64 = 64;

type Counts = BTreeMap<u16, u64>;

struct Interval {
    start_ns: i64,
    end_ns: i64,
    counts: Vec<Counts>,
    unwound: Vec<u64>,
}

#[derive(Default)]
struct State {
    intervals: Vec<Interval>,
    calls: Vec<Call>,
    lost: u64,
    ended_ns: Option<i64>,
    seed: u64,
}

/// The recording.
pub struct Recording {
    started_ns: i64,
    flush_ns: i64,
    empty: bool,
    state: Mutex<State>,
}

impl Recording {
    /// Begins `past` seconds ago.
    pub fn new(flush: Duration, past: u32, empty: bool) -> Self {
        let flush_ns = flush.as_nanos() as i64;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as i64);
        let recording = Self {
            started_ns: now - i64::from(past) * 1_000_000_000,
            flush_ns,
            empty,
            state: Mutex::new(State {
                seed: 0x9e37_79b9_7f4a_7c15,
                ..State::default()
            }),
        };
        for _ in 0..i64::from(past) * 1_000_000_000 / flush_ns {
            recording.flush();
        }
        recording
    }

    /// When it began, Unix time in ns.
    pub fn started_ns(&self) -> i64 {
        self.started_ns
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the recording in order.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended_ns = Some(self.last_ns(&state));
    }

    fn last_ns(&self, state: &State) -> i64 {
        self.started_ns + state.intervals.len() as i64 * self.flush_ns
    }

    /// Makes up one more interval.
    pub fn flush(&self) {
        let mut state = self.state();
        let start_ns = self.last_ns(&state);
        let seconds = self.flush_ns as f64 / 1e9;
        let time = (start_ns - self.started_ns) as f64 / 1e9;
        let mut interval = Interval {
            start_ns,
            end_ns: start_ns + self.flush_ns,
            counts: vec![Counts::new(); SHAPES.len()],
            unwound: vec![0; SHAPES.len()],
        };
        let shapes = if self.empty { &[][..] } else { &SHAPES[..] };
        for (index, &(_, _, _, rate, median, sigma)) in shapes.iter().enumerate() {
            let wave = 1.0 + 0.25 * (time * TAU / 47.0 + index as f64).sin();
            // Every 90 s something holds a lock: the tail grows for a while.
            let jam = if time % 90.0 > 70.0 { 2.2 } else { 1.0 };
            let expected = rate * wave * seconds;
            let calls = expected as u64 + u64::from(state.random() < expected.fract());
            for number in 0..calls {
                let slow = if state.random() < 0.01 * jam {
                    6.0 * jam
                } else {
                    1.0
                };
                let drift = 1.0 + 0.3 * (time * TAU / 120.0).sin();
                let duration =
                    (median * drift * slow * (sigma * state.normal()).exp()).max(20.0) as u64;
                *interval.counts[index]
                    .entry(bucket_of(duration) as u16)
                    .or_default() += 1;
                if number % SAMPLE == 0 || slow > 6.0 {
                    let call = state.call(index, start_ns, self.flush_ns, duration, slow > 6.0);
                    state.calls.push(call);
                }
            }
            if index == 1 && state.random() < 0.4 {
                interval.unwound[index] = 1 + (state.random() * 3.0) as u64;
            }
        }
        if !self.empty && state.random() < 0.02 {
            state.lost += 17;
        }
        state.intervals.push(interval);
    }

    fn row(state: &State, index: usize, window: Window, seconds: f64) -> FunctionRow {
        let (name, file, line, ..) = SHAPES[index];
        let mut counts = Counts::new();
        let mut unwound = 0;
        for interval in inside(state, window) {
            merge(&mut counts, &interval.counts[index]);
            unwound += interval.unwound[index];
        }
        let calls: u64 = counts.values().sum();
        FunctionRow {
            id: index as u32,
            name: name.to_owned(),
            image: "/srv/orders/orderd".to_owned(),
            file: Some(file.to_owned()),
            line: Some(line),
            calls,
            // The fourth is estimated, the fifth timed in part.
            calls_error: if index == 3 { calls / 40 } else { 0 },
            timed: if index == 4 { calls / 8 } else { calls },
            unwound,
            in_flight: if calls == 0 {
                0
            } else {
                (index as u64 * 7) % 5
            },
            unmatched: u64::from(index == 0 && calls > 0),
            rate: calls as f64 / seconds,
            share: 0.0,
            probes_ns: calls * 1_900,
            self_ns: Some(latency(&counts).total / (1 + index as u64 % 3)),
            latency_ns: latency(&counts),
            probe: ProbeRow {
                entry: format!("{:#x}", 0x004b_1c40 + index * 0x340),
                exit: ExitProbe::Ret,
                sites: 3 + index as u32 % 4,
                cost_class: if index % 4 == 3 {
                    CostClass::SingleStep
                } else {
                    CostClass::Emulated
                },
                cost_ns: if index % 4 == 3 { 16_300 } else { 1_900 },
                floor_ns: 160,
                instances: Vec::new(),
            },
        }
    }

    fn seconds(&self, state: &State, window: Window) -> f64 {
        let from = window
            .from_ns
            .unwrap_or(self.started_ns)
            .max(self.started_ns);
        let last = self.last_ns(state);
        let to = window.to_ns.unwrap_or(last).min(last);
        ((to - from) as f64 / 1e9).max(0.001)
    }
}

/// Groups of whole intervals inside the window, at most `most`.
fn groups(state: &State, window: Window, most: u32) -> Vec<Vec<&Interval>> {
    let inside: Vec<&Interval> = inside(state, window).collect();
    let each = inside.len().div_ceil(most.max(1) as usize).max(1);
    inside.chunks(each).map(<[_]>::to_vec).collect()
}

impl State {
    fn random(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.random().max(1e-12).ln()).sqrt();
        radius * (TAU * self.random()).cos()
    }

    fn call(&mut self, index: usize, start: i64, length: i64, duration: u64, slow: bool) -> Call {
        let tid = 4242 + (self.random() * 6.0) as u32;
        Call {
            function: index as u32,
            start_ns: start + (self.random() * length as f64) as i64,
            duration_ns: duration,
            probes_ns: 0,
            pid: 4242,
            tid,
            goid: Some(18 + (self.random() * 400.0) as u64),
            cpu: tid % 2,
            weight: if slow { 1 } else { SAMPLE as u32 },
            stack: Some(1 + index as u64 * 4 + (self.random() * 3.4) as u64),
        }
    }
}

fn inside(state: &State, window: Window) -> impl Iterator<Item = &Interval> {
    state.intervals.iter().filter(move |interval| {
        window.from_ns.is_none_or(|from| interval.end_ns > from)
            && window.to_ns.is_none_or(|to| interval.end_ns <= to)
    })
}

fn merge(into: &mut Counts, more: &Counts) {
    for (bucket, count) in more {
        *into.entry(*bucket).or_default() += count;
    }
}

fn quantile(counts: &Counts, share: f64) -> u64 {
    let total: u64 = counts.values().sum();
    let rank = ((total as f64 * share).ceil() as u64).max(1);
    let mut seen = 0;
    for (bucket, count) in counts {
        seen += count;
        if seen >= rank {
            return representative(usize::from(*bucket));
        }
    }
    0
}

fn latency(counts: &Counts) -> Latency {
    let calls: u64 = counts.values().sum();
    let total: u64 = counts
        .iter()
        .map(|(bucket, count)| representative(usize::from(*bucket)) * count)
        .sum();
    let edge = |bucket: Option<&u16>| bucket.map_or(0, |b| representative(usize::from(*b)));
    Latency {
        min: edge(counts.keys().next()),
        mean: total.checked_div(calls).unwrap_or(0),
        p50: quantile(counts, 0.5),
        p90: quantile(counts, 0.9),
        p99: quantile(counts, 0.99),
        p999: quantile(counts, 0.999),
        max: edge(counts.keys().next_back()),
        total,
    }
}

fn known(function: u32) -> Result<usize, QueryError> {
    let index = function as usize;
    if index < SHAPES.len() {
        Ok(index)
    } else {
        Err(QueryError::UnknownFunction(function))
    }
}

/// Four stacks for each function, innermost first.
fn frames(stack: u64) -> Vec<Frame> {
    let Some(index) = stack.checked_sub(1) else {
        return Vec::new();
    };
    let (function, variant) = ((index / 4) as usize, index % 4);
    let Some(&(name, file, line, ..)) = SHAPES.get(function) else {
        return Vec::new();
    };
    let mut frames = vec![frame(name, Some((file, line + 9)), false)];
    if variant == 1 {
        frames.insert(0, frame("runtime.futex", None, false));
        frames.insert(
            1,
            frame(
                "sync.(*Mutex).lockSlow",
                Some(("sync/mutex.go", 171)),
                false,
            ),
        );
        frames.insert(
            2,
            frame("sync.(*Mutex).Lock", Some(("sync/mutex.go", 90)), true),
        );
    }
    if variant == 2 {
        let mut kernel = frame("do_syscall_64", None, false);
        kernel.kernel = true;
        "[kernel]".clone_into(&mut kernel.image);
        frames.insert(0, kernel);
    }
    if function != 0 && function != 8 {
        frames.push(frame(
            SHAPES[0].0,
            Some((SHAPES[0].1, 61 + variant as u32)),
            false,
        ));
    }
    let entry = if variant == 3 {
        "main.(*Worker).drain"
    } else {
        "main.(*Worker).run"
    };
    frames.push(frame(entry, Some(("order/worker.go", 27)), false));
    frames.push(frame(
        "main.main.gowrap1",
        Some(("order/main.go", 33)),
        true,
    ));
    frames.push(frame(
        "runtime.goexit",
        Some(("runtime/asm_amd64.s", 1700)),
        false,
    ));
    frames
}

fn frame(function: &str, place: Option<(&str, u32)>, inlined: bool) -> Frame {
    Frame {
        function: function.to_owned(),
        image: "/srv/orders/orderd".to_owned(),
        address: 0x004b_1000 + function.len() as u64 * 64,
        file: place.map(|(file, _)| file.to_owned()),
        line: place.map(|(_, line)| line),
        inlined,
        kernel: false,
    }
}

fn selected<'a>(state: &'a State, selection: &Selection) -> impl Iterator<Item = &'a Call> {
    let Selection {
        function, window, ..
    } = *selection;
    let (least, most) = (selection.slower_than_ns, selection.faster_than_ns);
    state.calls.iter().filter(move |call| {
        least.is_none_or(|ns| call.duration_ns >= ns)
            && most.is_none_or(|ns| call.duration_ns < ns)
            && function.is_none_or(|function| call.function == function)
            && window.from_ns.is_none_or(|from| call.start_ns >= from)
            && window.to_ns.is_none_or(|to| call.start_ns < to)
    })
}

impl Source for Recording {
    fn overview(&self) -> Result<Overview, QueryError> {
        let state = self.state();
        let losses = vec![LossRow {
            cause: "ring_full".to_owned(),
            count: state.lost,
        }];
        let warnings = vec![format!(
            "{} recorded calls did not fit into the ring buffer; counts and latencies are still \
             exact, stacks and slowest calls miss them",
            state.lost
        )];
        Ok(Overview {
            session: 3,
            target: "/srv/orders/orderd".to_owned(),
            language: Language::Go,
            pids: if self.empty {
                Vec::new()
            } else {
                vec![4242, 4377]
            },
            host: "shop-7".to_owned(),
            kernel: "6.18.2".to_owned(),
            monigo_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_version: None,
            retention: None,
            started_ns: self.started_ns,
            ended_ns: state.ended_ns,
            last_flush_ns: (!state.intervals.is_empty()).then(|| self.last_ns(&state)),
            flush_ns: self.flush_ns,
            recorded: state.calls.len() as u64,
            losses: if state.lost > 0 { losses } else { Vec::new() },
            warnings: if state.lost > 0 { warnings } else { Vec::new() },
            beside_share: 0.0,
            skipped_ns: 0,
        })
    }

    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError> {
        let state = self.state();
        let seconds = self.seconds(&state, window);
        let mut rows: Vec<FunctionRow> = (0..SHAPES.len())
            .map(|index| Self::row(&state, index, window, seconds))
            .collect();
        let total: u64 = rows.iter().map(|row| row.latency_ns.total).sum();
        for row in &mut rows {
            row.share = row.latency_ns.total as f64 / total.max(1) as f64;
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.latency_ns.total));
        Ok(rows)
    }

    fn breakdown(&self, window: Window) -> Result<Vec<Breakdown>, QueryError> {
        let parts = |wall: u64| {
            let blocked = BTreeMap::from([
                (Wait::Lock, wall / 4),
                (Wait::Io, wall / 8),
                (Wait::Network, wall / 8),
            ]);
            let (on_cpu, runnable) = (wall / 3, wall / 20);
            let known = on_cpu + runnable + blocked.values().sum::<u64>();
            TimeParts {
                wall,
                on_cpu,
                runnable,
                blocked,
                unattributed: wall - known,
            }
        };
        let rows = self.functions(window)?.into_iter();
        Ok(rows
            .map(|row| Breakdown {
                function: row.id,
                name: row.name,
                own: parts(row.self_ns.unwrap_or(0)),
                total: parts(row.latency_ns.total),
            })
            .collect())
    }

    fn histogram(&self, function: u32, window: Window) -> Result<Vec<Bucket>, QueryError> {
        let index = known(function)?;
        let mut counts = Counts::new();
        for interval in inside(&self.state(), window) {
            merge(&mut counts, &interval.counts[index]);
        }
        Ok(counts
            .into_iter()
            .map(|(bucket, count)| {
                let (low_ns, high_ns) = bounds(usize::from(bucket));
                Bucket {
                    low_ns,
                    high_ns,
                    count,
                }
            })
            .collect())
    }

    fn series(
        &self,
        function: Option<u32>,
        window: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError> {
        let wanted = function.map(known).transpose()?;
        let state = self.state();
        let point = |group: Vec<&Interval>| {
            let (mut counts, mut unwound) = (Counts::new(), 0);
            for interval in &group {
                for index in 0..SHAPES.len() {
                    if wanted.is_none_or(|wanted| wanted == index) {
                        merge(&mut counts, &interval.counts[index]);
                        unwound += interval.unwound[index];
                    }
                }
            }
            SeriesPoint {
                at_ns: group[0].start_ns,
                step_ns: group.len() as i64 * self.flush_ns,
                calls: counts.values().sum(),
                unwound,
                p50: quantile(&counts, 0.5),
                p99: quantile(&counts, 0.99),
            }
        };
        Ok(groups(&state, window, points)
            .into_iter()
            .map(point)
            .collect())
    }

    fn heatmap(&self, function: u32, window: Window, columns: u32) -> Result<Heatmap, QueryError> {
        let index = known(function)?;
        let state = self.state();
        let groups = groups(&state, window, columns);
        let row_of = |bucket: u16| u32::from(bucket) / 8;
        let used: Vec<u32> = inside(&state, window)
            .flat_map(|interval| interval.counts[index].keys().map(|bucket| row_of(*bucket)))
            .collect();
        let (Some(&low), Some(&high)) = (used.iter().min(), used.iter().max()) else {
            return Ok(Heatmap::default());
        };
        let mut counts = vec![vec![0; (high - low + 1) as usize]; groups.len()];
        for (column, group) in counts.iter_mut().zip(&groups) {
            for interval in group {
                for (bucket, count) in &interval.counts[index] {
                    column[(row_of(*bucket) - low) as usize] += count;
                }
            }
        }
        Ok(Heatmap {
            times_ns: groups.iter().map(|group| group[0].start_ns).collect(),
            step_ns: groups[0].len() as i64 * self.flush_ns,
            rows_ns: (low..=high).map(|row| bounds(row as usize * 8).0).collect(),
            top_ns: bounds(high as usize * 8 + 7).1,
            counts,
        })
    }

    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError> {
        let state = self.state();
        let mut calls: Vec<Call> = selected(&state, selection).cloned().collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.duration_ns));
        calls.truncate(limit as usize);
        Ok(calls)
    }

    fn stacks(&self, selection: &Selection, limit: u32) -> Result<Vec<StackRow>, QueryError> {
        let state = self.state();
        // Per stack: estimated ns, estimated calls, recorded ns, recorded calls.
        let mut sums: BTreeMap<u64, [u64; 4]> = BTreeMap::new();
        for call in selected(&state, selection) {
            let sum = sums.entry(call.stack.unwrap_or(0)).or_default();
            let weight = u64::from(call.weight);
            let add = [call.duration_ns * weight, weight, call.duration_ns, 1];
            for (sum, add) in sum.iter_mut().zip(add) {
                *sum += add;
            }
        }
        let mut rows: Vec<StackRow> = sums
            .into_iter()
            .map(|(id, [wall, calls, recorded_ns, recorded])| StackRow {
                id,
                weight: if selection.weight == Weight::Calls {
                    calls
                } else {
                    wall
                },
                calls,
                mean_ns: recorded_ns / recorded.max(1),
                frames: frames(id),
                truncated: id % 9 == 0,
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.weight));
        rows.truncate(limit as usize);
        Ok(rows)
    }

    fn stack(&self, id: u64) -> Result<Vec<Frame>, QueryError> {
        Ok(frames(id))
    }

    fn flame(&self, selection: &Selection) -> Result<FlameNode, QueryError> {
        let mut root = FlameNode {
            name: "all".to_owned(),
            ..FlameNode::default()
        };
        for row in self.stacks(selection, u32::MAX)? {
            root.value += row.weight;
            let mut node = &mut root;
            for frame in row.frames.iter().rev() {
                let place = match (&frame.file, frame.line) {
                    (Some(file), Some(line)) => format!(" {file}:{line}"),
                    _ => String::new(),
                };
                let detail = format!("{}{place}", frame.image);
                let found = node
                    .children
                    .iter()
                    .position(|child| child.name == frame.function);
                let position = found.unwrap_or(node.children.len());
                if found.is_none() {
                    node.children.push(FlameNode {
                        name: frame.function.clone(),
                        detail,
                        ..FlameNode::default()
                    });
                }
                node = &mut node.children[position];
                node.value += row.weight;
            }
        }
        Ok(root)
    }

    fn tail(&self, _: &TailQuestion) -> Result<Tail, QueryError> {
        Err(QueryError::NoSuchCalls(
            "this recording is made up".to_owned(),
        ))
    }

    fn story(&self, _: CallKey) -> Result<Story, QueryError> {
        Err(QueryError::NoSuchCalls(
            "this recording is made up".to_owned(),
        ))
    }

    fn compare(&self, _: &CompareQuestion) -> Result<Comparison, QueryError> {
        Err(QueryError::NoSuchCalls(
            "this recording is made up".to_owned(),
        ))
    }

    fn readings(&self, question: &ReadingsQuestion) -> Result<Vec<ReadingsPoint>, QueryError> {
        let last = self.last_ns(&self.state());
        Ok(over_time::readings(self.started_ns, last, question))
    }

    fn latency_series(&self, question: &LatencyQuestion) -> Result<Vec<LatencyPoint>, QueryError> {
        over_time::latency_series(self, question)
    }

    fn sql(&self, _query: &str, _limit: u32) -> Result<Table, QueryError> {
        Err(QueryError::Sql("this recording is made up".to_owned()))
    }
}

const _: () = assert!(SHAPES[SILENT].3 == 0.0, "one function has no calls");
