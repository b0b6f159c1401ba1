//! Threads of processes without goroutines.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::PathBuf,
    sync::Mutex,
    time::Duration,
};

use monigo_common::copy::{COPY_IN_KERNEL, StackCopyHead};
use procfs::process::{Process, Syscall, Task};

use super::{
    MOST_FRAMES, MOST_GROUPS,
    group::{Grouped, Named, group},
    history::History,
    memory::Memory,
};
use crate::{
    probe::StackCopy,
    query::lock,
    service::{Metrics, RoutineKind, RoutineReader, Routines, ServiceError, frame_text},
    symbols::{demangle::printable, symbolize::Symbolizer},
    system::metrics::{Cache, rfc3339},
    unwind::{End, Unwinder},
};

/// How long a look serves.
const TIME_TO_LIVE: Duration = Duration::from_secs(1);
/// Looking takes at most 1 part in this of the time.
const REST: u32 = 100;
/// Threads that are looked at; each takes several files.
const MOST_THREADS: usize = 4_096;
/// Most of a stack that is copied.
const MOST_STACK_BYTES: usize = 16 << 10;
/// The least piece of a stack that is copied: the rest of a page.
const PAGE_BYTES: u64 = 4096;
/// Names that a group tells.
const NAMED: usize = 20;

/// Reads threads from `/proc`, and the stacks of those that wait from memory.
#[derive(Default)]
pub struct ThreadReader {
    state: Mutex<State>,
    looks: Looks,
    history: Mutex<History>,
}

struct Looks(Cache<Result<Routines, ServiceError>>);

impl Default for Looks {
    fn default() -> Self {
        Self(Cache::new(TIME_TO_LIVE, REST))
    }
}

#[derive(Default)]
struct State {
    unwinder: Unwinder,
    symbolizer: Symbolizer,
}

/// What is known of one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Thread {
    tid: u32,
    name: String,
    state: char,
    wait_channel: String,
    /// Innermost first; empty when it could not be read.
    stack: Vec<u64>,
    truncated: bool,
}

/// What was missed.
#[derive(Clone, Copy, Debug, Default)]
struct Missed {
    running: u64,
    moving: u64,
    cut_short: u64,
    beyond: u64,
    refused: u64,
}

impl ThreadReader {
    /// With looks for growth as far apart as `history` says.
    pub fn new(history: History) -> Self {
        Self {
            history: Mutex::new(history),
            ..Self::default()
        }
    }

    fn look(&self, pids: &[u32]) -> Result<Routines, ServiceError> {
        let mut parts: HashMap<Named, (Grouped, BTreeSet<String>)> = HashMap::new();
        let mut missed = Missed::default();
        let mut total = 0;
        let mut state = lock(&self.state);
        for &pid in pids {
            let threads = state.threads(pid, &mut missed);
            total += threads.1;
            // Its id may have come back with other addresses.
            state.symbolizer.forget(pid);
            for thread in threads.0 {
                let named = state.named(pid, &thread);
                let (grouped, names) = parts.entry(named).or_default();
                grouped.add(thread.tid.into(), None);
                if names.len() < NAMED {
                    names.insert(thread.name);
                }
            }
        }
        drop(state);
        if total == 0 && !pids.is_empty() {
            return Err(ServiceError::Failed(
                "the traced processes have ended".to_owned(),
            ));
        }
        let names: HashMap<Named, BTreeSet<String>> = parts
            .iter()
            .map(|(named, (_, names))| (named.clone(), names.clone()))
            .collect();
        let mut groups = group(
            parts
                .into_iter()
                .map(|(named, (grouped, _))| (named, grouped)),
        );
        for group in &mut groups {
            let named = Named {
                state: group.state.clone(),
                wait_reason: group.wait_reason.clone(),
                call_stack: group.call_stack.clone(),
                created_by: group.created_by.clone(),
            };
            if let Some(names) = names.get(&named) {
                group.names = names.iter().cloned().collect();
            }
        }
        let remarks = missed.remarks(groups.len());
        groups.truncate(MOST_GROUPS);
        Ok(Routines {
            kind: RoutineKind::Threads,
            time: rfc3339(crate::collect::unix_ns()),
            number_of_goroutines: total,
            remarks,
            groups,
        })
    }
}

