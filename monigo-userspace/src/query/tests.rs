//! Questions over the fixture, asked directly and through the socket.

mod estimates;
mod socket;
mod sql;
mod tail;

use std::{path::Path, sync::Arc};

use super::{
    DuckSource, LatencyQuestion, OpenError, Overview, QueryError, ReadingsPoint, ReadingsQuestion,
    Selection, Source, Weight, Window, open_source,
    remote::{RemoteSource, SocketError, serve_socket, socket_path},
};
use crate::{
    store::{
        Batch, Database, FunctionDelta, NewFunction, Store as _, StoreError,
        fixture::{self, SECOND, START},
    },
    symbols::Language,
};

const WHOLE: Window = Window {
    from_ns: None,
    to_ns: None,
};

/// Instants in seconds after the start.
fn window(from: i64, to: i64) -> Window {
    Window {
        from_ns: Some(START + from * SECOND),
        to_ns: Some(START + to * SECOND),
    }
}

fn recorded() -> (Database, DuckSource) {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    (database, source)
}

fn of(function: Option<u32>, window: Window, weight: Weight) -> Selection {
    Selection::of(function, window, weight)
}

fn near(got: u64, exact: u64) -> bool {
    got.abs_diff(exact) as f64 <= 0.03 * exact as f64
}

/// Samples are weighed by themselves.
fn check_samples(source: &dyn Source) {
    let stacks = source
        .stacks(&of(None, WHOLE, Weight::OffCpu), 10)
        .expect("stacks");
    let weights: Vec<(u64, u64, u64)> = stacks.iter().map(|s| (s.id, s.weight, s.calls)).collect();
    assert_eq!(weights, [(2, 30_000_000, 0)], "samples are no calls");
    let flame = source
        .flame(&of(None, WHOLE, Weight::OffCpu))
        .expect("flame");
    assert_eq!((flame.value, flame.children.len()), (31_000_000, 2));
    let flame = source
        .flame(&of(None, window(0, 1), Weight::Cpu))
        .expect("flame");
    let worker = &flame.children[0].children[0];
    assert_eq!((flame.value, worker.children.len()), (10_000_000, 1));
    let table = source
        .sql(
            "SELECT kind, sum(weight_ms) FROM v_samples GROUP BY kind ORDER BY kind",
            10,
        )
        .expect("sql");
    assert_eq!(table.rows.len(), 2);
}

/// Checks stacks and flame graphs of calls.
fn check_stacks(source: &dyn Source) {
    let stacks = source
        .stacks(&of(None, WHOLE, Weight::Wall), 10)
        .expect("stacks");
    let weights: Vec<(u64, u64, u64)> = stacks.iter().map(|s| (s.id, s.weight, s.calls)).collect();
    assert_eq!(weights, [(2, 100_000_000, 101), (1, 30_000_000, 100)]);
    assert_eq!(stacks[1].mean_ns, 300_000);
    assert_eq!(stacks[1].frames.len(), 3);
    assert_eq!(source.stack(2).expect("stack")[1].function, "main.retry");
    assert!(source.stack(99).expect("unknown").is_empty());

    let flame = source
        .flame(&of(Some(0), WHOLE, Weight::Calls))
        .expect("flame");
    assert_eq!((flame.name.as_str(), flame.value), ("all", 301));
    let names: Vec<(&str, u64)> = flame
        .children
        .iter()
        .map(|node| (node.name.as_str(), node.value))
        .collect();
    assert_eq!(names, [("main.main", 201), ("[no stack]", 100)]);
    let worker = &flame.children[0].children[0];
    assert_eq!(
        (worker.name.as_str(), worker.children.len()),
        ("main.worker", 2)
    );
    assert_eq!(worker.detail, "/srv/orders /src/main.go:10");
    assert_eq!(
        source
            .flame(&of(Some(1), WHOLE, Weight::Wall))
            .expect("flame")
            .value,
        0
    );
}

