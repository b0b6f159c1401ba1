//! Calls that were estimated, or timed in part; self time; what probes cost; notices.

use super::*;
use crate::{
    query::{FunctionRow, share_of_cpu},
    store::FunctionDelta,
};

/// A session of batches one second apart.
fn session_of(batches: impl IntoIterator<Item = Batch>) -> (Database, DuckSource) {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for (second, batch) in (1..).zip(batches) {
        let at_ns = START + second * SECOND;
        database
            .append(id, &Batch { at_ns, ..batch })
            .expect("appends");
    }
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    (database, source)
}

fn batch(delta: FunctionDelta) -> Batch {
    Batch {
        functions: vec![delta],
        ..Batch::default()
    }
}

fn first(source: &DuckSource, window: Window) -> FunctionRow {
    let rows = source.functions(window).expect("functions");
    rows.into_iter().find(|row| row.id == 0).expect("function")
}

#[test]
fn self_time_is_summed() {
    let delta = |self_ns| FunctionDelta {
        self_ns,
        ..fixture::delta(0, &[2_000_000; 10], (2_000_000, 2_000_000))
    };
    let (_database, source) = session_of([batch(delta(5_000_000)), batch(delta(7_000_000))]);
    let row = first(&source, WHOLE);
    assert_eq!(
        (row.latency_ns.total, row.self_ns),
        (40_000_000, Some(12_000_000))
    );
    assert!(row.calls_traced_functions());
    assert_eq!(first(&source, window(1, 2)).self_ns, Some(7_000_000));
    assert_eq!((row.timed, row.timed_share()), (20, None));
    let rows = source.functions(WHOLE).expect("functions");
    assert_eq!(
        rows[1].self_ns,
        Some(0),
        "not called, but by a monigo that measures it"
    );
}

#[test]
fn errors_of_estimates_add_up_as_variances() {
    let delta = |variance| FunctionDelta {
        variance,
        ..fixture::delta(0, &[1000; 500], (1000, 1000))
    };
    let (database, source) = session_of([batch(delta(900)), batch(delta(1600)), batch(delta(0))]);
    let row = first(&source, WHOLE);
    // 1.96 times the square root of 2500.
    assert_eq!((row.calls, row.calls_error), (1500, 98));
    assert_eq!(row.probes_ns, 1500 * 16_000, "all of these were timed");
    assert_eq!(first(&source, window(1, 2)).calls_error, 79);
    assert_eq!(first(&source, window(2, 3)).calls_error, 0);
    let reader = database.reader().expect("reads");
    for (sql, expected) in [
        (
            "SELECT calls_error FROM v_functions WHERE function_id = 0",
            98,
        ),
        (
            "SELECT calls_error FROM v_rates ORDER BY \"at\" LIMIT 1",
            59,
        ),
    ] {
        let table = super::super::sql::run(&reader, sql, 1).expect("answers");
        assert_eq!(table.rows[0][0], expected, "{sql}");
    }
}

#[test]
fn intervals_without_a_timed_call_are_extended_from_the_others() {
    let timed = FunctionDelta {
        // A tenth was timed; the sums are scaled up.
        timed: 10,
        ..fixture::delta(0, &[1_000_000; 100], (1_000_000, 1_000_000))
    };
    let untimed = FunctionDelta {
        function: 0,
        entered: 300,
        calls: 300,
        ..FunctionDelta::default()
    };
    let (database, source) = session_of([batch(untimed.clone()), batch(timed), batch(untimed)]);
    let row = first(&source, WHOLE);
    assert_eq!((row.calls, row.timed), (700, 10));
    assert_eq!(row.probes_ns, 10 * 16_000 + 690 * 2_000);
    assert_eq!(row.timed_share(), Some(10.0 / 700.0));
    assert_eq!(
        (row.latency_ns.total, row.latency_ns.mean, row.self_ns),
        (700_000_000, 1_000_000, Some(700_000_000))
    );
    assert_eq!(
        (row.latency_ns.min, row.latency_ns.p99),
        (1_000_000, 1_000_000)
    );
    assert!((row.share - 1.0).abs() < 1e-9);
    let quiet = first(&source, window(0, 1));
    assert_eq!((quiet.calls, quiet.timed), (300, 0));
    assert_eq!(quiet.latency_ns, crate::query::Latency::default());
    let sql = "SELECT total_ns, mean_ns, self_ns FROM v_functions WHERE function_id = 0";
    let table = super::super::sql::run(&database.reader().expect("reads"), sql, 1);
    let row = &table.expect("answers").rows[0];
    assert_eq!(
        (&row[0], &row[1], &row[2]),
        (&700_000_000.into(), &1_000_000.into(), &700_000_000.into())
    );
}

