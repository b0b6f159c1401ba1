//! The terminal view over made-up measurements that move: to look at it, and to test it in a
//! pseudo-terminal.
//!
//! `cargo run --example tui_demo -- [few|many|silent|ended|slow|failing|panic|panic-elsewhere]`

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use monigo::{
    plan::CostClass,
    query::{
        Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, ExitProbe, FlameNode, Frame,
        FunctionRow, Heatmap, Latency, LossRow, Overview, ProbeRow, QueryError, Selection,
        SeriesPoint, Source, StackRow, Story, Table, Tail, TailQuestion, Weight, Window,
    },
    symbols::Language,
    tui::{self, Phase, Status, TuiContext},
};
use monigo_common::histogram::{bounds, bucket_of, representative};
use tokio::sync::watch;

const FLUSH: Duration = Duration::from_millis(500);
const PACKAGE: &str = "github.com/acme/shop/internal/";
const NAMES: [&str; 8] = [
    "main.processOrder",
    "github.com/acme/shop/internal/orders.(*Service).Process",
    "github.com/acme/shop/internal/orders.(*Service).Validate",
    "github.com/acme/shop/internal/payment.(*Client).Charge",
    "github.com/acme/shop/internal/stock.Map[go.shape.int].Reserve",
    "main.main.func1",
    "shop::Cart::total(std::vector<shop::Item, std::allocator<shop::Item>> const&, int) const",
    "包裹::路由::選擇最近的倉庫",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scene = std::env::args().nth(1).unwrap_or_else(|| "few".to_owned());
    let functions = match scene.as_str() {
        "many" => 300,
        "one" => 1,
        _ => 4,
    };
    let shop = Arc::new(Shop {
        scene: scene.clone(),
        started_ns: now_ns() - 90_000_000_000,
        state: Mutex::new(State::new(functions)),
    });
    if scene != "silent" {
        for step in (1..=180).rev() {
            shop.flush(now_ns() - step * FLUSH.as_nanos() as i64);
        }
    }
    let (updates, receiver) = watch::channel(0);
    let (phase_sender, phase) = watch::channel(Phase::Recording);
    if scene == "ended" {
        phase_sender.send(Phase::Ended("the target exited".to_owned()))?;
    }
    let doomed = Arc::new(AtomicBool::new(false));
    let producer = {
        let (shop, scene, doomed) = (Arc::clone(&shop), scene.clone(), Arc::clone(&doomed));
        move || {
            let mut flushes = 0;
            loop {
                thread::sleep(FLUSH);
                flushes += 1;
                if scene != "silent" && scene != "ended" {
                    shop.flush(now_ns());
                }
                doomed.store(scene == "panic" && flushes > 2, Ordering::Relaxed);
                assert!(
                    !(scene == "panic-elsewhere" && flushes > 2),
                    "a background thread failed on purpose"
                );
                if updates.send(flushes).is_err() {
                    return;
                }
            }
        }
    };
    thread::spawn(producer);
    let waiting = (scene == "silent").then(|| "waiting for a process to start".to_owned());
    let context = TuiContext {
        service: None,
        discoverer: None,
        updates: receiver,
        phase,
        status: Arc::new(move || {
            assert!(
                !doomed.load(Ordering::Relaxed),
                "the drawing thread failed on purpose"
            );
            Status {
                waiting: waiting.clone(),
                sample_every: Some(16),
                cost: Some("probes 1.3 µs a call, 0.8% of one CPU".to_owned()),
            }
        }),
    };
    let outcome = tui::run(shop, context)?;
    println!("left: {outcome:?}");
    Ok(())
}

fn now_ns() -> i64 {
    jiff::Timestamp::now().as_nanosecond() as i64
}

struct Shop {
    scene: String,
    started_ns: i64,
    state: Mutex<State>,
}

struct State {
    random: u64,
    functions: Vec<String>,
    /// Per flush: its end, and per function the calls of each bucket.
    flushes: Vec<(i64, Vec<BTreeMap<usize, u64>>)>,
    calls: Vec<Call>,
}

