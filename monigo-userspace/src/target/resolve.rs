//! From what a user types to a target.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use super::{
    Scope, Target, TargetError,
    error::Candidate,
    process::{self, Process, pids_mapping, pids_running, proc_path},
};
use crate::symbols::{ImageId, maps::ProcessMaps};

/// Resolves a path, a PID or a process name; `pid` is `--pid`.
///
/// A text with a `/` is a path; one of digits is a PID; anything else is the name of a running
/// process, a file in the current directory, or a command in `PATH`, in this order.
pub fn resolve(text: &str, pid: Option<u32>) -> Result<Target, TargetError> {
    if text.is_empty() {
        return Err(TargetError::Empty);
    }
    let number = text
        .bytes()
        .all(|c| c.is_ascii_digit())
        .then(|| text.parse::<u32>().ok())
        .flatten();
    match (number, pid) {
        (Some(number), Some(pid)) if number != pid => Err(TargetError::Contradiction {
            text: text.to_owned(),
            pid,
        }),
        (Some(number), _) => whole_process(number),
        (None, Some(pid)) => within_process(text, pid),
        (None, None) if text.contains('/') => file(Path::new(text), text),
        (None, None) => named(text),
    }
}

/// Finds the executable of a command as a shell would: a path if it has a `/`, else in `PATH`.
pub fn resolve_command(text: &str) -> Result<Target, TargetError> {
    if text.is_empty() {
        return Err(TargetError::Empty);
    }
    match command(text) {
        Some(path) if !text.contains('/') => file(&path, text),
        _ => file(Path::new(text), text),
    }
}

/// Everyone who runs the file at `path`.
fn file(path: &Path, text: &str) -> Result<Target, TargetError> {
    let shown = fs::canonicalize(path).map_err(|error| no_file(text, error))?;
    let id = ImageId::of(&shown).map_err(|error| no_file(text, error))?;
    let mut pids = pids_running(id);
    if pids.is_empty() {
        pids = pids_mapping(id);
    }
    Ok(Target {
        open_path: shown.clone(),
        show_path: shown,
        scope: Scope::Everyone,
        pids,
    })
}

fn no_file(text: &str, error: io::Error) -> TargetError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => TargetError::NoSuchFile {
            text: text.to_owned(),
        },
        _ => TargetError::Io {
            text: text.to_owned(),
            source: error,
        },
    }
}

/// The executable of one process.
fn whole_process(pid: u32) -> Result<Target, TargetError> {
    let process = process::read(pid)?;
    Ok(Target {
        open_path: path_to(&process),
        show_path: process.executable,
        scope: Scope::Process(pid),
        pids: vec![pid],
    })
}

/// The path of a process's executable if it still leads to the file that the process runs, since
/// it outlives the process; else the way through `/proc`.
pub(super) fn path_to(process: &Process) -> PathBuf {
    if ImageId::of(&process.executable).ok() == Some(process.id) {
        process.executable.clone()
    } else {
        proc_path(process.pid, "exe")
    }
}

/// A file that one process runs or has loaded.
fn within_process(text: &str, pid: u32) -> Result<Target, TargetError> {
    let process = process::read(pid)?;
    if !text.contains('/') && (text == process.basename() || text == process.comm) {
        return whole_process(pid);
    }
    let maps = ProcessMaps::read(pid).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => TargetError::Permission { pid },
        _ => TargetError::NoSuchProcess { pid },
    })?;
    // The same path may lead to another file in the mount namespace of the process.
    let relative = text.strip_prefix('/');
    let inside = relative.map(|rest| proc_path(pid, "root").join(rest));
    for path in [Some(PathBuf::from(text)), inside].into_iter().flatten() {
        let Ok(id) = ImageId::of(&path) else { continue };
        if id == process.id {
            return whole_process(pid);
        }
        if let Some(mapping) = maps.find_image(id) {
            return Ok(Target {
                show_path: mapping.show_path(),
                open_path: fs::canonicalize(&path)
                    .ok()
                    .filter(|plain| ImageId::of(plain).ok() == Some(id))
                    .unwrap_or(path),
                scope: Scope::Process(pid),
                pids: vec![pid],
            });
        }
    }
    // A name without a path, or a file that was deleted: what the process has mapped counts.
    let same = |shown: &Path| {
        shown == Path::new(text)
            || !text.contains('/') && shown.file_name().is_some_and(|name| name == text)
    };
    if let Some(mapping) = maps.code().find(|mapping| same(&mapping.show_path())) {
        return Ok(Target {
            open_path: maps.open_path(mapping),
            show_path: mapping.show_path(),
            scope: Scope::Process(pid),
            pids: vec![pid],
        });
    }
    if text.contains('/') && !Path::new(text).exists() {
        return Err(TargetError::NoSuchFile {
            text: text.to_owned(),
        });
    }
    Err(TargetError::NotMapped {
        text: text.to_owned(),
        pid,
        similar: similar_images(&maps, text),
    })
}

