//! Recordings: read while they are written, after a kill, on a disk that fills; and `monigo run`.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use monigo_tests::{
    Monigo, Program,
    compare::compare,
    monigo::{Report, run},
    monigo_path, require_root,
    targets::{self, Native, PrivateCopy},
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// How long anything here may take before the test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

fn report(db: &str) -> Result<Report> {
    let outcome = run(["report", "--db", db, "--format", "json"])?;
    ensure!(
        outcome.status == Some(0),
        "report failed:\n{}",
        outcome.stderr
    );
    Ok(serde_json::from_str(&outcome.stdout)?)
}

/// Asks for reports until one has `calls` of the first function, as the next flush will.
fn await_calls(db: &str, calls: u64) -> Result<Report> {
    await_report(db, |report| report.functions[0].calls >= calls)
        .with_context(|| format!("{calls} calls"))
}

/// Waits until what was recorded is as wanted.
fn await_report(db: &str, wanted: impl Fn(&Report) -> bool) -> Result<Report> {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let report = report(db)?;
        if wanted(&report) {
            return Ok(report);
        }
        ensure!(Instant::now() < given_up, "not as wanted: {report:?}");
    }
}

/// The byte at an ELF address of a position-independent program that runs.
fn byte_at(pid: u32, image: &Path, address: u64) -> Result<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let shown = image.to_string_lossy();
    let first = maps
        .lines()
        .find(|line| line.ends_with(&*shown))
        .context("the image is not mapped")?;
    let start = first
        .split('-')
        .next()
        .context("a mapping without a start")?;
    let base = u64::from_str_radix(start, 16)?;
    let mut memory = File::open(format!("/proc/{pid}/mem"))?;
    memory.seek(SeekFrom::Start(base + address))?;
    let mut byte = [0];
    memory.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A process is not over with its first thread.
#[test]
fn the_first_thread_ends() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("leader", Native::O2)?)?;
    let mut program = Program::start(&copy.path(), &["200"])?;
    let monigo = Monigo::attach(&program.pid().to_string(), &["work"], &[])?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    compare(&truth, &report)
}

/// Read through the running monigo; then that one is killed with SIGKILL: no probe stays, the
/// target goes on, and the file holds everything up to the last flush.
#[test]
fn killed_while_recording() -> Result<()> {
    const BREAKPOINT: u8 = 0xcc;
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("killed.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut target = Program::start(&path, &["recursion", "50", "20"])?;
    let monigo = Monigo::attach(&image, &["recurse"], &["--db", db, "--flush", "100ms"])?;
    let truth = target.go()?;
    let expected = truth.functions["recurse"].calls;
    // The flame graph below is of calls recorded in full, which can come with the next flush.
    let live = await_report(db, |report| {
        report.functions[0].calls >= expected && report.events.recorded > 0
    })?;
    compare(&truth, &live)?;
    let outcome = run([
        "query",
        "--db",
        db,
        "SELECT sum(calls) AS n FROM function_deltas",
        "--format",
        "csv",
    ])?;
    ensure!(
        outcome.stdout.trim() == format!("n\n{expected}"),
        "{}",
        outcome.stdout
    );

    let probe = &live.functions[0].probe;
    let entry = u64::from_str_radix(probe.entry.trim_start_matches("0x"), 16)?;
    ensure!(
        byte_at(target.pid(), &path, entry)? == BREAKPOINT,
        "the probe is not where it should be"
    );
    // Dropping kills it with SIGKILL and waits for its end.
    drop(monigo);
    let given_up = Instant::now() + PATIENCE;
    while byte_at(target.pid(), &path, entry)? == BREAKPOINT {
        ensure!(Instant::now() < given_up, "a probe stayed behind");
    }
    let after = report(db)?;
    compare(&truth, &after)?;
    ensure!(
        after.warnings.iter().any(|text| text.contains("killed")),
        "{:?}",
        after.warnings
    );
    let svg = directory.path().join("killed.svg");
    let outcome = run([
        "flamegraph",
        "--db",
        db,
        "-o",
        svg.to_str().context("path is not UTF-8")?,
    ])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    ensure!(
        fs::read_to_string(&svg)?.contains("recurse"),
        "the flame graph does not show the function"
    );
    target.finish()
}

/// As above, but nobody has looked, so that the file's tables lack what was measured last.
#[test]
fn killed_while_nobody_looks() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("alone.duckdb");
    let held = directory.path().join("alone.duckdb.held");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut target = Program::start(&path, &["recursion", "50", "20"])?;
    let monigo = Monigo::attach(&image, &["recurse"], &["--db", db, "--flush", "100ms"])?;
    let truth = target.go()?;
    // Each interval makes it longer or, when all were written, shorter: the second change from now on is of an
    // interval that began after the calls.
    let given_up = Instant::now() + PATIENCE;
    let length = || fs::metadata(&held).map_or(0, |file| file.len());
    let mut last = length();
    for _ in 0..2 {
        while length() == last {
            ensure!(Instant::now() < given_up, "nothing is held");
        }
        last = length();
    }
    drop(monigo);
    let after = report(db)?;
    compare(&truth, &after)?;
    ensure!(!held.exists(), "the journal stayed");
    target.finish()
}