/// Checks figures of the service, and latency, over time.
fn check_over_time(source: &dyn Source) {
    let ask = |names: &[&str], window, points| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let question = ReadingsQuestion {
            names,
            window,
            points,
        };
        source.readings(&question).expect("readings")
    };
    let value = |point: &ReadingsPoint, name: &str| point.values.get(name).copied();
    let one = ask(&[], WHOLE, 1);
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].at_ns, START);
    assert_eq!(value(&one[0], "service_cpu_load"), Some(50.0));
    assert_eq!(value(&one[0], "system_cpu_load"), Some(50.0));
    let all = ask(&["service_cpu_load", "no_such_series"], WHOLE, 1000);
    let means: Vec<_> = all.iter().map(|p| value(p, "service_cpu_load")).collect();
    assert_eq!(means, [Some(20.0), Some(40.0), Some(90.0)]);
    assert!(all.iter().all(|point| point.values.len() == 1));
    let half_open = ask(&["service_cpu_load"], window(0, 2), 1);
    assert_eq!(value(&half_open[0], "service_cpu_load"), Some(30.0));
    assert!(ask(&[], window(5, 6), 10).is_empty());

    let question = LatencyQuestion {
        points: 10,
        ..LatencyQuestion::default()
    };
    let points = source.latency_series(&question).expect("latency");
    let calls: Vec<Vec<(u32, u64)>> = points
        .iter()
        .map(|p| p.functions.iter().map(|f| (f.function, f.calls)).collect())
        .collect();
    assert_eq!(calls, [vec![(0, 1000), (1, 10)], vec![], vec![(0, 1)]]);
    let first = points[0].functions[0];
    assert_eq!((points[0].at_ns, points[0].step_ns), (START, SECOND));
    assert_eq!(first.mean, 500_500);
    assert!(near(first.p50, 500_000) && near(first.p90, 900_000) && near(first.p99, 990_000));
    let question = LatencyQuestion {
        functions: vec![1],
        points: 1,
        ..LatencyQuestion::default()
    };
    let points = source.latency_series(&question).expect("latency");
    assert_eq!((points.len(), points[0].functions.len()), (1, 1));
    let unknown = LatencyQuestion {
        functions: vec![2],
        ..LatencyQuestion::default()
    };
    assert_eq!(
        source.latency_series(&unknown),
        Err(QueryError::UnknownFunction(2))
    );
    assert!(source.storage().expect("storage").memory_bytes > 0);
}

/// Checks every question against what the fixture says about itself.
fn check_answers(source: &dyn Source) {
    let overview = source.overview().expect("overview");
    assert_eq!(overview.target, "/srv/orders");
    assert_eq!(overview.language, Language::Go);
    assert_eq!(overview.pids, [100]);
    assert_eq!(overview.recorded, 4);
    assert_eq!(overview.dropped(), 5);
    assert_eq!(overview.duration_ns(), 3 * SECOND as u64);
    assert_eq!(overview.warnings.len(), 1, "{:?}", overview.warnings);

    let rows = source.functions(WHOLE).expect("functions");
    let [order, charge] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(order.name, "main.process_order");
    assert_eq!((order.calls, order.unwound), (1001, 2));
    assert_eq!((order.in_flight, order.unmatched), (1, 4));
    assert_eq!(order.latency_ns.total, 500_500_000 + 50_000_000);
    assert_eq!(order.latency_ns.mean, 550_500_000 / 1001);
    assert_eq!(
        (order.latency_ns.min, order.latency_ns.max),
        (1000, 50_000_000)
    );
    assert!(near(order.latency_ns.p50, 501_000), "{order:?}");
    assert!(near(order.latency_ns.p90, 901_000), "{order:?}");
    assert!(near(order.latency_ns.p99, 991_000), "{order:?}");
    assert!(near(order.latency_ns.p999, 1_000_000), "{order:?}");
    assert!((order.rate - 1001.0 / 3.0).abs() < 1e-9);
    assert!((order.share + charge.share - 1.0).abs() < 1e-9);
    assert_eq!(charge.latency_ns.p50, 1_000_000);

    let buckets = source.histogram(0, WHOLE).expect("histogram");
    assert_eq!(buckets.iter().map(|b| b.count).sum::<u64>(), 1001);
    assert!(
        buckets
            .windows(2)
            .all(|pair| pair[0].high_ns <= pair[1].low_ns)
    );

    let series = source.series(Some(0), WHOLE, 100).expect("series");
    let calls: Vec<u64> = series.iter().map(|point| point.calls).collect();
    assert_eq!(calls, [1000, 0, 1]);
    assert!(series.iter().all(|point| point.step_ns == SECOND));
    assert_eq!((series[0].unwound, series[1].p99), (2, 0));
    let all = source.series(None, WHOLE, 1).expect("one point");
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].calls, all[0].step_ns), (1011, 3 * SECOND));

    let heatmap = source.heatmap(0, WHOLE, 50).expect("heatmap");
    assert_eq!(
        heatmap.times_ns,
        [START, START + SECOND, START + 2 * SECOND]
    );
    assert_eq!(heatmap.step_ns, SECOND);
    let columns: Vec<u64> = heatmap.counts.iter().map(|c| c.iter().sum()).collect();
    assert_eq!(columns, [1000, 0, 1]);
    assert!(
        heatmap
            .counts
            .iter()
            .all(|c| c.len() == heatmap.rows_ns.len())
    );
    assert!(heatmap.rows_ns[0] <= 1000 && heatmap.top_ns > 50_000_000);

    let slowest = source
        .slowest(&of(None, WHOLE, Weight::Wall), 2)
        .expect("slowest");
    let durations: Vec<u64> = slowest.iter().map(|call| call.duration_ns).collect();
    assert_eq!(durations, [50_000_000, 700_000]);
    assert_eq!((slowest[0].goid, slowest[1].stack), (Some(7), None));

    check_stacks(source);
    check_samples(source);
    check_over_time(source);
    let table = source
        .sql("SELECT name, calls FROM v_functions ORDER BY calls", 10)
        .expect("sql");
    assert_eq!(table.columns, ["name", "calls"]);
    assert_eq!(table.rows[1][1], 1001);

    let unknown = Err(QueryError::UnknownFunction(2));
    assert_eq!(source.histogram(2, WHOLE), unknown);
    assert!(source.series(Some(2), WHOLE, 1).is_err());
}

