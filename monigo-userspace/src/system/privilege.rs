//! Giving up privileges once the probes are in.

use caps::{CapSet, Capability, CapsHashSet};

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
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = permitted.intersection(&wanted).copied().collect();
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    // A program that this process would execute gains nothing either; none is executed.
    nix::sys::prctl::set_no_new_privs()
        .map_err(|error| caps::errors::CapsError::from(format!("no_new_privs: {error}")))
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