/// A file system of a few megabytes that goes away with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        mount(
            Some("small"),
            directory.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=4m"),
        )
        .context("mounting a small file system")?;
        Ok(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// The disk fills while recording: the recording goes on, and is complete once there is room again.
#[test]
fn disk_fills_and_empties_while_recording() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let disk = SmallDisk::new()?;
    let db = disk.0.path().join("full.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut target = Program::start(&path, &["recursion", "50", "2"])?;
    let mut monigo = Monigo::attach(&image, &["recurse"], &["--db", db, "--flush", "100ms"])?;
    let mut filler = File::create(disk.0.path().join("filler"))?;
    while filler.write_all(&[0; 4096]).is_ok() {}
    monigo.await_message("no space left")?;
    // All calls happen while nothing can be written.
    let truth = target.go()?;
    drop(filler);
    fs::remove_file(disk.0.path().join("filler"))?;
    await_calls(db, truth.functions["recurse"].calls)?;
    // Told with what is written next.
    let told = |report: &Report| {
        let mut warnings = report.warnings.iter();
        warnings.any(|text| text.contains("could not be written"))
    };
    await_report(db, told).context("the failure is not told")?;
    let last = monigo.stop()?;
    compare(&truth, &last)?;
    compare(&truth, &report(db)?)?;
    target.finish()
}

/// The disk is full until the end: one clear sentence, and what was written can be read.
#[test]
fn disk_is_full_at_the_end() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let image = path.to_string_lossy().into_owned();
    let disk = SmallDisk::new()?;
    let db = disk.0.path().join("full.duckdb");
    let db = db.to_str().context("path is not UTF-8")?;
    let mut target = Program::start(&path, &["recursion", "50", "2"])?;
    let mut monigo = Monigo::attach(&image, &["recurse"], &["--db", db, "--flush", "100ms"])?;
    let truth = target.go()?;
    await_calls(db, truth.functions["recurse"].calls)?;
    let mut filler = File::create(disk.0.path().join("filler"))?;
    while filler.write_all(&[0; 4096]).is_ok() {}
    monigo.await_message("no space left")?;
    let outcome = monigo.interrupt()?;
    outcome.expect_error(1, &["no space left", "full.duckdb"])?;
    drop(filler);
    fs::remove_file(disk.0.path().join("filler"))?;
    compare(&truth, &report(db)?)?;
    target.finish()
}

/// A command that monigo starts is traced from its first instruction, and keeps its terminal.
#[test]
fn command_is_run_and_traced() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let mut monigo = Command::new(monigo_path()?)
        .args([
            "run",
            "--fn",
            "recurse",
            "--headless",
            "--format",
            "json",
            "--max-overhead",
            "off",
            "--",
        ])
        .arg(copy.path())
        .args(["recursion", "100", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    monigo
        .stdin
        .take()
        .context("stdin")?
        .write_all(b"go\nexit\n")?;
    let output = monigo.wait_with_output()?;
    let (stdout, stderr) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    ensure!(output.status.success(), "{stderr}");
    let Some(truth) = stdout.lines().find(|line| line.starts_with("{\"")) else {
        bail!("the command printed no truth:\n{stdout}\n{stderr}");
    };
    let from = stdout.find("{\n").context("no report on stdout")?;
    compare(
        &serde_json::from_str(truth)?,
        &serde_json::from_str(&stdout[from..])?,
    )
}