#[test]
fn answers_are_those_of_the_fixture() {
    let (_database, source) = recorded();
    check_answers(&source);
    // Again, from what is known by now.
    check_answers(&source);
}

#[test]
fn windows_tile_the_session() {
    let (_database, source) = recorded();
    let calls = |from, to| {
        let rows = source.functions(window(from, to)).expect("functions");
        rows.iter().find(|row| row.id == 0).expect("function").calls
    };
    assert_eq!(
        (calls(0, 1), calls(1, 2), calls(2, 3), calls(0, 3)),
        (1000, 0, 1, 1001)
    );
    let rows = source.functions(window(2, 3)).expect("functions");
    assert_eq!(rows[0].calls, 1);
    assert!(near(rows[0].latency_ns.max, 50_000_000));
    assert!((rows[0].rate - 1.0).abs() < 1e-9);
    assert_eq!(rows[0].in_flight, 1);
    // Nothing completed, but a call that began before is open still.
    let quiet = source.functions(window(1, 2)).expect("functions");
    let order = quiet.iter().find(|row| row.id == 0).expect("function");
    assert_eq!(
        (order.calls, order.in_flight, order.latency_ns.p99),
        (0, 1, 0)
    );
    assert_eq!(
        source
            .slowest(&of(None, window(0, 2), Weight::Wall), 9)
            .expect("slowest")
            .len(),
        3
    );
    let stacks = source
        .stacks(&of(None, window(0, 1), Weight::Calls), 9)
        .expect("stacks");
    assert_eq!(
        stacks.iter().map(|s| s.calls).collect::<Vec<_>>(),
        [100, 100]
    );
    let later = Window {
        from_ns: Some(START + 2 * SECOND),
        to_ns: None,
    };
    assert_eq!(source.functions(later).expect("functions")[0].calls, 1);
    assert_eq!(source.series(None, later, 10).expect("series").len(), 1);
}

#[test]
fn what_is_appended_later_is_seen() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let calls = || source.functions(WHOLE).expect("functions")[0].calls;
    assert_eq!(calls(), 0);
    assert_eq!(source.overview().expect("overview").last_flush_ns, None);
    let mut seen = Vec::new();
    for batch in fixture::batches() {
        database.append(id, &batch).expect("appends");
        let flame = source
            .flame(&of(None, WHOLE, Weight::Calls))
            .expect("flame");
        seen.push((calls(), flame.value));
    }
    assert_eq!(seen, [(1000, 300), (1000, 300), (1001, 301)]);
    let overview = source.overview().expect("overview");
    assert_eq!(overview.ended_ns, None);
    assert!(!overview.warnings.iter().any(|w| w.contains("killed")));
    // After deleting, the sums are made anew.
    database.prune(START + 2 * SECOND).expect("prunes");
    assert_eq!(calls(), 1);
    assert_eq!(
        source
            .flame(&of(None, WHOLE, Weight::Calls))
            .expect("flame")
            .value,
        1
    );
    let overview = source.overview().expect("overview");
    assert!(overview.warnings.iter().any(|w| w.contains("--retention")));
}

#[test]
fn long_sessions_are_grouped_without_losing_calls() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    for second in 1..=97 {
        let batch = Batch {
            // Flushes are never exactly on time.
            at_ns: START + second * SECOND + (second * 7_919_777) % 40_000_000,
            functions: vec![fixture::delta(0, &[1000; 10], (1000, 1000))],
            ..Batch::default()
        };
        database.append(id, &batch).expect("appends");
    }
    for points in [1, 2, 3, 10, 96, 97, 1000] {
        let series = source.series(Some(0), WHOLE, points).expect("series");
        assert!(series.len() <= points as usize, "{points}");
        assert_eq!(series.iter().map(|point| point.calls).sum::<u64>(), 970);
        let touching =
            |pair: &[super::SeriesPoint]| pair[0].at_ns + pair[0].step_ns == pair[1].at_ns;
        assert!(series.windows(2).all(touching));
        for point in series {
            let rate = point.calls as f64 / (point.step_ns as f64 / 1e9);
            assert!((9.0..11.0).contains(&rate), "{points}: {rate}");
        }
    }
}

