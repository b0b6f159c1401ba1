//! The store on real files, and against the other processes and devices it meets.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

mod upkeep;

use super::{
    Batch, Database, NewFrame, SampleKind, StorageSettings, Store as _, StoreError,
    fixture::{self, SECOND, START},
    migrate::{MIGRATIONS, Migration},
};
use crate::{
    config::Span,
    query::{DuckSource, Source as _, Window},
};

/// Tells a copy of this test executable which part to play, and on which file.
const ROLE: &str = "MONIGO_TEST_STORE_ROLE";
const FILE: &str = "MONIGO_TEST_STORE_FILE";

/// Runs this test executable again, only [`child_main`], in a role.
fn child(role: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this executable"))
        .args([
            "--exact",
            "store::tests::child_main",
            "--nocapture",
            "--ignored",
        ])
        .env(ROLE, role)
        .env(FILE, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("child starts")
}

/// Lines of the child that start with `prefix`, without it.
fn said(child: &mut Child, prefix: &'static str) -> impl Iterator<Item = String> {
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .filter_map(move |line| Some(line.split_once(prefix)?.1.trim().to_owned()))
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("run.duckdb");
    (directory, file)
}

fn count(database: &Database, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let row = database.connection.query_row(&sql, [], |row| row.get(0));
    row.expect("counts")
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let (_directory, file) = temporary();
    let id = fixture::record(&mut Database::open(&file).expect("opens"));
    assert_eq!(id, 1);
    let database = Database::open_read_only(&file).expect("opens again");
    for (table, rows) in [
        ("sessions", 1),
        ("functions", 2),
        ("flushes", 3),
        ("function_deltas", 3),
        ("calls", 4),
        ("samples", 3),
        ("frames", 4),
        ("stacks", 2),
        ("stack_frames", 7),
        ("processes", 1),
        ("losses", 1),
        ("readings", 4),
        ("schema_version", 5),
    ] {
        assert_eq!(count(&database, table), rows, "{table}");
    }
    drop(database);
    let id = fixture::record(&mut Database::open(&file).expect("opens"));
    assert_eq!(id, 2);
}

#[test]
fn every_table_and_view_explains_itself() {
    let database = Database::in_memory().expect("opens");
    let undocumented: i64 = database
        .connection
        .query_row(
            "SELECT (SELECT count(*) FROM duckdb_tables() WHERE NOT internal AND comment IS NULL)
                  + (SELECT count(*) FROM duckdb_views() WHERE NOT internal AND comment IS NULL)",
            [],
            |row| row.get(0),
        )
        .expect("counts");
    assert_eq!(undocumented, 0);
}

#[test]
fn views_agree_with_the_fixture() {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let (calls, in_flight, min, p50, p99, max): (i64, i64, i64, i64, i64, i64) = database
        .connection
        .query_row(
            "SELECT calls, in_flight, min_ns, p50_ns, p99_ns, max_ns FROM v_functions WHERE function_id = 0",
            [],
            |row| {
                let get = |i| row.get::<_, i64>(i);
                Ok((get(0)?, get(1)?, get(2)?, get(3)?, get(4)?, get(5)?))
            },
        )
        .expect("reads");
    assert_eq!((calls, in_flight, min, max), (1001, 1, 1000, 50_000_000));
    assert!((p50 - 501_000).abs() <= 15_030, "{p50}");
    assert!((p99 - 991_000).abs() <= 29_730, "{p99}");
    for sql in [
        "SELECT count(*) FROM latency_percentile(99.5)",
        "SELECT count(*) FROM v_sessions WHERE duration_s = 3 AND started_at = make_timestamp_ns(1764000000000000000)",
        "SELECT count(*) - 1 FROM v_stacks WHERE folded LIKE 'main.main;main.worker;%process_order' AND wall_ms >= 30",
        "SELECT count(*) - 2 FROM v_rates WHERE calls_per_s > 0 AND name = 'main.process_order'",
    ] {
        let rows: i64 = database
            .connection
            .query_row(sql, [], |row| row.get(0))
            .expect(sql);
        assert!(
            rows >= 0 && (rows > 0 || sql.contains(" - ")),
            "{sql}: {rows}"
        );
    }
}

#[test]
fn sql_buckets_agree_with_the_arithmetic() {
    let database = Database::in_memory().expect("opens");
    let mut statement = database
        .connection
        .prepare(
            "SELECT b, bucket_low_ns(b), bucket_mid_ns(b)
             FROM (SELECT range::SMALLINT AS b FROM range(?))",
        )
        .expect("prepares");
    let buckets = monigo_common::histogram::BUCKETS;
    let rows = statement
        .query_map([buckets as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .expect("computes")
        .collect::<Result<Vec<(usize, u64, u64)>, _>>()
        .expect("reads");
    assert_eq!(rows.len(), buckets);
    for (bucket, low, mid) in rows {
        assert_eq!(low, monigo_common::histogram::bounds(bucket).0);
        assert_eq!(mid, monigo_common::histogram::representative(bucket));
    }
}

#[test]
fn a_failed_batch_is_absent_as_a_whole_and_can_be_retried() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let batch = &fixture::batches()[0];
    database
        .connection
        .execute_batch("ALTER TABLE losses RENAME TO elsewhere")
        .expect("breaks the last table of a batch");
    let error = database.append(id, batch).expect_err("no such table");
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    for table in ["flushes", "calls", "frames", "function_deltas"] {
        assert_eq!(count(&database, table), 0, "{table}");
    }
    database
        .connection
        .execute_batch("ALTER TABLE elsewhere RENAME TO losses")
        .expect("repairs");
    database.append(id, batch).expect("second attempt");
    assert_eq!(count(&database, "calls"), 3);
    assert_eq!(count(&database, "flushes"), 1);
}

#[test]
fn an_unknown_session_is_refused() {
    let mut database = Database::in_memory().expect("opens");
    let error = database.append(9, &Batch::default());
    assert_eq!(error, Err(StoreError::UnknownSession(9)));
}

#[test]
fn flush_times_grow_even_if_the_clock_steps_back() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for at_ns in [START + SECOND, START - 5 * SECOND, START + SECOND] {
        let batch = Batch {
            at_ns,
            ..Batch::default()
        };
        database.append(id, &batch).expect("appends");
    }
    let distinct: i64 = database
        .connection
        .query_row(
            "SELECT count(DISTINCT at_ns) FROM flushes WHERE from_ns < at_ns",
            [],
            |r| r.get(0),
        )
        .expect("counts");
    assert_eq!(distinct, 3);
}

// Migrations

const NEXT: Migration = Migration {
    version: 6,
    sql: "ALTER TABLE calls ADD COLUMN note VARCHAR DEFAULT 'old'",
};

#[test]
fn an_older_file_is_brought_forward_with_its_data() {
    let (_directory, file) = temporary();
    fixture::record(&mut Database::open(&file).expect("today's version"));
    let history = [MIGRATIONS, &[NEXT]].concat();
    let database = Database::open_with(&file, &history).expect("migrates");
    let old: i64 = database
        .connection
        .query_row("SELECT count(*) FROM calls WHERE note = 'old'", [], |r| {
            r.get(0)
        })
        .expect("counts");
    assert_eq!(old, 4);
    assert_eq!(count(&database, "schema_version"), 6);
}

/// A file as monigo 0.1.0 wrote it: `main.process_order` was called 1000 times, for 1 ms each.
fn version_1(file: &Path) {
    let database = Database::open_with(file, &MIGRATIONS[..1]).expect("creates");
    let rows = format!(
        "INSERT INTO sessions VALUES (1, {START}, {START} + {SECOND}, '0.1.0', 'host', '6.18.0',
             'monigo attach', {SECOND}, '/srv/orders', NULL, 'go', NULL);
         INSERT INTO functions VALUES (1, 0, 'main.process_order', 'main.process_order',
             '/srv/orders', NULL, NULL, 4719156, 'ret', 3, 'single-step');
         INSERT INTO flushes VALUES (1, 1, {START}, {START} + {SECOND});
         INSERT INTO function_deltas VALUES (1, 0, 1, {START} + {SECOND}, 1001, 1000, 0, 0,
             1000000000, 1000000, 1000000);
         INSERT INTO histogram_deltas VALUES (1, 0, 1, {START} + {SECOND}, {}, 1000);",
        monigo_common::histogram::bucket_of(1_000_000)
    );
    database.connection.execute_batch(&rows).expect("inserts");
}

