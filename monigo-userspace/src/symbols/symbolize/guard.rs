//! Calls into a library that may panic on damaged files.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// Whether a panic of this thread is expected, and no news to anybody.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// What `read` returns; `None` if it panics, which is not printed.
///
/// Whatever `read` works on must stay usable after a panic in the middle of it.
pub(super) fn survive<T>(read: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                previous(info);
            }
        }));
    });
    EXPECTED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    EXPECTED.set(false);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::survive;

    #[test]
    fn a_panic_is_no_answer() {
        assert_eq!(survive(|| 1), Some(1));
        let nothing: Vec<u32> = Vec::new();
        assert_eq!(survive(|| nothing[0]), None);
        assert_eq!(survive(|| 2), Some(2));
    }
}
