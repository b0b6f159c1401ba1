//! How many records a second the store takes: `store_rate FILE SECONDS`. Used by `cargo xtask bench`.
//!
//! Prints `{"rows":N,"wall_s":…,"cpu_s":…}`.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use monigo::{
    plan::CostClass,
    store::{
        Batch, CallRow, Database, ExitProbe, FunctionDelta, NewFunction, NewSession, Store as _,
    },
    symbols::Language,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};

/// Records in a batch: a flush interval at the rate to reach.
const ROWS: u64 = 300_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(file), Some(seconds)) = (words.next(), words.next()) else {
        return Err("usage: store_rate FILE SECONDS".into());
    };
    let limit = Duration::from_secs(seconds.parse()?);
    let mut database = Database::open(Path::new(&file))?;
    let session = database.begin_session(&session())?;
    let (mut rows, mut wall, mut cpu) = (0, Duration::ZERO, Duration::ZERO);
    let mut at_ns = 1_764_000_000_000_000_000;
    while wall < limit {
        at_ns += 1_000_000_000;
        let batch = batch(at_ns);
        let (started, cpu_before) = (Instant::now(), cpu_time()?);
        database.append(session, &batch)?;
        wall += started.elapsed();
        cpu += cpu_time()?.saturating_sub(cpu_before);
        rows += ROWS;
    }
    let (started, cpu_before) = (Instant::now(), cpu_time()?);
    database.end_session(session, at_ns)?;
    drop(database);
    wall += started.elapsed();
    cpu += cpu_time()?.saturating_sub(cpu_before);
    println!(
        "{{\"rows\":{rows},\"wall_s\":{},\"cpu_s\":{}}}",
        wall.as_secs_f64(),
        cpu.as_secs_f64()
    );
    Ok(())
}

/// Of this process, with all its threads.
fn cpu_time() -> Result<Duration, nix::Error> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = |value: TimeVal| Duration::from_micros(value.num_microseconds() as u64);
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

fn session() -> NewSession {
    NewSession {
        started_ns: 1_764_000_000_000_000_000,
        monigo_version: "0.1.0".to_owned(),
        host: "host".to_owned(),
        kernel: "6.18.0".to_owned(),
        command_line: "store_rate".to_owned(),
        flush_ns: 1_000_000_000,
        label: None,
        target_path: "/bin/target".to_owned(),
        build_id: None,
        language: Language::C,
        runtime_version: None,
        retention: "7d".to_owned(),
        functions: vec![NewFunction {
            name: "work".to_owned(),
            linkage_name: "work".to_owned(),
            image: "/bin/target".to_owned(),
            file: None,
            line: None,
            entry_address: 0x1000,
            exit: ExitProbe::Ret,
            sites: 2,
            cost_class: CostClass::Nop5,
            cost_ns: 0,
            floor_ns: 0,
            count_ns: 0,
            instances: Vec::new(),
        }],
        warnings: Vec::new(),
    }
}

/// What a second of a busy function leaves: durations that repeat as little as real ones do.
fn batch(at_ns: i64) -> Batch {
    let calls = (0..ROWS)
        .map(|index| CallRow {
            function: 0,
            start_ns: at_ns - 1_000_000_000 + (index * 3_333) as i64,
            duration_ns: 300 + index.wrapping_mul(0x9e37_79b9) % 4_000,
            probes_ns: 0,
            pid: 100,
            tid: 101 + (index % 2) as u32,
            goid: None,
            cpu: (index % 2) as u32,
            weight: 1,
            stack: None,
        })
        .collect();
    Batch {
        at_ns,
        functions: vec![FunctionDelta {
            entered: ROWS,
            calls: ROWS,
            total_ns: ROWS * 2_300,
            min_ns: 300,
            max_ns: 4_300,
            buckets: vec![(100, ROWS)],
            ..FunctionDelta::default()
        }],
        calls,
        ..Batch::default()
    }
}