#[test]
fn a_file_of_version_1_is_read_as_it_was_meant() {
    let (_directory, file) = temporary();
    version_1(&file);
    let database = Database::open_read_only(&file).expect("migrates");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let rows = source.functions(Window::default()).expect("functions");
    assert_eq!(
        (rows[0].calls, rows[0].timed, rows[0].calls_error),
        (1000, 1000, 0)
    );
    assert_eq!((rows[0].self_ns, rows[0].timed_share()), (None, None));
    assert_eq!((rows[0].probe.cost_ns, rows[0].probe.floor_ns), (0, 0));
    assert_eq!(rows[0].latency_ns.p99, 1_000_000);
    let view: (i64, Option<i64>, i64, i64, Option<i64>) = database
        .connection
        .query_row(
            "SELECT total_ns, self_ns, timed, calls_error, floor_ns FROM v_functions",
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)),
        )
        .expect("reads");
    assert_eq!(view, (1_000_000_000, None, 1000, 0, None));
    drop((source, database));
    // It can be recorded into, and the old session stays as it was.
    let mut database = Database::open(&file).expect("opens");
    assert_eq!(fixture::record(&mut database), 2);
    let unknown = "function_deltas WHERE self_ns IS NULL";
    assert_eq!(count(&database, unknown), 1);
    assert_eq!(count(&database, "functions WHERE cost_ns = 16000"), 2);
    let undocumented = count(
        &database,
        "duckdb_views() WHERE NOT internal AND comment IS NULL",
    );
    assert_eq!(undocumented, 0);
}

