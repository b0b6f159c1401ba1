//! Giving up privileges once the probes are in.

use std::{
    io,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
};

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{self, User};

/// What a recording still needs: reading its maps, and the memory maps and files of processes of
/// other users, deleted ones (which only links in `map_files` lead to), and the names of kernel
/// functions.
const KEPT: [Capability; 6] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SYSLOG,
    Capability::CAP_CHECKPOINT_RESTORE,
];

/// Reduces the calling thread, and every thread it starts from now on, to what a recording needs.
/// `writes_files` keeps the right to write where the invoking user may, which root has through a
/// capability.
///
/// # Errors
/// The kernel refused; privileges are then as before.
pub fn drop_privileges(writes_files: bool) -> Result<(), caps::errors::CapsError> {
    let mut wanted: CapsHashSet = KEPT.into_iter().collect();
    if writes_files {
        wanted.insert(Capability::CAP_DAC_OVERRIDE);
    }
    reduce_to(&wanted)
}

fn reduce_to(wanted: &CapsHashSet) -> Result<(), caps::errors::CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = permitted.intersection(wanted).copied().collect();
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    // A program that this process would execute gains nothing either; none is executed.
    nix::sys::prctl::set_no_new_privs()
        .map_err(|error| caps::errors::CapsError::from(format!("no_new_privs: {error}")))
}

/// Why monigo cannot go on as another user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is none of this name.
    #[error("--user {0}: this host has no such user")]
    Unknown(String),
    /// Only root can become another user.
    #[error("--user {name}: {source}; start monigo as root, or leave the option out")]
    Refused {
        /// As named.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that it must write.
    #[error("--user {name}: {} cannot be given to this user: {source}", path.display())]
    File {
        /// As named.
        name: String,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The capabilities.
    #[error("--user {name}: {reason}")]
    Capabilities {
        /// As named.
        name: String,
        /// The system's reason.
        reason: String,
    },
}

/// Goes on as the user called `name`, with its groups, and with the capabilities that a recording needs. `files`,
/// where they exist, are given to it; their folders must be writable for it already. For the calling
/// thread and those that it starts: others lose all capabilities.
pub fn become_user(name: &str, files: &[&Path]) -> Result<(), UserError> {
    let refused = |errno: nix::errno::Errno| UserError::Refused {
        name: name.to_owned(),
        source: errno.into(),
    };
    let user = User::from_name(name)
        .map_err(refused)?
        .ok_or_else(|| UserError::Unknown(name.to_owned()))?;
    for path in files {
        let owned = path.symlink_metadata().is_ok_and(|file| file.is_file());
        if owned {
            let given = lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            given.map_err(|source| UserError::File {
                name: name.to_owned(),
                path: (*path).to_owned(),
                source,
            })?;
        }
    }
    let text = std::ffi::CString::new(user.name).unwrap_or_default();
    nix::sys::prctl::set_keepcaps(true).map_err(refused)?;
    unistd::initgroups(&text, user.gid).map_err(refused)?;
    unistd::setresgid(user.gid, user.gid, user.gid).map_err(refused)?;
    unistd::setresuid(user.uid, user.uid, user.uid).map_err(refused)?;
    reduce_to(&KEPT.into_iter().collect()).map_err(|error| UserError::Capabilities {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_but_what_is_needed() {
        // On a thread of its own: capabilities belong to threads.
        std::thread::spawn(|| {
            let before = caps::read(None, CapSet::Permitted).unwrap();
            drop_privileges(false).unwrap();
            let after = caps::read(None, CapSet::Permitted).unwrap();
            assert_eq!(
                after,
                before
                    .intersection(&KEPT.into_iter().collect())
                    .copied()
                    .collect()
            );
            assert_eq!(caps::read(None, CapSet::Effective).unwrap(), after);
            assert!(!after.contains(&Capability::CAP_SYS_ADMIN));
        })
        .join()
        .unwrap();
    }
}
