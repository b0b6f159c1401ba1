//! A screen over fixed measurements.

use jiff::tz::TimeZone;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use unicode_width::UnicodeWidthStr as _;

use crate::{
    plan::CostClass,
    query::{
        Activity, Bucket, Call, CallGroup, Cause, DiffNode, ExitProbe, FlameNode, Frame,
        FunctionRow, InstanceRow, Latency, LossRow, Overview, ProbeRow, SeriesPoint, StackRow,
        Tail, Wait,
    },
    service::{IoFigures, Metrics, RoutineKind},
    symbols::Language,
    system::health::{HealthSettings, ServiceUse, service_health, system_health},
    tui::{
        Phase, Status,
        input::{self, Change},
        state::{Answer, App, DetailKey, Now, Part, Parts},
        view::{self, Theme},
    },
};

/// 2026-01-02 03:04:05 UTC.
pub const START_NS: i64 = 1_767_323_045_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// An application with nothing answered yet.
pub fn starting() -> App {
    let status = Status {
        waiting: None,
        sample_every: Some(16),
        cost: Some("probes cost about 1.3% of one CPU (limit 5.0%)".to_owned()),
    };
    let mut app = App::new(status, Phase::Recording, TimeZone::UTC);
    app.now = Now {
        unix_ns: START_NS + 90 * SECOND,
        ..app.now
    };
    app
}

/// An application over `functions` with every question answered.
pub fn loaded(functions: Vec<FunctionRow>) -> App {
    let mut app = starting();
    app.accept(Answer::of_session(overview()));
    answer(&mut app, functions);
    app
}

/// What a service and its host use; the service has too many goroutines, if wanted.
pub fn metrics(breach: bool) -> Box<Metrics> {
    let mut metrics = Metrics::default();
    metrics.core_statistics.goroutines = Some(if breach { 1_234 } else { 48 });
    metrics.core_statistics.processes = 1;
    metrics.cpu_statistics.cores_limit = 1.5;
    metrics.cpu_statistics.total_logical_cores = 8;
    let load = &mut metrics.load_statistics;
    load.service_cpu_load_percent = 12.34;
    load.service_memory_load_percent = 3.2;
    load.system_cpu_load_percent = 31.0;
    load.system_memory_load_percent = 43.0;
    load.system_disk_load_percent = Some(57.0);
    metrics.memory_statistics.memory_used_by_service_bytes = 125 << 20;
    metrics.memory_statistics.memory_used_by_system_bytes = 6 << 30;
    metrics.disk_io.service = Some(IoFigures {
        written_bytes_per_second: 81_920.0,
        ..IoFigures::default()
    });
    let settings = HealthSettings::default();
    let goroutines = metrics.core_statistics.goroutines.unwrap_or(0);
    metrics.health.service_health = service_health(
        &settings,
        &ServiceUse {
            processes: 1,
            cpu_percent: 12.34,
            memory_percent: 3.2,
            routines: Some((RoutineKind::Goroutines, goroutines)),
            latencies: Vec::new(),
        },
    );
    metrics.health.system_health = system_health(&settings, 31.0, 43.0);
    Box::new(metrics)
}

/// A few functions of a Go program.
pub fn few() -> App {
    loaded(vec![
        function(0, "main.processOrder", 120_000, 2_000_000),
        function(
            1,
            "github.com/acme/shop/internal/orders.(*Service).Process",
            80_123,
            250_000,
        ),
        function(2, "main.main.func1", 4, 90_000_000),
        function(3, "main.idle", 0, 0),
    ])
}

/// Answers the table with `functions` and then everything about the selected one.
pub fn answer(app: &mut App, functions: Vec<FunctionRow>) {
    let span = app.span;
    app.accept(Answer::Functions {
        span,
        rows: functions,
    });
    answer_detail(app);
}

/// Answers everything about the selected function.
pub fn answer_detail(app: &mut App) {
    let Some(function) = app.table.selected else {
        return;
    };
    let key = DetailKey {
        function,
        span: app.span,
        unit: app.detail.unit,
        root: app.detail.root(),
    };
    for part in [
        Part::Histogram(histogram()),
        Part::Series(series()),
        Part::Stacks(stacks()),
        Part::Calls(calls()),
        Part::Flame(flame()),
        Part::Tail(Box::new(tail())),
    ] {
        app.accept(Answer::Part { key, part });
    }
}

