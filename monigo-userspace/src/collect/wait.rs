//! What a thread or goroutine waits for, told from the names of the functions it waits in.

mod tables;
#[cfg(test)]
mod tests;

use self::tables::{INTERRUPT, KERNEL, POLLED, REASONS, TRACING, USER};
use crate::store::Wait;

/// What a frame says about a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// It is kernel code.
    kernel: bool,
    /// Code below it waits for this.
    wait: Option<Wait>,
    /// It is part of an interrupt's way into the kernel.
    interrupt: bool,
}

impl Hint {
    /// Of a function by its name.
    pub fn of(name: &str, kernel: bool) -> Self {
        let table = if kernel { KERNEL } else { USER };
        let found = table
            .iter()
            .find(|(_, patterns)| patterns.iter().any(|pattern| matches(name, pattern)));
        Self {
            kernel,
            wait: found.map(|(wait, _)| *wait),
            interrupt: kernel && INTERRUPT.iter().any(|pattern| matches(name, pattern)),
        }
    }
}

/// What is waited for at a stack, innermost frame first.
///
/// The innermost kernel function that tells decides. For what looks like a lock there, user code may
/// know better: channels and joins are built from futexes. Without kernel symbols, user code decides.
pub fn of_stack(hints: &(impl Iterator<Item = Hint> + Clone)) -> Wait {
    let of = |kernel: bool| {
        hints
            .clone()
            .filter(move |hint| hint.kernel == kernel)
            .find_map(|hint| hint.wait)
    };
    match of(true) {
        Some(Wait::Lock) | None => of(false).or(of(true)).unwrap_or(Wait::Other),
        Some(wait) => wait,
    }
}

/// Whether a stack is one of an interrupt on top of whatever ran.
pub fn is_interrupt(mut hints: impl Iterator<Item = Hint>) -> bool {
    hints.any(|hint| hint.interrupt)
}

/// Whether a kernel function is there because of tracing, and only if it is on top.
pub fn is_tracing(function: &str) -> bool {
    TRACING.iter().any(|pattern| matches(function, pattern))
}

/// What a goroutine waits for, by the reason that the Go runtime gives; `stack` is what its stack
/// says.
pub fn of_reason(reason: &str, stack: Wait) -> Option<Wait> {
    if reason == POLLED {
        // Connections, unless a file asked for it: a pipe, or a terminal.
        return Some(if stack == Wait::Io {
            Wait::Io
        } else {
            Wait::Network
        });
    }
    let found = REASONS
        .iter()
        .find(|(_, patterns)| patterns.iter().any(|pattern| matches(reason, pattern)));
    match found {
        Some((wait, _)) => Some(*wait),
        None => (!reason.is_empty()).then_some(Wait::Other),
    }
}

/// A pattern is a name, or its beginning with `*` behind it, or what it contains with one on both
/// sides.
fn matches(name: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => name.contains(rest.trim_end_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}
