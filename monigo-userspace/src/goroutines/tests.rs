//! Against a Go program that parks known numbers of goroutines in known places.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::{
    service::{Metrics, RoutineGroup, RoutineReader as _, Routines},
    symbols::{Image, tests::samples},
};

const SOURCE: &str = include_str!("../../../tests/targets/goparked/main.go");

const VARIANTS: [&[&str]; 4] = [
    &[],
    &["-ldflags=-s -w"],
    &["-buildmode=pie"],
    &["-buildmode=pie", "-ldflags=-s -w"],
];

/// The program. It ends with the test, whose end closes its input.
struct Parked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Parked {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut parked = Self {
            child,
            input,
            output,
        };
        let ready = parked.line();
        assert_eq!(ready, format!("ready {}", parked.pid()));
        parked
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, what: &str) -> String {
        writeln!(self.input, "{what}").unwrap();
        self.line()
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reader(path: &Path) -> GoReader {
    let image = Arc::new(Image::open(path).unwrap());
    GoReader::new(image, History::every(Duration::ZERO))
}

/// Number of goroutines in groups with this state and reason that `function` is in, and that main
/// created.
fn count(routines: &Routines, state: &str, reasons: &[&str], function: &str) -> u64 {
    let is_wanted = |group: &&RoutineGroup| {
        group.state == state
            && reasons.contains(&group.wait_reason.as_str())
            && group
                .call_stack
                .iter()
                .any(|frame| frame.starts_with(&format!("{function} (")))
    };
    let groups = routines.groups.iter().filter(is_wanted);
    groups.map(|group| group.count).sum()
}

const EXPECTED: [(&str, &str, &[&str], u64); 10] = [
    ("main.receives", "waiting", &["chan receive"], 3),
    ("main.sends", "waiting", &["chan send"], 2),
    ("main.selects", "waiting", &["select"], 4),
    ("main.sleeps", "waiting", &["sleep"], 5),
    (
        "main.locks",
        "waiting",
        &["semacquire", "sync.Mutex.Lock"],
        6,
    ),
    (
        "main.waits",
        "waiting",
        &["semacquire", "sync.WaitGroup.Wait"],
        7,
    ),
    ("main.conditions", "waiting", &["sync.Cond.Wait"], 8),
    ("main.forever", "waiting", &["select (no cases)"], 9),
    ("main.accepts", "waiting", &["IO wait"], 1),
    ("main.calls", "syscall", &[""], 2),
];

/// Waits until all goroutines are where they will stay: "begun" comes a little before that.
fn settled(reader: &GoReader, pid: u32) -> Routines {
    let mut last = None;
    for _ in 0..10_000 {
        let routines = reader.look(&[pid]).unwrap();
        let right = |(function, state, reasons, expected): &(&str, &str, &[&str], u64)| {
            count(&routines, state, reasons, function) == *expected
        };
        if EXPECTED.iter().all(right) {
            return routines;
        }
        last = Some(routines);
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{last:#?}");
}

#[test]
fn parked_goroutines_are_counted_exactly() {
    for toolchain in samples::go_toolchains() {
        for flags in VARIANTS {
            let path = samples::go_program(&toolchain, flags, SOURCE);
            let mut target = Parked::start(&path);
            let work = target.ask("work");
            let reader = reader(&path);
            let routines = settled(&reader, target.pid());
            let what = format!("{} {flags:?}: {routines:#?}", toolchain.display());
            let total: u64 = target.ask("count").parse().unwrap();
            assert_eq!(total, 48, "{what}");
            assert_eq!(routines.number_of_goroutines, total, "{what}");
            let listed: u64 = routines.groups.iter().map(|group| group.count).sum();
            assert_eq!(listed, total, "{what}");
            let receives = routines
                .groups
                .iter()
                .find(|group| {
                    group
                        .call_stack
                        .iter()
                        .any(|f| f.starts_with("main.receives ("))
                })
                .unwrap();
            assert!(
                receives.call_stack[0].starts_with("runtime.gopark ("),
                "{what}"
            );
            assert!(receives.created_by.starts_with("main.start ("), "{what}");
            assert_eq!(receives.ids.len(), 3, "{what}");
            assert!(
                routines
                    .groups
                    .iter()
                    .all(|g| !g.call_stack.iter().any(|f| f == "…")),
                "{what}"
            );
            assert_eq!(target.ask("work"), work);
        }
    }
}

#[test]
fn a_leak_is_seen_to_grow() {
    let toolchain = &samples::go_toolchains()[0];
    let path = samples::go_program(toolchain, &[], SOURCE);
    let mut target = Parked::start(&path);
    let reader = reader(&path);
    settled(&reader, target.pid());
    let mut history = History::every(Duration::ZERO);
    let mut groups = Vec::new();
    for leaked in 1..=6 {
        assert_eq!(target.ask("leak"), "leaked");
        loop {
            let look = reader.look(&[target.pid()]).unwrap();
            if count(&look, "waiting", &["chan receive"], "main.leaks") == leaked {
                groups = look.groups;
                break;
            }
        }
        history.take(&groups);
    }
    history.judge(&mut groups);
    let growing: Vec<&RoutineGroup> = groups.iter().filter(|group| group.growing).collect();
    assert_eq!(growing.len(), 1, "{growing:#?}");
    assert_eq!(growing[0].count, 6);
    assert_eq!(growing[0].growth, 5);
    assert!(
        growing[0]
            .call_stack
            .iter()
            .any(|f| f.starts_with("main.leaks ("))
    );
}

#[test]
fn the_heap_is_described() {
    for toolchain in samples::go_toolchains() {
        let path = samples::go_program(&toolchain, &[], SOURCE);
        let mut target = Parked::start(&path);
        let reader = reader(&path);
        let describe = |pid| {
            let mut metrics = Metrics::default();
            reader.runtime(&[pid], &mut metrics);
            metrics
        };
        let record = |metrics: &Metrics, name: &str| {
            let mut records = metrics.mem_stats_records.iter();
            records
                .find(|record| record.record_name == name)
                .map(|record| record.record_value)
        };
        let before = describe(target.pid());
        if !before.remarks.is_empty() {
            assert!(before.mem_stats_records.is_empty());
            assert!(before.remarks[0].contains("heap"), "{before:?}");
            continue;
        }
        assert_eq!(target.ask("collect"), "collected");
        let after = describe(target.pid());
        let collections = |metrics: &Metrics| record(metrics, "NumGC").unwrap();
        assert!(
            collections(&after) >= collections(&before) + 1.0,
            "{after:?}"
        );
        assert!(after.memory_statistics.gc_pause_total_ns.unwrap() > 0);
        assert!(record(&after, "HeapAlloc").unwrap() > 0.0);
        assert!(record(&after, "Sys").unwrap() >= record(&after, "HeapInuse").unwrap());
        assert!(after.memory_statistics.stack_memory_usage_bytes.unwrap() >= 48 * 2048);
    }
}

#[test]
fn goroutines_of_a_process_that_is_gone() {
    let toolchain = &samples::go_toolchains()[0];
    let path = samples::go_program(toolchain, &[], SOURCE);
    let target = Parked::start(&path);
    let pid = target.pid();
    let reader = reader(&path);
    settled(&reader, pid);
    drop(target);
    let error = reader.look(&[pid]).unwrap_err();
    assert!(error.to_string().contains("does not run"), "{error}");
    assert!(
        reader.look(&[std::process::id()]).is_err(),
        "another program"
    );
    assert_eq!(reader.look(&[]).unwrap().number_of_goroutines, 0);
}
