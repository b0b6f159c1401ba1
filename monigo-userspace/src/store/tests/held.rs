//! Batches that wait while nobody asks.

use std::borrow::Cow;

use duckdb::Connection;

use super::*;
use crate::store::{
    Reader,
    journal::{self, Journal},
    rows::Flush,
};

/// A session that goes on, and whose batches are held.
fn holding(file: &Path) -> (Database, i64) {
    let mut database = Database::open(file).expect("opens").holding();
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    (database, id)
}

fn append(database: &mut Database, session: i64, batches: &[Batch]) {
    for batch in batches {
        database.append(session, batch).expect("appends");
    }
}

/// A second with a call in it.
fn second(n: i64) -> Batch {
    let at_ns = START + n * SECOND;
    Batch {
        at_ns,
        calls: vec![fixture::call(at_ns, 1000, 1, None)],
        functions: vec![fixture::delta(0, &[1000], (1000, 1000))],
        ..Batch::default()
    }
}

fn asked(reader: &Reader) -> i64 {
    let count = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM flushes", [], |row| row.get(0))
    };
    reader.with(count).expect("reads")
}

/// Rows of every table, in order.
fn contents(database: &Database) -> Vec<(String, Vec<String>)> {
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = database.connection.prepare(sql).expect("prepares");
        let rows = statement.query_map([], |row| row.get(0)).expect("reads");
        rows.collect::<Result<_, _>>().expect("reads")
    };
    texts(
        "SELECT table_name FROM duckdb_tables()
         WHERE NOT internal AND table_name != 'schema_version' ORDER BY 1",
    )
    .into_iter()
    .map(|table| {
        let rows = texts(&format!("SELECT t::VARCHAR FROM {table} t ORDER BY ALL"));
        (table, rows)
    })
    .collect()
}

/// The files of a database as they would be after a `kill -9` now.
fn killed(file: &Path) -> (tempfile::TempDir, PathBuf) {
    let (directory, copy) = temporary();
    let log = super::super::log_path;
    for path in [Path::to_path_buf, log, journal::path] {
        if path(file).exists() {
            fs::copy(path(file), path(&copy)).expect("copies");
        }
    }
    (directory, copy)
}

#[test]
fn they_are_written_together_and_are_the_same() {
    let (_directory, file) = temporary();
    let mut at_once = Database::in_memory().expect("opens");
    let of_other = at_once.begin_session(&fixture::session()).expect("session");
    let (mut database, id) = holding(&file);
    // As many as that a block is summed up in the middle.
    let mut batches = fixture::batches();
    batches.extend((4..=23).map(second));
    append(&mut at_once, of_other, &batches);
    let mut written = Vec::new();
    for batch in &batches {
        database.append(id, batch).expect("appends");
        written.push(count(&database, "flushes"));
    }
    let tens: Vec<i64> = (1..=23).map(|batches| batches / 10 * 10).collect();
    assert_eq!(written, tens);
    let ended_ns = START + 23 * SECOND;
    at_once.end_session(of_other, ended_ns).expect("ends");
    database.end_session(id, ended_ns).expect("ends");
    assert!(!journal::path(&file).exists(), "nothing is left to hold");
    assert_eq!(contents(&database), contents(&at_once));
}

#[test]
fn a_question_sees_them_and_those_that_follow() {
    let (_directory, file) = temporary();
    let (mut database, id) = holding(&file);
    let reader = database.reader().expect("reads");
    append(&mut database, id, &[second(1), second(2)]);
    assert_eq!(count(&database, "flushes"), 0);
    assert_eq!(asked(&reader), 2);
    assert!(!journal::is_left(&file));
    database.append(id, &second(3)).expect("appends");
    assert_eq!(count(&database, "flushes"), 3, "somebody looks");
    assert_eq!(asked(&reader), 3);
}

#[test]
fn many_rows_do_not_wait() {
    let (_directory, file) = temporary();
    let (mut database, id) = holding(&file);
    append(&mut database, id, &[second(1)]);
    let many = Batch {
        calls: vec![fixture::call(START, 1000, 1, None); 10_000],
        ..second(2)
    };
    database.append(id, &many).expect("appends");
    assert_eq!(count(&database, "calls"), 10_001);
}

