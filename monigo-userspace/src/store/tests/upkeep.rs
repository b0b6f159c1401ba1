//! Retention by age and size, merging, and opening anew.

use std::sync::atomic::Ordering;

use super::*;
use crate::{
    query::{LatencyQuestion, ReadingsQuestion, Source},
    store::{CallRow, FunctionDelta, LossDelta, settings::Keep},
};

const MINUTE: i64 = 60 * SECOND;
pub(super) const FOREVER: i64 = i64::MAX / 2;

pub(super) fn keep_all() -> Keep {
    Keep {
        age_ns: FOREVER,
        details_ns: FOREVER,
        fine_ns: FOREVER,
        step_ns: MINUTE,
        limit_bytes: None,
    }
}

/// What was measured in one second, of all kinds.
pub(super) fn interval(second: i64) -> Batch {
    let at_ns = START + second * SECOND;
    let durations: Vec<u64> = (1..=second as u64 % 50).map(|n| n * 10_000).collect();
    let mut counted = fixture::delta(0, &durations, (10_000, 500_000));
    counted.entered += 1;
    counted.unwound = 1;
    let estimated = FunctionDelta {
        function: 1,
        entered: 100,
        calls: 100,
        timed: if second % 3 == 0 { 0 } else { 10 },
        variance: if second % 2 == 0 { 25 } else { 0 },
        total_ns: if second % 3 == 0 { 0 } else { 5000 },
        self_ns: if second % 3 == 0 { 0 } else { 4000 },
        min_ns: 10,
        max_ns: 900,
        ..FunctionDelta::default()
    };
    Batch {
        at_ns,
        beside_ns: 7_000_000,
        functions: vec![counted, estimated],
        calls: vec![fixture::call(at_ns - 1000, 1000, 1, None)],
        samples: vec![fixture::sample(at_ns, SampleKind::Cpu, 1000, None)],
        losses: vec![LossDelta {
            cause: "ring_full".to_owned(),
            count: 2,
        }],
        readings: vec![fixture::reading(at_ns, "service_cpu_load", second as f64)],
        ..Batch::default()
    }
}

pub(super) fn recorded(database: &mut Database, seconds: i64) -> (i64, DuckSource) {
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for second in 1..=seconds {
        database.append(id, &interval(second)).expect("appends");
    }
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    (id, source)
}

#[test]
fn merged_intervals_add_up_to_the_same() {
    let mut database = Database::in_memory().expect("opens");
    let (id, source) = recorded(&mut database, 600);
    let whole = Window::default();
    let answers = |source: &DuckSource| {
        let question = ReadingsQuestion {
            points: 1,
            ..ReadingsQuestion::default()
        };
        let readings = source.readings(&question).expect("readings");
        let mean = readings[0].values["service_cpu_load"];
        let series = source.series(Some(0), whole, 1).expect("series");
        (
            source.functions(whole).expect("functions"),
            source.histogram(0, whole).expect("histogram"),
            source.overview().expect("overview").losses,
            source
                .overview()
                .expect("overview")
                .beside_share
                .to_string(),
            (mean * 1e6).round() as i64,
            series[0].calls,
        )
    };
    let before = answers(&source);
    let mut more = true;
    while more {
        more = database
            .merge(START + 500 * SECOND + 1, MINUTE)
            .expect("merges");
    }
    assert_eq!(answers(&source), before);
    let fresh = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    assert_eq!(answers(&fresh), before);
    // The start is no whole minute, nor is the end of what was merged.
    let flushes = count(&database, "flushes");
    assert!((109..=132).contains(&flushes), "{flushes}");
    assert_eq!(count(&database, "readings"), flushes);
    assert_eq!(count(&database, "calls"), 600, "those are not merged");

    for points in [1, 2, 7, 50, 100, 1000] {
        let series = fresh.series(None, whole, points).expect("series");
        assert!(
            series.len() <= points as usize,
            "{points}: {}",
            series.len()
        );
        let touching =
            |pair: &[crate::query::SeriesPoint]| pair[0].at_ns + pair[0].step_ns == pair[1].at_ns;
        assert!(series.windows(2).all(touching), "{points}");
        let question = LatencyQuestion {
            points,
            ..LatencyQuestion::default()
        };
        let latency = fresh.latency_series(&question).expect("latency");
        let calls: u64 = latency
            .iter()
            .flat_map(|p| &p.functions)
            .map(|f| f.calls)
            .sum();
        assert_eq!(calls, series.iter().map(|point| point.calls).sum::<u64>());
    }
    // Once more changes nothing, and the recording goes on.
    assert!(
        !database
            .merge(START + 500 * SECOND + 1, MINUTE)
            .expect("nothing to do")
    );
    assert_eq!(count(&database, "flushes"), flushes);
    database.append(id, &interval(601)).expect("appends");
    assert_eq!(count(&database, "flushes"), flushes + 1);
}

