//! Running processes, as `/proc` shows them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

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
}

impl Stat {
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
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
        let stat = Stat::parse("12 (a) (b) c) S 7 12 12 0 -1").unwrap();
        assert_eq!(stat.name, "a) (b) c");
        assert_eq!(stat.state, 'S');
        assert_eq!(stat.parent, 7);
        assert!(Stat::parse("").is_none());
        assert!(Stat::parse("12 (x").is_none());
    }

    #[test]
    fn own_process() {
        let own = read(std::process::id()).unwrap();
        assert_eq!(own.executable, std::env::current_exe().unwrap());
        assert!(pids_running(own.id).contains(&own.pid));
        assert!(pids_mapping(own.id).contains(&own.pid));
    }
}
