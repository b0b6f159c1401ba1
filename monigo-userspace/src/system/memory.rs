//! Memory of monigo itself.

/// Gives memory that was freed back to the host. To be called after work that took much and is done once: glibc
/// keeps what it thinks will be needed again. Takes some milliseconds; elsewhere it does nothing.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number only, and locks what it goes through.
    unsafe {
        libc::malloc_trim(0);
    }
}