#[test]
fn a_failing_migration_changes_nothing() {
    let (_directory, file) = temporary();
    fixture::record(&mut Database::open(&file).expect("today's version"));
    let bad = Migration {
        version: 6,
        sql: "DROP VIEW v_calls; ALTER TABLE calls ADD COLUMN pid VARCHAR",
    };
    let error = Database::open_with(&file, &[MIGRATIONS, &[bad]].concat()).expect_err("fails");
    assert!(
        matches!(error, StoreError::Migration { version: 6, .. }),
        "{error}"
    );
    let database = Database::open(&file).expect("still today's version");
    assert_eq!(count(&database, "v_calls"), 4);
}

#[test]
fn a_newer_file_is_refused_with_both_versions() {
    let (_directory, file) = temporary();
    drop(Database::open_with(&file, &[MIGRATIONS, &[NEXT]].concat()).expect("version 6"));
    for result in [Database::open(&file), Database::open_read_only(&file)] {
        let error = result.expect_err("newer");
        assert!(
            matches!(
                error,
                StoreError::NewerSchema {
                    found: 6,
                    supported: 5,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("schema version 6"), "{error}");
    }
}

// Files that are not what they should be

#[test]
fn wrong_files_are_named_for_what_they_are() {
    let (directory, file) = temporary();
    let error = Database::open_read_only(&file).expect_err("missing");
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");

    let error = Database::open(directory.path()).expect_err("directory");
    assert!(matches!(error, StoreError::IsDirectory { .. }), "{error}");

    let error = Database::open(&directory.path().join("none/run.duckdb")).expect_err("no parent");
    assert!(matches!(error, StoreError::NoDirectory { .. }), "{error}");

    fs::write(&file, "not a database\n".repeat(1000)).expect("writes");
    for result in [Database::open(&file), Database::open_read_only(&file)] {
        let error = result.expect_err("text");
        assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
    }

    fs::remove_file(&file).expect("removes");
    let foreign = duckdb::Connection::open(&file).expect("opens");
    foreign
        .execute_batch("CREATE TABLE mine (a INT)")
        .expect("creates");
    drop(foreign);
    for result in [Database::open(&file), Database::open_read_only(&file)] {
        let error = result.expect_err("foreign");
        assert!(matches!(error, StoreError::NotMonigo { .. }), "{error}");
    }
}

#[test]
fn damage_is_noticed() {
    let (_directory, file) = temporary();
    fixture::record(&mut Database::open(&file).expect("opens"));
    let mut bytes = fs::read(&file).expect("reads");
    for byte in &mut bytes[4096..12_288] {
        *byte ^= 0x55;
    }
    fs::write(&file, &bytes).expect("writes");
    let error = Database::open(&file).expect_err("damaged");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    fs::write(&file, &bytes[..5000]).expect("truncates");
    let error = Database::open_read_only(&file).expect_err("truncated");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

// Retention

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
        super::Pruned::default()
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

// Other processes and devices

#[test]
#[ignore = "played in a process of its own by the tests that need one"]
fn child_main() {
    let (Ok(role), Some(file)) = (std::env::var(ROLE), std::env::var_os(FILE)) else {
        return;
    };
    let mut database = Database::open(Path::new(&file)).expect("opens");
    match role.as_str() {
        "hold" => {
            println!("\nheld by {}", std::process::id());
            // Ends when the parent closes the pipe.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        "append" => {
            let id = database
                .begin_session(&fixture::session())
                .expect("session");
            for n in 1.. {
                database.append(id, &big_batch(n)).expect("appends");
                println!("\nappended {n}");
            }
        }
        other => panic!("no role {other}"),
    }
}

/// Enough rows that appending takes a while, and that the log is folded into the file often.
fn big_batch(n: i64) -> Batch {
    let at_ns = START + n * SECOND;
    let calls = (0..20_000)
        .map(|i| fixture::call(at_ns + i, (i as u64 * 7919) % 1_000_003, 10, Some(n as u64)))
        .collect();
    let mut batch = fixture::batches().swap_remove(0);
    batch.frames = batch
        .frames
        .into_iter()
        .map(|frame| NewFrame {
            id: frame.id + 10 * n as u64,
            ..frame
        })
        .collect();
    Batch {
        at_ns,
        calls,
        stacks: Vec::new(),
        ..batch
    }
}

#[test]
fn killed_in_the_middle_of_appends_the_file_holds_every_acknowledged_batch() {
    for acknowledged in [1, 7, 23] {
        let (_directory, file) = temporary();
        let mut child = child("append", &file);
        let last = said(&mut child, "appended ")
            .nth(acknowledged - 1)
            .expect("appends that many");
        // The next append is under way.
        child.kill().expect("kills");
        let status = child.wait().expect("ends");
        assert_eq!(status.signal(), Some(9));
        let last: i64 = last.parse().expect("number");
        let database = Database::open_read_only(&file).expect("opens read-only");
        let flushes = count(&database, "flushes");
        // Between the kill and the last line read some more may have been committed.
        assert!(flushes >= last, "{flushes} < {last}");
        assert_eq!(count(&database, "calls"), flushes * 20_000);
        assert_eq!(count(&database, "frames"), flushes * 4);
        drop(database);
        let mut database = Database::open(&file).expect("opens for writing");
        fixture::record(&mut database);
    }
}

#[test]
fn a_database_in_use_names_who_uses_it() {
    let (_directory, file) = temporary();
    let mut child = child("hold", &file);
    let pid = said(&mut child, "held by ").next().expect("holds it");
    for result in [Database::open(&file), Database::open_read_only(&file)] {
        let error = result.expect_err("locked");
        let StoreError::Locked { pid: holder, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(
            holder.map(|pid| pid.to_string()).as_ref(),
            Some(&pid),
            "{error}"
        );
    }
    drop(child.stdin.take());
    child.wait().expect("ends");
    Database::open(&file).expect("free again");
}

/// A small file system, unmounted at the end.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` without the right to mount.
    fn mount(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let none = None::<&str>;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(none, directory.path(), Some("tmpfs"), flags, Some(options)).ok()?;
        Some(Self(directory))
    }

    fn remount(&self, flags: nix::mount::MsFlags, options: &str) {
        let flags = flags | nix::mount::MsFlags::MS_REMOUNT;
        let none = None::<&str>;
        nix::mount::mount(none, self.0.path(), none, flags, Some(options)).expect("remounts");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_loses_only_the_batch_and_only_until_there_is_space() {
    let Some(disk) = Tmpfs::mount("size=12m") else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    let file = disk.0.path().join("run.duckdb");
    let mut database = Database::open(&file).expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let mut written = 0;
    let error = loop {
        match database.append(id, &big_batch(written + 1)) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "12 MB hold all of this?");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(count(&database, "flushes"), written);
    disk.remount(nix::mount::MsFlags::empty(), "size=64m");
    database
        .append(id, &big_batch(written + 1))
        .expect("there is space again");
    drop(database);
    let database = Database::open_read_only(&file).expect("opens");
    assert_eq!(count(&database, "calls"), (written + 1) * 20_000);
}

#[test]
fn a_read_only_place_can_be_read_but_not_recorded_into() {
    let Some(disk) = Tmpfs::mount("size=16m") else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    let file = disk.0.path().join("run.duckdb");
    fixture::record(&mut Database::open(&file).expect("opens"));
    disk.remount(nix::mount::MsFlags::MS_RDONLY, "size=16m");
    let error = Database::open(&file).expect_err("read-only");
    assert!(matches!(error, StoreError::NotAllowed { .. }), "{error}");
    let error = Database::open(&disk.0.path().join("new.duckdb")).expect_err("read-only");
    assert!(matches!(error, StoreError::NotAllowed { .. }), "{error}");
    let database = Database::open_read_only(&file).expect("reads");
    assert_eq!(count(&database, "calls"), 4);
}

#[test]
fn the_log_stays_bounded_while_someone_reads() {
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let reader = database.reader().expect("reads");
    let log = file.with_extension("duckdb.wal");
    let mut largest = 0;
    for n in 1..=60 {
        database.append(id, &big_batch(n)).expect("appends");
        let rows: i64 = reader
            .with(|connection| {
                connection.query_row("SELECT count(*) FROM calls", [], |row| row.get(0))
            })
            .map_err(|error: duckdb::Error| error)
            .expect("reads");
        assert_eq!(rows, n * 20_000);
        largest = largest.max(fs::metadata(&log).map_or(0, |found| found.len()));
    }
    assert!(largest < 32 << 20, "the log grew to {largest} bytes");
}

/// `cargo nextest run -p monigo-userspace --run-ignored all append_throughput --no-capture`
#[test]
#[ignore = "a measurement, not a test"]
fn append_throughput() {
    let (_directory, file) = temporary();
    let mut database = Database::open(&file).expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let batches: Vec<Batch> = (1..=50).map(big_batch).collect();
    let cpu = || {
        let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
        let usage = usage.expect("reads");
        let time = usage.user_time() + usage.system_time();
        time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
    };
    let (begun, cpu_begun) = (std::time::Instant::now(), cpu());
    for batch in &batches {
        database.append(id, batch).expect("appends");
    }
    let (seconds, cpu_seconds) = (begun.elapsed().as_secs_f64(), cpu() - cpu_begun);
    drop(database);
    let size = fs::metadata(&file).expect("exists").len();
    eprintln!(
        "{:.0} calls/s, {:.0} per second of CPU, {:.1} bytes a call on disk",
        50.0 * 20_000.0 / seconds,
        50.0 * 20_000.0 / cpu_seconds,
        size as f64 / (50.0 * 20_000.0)
    );
}