impl RoutineReader for ThreadReader {
    fn count(&self, _: &[u32]) -> Option<(RoutineKind, u64)> {
        // The number of threads is among the figures of the processes.
        None
    }

    fn routines(&self, pids: &[u32]) -> Result<Routines, ServiceError> {
        let mut routines = (*self.looks.0.get(|| self.look(pids))).clone()?;
        let mut history = lock(&self.history);
        history.take(&routines.groups);
        history.judge(&mut routines.groups);
        Ok(routines)
    }

    fn runtime(&self, _: &[u32], _: &mut Metrics) {}

    fn tick(&self, pids: &[u32]) {
        let due = lock(&self.history).is_due();
        if due && !pids.is_empty() {
            // What it says is for those who ask.
            let _ = self.routines(pids);
        }
    }
}

impl State {
    /// The threads of a process, and how many there are.
    fn threads(&mut self, pid: u32, missed: &mut Missed) -> (Vec<Thread>, u64) {
        let process = i32::try_from(pid)
            .ok()
            .and_then(|pid| Process::new(pid).ok());
        let Some(tasks) = process.and_then(|process| process.tasks().ok()) else {
            return (Vec::new(), 0);
        };
        let tasks: Vec<Task> = tasks.flatten().collect();
        let total = tasks.len() as u64;
        missed.beyond += tasks.len().saturating_sub(MOST_THREADS) as u64;
        let memory = Memory::of(pid);
        // Code may have been loaded since, and the id may have come back.
        self.unwinder.forget(pid);
        let threads = tasks
            .iter()
            .take(MOST_THREADS)
            .filter_map(|task| self.thread(pid, memory, task, missed))
            .collect();
        (threads, total)
    }

    fn thread(
        &mut self,
        pid: u32,
        memory: Option<Memory>,
        task: &Task,
        missed: &mut Missed,
    ) -> Option<Thread> {
        let stat = task.stat().ok()?;
        let tid = u32::try_from(task.tid).ok()?;
        let wait_channel = fs::read_to_string(path(pid, tid, "wchan")).unwrap_or_default();
        let mut thread = Thread {
            tid,
            name: printable(stat.comm),
            state: stat.state,
            wait_channel: Some(wait_channel)
                .filter(|channel| channel != "0")
                .map(printable)
                .unwrap_or_default(),
            ..Thread::default()
        };
        match self.stack(pid, memory?, tid) {
            Seen::Stack(stack, truncated) => {
                missed.cut_short += u64::from(truncated);
                (thread.stack, thread.truncated) = (stack, truncated);
            }
            Seen::Running => missed.running += 1,
            Seen::Moving => missed.moving += 1,
            Seen::Refused => missed.refused += 1,
        }
        Some(thread)
    }

    /// The stack of a thread that waits in the kernel, which tells the stack pointer of such.
    fn stack(&mut self, pid: u32, memory: Memory, tid: u32) -> Seen {
        const TRIES: usize = 2;
        for _ in 0..TRIES {
            let slices = slices(pid, tid);
            let (sp, ip) = match position(pid, tid) {
                Some(Syscall::Blocked {
                    stack_pointer,
                    program_counter,
                    ..
                }) => (stack_pointer, program_counter),
                Some(Syscall::Running) => return Seen::Running,
                _ => return Seen::Refused,
            };
            let Some(stack) = copy(memory, sp) else {
                return Seen::Refused;
            };
            // A thread that did not run is where it was.
            if slices.is_none() || self::slices(pid, tid) != slices {
                continue;
            }
            let head = StackCopyHead {
                tid,
                pid,
                flags: COPY_IN_KERNEL,
                ip,
                sp,
                top: u64::MAX,
                bytes: stack.len() as u32,
                ..StackCopyHead::default()
            };
            let walk = self.unwinder.walk(&StackCopy {
                head,
                stack: &stack,
            });
            let mut addresses = walk.addresses;
            addresses.truncate(MOST_FRAMES);
            return Seen::Stack(addresses, walk.end != End::Complete);
        }
        Seen::Moving
    }

    fn named(&mut self, pid: u32, thread: &Thread) -> Named {
        let stack = self.symbolizer.stack(pid, &thread.stack);
        let mut call_stack: Vec<String> = stack.frames.iter().map(frame_text).collect();
        if !call_stack.is_empty() && (thread.truncated || stack.truncated) {
            call_stack.push("…".to_owned());
        }
        Named {
            state: state_name(thread.state).to_owned(),
            wait_reason: thread.wait_channel.clone(),
            call_stack,
            created_by: String::new(),
        }
    }
}