pub fn overview() -> Overview {
    Overview {
        session: 1,
        target: "/usr/local/bin/orders".to_owned(),
        language: Language::Go,
        pids: vec![4242, 4260],
        host: "shop-1".to_owned(),
        kernel: "6.18.0".to_owned(),
        monigo_version: "0.1.0".to_owned(),
        runtime_version: None,
        retention: None,
        started_ns: START_NS,
        ended_ns: None,
        last_flush_ns: Some(START_NS + 90 * SECOND),
        flush_ns: SECOND,
        recorded: 7_500,
        losses: vec![LossRow {
            cause: "ring_full".to_owned(),
            count: 1_234,
        }],
        beside_share: 0.0,
        skipped_ns: 0,
        warnings: vec![
            "main.validate is inlined into 3 callers and cannot be probed; build with -gcflags=-l \
             to keep it apart."
                .to_owned(),
        ],
    }
}

pub fn function(id: u32, name: &str, calls: u64, typical_ns: u64) -> FunctionRow {
    let total = calls * typical_ns * 5 / 4;
    FunctionRow {
        id,
        name: name.to_owned(),
        image: "/usr/local/bin/orders".to_owned(),
        file: Some("/src/shop/order.go".to_owned()),
        line: Some(42 + id),
        calls,
        calls_error: 0,
        timed: calls,
        unwound: if calls > 100_000 { 3 } else { 0 },
        in_flight: u64::from(calls > 1000) * 2,
        unmatched: u64::from(calls > 100_000),
        rate: calls as f64 / 90.0,
        share: total as f64 / 326e9,
        latency_ns: Latency {
            min: typical_ns / 5,
            mean: typical_ns * 5 / 4,
            p50: typical_ns,
            p90: typical_ns * 2,
            p99: typical_ns * 14,
            p999: typical_ns * 25,
            max: typical_ns * 58,
            total,
        },
        self_ns: Some(total),
        probes_ns: calls * 16_300,
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
}

/// Functions whose figures are not certain: one below the floor, one estimated, one timed in part,
/// one only counted. The first calls the second.
pub fn uncertain() -> App {
    let mut functions = vec![
        function(0, "orders::Service::process", 1_200_000, 2_000),
        function(1, "orders::Price::add", 9_876_543, 0),
        function(2, "std::vector<orders::Line>::push_back", 2_345_678, 400),
        function(3, "orders::Cache::get", 800_000, 90_000),
        function(4, "orders::hash", 123_456, 0),
    ];
    functions[0].self_ns = Some(functions[0].latency_ns.total / 3);
    functions[1].calls_error = 23_456;
    functions[2].probe.floor_ns = 1_200;
    functions[3].timed = 96_000;
    functions[4].timed = 0;
    loaded(functions)
}

/// A function with several bodies, selected.
pub fn instances() -> App {
    let mut functions = vec![
        function(0, "orders::sum", 1_200_000, 2_000),
        function(1, "orders::Price::add", 90_000, 1_000),
    ];
    let instance = |name: &str, address: &str, line| InstanceRow {
        name: name.to_owned(),
        linkage_name: name.to_owned(),
        address: address.to_owned(),
        file: Some("/build/orders/src/sum.rs".to_owned()),
        line,
        sites: 1 + line.unwrap_or(0) % 2,
        cost_class: CostClass::SingleStep,
    };
    functions[0].probe.instances = vec![
        instance("orders::sum::<u32>", "0x481000", Some(12)),
        instance("orders::sum::<orders::Price>", "0x4810a0", Some(13)),
        instance("orders::sum::<f64>", "0x4810f0", None),
    ];
    loaded(functions)
}

/// 400 functions with the names that real programs have.
pub fn many() -> App {
    let mut functions = vec![
        function(
            0,
            "shop::Cart::total(std::vector<shop::Item, std::allocator<shop::Item>> const&, int) const",
            90_000,
            1_000_000,
        ),
        function(1, "包裹::路由::選擇最近的倉庫並且計算運費", 50_000, 500_000),
        function(
            2,
            "<alloc::vec::Vec<T> as core::iter::traits::collect::Extend<&T>>::extend",
            40_000,
            300_000,
        ),
    ];
    functions.extend((3..400).map(|id| {
        let name = format!(
            "github.com/acme/shop/handlers/v{}.(*Handler{id}).ServeHTTP",
            id % 7
        );
        function(id, &name, 30_000 - u64::from(id) * 50, 100_000)
    }));
    loaded(functions)
}

fn histogram() -> Vec<Bucket> {
    [
        (400_000, 8),
        (700_000, 5_300),
        (1_100_000, 21_000),
        (1_700_000, 26_000),
        (2_300_000, 35_000),
        (3_500_000, 29_000),
        (5_500_000, 1_400),
        (12_000_000, 380),
        (25_000_000, 1_900),
        (60_000_000, 11),
        (110_000_000, 1),
    ]
    .into_iter()
    .map(|(low_ns, count)| Bucket {
        low_ns,
        high_ns: low_ns + low_ns / 40,
        count,
    })
    .collect()
}

fn series() -> Vec<SeriesPoint> {
    (0..60_i64)
        .map(|step| {
            let wave = (step as f64 / 9.0).sin();
            SeriesPoint {
                at_ns: START_NS + step * SECOND * 3 / 2,
                step_ns: SECOND * 3 / 2,
                calls: (2_000.0 + 900.0 * wave) as u64,
                unwound: 0,
                p50: 2_000_000,
                p99: if step == 41 {
                    90_000_000
                } else {
                    28_000_000 + (step % 5) as u64 * 900_000
                },
            }
        })
        .collect()
}

fn frame(function: &str, file: &str, line: u32, inlined: bool) -> Frame {
    Frame {
        function: function.to_owned(),
        image: "/usr/local/bin/orders".to_owned(),
        address: 0x48_1000 + u64::from(line),
        file: (!file.is_empty()).then(|| file.to_owned()),
        line: (!file.is_empty()).then_some(line),
        inlined,
        kernel: false,
    }
}

/// A call from an HTTP server.
pub fn server_frames() -> Vec<Frame> {
    vec![
        frame("main.processOrder", "/src/shop/order.go", 42, false),
        frame("main.retry", "/src/shop/retry.go", 17, true),
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
            "net/http.(*conn).serve",
            "/usr/lib/go/src/net/http/server.go",
            2102,
            false,
        ),
        frame(
            "runtime.goexit",
            "/usr/lib/go/src/runtime/asm_amd64.s",
            1700,
            false,
        ),
    ]
}

