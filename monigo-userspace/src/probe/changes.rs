//! Probes being put in or taken out.
//!
//! The kernel gives up half-way when the process that asks is being killed: it says "failed to
//! unregister, leaking uprobe", leaves the breakpoint, and may later take what is left for a probe of
//! another file, which ends programs that have nothing to do with it. A process is being killed in
//! this sense also when one of its threads calls `exit`. So whoever ends monigo waits here first.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

struct State {
    /// Changes under way.
    open: usize,
    /// The process ends: no more may begin.
    closed: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    open: 0,
    closed: false,
});
static CHANGED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(state: MutexGuard<'static, State>) -> MutexGuard<'static, State> {
    CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// Probes are being put in or taken out as long as this lives.
#[derive(Debug)]
pub(super) struct Change(());

impl Change {
    /// Does not return any more once the process ends.
    pub fn begin() -> Self {
        let mut state = state();
        // Changes nest: what has begun is brought to its end.
        while state.closed && state.open == 0 {
            state = wait(state);
        }
        state.open += 1;
        Self(())
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        state().open -= 1;
        CHANGED.notify_all();
    }
}

/// Closes a link without waiting: its probes are gone at once, but then the kernel waits some 50 ms until
/// nobody can run its program any more.
pub(super) fn close_aside(link: impl Send + 'static) {
    // Begun here: the process may end before the thread has started.
    let change = Change::begin();
    thread::spawn(move || {
        drop(link);
        drop(change);
    });
}

/// Waits until no probe is being put in or taken out, and keeps other threads from going on with it.
/// For whoever ends the process next, on a thread that does not change probes itself.
pub fn settle() {
    let mut state = state();
    state.closed = true;
    while state.open > 0 {
        state = wait(state);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn the_end_waits_for_changes_and_stops_further_ones() {
        let change = Change::begin();
        let (settled, was_settled) = mpsc::channel();
        let end = thread::spawn(move || {
            settle();
            let _ = settled.send(());
        });
        assert!(was_settled.try_recv().is_err());
        drop(Change::begin());
        drop(change);
        assert_eq!(was_settled.recv(), Ok(()));
        end.join().expect("settles");
        let (begun, was_begun) = mpsc::channel();
        thread::spawn(move || {
            let _change = Change::begin();
            let _ = begun.send(());
        });
        assert!(was_begun.try_recv().is_err());
        // Other tests of this process go on.
        state().closed = false;
        CHANGED.notify_all();
        assert_eq!(was_begun.recv(), Ok(()));
    }
}
