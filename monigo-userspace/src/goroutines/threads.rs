//! Threads of processes without goroutines.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    sync::Mutex,
    time::Duration,
};

use procfs::process::{Process, Task};

use super::{
    MOST_GROUPS,
    group::{Grouped, Named, group},
    history::History,
    memory::Memory,
    thread_stack::{self, Seen},
};
use crate::sync::lock;
use crate::{
    service::{Metrics, RoutineKind, RoutineReader, Routines, ServiceError, frame_text},
    symbols::{demangle::printable, symbolize::Symbolizer},
    system::metrics::{Cache, rfc3339},
    unwind::Unwinder,
};

/// How long a look serves.
const TIME_TO_LIVE: Duration = Duration::from_secs(1);
/// Looking takes at most 1 part in this of the time.
const REST: u32 = 100;
/// Threads that are looked at; each takes several files.
const MOST_THREADS: usize = 4_096;
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

    /// Names come from `symbolizer`, which may share what it reads with another one.
    #[must_use]
    pub fn with_symbolizer(self, symbolizer: Symbolizer) -> Self {
        lock(&self.state).symbolizer = symbolizer;
        self
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
                let key = state.named(pid, &thread);
                let (members, names) = parts.entry(key).or_default();
                members.add(thread.tid.into(), None);
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
            .map(|(key, (_, told))| (key.clone(), told.clone()))
            .collect();
        let mut groups = group(parts.into_iter().map(|(key, (members, _))| (key, members)));
        for group in &mut groups {
            let key = Named {
                state: group.state.clone(),
                wait_reason: group.wait_reason.clone(),
                call_stack: group.call_stack.clone(),
                created_by: group.created_by.clone(),
            };
            if let Some(names) = names.get(&key) {
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
        let wait_channel =
            fs::read_to_string(thread_stack::path(pid, tid, "wchan")).unwrap_or_default();
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
        match thread_stack::look(&mut self.unwinder, pid, memory?, tid) {
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
