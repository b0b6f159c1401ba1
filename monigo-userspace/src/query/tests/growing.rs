//! Sessions that go on.

use super::*;
use crate::{plan::CostClass, query::SeriesPoint, store::Instance};

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
        let touching = |pair: &[SeriesPoint]| pair[0].at_ns + pair[0].step_ns == pair[1].at_ns;
        assert!(series.windows(2).all(touching));
        for point in series {
            let rate = point.calls as f64 / (point.step_ns as f64 / 1e9);
            assert!((9.0..11.0).contains(&rate), "{points}: {rate}");
        }
    }
}

#[test]
fn functions_that_come_later_are_seen() {
    let (mut database, source) = recorded();
    let before = source.functions(WHOLE).expect("functions");
    let new = before.len() as u32;
    let unknown = source.histogram(new, WHOLE);
    assert_eq!(unknown, Err(QueryError::UnknownFunction(new)));

    let instance = |address, file: Option<&str>| Instance {
        name: "late<int>".to_owned(),
        linkage_name: "_Z4lateIiE".to_owned(),
        address,
        file: file.map(str::to_owned),
        line: file.map(|_| 7),
        sites: 2,
        cost_class: CostClass::Emulated,
    };
    let function = NewFunction {
        name: "late".to_owned(),
        instances: vec![instance(0x2000, None), instance(0x1000, Some("late.h"))],
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
    assert!(!before[0].has_instances());
    let places = late.probe.instances.iter();
    let places: Vec<_> = places
        .map(|it| (it.address.as_str(), it.file.as_deref(), it.line))
        .collect();
    assert_eq!(
        places,
        [("0x1000", Some("late.h"), Some(7)), ("0x2000", None, None)]
    );

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
    let left = source
        .sql("SELECT count(*) FROM instances", 1)
        .expect("counts");
    assert_eq!(
        left.rows[0][0], 2,
        "those of the function that was removed are gone"
    );
}