#[test]
fn after_a_kill_they_are_there() {
    let (_directory, file) = temporary();
    let (mut database, id) = holding(&file);
    append(&mut database, id, &fixture::batches());
    let (_copies, copy) = killed(&file);
    let found = Database::open_read_only(&copy).expect("opens");
    assert!(!journal::path(&copy).exists());
    append(&mut database, id, &[second(4)]);
    let (_again, again) = killed(&file);
    asked(&database.reader().expect("reads"));
    assert_eq!(count(&found, "flushes"), 3);
    // Here they are both in the tables and, from before, in the journal.
    fs::copy(&file, &again).expect("copies");
    fs::copy(
        super::super::log_path(&file),
        super::super::log_path(&again),
    )
    .expect("copies");
    assert!(journal::is_left(&again));
    let again = Database::open(&again).expect("opens");
    assert_eq!(contents(&again), contents(&database));
}

#[test]
fn a_journal_of_something_else_is_dropped() {
    let (_directory, file) = temporary();
    let (mut database, id) = holding(&file);
    append(&mut database, id, &[second(1)]);
    let (_copies, copy) = killed(&file);
    fs::remove_file(&copy).expect("removes");
    let _ = fs::remove_file(super::super::log_path(&copy));
    let other = Database::open(&copy).expect("opens");
    assert_eq!(count(&other, "flushes"), 0);
    assert!(!journal::path(&copy).exists());
}

#[test]
fn what_the_tables_have_after_a_failure_is_not_written_again() {
    let (_directory, file) = temporary();
    let (mut database, id) = holding(&file);
    append(&mut database, id, &[second(1), second(2)]);
    // A commit was told to have failed, and had not.
    database
        .connection
        .execute_batch(&format!(
            "INSERT INTO flushes VALUES ({id}, 1, {START}, {}, 0)",
            START + SECOND
        ))
        .expect("inserts");
    database
        .dead
        .store(true, std::sync::atomic::Ordering::Release);
    append(&mut database, id, &[second(3)]);
    assert_eq!(asked(&database.reader().expect("reads")), 3);
    assert_eq!(count(&database, "calls"), 2);
}

#[test]
fn a_journal_that_is_cut_off_or_damaged_gives_what_comes_before() {
    let (_directory, file) = temporary();
    let mut journal = Journal::new(&file);
    let mut ends = Vec::new();
    let batches = fixture::batches();
    let flushes: Vec<Flush<'_>> = (1..)
        .zip(&batches)
        .map(|(id, batch)| Flush {
            session: 1,
            id,
            from_ns: batch.at_ns - SECOND,
            at_ns: batch.at_ns,
            batch: Cow::Borrowed(batch),
        })
        .collect();
    for flush in &flushes {
        journal.append(flush).expect("appends");
        ends.push(fs::metadata(journal::path(&file)).expect("is there").len() as usize);
    }
    let whole = fs::read(journal::path(&file)).expect("reads");
    assert_eq!(journal::read(&file).expect("reads"), flushes);
    for length in 0..whole.len() {
        fs::write(journal::path(&file), &whole[..length]).expect("writes");
        let complete = ends.iter().filter(|end| **end <= length).count();
        let read = journal::read(&file).expect("reads");
        assert_eq!(read, flushes[..complete], "{length} bytes");
    }
    let mut damaged = whole;
    damaged[ends[0] + 20] ^= 1;
    fs::write(journal::path(&file), &damaged).expect("writes");
    assert_eq!(journal::read(&file).expect("reads"), flushes[..1]);
    journal.delete();
    assert_eq!(journal::read(&file).expect("reads"), []);
}

/// Should this change, so must the number in the journal's head: another version may have written it.
#[test]
fn the_format_of_the_journal() {
    let (_directory, file) = temporary();
    let batch = fixture::batches().swap_remove(0);
    let flush = Flush {
        session: 1,
        id: 2,
        from_ns: START,
        at_ns: START + SECOND,
        batch: Cow::Borrowed(&batch),
    };
    Journal::new(&file).append(&flush).expect("appends");
    let bytes = fs::read(journal::path(&file)).expect("reads");
    insta::assert_snapshot!(
        format!("{:?} {} {:08x}", &bytes[..8], bytes.len(), crc32fast::hash(&bytes)),
        @"[109, 111, 110, 105, 103, 111, 0, 1] 1189 b3d28bad"
    );
}
