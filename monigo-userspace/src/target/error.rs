//! Why a target could not be resolved.

use std::{fmt::Write as _, io, path::PathBuf};

/// A process as listed in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its process id.
    pub pid: u32,
    /// What it runs.
    pub executable: PathBuf,
}

/// Why a target could not be resolved. Each message names the input and ends with the next step.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The text is empty.
    #[error("the target is empty; give the path of a program, a PID, or a process name")]
    Empty,
    /// No file at that path.
    #[error("{text}: no such file; check the path, or give a PID or the name of a running process")]
    NoSuchFile {
        /// As given.
        text: String,
    },
    /// No process, file or command of that name.
    #[error(
        "{text}: no process of that name runs, and there is no such file here or in PATH; give \
         the program's path or a PID{}",
        similar_names(similar)
    )]
    NothingNamed {
        /// As given.
        text: String,
        /// Names of running processes that are close.
        similar: Vec<String>,
    },
    /// No process with that id.
    #[error("PID {pid}: no such process; it may have ended: 'pgrep -a NAME' finds its successor")]
    NoSuchProcess {
        /// As given.
        pid: u32,
    },
    /// The process has ended and waits for its parent.
    #[error(
        "PID {pid} ({name}) is a zombie: it has ended, and its parent (PID {parent}) has not \
         collected it; there is nothing left to trace"
    )]
    Zombie {
        /// As given.
        pid: u32,
        /// `comm`.
        name: String,
        /// Its parent.
        parent: u32,
    },
    /// Kernel code has no image.
    #[error(
        "PID {pid} ({name}) is a kernel thread, which runs no program; give a process of user \
         space"
    )]
    KernelThread {
        /// The thread.
        pid: u32,
        /// `comm`.
        name: String,
    },
    /// An id of a thread that is not the first of its process.
    #[error("{pid} is a thread of process {process}; give PID {process} to trace the process")]
    Thread {
        /// As given.
        pid: u32,
        /// The process.
        process: u32,
    },
    /// The process may not be inspected.
    #[error("PID {pid}: permission denied; run monigo as root")]
    Permission {
        /// As given.
        pid: u32,
    },
    /// One name, several programs.
    #[error("{}", ambiguous(text, candidates))]
    Ambiguous {
        /// As given.
        text: String,
        /// All of them.
        candidates: Vec<Candidate>,
    },
    /// `--pid` and a target that is another PID.
    #[error("target {text} and --pid {pid} name different processes; leave one of them out")]
    Contradiction {
        /// As given.
        text: String,
        /// From `--pid`.
        pid: u32,
    },
    /// `--pid` with a file that the process has not loaded.
    #[error("{}", not_mapped(text, *pid, similar))]
    NotMapped {
        /// As given.
        text: String,
        /// From `--pid`.
        pid: u32,
        /// Images that it has loaded and whose names are close.
        similar: Vec<PathBuf>,
    },
    /// Any other failure of the system.
    #[error("{text}: {source}")]
    Io {
        /// As given.
        text: String,
        /// The system's reason.
        source: io::Error,
    },
}

fn similar_names(similar: &[String]) -> String {
    if similar.is_empty() {
        return String::new();
    }
    format!(" (running: {})", similar.join(", "))
}

fn ambiguous(text: &str, candidates: &[Candidate]) -> String {
    const LISTED: usize = 10;
    let mut message = format!("{text}: processes of that name run different programs:");
    for candidate in candidates.iter().take(LISTED) {
        let _ = write!(
            message,
            "\n  PID {}  {}",
            candidate.pid,
            candidate.executable.display()
        );
    }
    if candidates.len() > LISTED {
        let _ = write!(message, "\n  and {} more", candidates.len() - LISTED);
    }
    message.push_str("\ngive one of the PIDs or paths");
    message
}

fn not_mapped(text: &str, pid: u32, similar: &[PathBuf]) -> String {
    let mut message = format!("{text}: PID {pid} has not loaded it");
    if similar.is_empty() {
        let _ = write!(message, "; /proc/{pid}/maps lists what it has");
    } else {
        message.push_str("; it has:");
        for path in similar {
            let _ = write!(message, "\n  {}", path.display());
        }
    }
    message
}