#[test]
fn estimated_calls_cost_what_was_probed_of_them() {
    let delta = FunctionDelta {
        calls: 5000,
        timed: 500,
        variance: 90_000,
        ..fixture::delta(0, &[1000; 500], (1000, 1000))
    };
    // The collector knows the mean already, and fills in the sums.
    let later = FunctionDelta {
        function: 0,
        entered: 5000,
        calls: 5000,
        variance: 90_000,
        total_ns: 5_000_000,
        self_ns: 5_000_000,
        ..FunctionDelta::default()
    };
    let first_total = delta.total_ns;
    let (_database, source) = session_of([batch(delta), batch(later)]);
    let row = first(&source, WHOLE);
    assert_eq!((row.calls, row.timed), (10_000, 500));
    assert_eq!(row.latency_ns.total, first_total + 5_000_000);
    assert_eq!(row.probes_ns, 500 * 16_000);
}

#[test]
fn probes_have_their_price() {
    let (_database, source) = recorded();
    let rows = source.functions(WHOLE).expect("functions");
    assert_eq!(
        (rows[0].probe.cost_ns, rows[0].probe.floor_ns),
        (16_000, 150)
    );
    // 1,001 completed and 2 unwound calls, and 10 of the other.
    assert_eq!(rows[0].probes_ns, 1003 * 16_000);
    let share = share_of_cpu(&rows, 3 * SECOND as u64);
    assert!((share - 1013.0 * 16e3 / 3e9).abs() < 1e-12, "{share}");
    assert!(share_of_cpu(&rows, 0).abs() < f64::EPSILON);
}

#[test]
fn what_probes_record_has_its_price_too() {
    let beside = |beside_ns| Batch {
        beside_ns,
        ..Batch::default()
    };
    let batches = [beside(20_000_000), beside(0), beside(40_000_000)];
    let (_database, source) = session_of(batches);
    let share = source.overview().expect("overview").beside_share;
    assert!((share - 0.02).abs() < 1e-9, "{share}");
}

#[test]
fn notices_become_warnings() {
    let say = |sentences: &[&str]| Batch {
        notices: sentences.iter().map(|&s| s.to_owned()).collect(),
        ..Batch::default()
    };
    let (database, source) = session_of([say(&["a"]), say(&["b", "a"]), say(&[])]);
    let overview = source.overview().expect("overview");
    assert_eq!(
        overview.warnings,
        ["after 1.00 s and again after 2.00 s: a", "after 2.00 s: b"]
    );
    let table = super::super::sql::run(
        &database.reader().expect("reads"),
        "SELECT count(*) FROM v_notices WHERE said_at = make_timestamp_ns(1764000002000000000)",
        1,
    );
    assert_eq!(table.expect("answers").rows[0][0], 2);

    let (_database, source) = session_of((0..100).map(|n| say(&[&format!("rate {n}")])));
    let warnings = source.overview().expect("overview").warnings;
    assert_eq!(warnings.len(), 11);
    assert!(
        warnings[0].starts_with("90 earlier notices"),
        "{}",
        warnings[0]
    );
    assert_eq!(warnings[10], "after 1m 40s: rate 99");
}

#[test]
fn answers_of_an_older_monigo_decode() {
    let (_database, source) = recorded();
    let rows = source.functions(WHOLE).expect("functions");
    let mut json = serde_json::to_value(&rows[0]).expect("serializes");
    for key in ["calls_error", "timed", "self_ns"] {
        json.as_object_mut()
            .expect("object")
            .remove(key)
            .expect(key);
    }
    for key in ["cost_ns", "floor_ns"] {
        let probe = json["probe"].as_object_mut().expect("object");
        probe.remove(key).expect(key);
    }
    let row: FunctionRow = serde_json::from_value(json).expect("decodes");
    assert_eq!(
        (row.calls, row.self_ns, row.probe.floor_ns),
        (1001, None, 0)
    );
}
