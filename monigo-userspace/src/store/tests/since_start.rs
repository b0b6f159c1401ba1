//! Totals since the start of a session, whatever is deleted meanwhile.

use std::sync::Arc;

use super::{
    upkeep::{interval, recorded},
    *,
};
use crate::{
    query::Source as _,
    service::Recorded,
    telemetry::prometheus::{Format, Scraped, render},
};

#[test]
fn deleting_leaves_totals_as_they_were() {
    let mut whole = Database::in_memory().expect("opens");
    let mut pruned = Database::in_memory().expect("opens");
    let (whole_id, all) = recorded(&mut whole, 0);
    let (pruned_id, left) = recorded(&mut pruned, 0);
    for second in 1..=300 {
        whole.append(whole_id, &interval(second)).expect("appends");
        pruned
            .append(pruned_id, &interval(second))
            .expect("appends");
        let cutoff = |seconds: i64| START + (second - seconds) * SECOND;
        if second % 37 == 0 {
            pruned.prune(cutoff(20)).expect("prunes");
        }
        if second % 23 == 0 {
            pruned.prune_details(cutoff(7)).expect("prunes");
        }
        if second % 10 != 0 {
            continue;
        }
        // One that goes on asking, and one that asks for the first time.
        let fresh = DuckSource::open(pruned.reader().expect("reads"), None).expect("session");
        let expected = all.since_start().expect("since the start");
        for source in [&left, &fresh] {
            let got = source.since_start().expect("since the start");
            assert_eq!(got, expected, "after {second} s");
            let overview = source.overview().expect("overview");
            assert_eq!(overview.recorded, second as u64);
            assert_eq!(overview.losses[0].count, 2 * second as u64);
        }
    }
    let kept = left.functions(Window::default()).expect("functions");
    assert!(kept[0].calls < all.since_start().expect("since the start")[0].row.calls);
}

#[test]
fn counters_of_prometheus_do_not_drop() {
    let mut database = Database::in_memory().expect("opens");
    let (_, source) = recorded(&mut database, 100);
    let source = Arc::new(source);
    let service = Recorded::new(Arc::clone(&source) as _);
    let counters = || -> Vec<String> {
        let text = render(&[Scraped::alone(&*source, &service)], Format::Text).expect("renders");
        let counted = |line: &&str| {
            line.contains("_total{") || line.contains("_bucket{") || line.contains("_sum{")
        };
        text.lines().filter(counted).map(str::to_owned).collect()
    };
    let before = counters();
    assert!(
        before
            .iter()
            .any(|line| line.starts_with("monigo_function_calls_total"))
    );
    assert!(before.iter().any(|line| line.contains("seconds_bucket")));
    database.prune(START + 70 * SECOND).expect("prunes");
    assert_eq!(counters(), before);
    database.prune_details(START + 90 * SECOND).expect("prunes");
    assert_eq!(counters(), before);
}

#[test]
fn sums_go_with_their_session() {
    let mut database = Database::in_memory().expect("opens");
    let (id, _) = recorded(&mut database, 50);
    database.prune(START + 30 * SECOND).expect("prunes");
    assert!(count(&database, "deleted_histograms") > 0);
    // Two functions, the estimated one in rows of several kinds.
    assert!(count(&database, "deleted_deltas") <= 8);
    database.end_session(id, START + 50 * SECOND).expect("ends");
    database.prune(START + 60 * SECOND).expect("prunes");
    for table in ["deleted_deltas", "deleted_histograms", "deleted_losses"] {
        assert_eq!(count(&database, table), 0, "{table}");
    }
}

#[test]
fn a_look_reads_only_the_flushes_since_the_last() {
    let mut database = Database::in_memory().expect("opens");
    let (id, source) = recorded(&mut database, 10);
    let share = |source: &DuckSource| source.overview().expect("overview").beside_share;
    // 7 ms in each second.
    assert!((share(&source) - 0.007).abs() < 1e-9);
    let changed = database
        .connection
        .execute_batch("UPDATE flushes SET beside_ns = 0; UPDATE function_deltas SET calls = 0");
    changed.expect("changes");
    let calls = |source: &DuckSource| source.since_start().expect("functions")[0].row.calls;
    let before = calls(&source);
    database.append(id, &interval(11)).expect("appends");
    assert!((share(&source) - 0.007).abs() < 1e-9);
    assert!(calls(&source) > before, "{before}");
    let fresh = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    assert!((share(&fresh) - 0.007 / 11.0).abs() < 1e-9);
}