fn tail() -> Tail {
    let cause = |sentence: &str, share, slow_ns, fast_ns| Cause {
        sentence: sentence.to_owned(),
        share,
        slow_ns,
        fast_ns,
        activity: Activity::Waiting,
        wait: Some(Wait::Lock),
        reason: None,
        function: "reserve_stock".to_owned(),
        callee: None,
        caller: None,
        waker: None,
        waker_function: None,
        samples: 41,
        stack: Some(7),
    };
    let group = |recorded, mean_ns| CallGroup {
        recorded,
        calls: recorded,
        mean_ns,
        sampled_ns: mean_ns / 2,
        samples: recorded,
    };
    Tail {
        function: 0,
        name: "main.processOrder".to_owned(),
        slower_than_ns: 28_000_000,
        faster_than_ns: 2_000_000,
        slow: group(1_210, 34_000_000),
        fast: group(3_400, 1_400_000),
        extra_ns: 32_600_000,
        unattributed_ns: 1_304_000,
        causes: vec![
            cause(
                "79% of the extra time is waiting for a lock in `pthread_mutex_lock`, called from `reserve_stock`; woken by thread `worker-2` in `restock`",
                0.79,
                25_800_000,
                0,
            ),
            cause(
                "17% of the extra time is waiting for a CPU in `main.processOrder` itself",
                0.17,
                5_600_000,
                58_000,
            ),
        ],
        notes: vec!["samples are few: shares can be off by 8%".to_owned()],
        tree: DiffNode::default(),
    }
}

