//! Answers with blocks of intervals and without.

use proptest::prelude::*;

use super::{
    upkeep::{interval, recorded},
    *,
};
use crate::query::{
    Bucket, FunctionRow, Heatmap, LatencyPoint, LatencyQuestion, SeriesPoint, Source as _,
};

fn window(from: i64, to: i64) -> Window {
    Window {
        from_ns: Some(START + from * SECOND),
        to_ns: Some(START + to * SECOND),
    }
}

#[derive(Debug, PartialEq)]
struct Answers {
    functions: Vec<FunctionRow>,
    histogram: Vec<Bucket>,
    series: Vec<Vec<SeriesPoint>>,
    latency: Vec<LatencyPoint>,
    heatmap: Heatmap,
}

/// What a source that knows nothing yet answers.
fn ask(database: &Database, window: Window, points: &[u32]) -> Answers {
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let series = |&points: &u32| source.series(Some(0), window, points).expect("series");
    let most = *points.iter().max().expect("points");
    let question = LatencyQuestion {
        window,
        points: most,
        ..LatencyQuestion::default()
    };
    Answers {
        functions: source.functions(window).expect("functions"),
        histogram: source.histogram(0, window).expect("histogram"),
        series: points.iter().map(series).collect(),
        latency: source.latency_series(&question).expect("latency"),
        heatmap: source.heatmap(0, window, most).expect("heatmap"),
    }
}

fn change(database: &Database, sql: &str) {
    database.connection.execute_batch(sql).expect("changes");
}

/// Whether answers are the same when there are no blocks. Those are back afterwards.
#[track_caller]
fn same_without(database: &Database, window: Window, points: &[u32]) -> Answers {
    let with = ask(database, window, points);
    change(
        database,
        "CREATE TABLE kept AS FROM blocks; DELETE FROM blocks",
    );
    let without = ask(database, window, points);
    change(database, "INSERT INTO blocks FROM kept; DROP TABLE kept");
    assert_eq!(with.functions, without.functions);
    assert_eq!(with.histogram, without.histogram);
    let sum = |answers: &Answers| -> Vec<u64> {
        let calls = |series: &Vec<SeriesPoint>| series.iter().map(|point| point.calls).sum();
        answers.series.iter().map(calls).collect()
    };
    assert_eq!(sum(&with), sum(&without));
    if points[0] == 1 {
        assert_eq!(with.series[0], without.series[0]);
    }
    with
}

fn merge_all(database: &mut Database, before: i64, step_ns: i64) {
    while database
        .merge(START + before * SECOND, step_ns)
        .expect("merges")
    {}
}

fn stretches(database: &Database) -> Vec<(i64, i64)> {
    let mut statement = database
        .connection
        .prepare("SELECT from_ns, at_ns FROM blocks ORDER BY at_ns")
        .expect("prepares");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.expect("reads")
        .collect::<Result<_, _>>()
        .expect("rows")
}

#[test]
fn blocks_say_the_same_as_their_intervals() {
    let mut database = Database::in_memory().expect("opens");
    let (_, source) = recorded(&mut database, 400);
    drop(source);
    assert_eq!(count(&database, "blocks"), 50);
    let windows = [
        Window::default(),
        window(0, 400),
        window(31, 352),
        window(40, 50),
        window(33, 199),
    ];
    let with: Vec<_> = windows
        .iter()
        .map(|&window| ask(&database, window, &[1, 4, 5, 12]))
        .collect();
    assert!(with[1].series[2].len() > 1 && with[1].series[2].iter().all(|point| point.p50 > 0));
    change(&database, "UPDATE histogram_blocks SET count = count + 1");
    assert_ne!(
        ask(&database, windows[0], &[1]).histogram,
        with[0].histogram,
        "they were not read"
    );
    change(
        &database,
        "UPDATE histogram_blocks SET count = count - 1; DELETE FROM blocks",
    );
    for (&window, with) in windows.iter().zip(&with) {
        assert_eq!(&ask(&database, window, &[1, 4, 5, 12]), with);
    }
}

