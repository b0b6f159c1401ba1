//! Parts of a recording side by side, and selections that have no answer.

use super::*;
use crate::query::{CompareQuestion, DiffUnit, Part};

pub(super) fn check_errors(source: &dyn Source) {
    let one = of(Some(0), WHOLE, Weight::Wall);
    let none = Selection {
        slower_than_ns: Some(SECOND as u64),
        ..one
    };
    let error = source.flame(&none).expect_err("no such calls").to_string();
    assert_eq!(
        error,
        "none of the 109 recorded calls of main.process_order took 1.00 s or longer; the longest took 11.0 ms"
    );
    assert_eq!(
        source.slowest(&none, 9),
        Ok(Vec::new()),
        "a list may be empty"
    );
    assert!(matches!(
        source.flame(&slow(of(None, WHOLE, Weight::Wall))),
        Err(QueryError::Selection(_))
    ));
    let tail = |slower_than_ns| {
        let question = TailQuestion {
            slower_than_ns: Some(slower_than_ns),
            ..TailQuestion::default()
        };
        source
            .tail(&question)
            .expect_err("nothing to compare")
            .to_string()
    };
    assert!(tail(1).contains("all recorded calls"), "{}", tail(1));
    assert!(tail(SECOND as u64).contains("none of the recorded calls"));
    // All calls of this one are as long.
    let error = source.tail(&TailQuestion {
        function: 1,
        ..TailQuestion::default()
    });
    assert!(
        matches!(error, Err(QueryError::NoSuchCalls(_))),
        "{error:?}"
    );
}

pub(super) fn check_comparison(source: &dyn Source) {
    let same = source
        .compare(&CompareQuestion::default())
        .expect("compares");
    assert_eq!(same.unit, DiffUnit::NsPerSecond);
    assert_eq!(same.tree.delta(), 0);
    assert_eq!(same.functions[0].time_ratio(), Some(1.0));
    let part = |from, to| Part {
        session: None,
        window: window(from, to),
    };
    let empty = CompareQuestion {
        before: part(2, 3),
        after: part(0, 2),
        weight: Weight::Calls,
        ..CompareQuestion::default()
    };
    let comparison = source.compare(&empty).expect("compares");
    assert_eq!(comparison.tree.before, 0);
    assert_eq!(
        comparison.functions[0].before.map(|figures| figures.calls),
        Some(0)
    );
    assert!(comparison.notes[0].contains("no call completed"));
    let one = CompareQuestion {
        function: Some("main.charge".to_owned()),
        weight: Weight::Time,
        ..CompareQuestion::default()
    };
    let comparison = source.compare(&one).expect("compares");
    assert_eq!(
        (comparison.unit, comparison.functions.len()),
        (DiffUnit::NsPerCall, 1)
    );
    assert_eq!(comparison.tree.after, 10_000_000);
    let missing = CompareQuestion {
        function: Some("none".to_owned()),
        ..CompareQuestion::default()
    };
    assert!(matches!(
        source.compare(&missing),
        Err(QueryError::Selection(_))
    ));
    let other = CompareQuestion {
        before: Part {
            session: Some(99),
            ..Part::default()
        },
        ..CompareQuestion::default()
    };
    assert!(
        source
            .compare(&other)
            .expect_err("session")
            .to_string()
            .contains("no session 99")
    );
}
