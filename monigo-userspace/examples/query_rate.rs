//! How long questions over long times take: `query_rate FILE [FLUSHES [FUNCTIONS]]`.
//!
//! Records functions (20) with 25 buckets each per flush interval, 20,000 of them unless said otherwise (10
//! million rows), then asks. Prints a line of JSON for each question: its times, ms.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use monigo::{
    plan::CostClass,
    query::{DuckSource, LatencyQuestion, QueryError, ReadingsQuestion, Source, Window},
    service::Reading,
    store::{Batch, Database, ExitProbe, FunctionDelta, NewFunction, NewSession, Store as _},
    symbols::Language,
};

/// Functions in a latency report, at most; as the API has it.
const REPORTED: u32 = 20;
const BUCKETS: u16 = 25;
const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_764_000_000 * SECOND;
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let file = words
        .next()
        .ok_or("usage: query_rate FILE [FLUSHES [FUNCTIONS]]")?;
    let flushes: i64 = words.next().map_or(Ok(20_000), |word| word.parse())?;
    let functions: u32 = words.next().map_or(Ok(20), |word| word.parse())?;
    let mut database = Database::open(Path::new(&file))?;
    let session = database.begin_session(&session(functions))?;
    let started = Instant::now();
    for flush in 1..=flushes {
        database.append(session, &batch(flush, functions))?;
    }
    eprintln!("recorded {flushes} intervals in {:.1?}", started.elapsed());
    let reader = database.reader()?;
    let opened = || DuckSource::open(reader.clone(), None);
    let source = opened()?;
    let whole = Window::default();
    let half = Window {
        from_ns: Some(START + flushes / 2 * SECOND),
        to_ns: Some(START + flushes * SECOND),
    };
    // As the API makes the latency report.
    let report = |window, points| {
        let question = LatencyQuestion {
            functions: (0..functions.min(REPORTED)).collect(),
            window,
            points,
        };
        source.functions(window)?;
        source.latency_series(&question).map(drop)
    };
    let readings = |names: &[&str]| ReadingsQuestion {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        window: whole,
        points: 200,
    };
    time("series of all functions", || {
        source.series(None, whole, 200).map(drop)
    })?;
    time("series of all, half of the time", || {
        source.series(None, half, 200).map(drop)
    })?;
    time("series of one function", || {
        source.series(Some(3), whole, 200).map(drop)
    })?;
    time("latency report, 240 points", || report(whole, 240))?;
    time("latency report, 2,000 points", || report(whole, 2_000))?;
    time("latency report, half of the time", || report(half, 240))?;
    time("heatmap of one function", || {
        source.heatmap(3, whole, 200).map(drop)
    })?;
    time("functions, half of the time", || {
        source.functions(half).map(drop)
    })?;
    time("functions, first look", || {
        let fresh = opened().map_err(|error| QueryError::Store(error.to_string()))?;
        fresh.functions(whole).map(drop)
    })?;
    time("readings of all series", || {
        source.readings(&readings(&[])).map(drop)
    })?;
    time("readings of one series", || {
        source.readings(&readings(&["series_7"])).map(drop)
    })?;
    Ok(())
}

fn time(what: &str, ask: impl Fn() -> Result<(), QueryError>) -> Result<(), QueryError> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        ask()?;
        times.push(started.elapsed());
    }
    let times: Vec<String> = times
        .iter()
        .map(|time: &Duration| format!("{:.2}", time.as_secs_f64() * 1e3))
        .collect();
    println!("{{\"question\":\"{what}\",\"ms\":[{}]}}", times.join(","));
    Ok(())
}

fn session(functions: u32) -> NewSession {
    let function = |id: u32| NewFunction {
        name: format!("main.function_{id}"),
        linkage_name: format!("main.function_{id}"),
        image: "/srv/orders".to_owned(),
        file: None,
        line: None,
        entry_address: u64::from(id) * 64,
        exit: ExitProbe::Ret,
        sites: 2,
        cost_class: CostClass::Emulated,
        cost_ns: 1000,
        floor_ns: 100,
        count_ns: 500,
        instances: Vec::new(),
    };
    NewSession {
        started_ns: START,
        monigo_version: "0.1.0".to_owned(),
        host: "host".to_owned(),
        kernel: "6.18.0".to_owned(),
        command_line: String::new(),
        flush_ns: SECOND,
        label: None,
        target_path: "/srv/orders".to_owned(),
        build_id: None,
        language: Language::Go,
        runtime_version: None,
        retention: "7d".to_owned(),
        functions: (0..functions).map(function).collect(),
        warnings: Vec::new(),
    }
}

fn batch(flush: i64, functions: u32) -> Batch {
    let at_ns = START + flush * SECOND;
    let noise = |n: u64| (n ^ flush as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    let delta = |function: u32| {
        let bucket = |n: u16| (400 + n + function as u16, 1 + noise(n.into()));
        let buckets: Vec<(u16, u64)> = (0..BUCKETS).map(bucket).collect();
        let calls = buckets.iter().map(|(_, count)| count).sum();
        FunctionDelta {
            function,
            entered: calls,
            calls,
            timed: calls,
            total_ns: calls * 10_000,
            self_ns: calls * 9_000,
            min_ns: 1_000,
            max_ns: 100_000,
            buckets,
            ..FunctionDelta::default()
        }
    };
    // Every fifth second, as series are read.
    let reading = |series: u32| Reading {
        at_ns,
        name: format!("series_{series}"),
        value: noise(series.into()) as f64,
    };
    Batch {
        at_ns,
        functions: (0..functions).map(delta).collect(),
        readings: if flush % 5 == 0 {
            (0..40).map(reading).collect()
        } else {
            Vec::new()
        },
        ..Batch::default()
    }
}
