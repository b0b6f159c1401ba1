//! Running processes, as `/proc` shows them.

use std::{
    fs, io,
    os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::TargetError;
use crate::symbols::{ImageId, maps::ProcessMaps};

/// What is asked of a process when a target is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: u32,
    /// At most 15 bytes.
    pub comm: String,
    /// Path that the executable had, without the kernel's " (deleted)".
    pub executable: PathBuf,
    /// Identity of the file that it runs, whatever is at its path now.
    pub id: ImageId,
}

impl Process {
    pub(super) fn basename(&self) -> &str {
        self.executable
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("")
    }
}

pub(super) fn proc_path(pid: u32, rest: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{rest}"))
}

/// All process ids, in order.
pub fn all_pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// Name (`comm`) of a process.
pub fn name(pid: u32) -> Option<String> {
    let text = fs::read_to_string(proc_path(pid, "comm")).ok()?;
    Some(text.trim_end_matches('\n').to_owned())
}

/// Whether a process exists and has not ended: a zombie has.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(proc_path(pid, "stat"))
        .ok()
        .and_then(|stat| Stat::parse(&stat))
        .is_some_and(|stat| !stat.has_ended())
}

/// A process whose end is waited for; looking costs little.
pub struct Lifetime {
    pid: u32,
    /// Kernels have these since 5.3.
    pidfd: Option<OwnedFd>,
}

impl Lifetime {
    /// Of a process that runs.
    pub fn of(pid: u32) -> Self {
        // SAFETY: a system call without pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0);
        Self {
            pid,
            // SAFETY: the kernel has just made it for this process.
            pidfd: fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }

    /// Whether the process has ended.
    pub fn is_over(&self) -> bool {
        let Some(pidfd) = &self.pidfd else {
            return !is_alive(self.pid);
        };
        let mut look = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut look, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// Reads one process, or says why it is no target.
pub(super) fn read(pid: u32) -> Result<Process, TargetError> {
    let stat = fs::read_to_string(proc_path(pid, "stat")).map_err(|error| gone(pid, error))?;
    let stat = Stat::parse(&stat).ok_or(TargetError::NoSuchProcess { pid })?;
    if let Some(process) = thread_group(pid).filter(|process| *process != pid) {
        return Err(TargetError::Thread { pid, process });
    }
    if stat.has_ended() {
        return Err(TargetError::Zombie {
            pid,
            name: stat.name,
            parent: stat.parent,
        });
    }
    let link = proc_path(pid, "exe");
    let executable = match fs::read_link(&link) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // It has no executable, or it is gone by now.
            fs::metadata(proc_path(pid, "")).map_err(|error| gone(pid, error))?;
            return Err(TargetError::KernelThread {
                pid,
                name: stat.name,
            });
        }
        Err(error) => return Err(gone(pid, error)),
    };
    let id = ImageId::of(&link).map_err(|error| gone(pid, error))?;
    Ok(Process {
        pid,
        comm: stat.name,
        executable: undeleted(&executable),
        id,
    })
}

fn gone(pid: u32, error: io::Error) -> TargetError {
    match error.kind() {
        io::ErrorKind::NotFound => TargetError::NoSuchProcess { pid },
        io::ErrorKind::PermissionDenied => TargetError::Permission { pid },
        // ESRCH: it ended between two system calls.
        _ if error.raw_os_error() == Some(libc::ESRCH) => TargetError::NoSuchProcess { pid },
        _ => TargetError::Io {
            text: format!("PID {pid}"),
            source: error,
        },
    }
}

/// Path without the suffix that the kernel adds to deleted files.
pub(super) fn undeleted(path: &Path) -> PathBuf {
    path.to_str()
        .and_then(|text| text.strip_suffix(" (deleted)"))
        .map_or_else(|| path.to_path_buf(), PathBuf::from)
}

fn thread_group(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(proc_path(pid, "status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

/// The fields of `/proc/PID/stat` that are asked for.
struct Stat {
    name: String,
    state: char,
    parent: u32,
    threads: u32,
}

impl Stat {
    fn has_ended(&self) -> bool {
        // Where only the first thread has ended, it is a zombie too.
        self.state == 'X' || self.state == 'Z' && self.threads <= 1
    }

    /// The name is in parentheses and may hold any characters, parentheses too.
    fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.rsplit_once(") ")?;
        let (_, name) = head.split_once('(')?;
        let mut fields = rest.split_whitespace();
        Some(Self {
            name: name.to_owned(),
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            // The 20th field of the file.
            threads: fields.nth(15)?.parse().ok()?,
        })
    }
}

/// Processes that run a program, leaving out those that ended meanwhile.
pub(super) fn all() -> Vec<Process> {
    let own = std::process::id();
    all_pids()
        .into_iter()
        .filter(|pid| *pid != own)
        .filter_map(|pid| read(pid).ok())
        .collect()
}

/// Processes whose executable is this file.
pub fn pids_running(image: ImageId) -> Vec<u32> {
    let runs = |pid: &u32| ImageId::of(&proc_path(*pid, "exe")).ok() == Some(image);
    all_pids().into_iter().filter(runs).collect()
}

/// Processes that have this file mapped as code: as their executable, or as a library.
pub fn pids_mapping(image: ImageId) -> Vec<u32> {
    all_pids()
        .into_iter()
        .filter(|pid| {
            ImageId::of(&proc_path(*pid, "exe")).ok() == Some(image)
                || ProcessMaps::read(*pid).is_ok_and(|maps| maps.find_image(image).is_some())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_odd_names() {
        let stat = "12 (a) (b) c) S 7 12 12 0 -1 4194304 1 0 0 0 2 3 0 0 20 0 4 0 99";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!(stat.name, "a) (b) c");
        assert_eq!(stat.state, 'S');
        assert_eq!(stat.parent, 7);
        assert_eq!(stat.threads, 4);
        assert!(Stat::parse("").is_none());
        assert!(Stat::parse("12 (x").is_none());
    }

    #[test]
    fn lifetimes_end_with_the_last_thread() {
        let stat = |state, threads| Stat {
            name: String::new(),
            state,
            parent: 1,
            threads,
        };
        assert!(stat('Z', 1).has_ended());
        assert!(!stat('Z', 2).has_ended());
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let with = Lifetime::of(pid);
        let without = Lifetime { pid, pidfd: None };
        assert!(with.pidfd.is_some());
        assert!(!with.is_over() && !without.is_over());
        drop(child.stdin.take());
        let mut look = [PollFd::new(
            with.pidfd.as_ref().unwrap().as_fd(),
            PollFlags::POLLIN,
        )];
        poll(&mut look, PollTimeout::NONE).unwrap();
        assert!(with.is_over() && without.is_over(), "a zombie");
        child.wait().unwrap();
        assert!(with.is_over() && without.is_over());
    }

    #[test]
    fn own_process() {
        let own = read(std::process::id()).unwrap();
        assert_eq!(own.executable, std::env::current_exe().unwrap());
        assert!(pids_running(own.id).contains(&own.pid));
        assert!(pids_mapping(own.id).contains(&own.pid));
    }
}