#[test]
fn merging_goes_on_while_recording() {
    let mut database = Database::in_memory().expect("opens");
    let keep = Keep {
        fine_ns: 2 * MINUTE,
        ..keep_all()
    };
    database.keep = Some(keep);
    let (_, source) = recorded(&mut database, 400);
    let flushes = count(&database, "flushes");
    assert!(flushes < 180, "{flushes}");
    let rows = source.functions(Window::default()).expect("functions");
    let calls: u64 = (1..=400).map(|second| second % 50).sum();
    let row = rows.iter().find(|row| row.id == 0).expect("function");
    assert_eq!((row.calls, row.unwound), (calls, 400));
}

#[test]
fn single_calls_can_be_kept_for_less_long() {
    let mut database = Database::in_memory().expect("opens");
    database.keep = Some(Keep {
        details_ns: 100 * SECOND,
        ..keep_all()
    });
    let (_, source) = recorded(&mut database, 300);
    for table in ["calls", "samples"] {
        let kept = count(&database, table);
        assert!((100..=111).contains(&kept), "{table}: {kept}");
    }
    assert_eq!(count(&database, "flushes"), 300);
    let overview = source.overview().expect("overview");
    let said = |word: &str| overview.warnings.iter().any(|text| text.contains(word));
    assert!(
        said("counts and latency are complete"),
        "{:?}",
        overview.warnings
    );
}

/// Many calls, hard to compress.
pub(super) fn bulk(second: i64, calls: u64) -> Batch {
    let at_ns = START + second * SECOND;
    let noise = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) >> 24;
    let call = |n: u64| CallRow {
        pid: noise(n + 1) as u32,
        tid: noise(n + 2) as u32,
        goid: Some(noise(n + 3)),
        cpu: noise(n + 4) as u32,
        ..fixture::call(
            at_ns + noise(n) as i64 % SECOND,
            noise(n + 7),
            1,
            Some(noise(n + 5)),
        )
    };
    Batch {
        calls: (0..calls)
            .map(|n| call(n + second as u64 * calls))
            .collect(),
        ..interval(second)
    }
}

#[test]
fn a_file_stays_within_its_limit_and_counts_stay_complete() {
    const LIMIT: u64 = 12 << 20;
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    database.keep = Some(Keep {
        limit_bytes: Some(LIMIT),
        ..keep_all()
    });
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let log = crate::store::log_path(&file);
    let mut written = 0;
    for second in 1..=60 {
        database.append(id, &bulk(second, 20_000)).expect("appends");
        written += 20_000;
        let taken = size(&file) + size(&log);
        assert!(taken <= LIMIT, "{taken} bytes after {second} batches");
    }
    let kept = count(&database, "calls");
    assert!(
        kept < written,
        "all {kept} calls fit, so this shows nothing"
    );
    assert!(kept >= 20_000, "{kept}");
    assert_eq!(count(&database, "flushes"), 60);
    let newest = count(
        &database,
        &format!("calls WHERE at_ns = {}", START + 60 * SECOND),
    );
    assert_eq!(newest, 20_000);
}