fn similar_images(maps: &ProcessMaps, text: &str) -> Vec<PathBuf> {
    const CLOSE: f64 = 0.75;
    let wanted = Path::new(text)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let stem = wanted.split('.').next().unwrap_or_default();
    let mut similar: Vec<PathBuf> = maps
        .code()
        .map(super::super::symbols::maps::Mapping::show_path)
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let other = name.split('.').next().unwrap_or_default();
            strsim::jaro_winkler(stem, other) > CLOSE
        })
        .collect();
    similar.sort();
    similar.dedup();
    similar
}

/// A process by name, else a file here, else a command.
fn named(text: &str) -> Result<Target, TargetError> {
    let all = process::all();
    let found: Vec<&Process> = all.iter().filter(|one| goes_by(one, text)).collect();
    if let Some(first) = found.first() {
        return by_name(text, &all, &found, first);
    }
    if Path::new(text).is_file() {
        return file(Path::new(text), text);
    }
    if let Some(command) = command(text) {
        return file(&command, text);
    }
    if let Some((pid, name)) = kernel_thread(text) {
        return Err(TargetError::KernelThread { pid, name });
    }
    Err(TargetError::NothingNamed {
        text: text.to_owned(),
        similar: similar_processes(&all, text),
    })
}

pub(super) fn goes_by(process: &Process, text: &str) -> bool {
    /// The kernel cuts names to this many bytes.
    const COMM: usize = 15;
    // A long name that the kernel cut is that of a script, unless the executable explains it.
    let cut = text.len() > COMM
        && text.get(..COMM) == Some(&process.comm)
        && !process.basename().starts_with(&process.comm);
    process.basename() == text || process.comm == text || cut
}

fn by_name(
    text: &str,
    all: &[Process],
    found: &[&Process],
    first: &Process,
) -> Result<Target, TargetError> {
    let images: BTreeMap<ImageId, &Process> = found.iter().map(|one| (one.id, *one)).collect();
    if images.len() > 1 {
        let candidate = |one: &&Process| Candidate {
            pid: one.pid,
            executable: one.executable.clone(),
        };
        return Err(TargetError::Ambiguous {
            text: text.to_owned(),
            candidates: found.iter().map(candidate).collect(),
        });
    }
    // A script has its interpreter's executable, which others run, too.
    let everyone = first.basename() == text
        || all
            .iter()
            .filter(|one| one.id == first.id)
            .all(|one| goes_by(one, text));
    let pids: Vec<u32> = found.iter().map(|one| one.pid).collect();
    Ok(Target {
        open_path: path_to(first),
        show_path: first.executable.clone(),
        scope: if everyone {
            Scope::Everyone
        } else {
            Scope::Tree(pids.clone())
        },
        pids,
    })
}

fn kernel_thread(text: &str) -> Option<(u32, String)> {
    process::all_pids().into_iter().find_map(|pid| {
        (process::name(pid)? == text).then_some(())?;
        match process::read(pid) {
            Err(TargetError::KernelThread { pid, name }) => Some((pid, name)),
            _ => None,
        }
    })
}

fn command(text: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(text))
        .find(|candidate| candidate.is_file())
}

fn similar_processes(all: &[Process], text: &str) -> Vec<String> {
    const MOST: usize = 3;
    const CLOSE: f64 = 0.8;
    let mut scored: Vec<(f64, &str)> = all
        .iter()
        .map(|one| (strsim::jaro_winkler(text, one.basename()), one.basename()))
        .filter(|(score, _)| *score > CLOSE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored
        .into_iter()
        .take(MOST)
        .map(|(_, name)| name.to_owned())
        .collect()
}
