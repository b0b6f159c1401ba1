//! A recording during which the clock was set forward.

use super::*;

#[test]
fn time_that_was_skipped_is_not_time_of_the_recording() {
    const HOUR: i64 = 3600 * SECOND;
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let calls = |at_ns, skipped_ns: i64| Batch {
        at_ns,
        skipped_ns: skipped_ns as u64,
        beside_ns: 10_000_000,
        functions: vec![fixture::delta(0, &[1_000; 10], (1_000, 1_000))],
        ..Batch::default()
    };
    for batch in [
        calls(START + SECOND, 0),
        calls(START + 2 * SECOND + 2 * HOUR, 2 * HOUR),
        calls(START + 3 * SECOND + 2 * HOUR, 0),
    ] {
        database.append(id, &batch).expect("appends");
    }
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let overview = source.overview().expect("overview");
    assert_eq!(overview.duration_ns(), 3 * SECOND as u64);
    assert!((overview.beside_share - 0.01).abs() < 1e-9, "{overview:?}");
    let rows = source.functions(WHOLE).expect("functions");
    let row = rows.iter().find(|row| row.id == 0).expect("function");
    assert!((row.rate - 10.0).abs() < 1e-9, "{row:?}");
    // Each interval is as long as it was.
    let series = source.series(Some(0), WHOLE, 10).expect("series");
    let lengths: Vec<i64> = series.iter().map(|point| point.step_ns).collect();
    assert_eq!(lengths, [SECOND; 3], "{series:?}");
}