#[test]
fn merged_intervals_have_blocks_that_say_the_same() {
    let mut database = Database::in_memory().expect("opens");
    let (_, source) = recorded(&mut database, 700);
    drop(source);
    let whole = ask(&database, Window::default(), &[1]);
    // Merged to 5 s, so that a block takes 40 s.
    merge_all(&mut database, 500, 5 * SECOND);
    let blocks = stretches(&database);
    let merged = blocks.iter().filter(|(from, to)| to - from > 8 * SECOND);
    assert_eq!((merged.count(), blocks.len()), (12, 36), "{blocks:?}");
    assert!(blocks[..12].windows(2).all(|pair| pair[0].1 == pair[1].0));
    let merged_again = same_without(&database, Window::default(), &[1, 2, 3, 7, 100]);
    assert_eq!(merged_again.histogram, whole.histogram);
    assert_eq!(merged_again.functions, whole.functions);
    for window in [
        window(0, 450),
        window(171, 350),
        window(200, 700),
        window(510, 700),
        window(250, 255),
    ] {
        same_without(&database, window, &[1, 2, 4, 7, 40]);
    }

    // Whoever reads by blocks misses nothing when their intervals are gone.
    let points = [1, 2, 3];
    let before = ask(&database, Window::default(), &points);
    let fine_steps = ask(&database, Window::default(), &[40]);
    let (from_ns, to_ns) = (blocks[0].0, blocks[11].1);
    let covered = format!("at_ns > {from_ns} AND at_ns <= {to_ns}");
    let rows = count(&database, &format!("histogram_deltas WHERE {covered}"));
    let instead = count(&database, &format!("histogram_blocks WHERE {covered}"));
    assert!(rows > 3 * instead, "{rows} rows, {instead} in blocks");
    change(
        &database,
        &format!("DELETE FROM histogram_deltas WHERE {covered}"),
    );
    assert_eq!(ask(&database, Window::default(), &points), before);
    // Steps shorter than blocks are told by the intervals alone.
    assert_ne!(ask(&database, Window::default(), &[40]), fine_steps);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Record(i64),
    /// Seconds before the last flush, and length of the steps.
    Merge(i64, i64),
    Prune(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..80_i64).prop_map(Step::Record),
        3 => (0..100_i64, 1..5_i64).prop_map(|(age, step)| Step::Merge(age, step)),
        1 => (50..200_i64).prop_map(Step::Prune),
    ];
    prop::collection::vec(step, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn blocks_hold_what_their_intervals_hold(steps in steps()) {
        let mut database = Database::in_memory().expect("opens");
        let (id, _source) = recorded(&mut database, 40);
        let mut last = 40;
        for step in steps {
            match step {
                Step::Record(seconds) => {
                    for second in last + 1..=last + seconds {
                        database.append(id, &interval(second)).expect("appends");
                    }
                    last += seconds;
                }
                Step::Merge(age, step) => merge_all(&mut database, last - age, step * SECOND),
                Step::Prune(age) => {
                    database.prune(START + (last - age) * SECOND).expect("prunes");
                }
            }
            let blocks = stretches(&database);
            prop_assert!(blocks.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{blocks:?}");
            for (from_ns, to_ns) in blocks {
                let within = format!("at_ns > {from_ns} AND at_ns <= {to_ns}");
                let sums = |table: &str| format!(
                    "(SELECT function_id, bucket, sum(count) FROM {table} WHERE {within} GROUP BY ALL)"
                );
                let (blocks, deltas) = (sums("histogram_blocks"), sums("histogram_deltas"));
                for (one, other) in [(&blocks, &deltas), (&deltas, &blocks)] {
                    let different = count(&database, &format!("(FROM {one} EXCEPT FROM {other})"));
                    prop_assert_eq!(different, 0, "{}", within);
                }
            }
        }
        same_without(&database, Window::default(), &[1, 2, 5]);
    }
}