#[test]
fn a_long_call_that_stands_for_many_does_not_overflow() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let mut batch = fixture::batches().swap_remove(0);
    batch.calls = vec![fixture::call(START, u64::MAX / 4, u32::MAX, Some(1))];
    batch.functions[0].total_ns = u64::MAX;
    database.append(id, &batch).expect("appends");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    assert!(
        source
            .flame(&of(None, WHOLE, Weight::Wall))
            .expect("flame")
            .value
            > 0
    );
    source.functions(WHOLE).expect("functions");
    source.sql("FROM v_stacks", 10).expect("view");
}

#[test]
fn sessions_are_found_or_named() {
    let database = Database::in_memory().expect("opens");
    let reader = || database.reader().expect("reads");
    let error = DuckSource::open(reader(), Some(3)).expect_err("empty");
    assert!(matches!(error, OpenError::NoSession), "{error}");
    let (mut database, _) = recorded();
    fixture::record(&mut database);
    let error = DuckSource::open(database.reader().expect("reads"), Some(7)).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "no session 7 in this database; it has sessions 1, 2"
    );
    let latest = DuckSource::open(database.reader().expect("reads"), None).expect("latest");
    assert_eq!(latest.session(), 2);
}

// SQL

#[test]
fn a_finished_recording_is_read_directly() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("run.duckdb");
    fixture::record(&mut Database::open(&file).expect("opens"));
    let source = open_source(&file, None).expect("opens");
    check_answers(source.as_ref());
    let Err(error) = open_source(&directory.path().join("none.duckdb"), None) else {
        panic!("opened nothing");
    };
    assert!(
        error.to_string().ends_with("none.duckdb: no such file"),
        "{error}"
    );
}

#[test]
fn a_recording_without_end_says_so() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("run.duckdb");
    let mut database = Database::open(&file).expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    database
        .append(id, &fixture::batches()[0])
        .expect("appends");
    drop(database);
    let overview: Overview = open_source(&file, None)
        .expect("opens")
        .overview()
        .expect("overview");
    assert_eq!(overview.duration_ns(), SECOND as u64);
    assert!(
        overview.warnings.iter().any(|w| w.contains("killed")),
        "{overview:?}"
    );
}

#[test]
fn functions_that_come_later_are_seen() {
    let (mut database, source) = recorded();
    let before = source.functions(WHOLE).expect("functions");
    let new = before.len() as u32;
    let unknown = source.histogram(new, WHOLE);
    assert_eq!(unknown, Err(QueryError::UnknownFunction(new)));

    let function = NewFunction {
        name: "late".to_owned(),
        ..fixture::session().functions[0].clone()
    };
    let session = source.session();
    database
        .add_functions(session, new, std::slice::from_ref(&function))
        .expect("adds");
    assert_eq!(source.histogram(new, WHOLE), Ok(Vec::new()));
    let delta = FunctionDelta {
        function: new,
        entered: 3,
        calls: 3,
        timed: 3,
        total_ns: 3000,
        self_ns: 3000,
        min_ns: 1000,
        max_ns: 1000,
        buckets: vec![(200, 3)],
        ..FunctionDelta::default()
    };
    let batch = Batch {
        at_ns: START + 100 * SECOND,
        functions: vec![delta],
        ..Batch::default()
    };
    database.append(session, &batch).expect("appends");
    let after = source.functions(WHOLE).expect("functions");
    assert_eq!(after.len(), before.len() + 1);
    let late = after.iter().find(|row| row.name == "late").expect("there");
    assert_eq!((late.id, late.calls), (new, 3));

    database
        .add_functions(session, new + 1, &[function])
        .expect("adds");
    database
        .remove_functions(session, new + 1)
        .expect("removes");
    assert_eq!(
        source.functions(WHOLE).expect("functions").len(),
        after.len()
    );
}

#[test]
fn last_runs_are_ends_of_flushes() {
    let (_database, source) = recorded();
    let last = source.last_runs().expect("an answer");
    let functions = source.functions(Window::default()).expect("functions");
    let called = functions.iter().filter(|row| row.calls > 0).count();
    assert_eq!(last.len(), called);
    let flushed = source.overview().expect("overview").last_flush_ns;
    assert!(
        last.iter().all(|(_, at_ns)| Some(*at_ns) <= flushed),
        "{last:?}"
    );
}