impl State {
    fn new(functions: usize) -> Self {
        let functions = (0..functions)
            .map(|index| match NAMES.get(index) {
                Some(name) => (*name).to_owned(),
                None => format!(
                    "{PACKAGE}handlers/v{}.(*Handler{index}).ServeHTTP",
                    index % 7
                ),
            })
            .collect();
        Self {
            random: 0x9E37_79B9_7F4A_7C15,
            functions,
            flushes: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Uniform in `[0, 1)`.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mostly around a typical duration, sometimes ten times as long.
    fn duration(&mut self, function: usize) -> u64 {
        let typical = 2e6 / (1.0 + (function % 9) as f64).powi(3);
        let spread: f64 = (0..6).map(|_| self.uniform() - 0.5).sum();
        let slow = if self.uniform() < 0.03 { 12.0 } else { 1.0 };
        (typical * (spread * 0.6).exp() * slow) as u64
    }
}

impl Shop {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, at_ns: i64) {
        let mut state = self.state();
        let seconds = at_ns as f64 / 1e9;
        let count = state.functions.len();
        let mut all = vec![BTreeMap::new(); count];
        for (function, buckets) in all.iter_mut().enumerate() {
            let wave = 1.0 + 0.5 * (seconds / (7.0 + function as f64)).sin();
            let calls = (600.0 * wave / (1.0 + function as f64 / 3.0)) as u64;
            for _ in 0..calls {
                let duration_ns = state.duration(function);
                *buckets.entry(bucket_of(duration_ns)).or_insert(0) += 1;
                if state.uniform() < 0.02 {
                    let tid = 4242 + (state.uniform() * 8.0) as u32;
                    let call = Call {
                        function: function as u32,
                        start_ns: at_ns - (state.uniform() * 5e8) as i64 - duration_ns as i64,
                        duration_ns,
                        probes_ns: 0,
                        pid: 4242,
                        tid,
                        goid: Some(17 + u64::from(tid) * 31 % 400),
                        cpu: tid % 2,
                        weight: 16,
                        stack: (!tid.is_multiple_of(5)).then_some(u64::from(tid % 4)),
                    };
                    state.calls.push(call);
                }
            }
        }
        state.flushes.push((at_ns, all));
    }

    fn merged(&self, function: usize, window: Window) -> BTreeMap<usize, u64> {
        let mut merged = BTreeMap::new();
        for (at, functions) in &self.state().flushes {
            if inside(*at, window) {
                for (bucket, count) in &functions[function] {
                    *merged.entry(*bucket).or_insert(0) += count;
                }
            }
        }
        merged
    }

    fn pace(&self) -> Result<(), QueryError> {
        match self.scene.as_str() {
            "slow" => thread::sleep(Duration::from_secs(5)),
            "failing" if self.state().flushes.len() > 186 => {
                return Err(QueryError::Store("disk full".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }
}

fn inside(at: i64, window: Window) -> bool {
    window.from_ns.is_none_or(|from| at >= from) && window.to_ns.is_none_or(|to| at < to)
}

fn quantile(buckets: &BTreeMap<usize, u64>, q: f64) -> u64 {
    let total: u64 = buckets.values().sum();
    let mut left = (total as f64 * q).ceil() as u64;
    for (bucket, count) in buckets {
        if left <= *count {
            return representative(*bucket);
        }
        left -= count;
    }
    0
}

fn latency(buckets: &BTreeMap<usize, u64>) -> Latency {
    let calls: u64 = buckets.values().sum();
    let total: u64 = buckets.iter().map(|(it, n)| representative(*it) * n).sum();
    Latency {
        min: buckets.keys().next().map_or(0, |it| bounds(*it).0),
        mean: total.checked_div(calls).unwrap_or(0),
        p50: quantile(buckets, 0.5),
        p90: quantile(buckets, 0.9),
        p99: quantile(buckets, 0.99),
        p999: quantile(buckets, 0.999),
        max: buckets.keys().last().map_or(0, |it| bounds(*it).1),
        total,
    }
}

fn frames(stack: u64) -> Vec<Frame> {
    let frame = |function: &str, file: &str, line: u64, inlined| Frame {
        function: function.to_owned(),
        image: "/usr/local/bin/orders".to_owned(),
        address: 0x48_1000 + line * 16,
        file: (!file.is_empty()).then(|| file.to_owned()),
        line: (!file.is_empty()).then_some(line as u32),
        inlined,
        kernel: false,
    };
    let mut frames = vec![frame("main.processOrder", "/src/shop/order.go", 42, false)];
    match stack {
        0 => frames.push(frame(
            "main.(*worker).run",
            "/src/shop/worker.go",
            88,
            false,
        )),
        1 => frames.extend([
            frame("main.retry", "/src/shop/retry.go", 17, true),
            frame("main.(*worker).runOnce", "/src/shop/worker.go", 120, false),
        ]),
        2 => frames.extend([
            frame(
                "main.(*Server).HandleOrder",
                "/src/shop/http.go",
                203,
                false,
            ),
            frame(
                "net/http.HandlerFunc.ServeHTTP",
                "/usr/lib/go/src/net/http/server.go",
                2294,
                false,
            ),
            frame(
                "github.com/acme/shop/internal/middleware.(*Chain).Then.func1",
                "/src/shop/internal/middleware/chain.go",
                61,
                false,
            ),
            frame(
                "net/http.serverHandler.ServeHTTP",
                "/usr/lib/go/src/net/http/server.go",
                3301,
                false,
            ),
            frame(
                "net/http.(*conn).serve",
                "/usr/lib/go/src/net/http/server.go",
                2102,
                false,
            ),
            frame(
                "net/http.(*Server).Serve.gowrap3",
                "/usr/lib/go/src/net/http/server.go",
                3454,
                false,
            ),
        ]),
        _ => frames.push(frame("[unknown]", "", 7, false)),
    }
    frames.push(frame(
        "runtime.goexit",
        "/usr/lib/go/src/runtime/asm_amd64.s",
        1700,
        false,
    ));
    frames
}

impl Source for Shop {
    fn overview(&self) -> Result<Overview, QueryError> {
        self.pace()?;
        let state = self.state();
        let last = state.flushes.last().map(|(at, _)| *at);
        let silent = self.scene == "silent";
        Ok(Overview {
            session: 1,
            target: "/usr/local/bin/orders".to_owned(),
            language: Language::Go,
            pids: if silent { vec![] } else { vec![4242, 4260] },
            host: "shop-1".to_owned(),
            kernel: "6.18.0".to_owned(),
            monigo_version: "0.1.0".to_owned(),
            runtime_version: None,
            retention: None,
            started_ns: self.started_ns,
            ended_ns: (self.scene == "ended").then_some(last.unwrap_or(0)),
            last_flush_ns: last,
            flush_ns: FLUSH.as_nanos() as i64,
            recorded: state.calls.len() as u64,
            losses: if silent {
                vec![]
            } else {
                vec![LossRow {
                    cause: "ring_full".to_owned(),
                    count: state.flushes.len() as u64 * 7,
                }]
            },
            warnings: if silent {
                vec![]
            } else {
                vec![
                    "main.validate is inlined into 3 callers and cannot be probed; build with \
                      -gcflags=-l to keep it apart."
                        .to_owned(),
                ]
            },
            beside_share: 0.0,
            skipped_ns: 0,
        })
    }

    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError> {
        let names = self.state().functions.clone();
        let now = self
            .state()
            .flushes
            .last()
            .map_or_else(now_ns, |(at, _)| *at);
        let to = window.to_ns.unwrap_or(now);
        let seconds = (to - window.from_ns.unwrap_or(self.started_ns)) as f64 / 1e9;
        let mut rows: Vec<FunctionRow> = names
            .into_iter()
            .enumerate()
            .map(|(id, name)| {
                let buckets = self.merged(id, window);
                let calls: u64 = buckets.values().sum();
                FunctionRow {
                    id: id as u32,
                    name,
                    image: "/usr/local/bin/orders".to_owned(),
                    file: Some(format!("/src/shop/order{id}.go")),
                    line: Some(42),
                    calls,
                    calls_error: 0,
                    timed: calls,
                    unwound: if calls > 0 && id % 3 == 0 { 3 } else { 0 },
                    in_flight: if calls > 0 { 2 } else { 0 },
                    unmatched: u64::from(calls > 0 && id == 0),
                    rate: calls as f64 / seconds,
                    share: 0.0,
                    self_ns: Some(latency(&buckets).total),
                    probes_ns: calls * 16_300,
                    latency_ns: latency(&buckets),
                    probe: ProbeRow {
                        entry: "0x481000".to_owned(),
                        exit: ExitProbe::Ret,
                        sites: 3,
                        cost_class: CostClass::SingleStep,
                        cost_ns: 16_300,
                        floor_ns: 160,
                        instances: Vec::new(),
                    },
                }
            })
            .collect();
        let sum: u64 = rows.iter().map(|row| row.latency_ns.total).sum();
        for row in &mut rows {
            row.share = row.latency_ns.total as f64 / sum.max(1) as f64;
        }
        Ok(rows)
    }

    fn breakdown(&self, _: Window) -> Result<Vec<Breakdown>, QueryError> {
        Ok(Vec::new())
    }

    fn histogram(&self, function: u32, window: Window) -> Result<Vec<Bucket>, QueryError> {
        Ok(self
            .merged(function as usize, window)
            .into_iter()
            .map(|(bucket, count)| Bucket {
                low_ns: bounds(bucket).0,
                high_ns: bounds(bucket).1,
                count,
            })
            .collect())
    }

    fn series(
        &self,
        function: Option<u32>,
        window: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError> {
        let function = function.unwrap_or(0) as usize;
        let state = self.state();
        let inside: Vec<_> = state
            .flushes
            .iter()
            .filter(|(at, _)| inside(*at, window))
            .collect();
        let each = inside.len().div_ceil(points.max(1) as usize).max(1);
        Ok(inside
            .chunks(each)
            .map(|chunk| {
                let mut merged = BTreeMap::new();
                for (_, functions) in chunk {
                    for (bucket, count) in &functions[function] {
                        *merged.entry(*bucket).or_insert(0) += count;
                    }
                }
                SeriesPoint {
                    at_ns: chunk[0].0 - FLUSH.as_nanos() as i64,
                    step_ns: (FLUSH.as_nanos() as usize * chunk.len()) as i64,
                    calls: merged.values().sum(),
                    unwound: 0,
                    p50: quantile(&merged, 0.5),
                    p99: quantile(&merged, 0.99),
                }
            })
            .collect())
    }

    fn heatmap(&self, _: u32, _: Window, _: u32) -> Result<Heatmap, QueryError> {
        Ok(Heatmap::default())
    }

    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError> {
        let (function, window) = (selection.function, selection.window);
        let mut calls: Vec<Call> = self
            .state()
            .calls
            .iter()
            .filter(|call| function.is_none_or(|it| it == call.function))
            .filter(|call| inside(call.start_ns, window))
            .cloned()
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.duration_ns));
        calls.truncate(limit as usize);
        Ok(calls)
    }

    fn stacks(&self, selection: &Selection, _: u32) -> Result<Vec<StackRow>, QueryError> {
        let calls = self.slowest(selection, u32::MAX)?;
        let mut rows: Vec<StackRow> = (0..4)
            .filter_map(|id| {
                let mine: Vec<&Call> = calls.iter().filter(|it| it.stack == Some(id)).collect();
                let calls = mine.len() as u64 * 16;
                let total: u64 = mine.iter().map(|it| it.duration_ns * 16).sum();
                Some(StackRow {
                    id,
                    weight: match selection.weight {
                        Weight::Wall | Weight::Cpu | Weight::OffCpu | Weight::Time => total,
                        Weight::Calls => calls,
                    },
                    calls,
                    mean_ns: total.checked_div(calls)?,
                    frames: frames(id),
                    truncated: id == 3,
                })
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.weight));
        Ok(rows)
    }

    fn stack(&self, id: u64) -> Result<Vec<Frame>, QueryError> {
        Ok(frames(id))
    }

    fn flame(&self, _: &Selection) -> Result<FlameNode, QueryError> {
        Ok(FlameNode::default())
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

    fn sql(&self, _: &str, _: u32) -> Result<Table, QueryError> {
        Ok(Table::default())
    }
}
