//! Causes in words.

use std::fmt::Write as _;

use super::{Activity, Wait};

/// What a sentence is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    pub share: f64,
    pub activity: Activity,
    pub wait: Option<Wait>,
    pub reason: Option<&'a str>,
    /// The traced function.
    pub traced: &'a str,
    pub function: &'a str,
    /// File and line there, if that is what the cause is about.
    pub at: Option<&'a str>,
    pub callee: Option<&'a str>,
    pub caller: Option<&'a str>,
    pub waker: Option<&'a str>,
    pub waker_function: Option<&'a str>,
}

/// What was done, as a noun.
pub const fn phrase(activity: Activity, wait: Option<Wait>) -> &'static str {
    match (activity, wait) {
        (Activity::Running, _) => "running",
        (Activity::Runnable, _) => "waiting for a CPU",
        (Activity::Waiting, Some(Wait::Lock)) => "waiting for a lock",
        (Activity::Waiting, Some(Wait::Io)) => "waiting for I/O",
        (Activity::Waiting, Some(Wait::Sleep)) => "sleeping",
        (Activity::Waiting, Some(Wait::Channel)) => "waiting for a channel",
        (Activity::Waiting, Some(Wait::Network)) => "waiting for the network",
        (Activity::Waiting, Some(Wait::Events)) => "waiting for events",
        (Activity::Waiting, Some(Wait::Gc)) => "waiting for the garbage collector",
        (Activity::Waiting, Some(Wait::Child)) => "waiting for a child process",
        (Activity::Waiting, Some(Wait::Await)) => "suspended at .await",
        (Activity::Waiting, Some(Wait::Other) | None) => "waiting",
    }
}

/// A sentence such as "79% of the extra time is waiting for a lock in `pthread_mutex_lock`, called
/// from `reserve_stock`; woken by thread `worker-2` in `release_stock`".
pub fn sentence(parts: &Parts<'_>) -> String {
    let mut text = format!(
        "{:.0}% of the extra time is {}",
        parts.share * 100.0,
        phrase(parts.activity, parts.wait)
    );
    if let Some(reason) = parts.reason {
        let _ = write!(text, " ({reason})");
    }
    match parts.callee {
        _ if parts.wait == Some(Wait::Await) => {
            let _ = write!(text, " in `{}`", parts.function);
            if let Some(at) = parts.at {
                let _ = write!(text, " ({at})");
            }
            if let Some(callee) = parts.callee {
                let _ = write!(text, ", which awaits `{callee}`");
            }
        }
        Some(callee) => {
            let _ = write!(text, " in `{callee}`, called from `{}`", parts.function);
        }
        None if parts.function == parts.traced => {
            let _ = write!(text, " in `{}` itself", parts.function);
        }
        None => {
            let _ = write!(text, " in `{}`", parts.function);
            if let Some(caller) = parts.caller {
                let _ = write!(text, ", called from `{caller}`");
            }
        }
    }
    if parts.waker.is_some() || parts.waker_function.is_some() {
        text.push_str("; woken");
        match parts.waker {
            Some(goroutine) if goroutine.starts_with("goroutine ") => {
                let _ = write!(text, " by {goroutine}");
            }
            Some(thread) => {
                let _ = write!(text, " by thread `{thread}`");
            }
            None => {}
        }
        if let Some(function) = parts.waker_function {
            let _ = write!(text, " in `{function}`");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Parts<'_> = Parts {
        share: 0.79,
        activity: Activity::Running,
        wait: None,
        reason: None,
        traced: "handle",
        function: "reserve_stock",
        at: None,
        callee: None,
        caller: None,
        waker: None,
        waker_function: None,
    };

    #[test]
    fn sentences() {
        let waiting = Parts {
            activity: Activity::Waiting,
            ..PLAIN
        };
        for (parts, expected) in [
            (PLAIN, "79% of the extra time is running in `reserve_stock`"),
            (
                Parts {
                    caller: Some("handle"),
                    ..PLAIN
                },
                "79% of the extra time is running in `reserve_stock`, called from `handle`",
            ),
            (
                Parts {
                    function: "handle",
                    ..PLAIN
                },
                "79% of the extra time is running in `handle` itself",
            ),
            (
                Parts {
                    callee: Some("memcpy"),
                    caller: Some("handle"),
                    ..PLAIN
                },
                "79% of the extra time is running in `memcpy`, called from `reserve_stock`",
            ),
            (
                Parts {
                    wait: Some(Wait::Lock),
                    callee: Some("Mutex::lock"),
                    waker: Some("worker-2"),
                    ..waiting
                },
                "79% of the extra time is waiting for a lock in `Mutex::lock`, called from `reserve_stock`; woken by thread `worker-2`",
            ),
            (
                Parts {
                    wait: Some(Wait::Lock),
                    callee: Some("Mutex::lock"),
                    waker: Some("worker-2"),
                    waker_function: Some("restock"),
                    ..waiting
                },
                "79% of the extra time is waiting for a lock in `Mutex::lock`, called from `reserve_stock`; woken by thread `worker-2` in `restock`",
            ),
            (
                Parts {
                    wait: Some(Wait::Lock),
                    waker_function: Some("restock"),
                    ..waiting
                },
                "79% of the extra time is waiting for a lock in `reserve_stock`; woken in `restock`",
            ),
            (
                Parts {
                    wait: Some(Wait::Lock),
                    waker: Some("goroutine 17"),
                    ..waiting
                },
                "79% of the extra time is waiting for a lock in `reserve_stock`; woken by goroutine 17",
            ),
            (
                Parts {
                    wait: Some(Wait::Channel),
                    reason: Some("chan receive"),
                    ..waiting
                },
                "79% of the extra time is waiting for a channel (chan receive) in `reserve_stock`",
            ),
            (
                Parts {
                    wait: Some(Wait::Await),
                    at: Some("orders.rs:41"),
                    callee: Some("Sleep"),
                    ..waiting
                },
                "79% of the extra time is suspended at .await in `reserve_stock` (orders.rs:41), which awaits `Sleep`",
            ),
            (
                Parts {
                    wait: Some(Wait::Await),
                    function: "handle",
                    ..waiting
                },
                "79% of the extra time is suspended at .await in `handle`",
            ),
            (
                Parts {
                    activity: Activity::Runnable,
                    ..PLAIN
                },
                "79% of the extra time is waiting for a CPU in `reserve_stock`",
            ),
        ] {
            assert_eq!(sentence(&parts), expected);
        }
    }
}
