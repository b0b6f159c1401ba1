//! Other processes on the file, and the devices that it is on.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
};

use super::*;
use crate::store::NewFrame;

/// Tells a copy of this test executable which part to play, and on which file.
const ROLE: &str = "MONIGO_TEST_STORE_ROLE";
const FILE: &str = "MONIGO_TEST_STORE_FILE";

/// Runs this test executable again, only [`child_main`], in a role.
fn child(role: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this executable"))
        .args([
            "--exact",
            "store::tests::devices::child_main",
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

#[test]
#[ignore = "played in a process of its own by the tests that need one"]
fn child_main() {
    let (Ok(role), Some(file)) = (std::env::var(ROLE), std::env::var_os(FILE)) else {
        return;
    };
    let database = Database::open(Path::new(&file)).expect("opens");
    match role.as_str() {
        "hold" => {
            println!("\nheld by {}", std::process::id());
            // Ends when the parent closes the pipe.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        "append" => append_on_and_on(database, 20_000),
        "append few" => append_on_and_on(database.holding(), 20),
        other => panic!("no role {other}"),
    }
}

fn append_on_and_on(mut database: Database, calls: i64) {
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for n in 1.. {
        database.append(id, &batch_of(n, calls)).expect("appends");
        println!("\nappended {n}");
    }
}

/// Enough rows that appending takes a while, and that the log is folded into the file often.
fn big_batch(n: i64) -> Batch {
    batch_of(n, 20_000)
}

fn batch_of(n: i64, calls: i64) -> Batch {
    let at_ns = START + n * SECOND;
    let calls = (0..calls)
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
    let cases = [1, 7, 23].map(|acknowledged| ("append", 20_000, acknowledged));
    // Those that are held are acknowledged, too.
    let held = [1, 4, 7, 23].map(|acknowledged| ("append few", 20, acknowledged));
    for (role, calls, acknowledged) in cases.into_iter().chain(held) {
        let (_directory, file) = temporary();
        let mut child = child(role, &file);
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
        assert_eq!(count(&database, "calls"), flushes * calls);
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
    // What was held before a kill cannot be put into it here.
    fs::write(crate::store::journal::path(&file), [0; 100]).expect("writes");
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