// Tables in memory grow by row groups of up to 10 MB.
#[test]
fn memory_stays_within_its_limit() {
    const LIMIT: u64 = 96 << 20;
    let mut database = Database::in_memory().expect("opens");
    database.keep = Some(Keep {
        limit_bytes: Some(LIMIT),
        ..keep_all()
    });
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for second in 1..=60 {
        database.append(id, &bulk(second, 50_000)).expect("appends");
        let used = database.used_bytes().expect("measures");
        assert!(used <= LIMIT, "{used} bytes after {second} batches");
    }
    let kept = count(&database, "calls");
    assert!(
        (50_000..60 * 50_000).contains(&kept),
        "{kept} calls are left: all of them, or none of the last batch"
    );
    assert_eq!(count(&database, "flushes"), 60);
}

#[test]
fn a_file_over_its_limit_shrinks_at_once() {
    const LIMIT: u64 = 12 << 20;
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for second in 1..=40 {
        database.append(id, &bulk(second, 20_000)).expect("appends");
    }
    database.end_session(id, START + 41 * SECOND).expect("ends");
    drop(database);
    let size = || fs::metadata(&file).map_or(0, |found| found.len());
    assert!(size() > 2 * LIMIT, "{} bytes show nothing", size());
    let mut database = Database::open(&file).expect("opens");
    database.keep = Some(Keep {
        limit_bytes: Some(LIMIT),
        ..keep_all()
    });
    database.shrink().expect("shrinks");
    assert!(size() <= LIMIT, "{} bytes", size());
    let newest = format!("calls WHERE at_ns = {}", START + 40 * SECOND);
    assert_eq!(count(&database, &newest), 20_000);
    assert_eq!(count(&database, "flushes"), 40);
    drop(database);
    let database = Database::open_read_only(&file).expect("opens");
    assert_eq!(count(&database, &newest), 20_000);
}

#[test]
fn without_anything_old_the_limit_is_an_error() {
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    database.keep = Some(Keep {
        limit_bytes: Some(1 << 20),
        ..keep_all()
    });
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let error = database.append(id, &bulk(1, 20_000)).expect_err("too much");
    assert_eq!(
        error,
        StoreError::LimitReached {
            limit_bytes: 1 << 20
        }
    );
    assert!(error.to_string().contains("1 MiB"), "{error}");
}

#[test]
fn a_database_that_refuses_everything_is_opened_anew() {
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    let (id, source) = recorded(&mut database, 10);
    let calls = || source.functions(Window::default()).expect("functions")[0].calls;
    let before = calls();
    database.dead.store(true, Ordering::Release);
    let reader = database.reader().expect("reads");
    // As long as a question runs on the old one, there must be no second.
    let busy: Result<(), duckdb::Error> = reader.with(|connection| {
        let error = database.append(id, &interval(11)).expect_err("busy");
        assert!(error.to_string().contains("still runs"), "{error}");
        connection.execute_batch("SELECT 1")
    });
    busy.expect("asks");
    let refused = source.functions(Window::default()).expect_err("closed");
    assert!(refused.to_string().contains("opened anew"), "{refused}");
    database.append(id, &interval(11)).expect("opened anew");
    assert_eq!(count(&database, "flushes"), 11);
    assert!(calls() > before, "the old source asks the new connection");
    database.end_session(id, START + 11 * SECOND).expect("ends");
}

#[test]
fn a_commit_that_was_told_to_have_failed_is_not_repeated_blindly() {
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    let (id, _source) = recorded(&mut database, 3);
    // What the tables say counts after opening anew.
    database
        .connection
        .execute_batch(&format!(
            "INSERT INTO flushes VALUES ({id}, 4, {START}, {}, 0)",
            START + 4 * SECOND
        ))
        .expect("inserts");
    database.dead.store(true, Ordering::Release);
    database.append(id, &interval(5)).expect("appends");
    assert_eq!(count(&database, "flushes WHERE flush_id = 5"), 1);
}