fn flame() -> FlameNode {
    let node = |name: &str, detail: &str, value, children| FlameNode {
        name: name.to_owned(),
        detail: detail.to_owned(),
        value,
        children,
    };
    let wait = node("futex_wait", "[kernel]", 900_000_000, vec![]);
    let lock = node(
        "sync.(*Mutex).Lock",
        "/srv/orders",
        1_400_000_000,
        vec![wait],
    );
    let charge = node(
        "main.(*Service).chargeCard",
        "/srv/orders",
        2_600_000_000,
        vec![lock],
    );
    let reserve = node(
        "main.(*Service).reserveStock",
        "/srv/orders",
        900_000_000,
        vec![],
    );
    let encode = node("encoding/json.Marshal", "/srv/orders", 120_000_000, vec![]);
    let process = node(
        "main.(*Service).ProcessOrder",
        "/srv/orders",
        4_000_000_000,
        vec![charge, reserve, encode],
    );
    let serve = node(
        "net/http.(*conn).serve",
        "/srv/orders",
        3_000_000_000,
        vec![],
    );
    let work = node(
        "main.runWorker",
        "/srv/orders",
        4_000_000_000,
        vec![process],
    );
    let exit = node(
        "runtime.goexit",
        "/srv/orders",
        7_000_000_000,
        vec![serve, work],
    );
    node("all", "", 7_000_000_000, vec![exit])
}

fn stacks() -> Vec<StackRow> {
    let row = |id, calls: u64, mean_ns: u64, frames, truncated| StackRow {
        id,
        weight: calls * mean_ns,
        calls,
        mean_ns,
        frames,
        truncated,
    };
    vec![
        row(7, 64_000, 3_100_000, server_frames(), false),
        row(
            8,
            31_000,
            2_700_000,
            vec![
                frame("main.processOrder", "/src/shop/order.go", 42, false),
                frame("main.(*worker).run", "/src/shop/worker.go", 88, false),
                frame(
                    "runtime.goexit",
                    "/usr/lib/go/src/runtime/asm_amd64.s",
                    1700,
                    false,
                ),
            ],
            false,
        ),
        row(
            9,
            160,
            900_000,
            vec![
                frame("main.processOrder", "/src/shop/order.go", 42, false),
                frame("[unknown]", "", 7, false),
            ],
            true,
        ),
    ]
}

fn calls() -> Vec<Call> {
    (0..40_u32)
        .map(|index| Call {
            function: 0,
            start_ns: START_NS + i64::from(index * 7 % 90) * SECOND + i64::from(index) * 1_003_000,
            duration_ns: 112_000_000 - u64::from(index) * 2_345_678,
            probes_ns: 0,
            pid: 4242,
            tid: 4243 + index % 5,
            goid: (index % 3 != 2).then_some(18 + u64::from(index)),
            cpu: index % 2,
            weight: 1,
            stack: (index % 4 != 3).then_some(7),
        })
        .collect()
}

/// Draws `app` without colours and returns the screen as text, one line a row.
pub fn screen(app: &mut App, columns: u16, rows: u16) -> String {
    screen_with(app, columns, rows, Theme::new(false, true))
}

/// [`screen`] with another theme.
pub fn screen_with(app: &mut App, columns: u16, rows: u16, theme: Theme) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("infallible");
    // Twice: the first drawing measures.
    for _ in 0..2 {
        terminal
            .draw(|frame| view::draw(frame, app, theme))
            .expect("infallible");
    }
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..rows {
        let mut line = String::new();
        let mut x = 0;
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide character hides the cell behind it.
            x += (symbol.width() as u16).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Presses keys: a character each, or the named ones.
pub fn press(app: &mut App, keys: &[KeyCode]) -> Vec<Change> {
    keys.iter()
        .map(|&code| input::handle(app, KeyEvent::new(code, KeyModifiers::NONE)))
        .collect()
}

/// Types a text.
pub fn type_in(app: &mut App, text: &str) {
    let keys: Vec<KeyCode> = text.chars().map(KeyCode::Char).collect();
    press(app, &keys);
}

/// What the next question asks, if there is one.
pub fn asked(app: &mut App) -> Option<Parts> {
    app.next_question().map(|question| question.parts)
}
