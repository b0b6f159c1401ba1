//! Retention by age.

use super::*;
use crate::{
    config::Span,
    store::{Pruned, StorageSettings},
};

#[test]
fn retention_deletes_old_sessions_and_the_old_part_of_the_current_one() {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let mut later = fixture::session();
    later.started_ns = START + 10 * SECOND;
    let id = database.begin_session(&later).expect("session");
    for (second, entered, calls) in [(11, 5, 3), (12, 4, 5)] {
        let durations = vec![1000; calls];
        let mut delta = fixture::delta(0, &durations, (1000, 1000));
        delta.entered = entered;
        let batch = Batch {
            at_ns: START + second * SECOND,
            functions: vec![delta],
            calls: vec![fixture::call(START + second * SECOND, 1000, 1, None)],
            samples: vec![fixture::sample(
                START + second * SECOND,
                SampleKind::OffCpu,
                1000,
                None,
            )],
            ..Batch::default()
        };
        database.append(id, &batch).expect("appends");
    }
    let pruned = database.prune(START + 12 * SECOND).expect("prunes");
    assert_eq!(pruned.sessions, 1);
    assert_eq!(count(&database, "sessions"), 1);
    assert_eq!(count(&database, "frames"), 0);
    assert_eq!(count(&database, "calls"), 1);
    assert_eq!(count(&database, "samples"), 1);
    let (calls, in_flight): (i64, i64) = database
        .connection
        .query_row(
            "SELECT calls, in_flight FROM v_functions WHERE function_id = 0",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("reads");
    // Two calls were open at the cutoff; of six open ones five have ended since.
    assert_eq!((calls, in_flight), (5, 1));
    assert_eq!(
        database.prune(START).expect("nothing to do"),
        Pruned::default()
    );
}

#[test]
fn retention_goes_on_while_recording() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let settings = StorageSettings {
        retention: Span::from_secs(20),
        ..StorageSettings::default()
    };
    database.keep(&settings, START).expect("nothing yet");
    for second in 1..=100 {
        let batch = Batch {
            at_ns: START + second * SECOND,
            ..Batch::default()
        };
        database.append(id, &batch).expect("appends");
    }
    // Looked at every tenth of the retention: at most 22 seconds are there.
    let kept = count(&database, "flushes");
    assert!((20..=23).contains(&kept), "{kept}");
}

#[test]
fn retention_leaves_a_session_that_is_silent_but_open() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    database.prune(START + 1000 * SECOND).expect("prunes");
    assert_eq!(count(&database, "sessions"), 1);
    database
        .append(id, &fixture::batches()[0])
        .expect("appends");
}
