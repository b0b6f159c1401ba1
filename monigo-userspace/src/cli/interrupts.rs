//! Signals that come while probes are put in, which must not be left half-way: see
//! [`crate::probe::settle`].

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// One came.
pub static CAME: AtomicBool = AtomicBool::new(false);
/// One came that means the end, whatever else a hang-up means.
static ENDING: AtomicBool = AtomicBool::new(false);
/// A hang-up came: the terminal was closed, or the configuration is to be read again.
static HUNG_UP: AtomicBool = AtomicBool::new(false);

extern "C" fn note(signal: libc::c_int) {
    let which = if signal == libc::SIGHUP {
        &HUNG_UP
    } else {
        &ENDING
    };
    which.store(true, Ordering::Relaxed);
    CAME.store(true, Ordering::Relaxed);
}

/// From now on signals that end programs are noted, until somebody else handles them.
pub fn hold() {
    let action = SigAction::new(
        SigHandler::Handler(note),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does nothing but store to atomics.
        if let Err(error) = unsafe { sigaction(signal, &action) } {
            tracing::warn!("{signal} cannot be handled: {error}");
        }
    }
}

/// Whether one came that means the end.
pub fn ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// Whether a hang-up came.
pub fn hung_up() -> bool {
    HUNG_UP.load(Ordering::Relaxed)
}
