//! The fixture in the formats of others, read back.

use std::io::Read as _;

use serde_json::Value;

use super::*;
use crate::{
    query::{DuckSource, Window},
    store::{Database, fixture},
};

fn source() -> (Database, DuckSource) {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    (database, source)
}

fn profile(source: &DuckSource) -> Profile {
    Profile::read(source, &Selection::of(None, Window::default(), Weight::Cpu)).expect("reads")
}

fn row(names: &[&str], weight: u64) -> StackRow {
    let frame = |name: &&str| Frame {
        function: (*name).to_owned(),
        image: "a".to_owned(),
        address: 1,
        file: None,
        line: None,
        inlined: false,
        kernel: false,
    };
    StackRow {
        id: 1,
        weight,
        calls: 1,
        mean_ns: 1,
        frames: names.iter().rev().map(frame).collect(),
        truncated: false,
    }
}

#[test]
fn time_of_traced_calls_inside_weighs_once() {
    let mut rows = [
        row(&["main", "outer"], 60),
        row(&["main", "outer"], 40),
        row(&["main", "outer", "inner"], 30),
        row(&["main", "other"], 7),
        row(&["main", "outer", "between", "inner"], 20),
    ];
    take_off_nested(&mut rows);
    assert_eq!(rows.map(|row| row.weight), [30, 20, 30, 7, 20]);
}

#[test]
fn speedscope_sums_up() {
    let (_database, source) = source();
    let profile = profile(&source);
    let file: Value =
        serde_json::from_str(&speedscope(&profile).expect("serializes")).expect("JSON");
    let frames = file["shared"]["frames"].as_array().expect("frames").len() as u64;
    let profiles = file["profiles"].as_array().expect("profiles");
    assert_eq!(profiles.len(), 5);
    for each in profiles {
        let weights = each["weights"].as_array().expect("weights");
        let sum: u64 = weights.iter().filter_map(Value::as_u64).sum();
        assert_eq!(each["endValue"].as_u64(), Some(sum), "{each}");
        let samples = each["samples"].as_array().expect("samples");
        assert_eq!(samples.len(), weights.len());
        for id in samples.iter().filter_map(Value::as_array).flatten() {
            assert!(id.as_u64().is_some_and(|id| id < frames));
        }
    }
    assert_eq!(file["activeProfileIndex"], 1);
}

#[test]
fn pprof_is_gzipped_and_names_every_weight() {
    let (_database, source) = source();
    let bytes = pprof(&profile(&source)).expect("encodes");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut text)
        .expect("gzip");
    for name in [
        "wall",
        "nanoseconds",
        "offcpu",
        "main.process_order",
        "/srv/orders",
    ] {
        assert!(
            text.windows(name.len()).any(|part| part == name.as_bytes()),
            "{name}"
        );
    }
}

#[test]
fn firefox_has_threads_with_samples_and_calls() {
    let (_database, source) = source();
    let calls = source
        .selected(&Selection::default())
        .expect("answers")
        .calls;
    let text = firefox(&source, &profile(&source), &calls).expect("serializes");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let threads = file["threads"].as_array().expect("threads");
    let samples: u64 = threads
        .iter()
        .filter_map(|thread| thread["samples"]["length"].as_u64())
        .sum();
    let markers: u64 = threads
        .iter()
        .filter_map(|thread| thread["markers"]["length"].as_u64())
        .sum();
    assert_eq!((samples, markers), (3, 4));
}

/// The Firefox Profiler comes from no registry. This is what its types say of the tables of a processed
/// profile: columns are as long as the table, and what points into another table points to something there.
#[test]
fn firefox_tables_fit_together() {
    let (_database, source) = source();
    let calls = source
        .selected(&Selection::default())
        .expect("answers")
        .calls;
    let text = firefox(&source, &profile(&source), &calls).expect("serializes");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let meta = &file["meta"];
    for name in ["interval", "startTime", "processType", "product", "version"] {
        assert!(!meta[name].is_null(), "{name} in {meta}");
    }
    assert!(
        meta["preprocessedProfileVersion"].as_u64() >= Some(44),
        "{meta}"
    );
    let categories = meta["categories"].as_array().expect("categories");
    let shared = &file["shared"];
    let own = |thread: &Value, table: &str| {
        let own = &thread[table];
        if own.is_null() {
            shared[table].clone()
        } else {
            own.clone()
        }
    };
    for thread in file["threads"].as_array().expect("threads") {
        let strings = own(thread, "stringArray")
            .as_array()
            .expect("strings")
            .len();
        let length = |table: &str| own(thread, table)["length"].as_u64().expect("length") as usize;
        for table in [
            "frameTable",
            "funcTable",
            "stackTable",
            "samples",
            "markers",
        ] {
            let columns = own(thread, table);
            for (name, column) in columns.as_object().expect("columns") {
                if let Some(column) = column.as_array() {
                    assert_eq!(column.len(), length(table), "{table}.{name}");
                }
            }
        }
        for (table, column, into) in [
            ("frameTable", "func", length("funcTable")),
            ("frameTable", "category", categories.len()),
            ("funcTable", "name", strings),
            ("stackTable", "frame", length("frameTable")),
            ("stackTable", "prefix", length("stackTable")),
            ("samples", "stack", length("stackTable")),
            ("markers", "name", strings),
            ("markers", "category", categories.len()),
        ] {
            let values = own(thread, table)[column].as_array().cloned();
            for value in values.unwrap_or_else(|| panic!("{table}.{column}")) {
                let inside = value.is_null() || value.as_u64().is_some_and(|at| at < into as u64);
                assert!(inside, "{table}.{column}: {value} of {into}");
            }
        }
        let prefixes = own(thread, "stackTable")["prefix"].clone();
        for (at, prefix) in prefixes.as_array().expect("prefixes").iter().enumerate() {
            assert!(
                prefix.as_u64().is_none_or(|prefix| prefix < at as u64),
                "a caller comes first"
            );
        }
        let schema = meta["markerSchema"].as_array().expect("schema");
        let data = thread["markers"]["data"].as_array().expect("data");
        for kind in data.iter().map(|data| &data["type"]) {
            assert!(schema.iter().any(|known| known["name"] == *kind), "{kind}");
        }
    }
}

#[test]
fn parquet_is_what_duckdb_reads() {
    let (_database, source) = source();
    let calls = source
        .selected(&Selection::default())
        .expect("answers")
        .calls;
    let bytes = crate::export::parquet::calls_parquet(&source, &calls).expect("writes");
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("calls.parquet");
    std::fs::write(&file, bytes).expect("writes");
    let connection = duckdb::Connection::open_in_memory().expect("opens");
    let read: (i64, i64, String) = connection
        .query_row(
            &format!(
                "SELECT count(*), sum(weight)::BIGINT, max(function) FROM '{}'",
                file.display()
            ),
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .expect("reads");
    let weights: i64 = source
        .sql("SELECT sum(weight)::BIGINT FROM calls", 1)
        .expect("answers")
        .rows[0][0]
        .as_i64()
        .expect("number");
    assert_eq!((read.0, read.1), (4, weights));
    assert_eq!(read.2, "main.process_order");
}