enum Seen {
    Stack(Vec<u64>, bool),
    Running,
    /// It ran each time that it was copied.
    Moving,
    Refused,
}

impl Missed {
    fn remarks(&self, groups: usize) -> Vec<String> {
        let mut remarks = Vec::new();
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                let plural = if count == 1 { "thread" } else { "threads" };
                remarks.push(format!("{count} {plural} {what}"));
            }
        };
        say(
            self.running,
            "ran: the stack of such cannot be read without stopping it",
        );
        say(self.moving, "went on while being copied; no stack is shown");
        say(
            self.cut_short,
            "with a stack that ends early (…): code there needs a register that only the thread itself has",
        );
        say(
            self.refused,
            "without a stack: the kernel does not let monigo read it, or the thread ended",
        );
        say(self.beyond, "not listed, since there are so many");
        if groups > MOST_GROUPS {
            remarks.push(format!(
                "the largest {MOST_GROUPS} of {groups} groups are listed"
            ));
        }
        remarks
    }
}

fn path(pid: u32, tid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{tid}/{file}"))
}

/// How often a thread has been put on a CPU.
fn slices(pid: u32, tid: u32) -> Option<u64> {
    let text = fs::read_to_string(path(pid, tid, "schedstat")).ok()?;
    text.split_whitespace().nth(2)?.parse().ok()
}

fn position(pid: u32, tid: u32) -> Option<Syscall> {
    let text = fs::read(path(pid, tid, "syscall")).ok()?;
    procfs::FromRead::from_read(&*text).ok()
}

/// The stack from `sp` on, as far as it is mapped.
fn copy(memory: Memory, sp: u64) -> Option<Vec<u8>> {
    let end = sp.checked_add(MOST_STACK_BYTES as u64)?;
    let mut pieces = Vec::new();
    let mut at = sp;
    while at < end {
        let next = (at / PAGE_BYTES + 1).checked_mul(PAGE_BYTES)?.min(end);
        pieces.push((at, (next - at) as usize));
        at = next;
    }
    let read = memory.read_many(&pieces).ok()?;
    let bytes: Vec<u8> = read
        .into_iter()
        .map_while(|piece| piece)
        .flat_map(<[u8]>::into_vec)
        .collect();
    (!bytes.is_empty()).then_some(bytes)
}

/// In words like those of goroutines.
fn state_name(state: char) -> &'static str {
    match state {
        'R' => "running",
        'S' | 'I' => "waiting",
        'D' => "uninterruptible",
        'T' => "stopped",
        't' => "traced",
        'Z' | 'X' => "dead",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[inline(never)]
    fn parked_here(until: &mpsc::Receiver<()>) {
        let _ = until.recv();
    }

    #[test]
    fn threads_that_wait_show_where() {
        let (stop, threads): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (stop, until) = mpsc::channel::<()>();
                let thread = std::thread::Builder::new()
                    .name("parked".to_owned())
                    .spawn(move || parked_here(&until))
                    .unwrap();
                (stop, thread)
            })
            .unzip();
        let reader = ThreadReader::new(History::every(Duration::ZERO));
        let parked = || {
            // Without the cache, until all three wait.
            let routines = reader.look(&[std::process::id()]).unwrap();
            let groups = routines.groups.into_iter();
            groups
                .filter(|group| group.names == ["parked"])
                .filter(|group| group.state == "waiting")
                .map(|group| group.count)
                .sum::<u64>()
        };
        while parked() < 3 {
            std::thread::yield_now();
        }
        let routines = reader.look(&[std::process::id()]).unwrap();
        assert_eq!(routines.kind, RoutineKind::Threads);
        assert!(routines.number_of_goroutines >= 4);
        let group = routines
            .groups
            .iter()
            .find(|group| group.names == ["parked"] && !group.call_stack.is_empty())
            .unwrap();
        assert!(group.wait_reason.contains("futex"), "{group:?}");
        drop(stop);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_process_that_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(ThreadReader::default().look(&[pid]).is_err());
        let none = ThreadReader::default().look(&[]).unwrap();
        assert_eq!(none.number_of_goroutines, 0);
    }
}
