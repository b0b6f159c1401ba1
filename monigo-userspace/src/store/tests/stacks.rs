//! Stacks that nothing refers to any more.

use super::*;
use crate::store::{Forgotten, Frame, NewFrame, NewStack};

/// A call in each second with a stack of its own: its frame, and one that all have.
fn second_with_stack(second: i64) -> Batch {
    let id = second as u64;
    let frame = |id| NewFrame {
        id,
        frame: Frame {
            function: format!("f{id}"),
            image: "/srv/orders".to_owned(),
            address: id,
            file: None,
            line: None,
            inlined: false,
            kernel: false,
        },
    };
    let shared = (second == 1).then(|| frame(1000));
    let at_ns = START + second * SECOND;
    Batch {
        at_ns,
        calls: vec![fixture::call(at_ns, 1000, 1, Some(id))],
        frames: shared.into_iter().chain([frame(id)]).collect(),
        stacks: vec![NewStack {
            id,
            frames: vec![id, 1000],
            truncated: false,
        }],
        ..Batch::default()
    }
}

/// A session that goes on, of eight seconds with a stack each.
fn eight_seconds() -> (Database, i64) {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for second in 1..=8 {
        database
            .append(id, &second_with_stack(second))
            .expect("appends");
    }
    (database, id)
}

fn ids(database: &Database, table: &str, column: &str) -> Vec<i64> {
    let sql = format!("SELECT DISTINCT {column} FROM {table} ORDER BY 1");
    let mut statement = database.connection.prepare(&sql).expect("prepares");
    let ids = statement.query_map([], |row| row.get(0)).expect("reads");
    ids.collect::<Result<_, _>>().expect("reads")
}

#[test]
fn those_of_a_running_session_go_with_the_calls_that_had_them() {
    let (mut database, id) = eight_seconds();
    database.prune_details(START + 6 * SECOND).expect("prunes");
    assert_eq!(
        count(&database, "stacks"),
        8,
        "the collector may refer to them"
    );
    assert_eq!(database.take_forgotten(id), Forgotten::default());
    // A call that comes has the stack of one that was deleted, and a sample that waits has another.
    let next = Batch {
        at_ns: START + 9 * SECOND,
        calls: vec![fixture::call(START + 9 * SECOND, 1000, 1, Some(2))],
        held_stacks: vec![4],
        ..Batch::default()
    };
    database.append(id, &next).expect("appends");
    assert_eq!(ids(&database, "stacks", "stack_id"), [2, 4, 6, 7, 8]);
    assert_eq!(ids(&database, "stack_frames", "stack_id"), [2, 4, 6, 7, 8]);
    assert_eq!(ids(&database, "frames", "frame_id"), [2, 4, 6, 7, 8, 1000]);
    let mut forgotten = database.take_forgotten(id);
    forgotten.stacks.sort_unstable();
    forgotten.frames.sort_unstable();
    assert_eq!(
        (forgotten.stacks, forgotten.frames),
        (vec![1, 3, 5], vec![1, 3, 5])
    );
    assert_eq!(
        database.take_forgotten(id),
        Forgotten::default(),
        "told once"
    );
}

#[test]
fn those_of_an_ended_session_go_at_once() {
    let (mut database, id) = eight_seconds();
    database.end_session(id, START + 8 * SECOND).expect("ends");
    database.prune_details(START + 8 * SECOND).expect("prunes");
    assert_eq!(ids(&database, "stacks", "stack_id"), [8]);
    assert_eq!(ids(&database, "frames", "frame_id"), [8, 1000]);
}

#[test]
fn the_size_limit_deletes_them_too() {
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    let settings = crate::store::settings::Keep {
        limit_bytes: Some(12 << 20),
        ..upkeep::keep_all()
    };
    database.keep = Some(settings);
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for second in 1..=60 {
        let with_stack = second_with_stack(second);
        let mut batch = upkeep::bulk(second, 20_000);
        for call in &mut batch.calls {
            call.stack = Some(second as u64);
        }
        batch.frames = with_stack.frames;
        batch.stacks = with_stack.stacks;
        database.append(id, &batch).expect("appends");
    }
    let seconds = ids(&database, "calls", "stack_id");
    assert!(seconds.len() < 60);
    assert_eq!(ids(&database, "stacks", "stack_id"), seconds);
    assert!(!database.take_forgotten(id).stacks.is_empty());
}
