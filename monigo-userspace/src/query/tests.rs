//! Questions over the fixture, asked directly and through the socket.

mod answers;
mod estimates;
mod growing;
mod skipped;
mod socket;
mod sql;
mod story;
mod tail;

use std::{path::Path, sync::Arc};

use self::answers::check_answers;
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
