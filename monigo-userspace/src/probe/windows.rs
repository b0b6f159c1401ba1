//! Watching functions in turns, each for a short time only.

use std::time::{Duration, Instant};

use monigo_common::{
    config::{FunctionControl, WATCH_OFF},
    open::INLINE_DEPTH,
};
use nix::time::{ClockId, clock_gettime};

use super::{Kernel, PlannedFunction, Price, ProbeError, Watch};

/// How long a window was open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Attaching took this long before calls were counted.
    pub attaching: Duration,
    /// Calls were counted for this long.
    pub counted: Duration,
    /// When counting ended, on the clock of call records.
    pub ended_ns: u64,
}

/// A window that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    attaching: Duration,
    counting: Instant,
}

impl Kernel {
    /// Makes functions known, with the first ids, but probes none of them: for windows.
    /// `pid` restricts the probes to one process.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn enroll(
        &mut self,
        functions: Vec<PlannedFunction>,
        pid: Option<u32>,
    ) -> Result<(), ProbeError> {
        let count = functions.len() as u32;
        if count > self.room {
            return Err(ProbeError::NoRoom {
                functions: count,
                room: self.room,
            });
        }
        self.pid = pid;
        self.functions = functions;
        let control = FunctionControl {
            watch: WATCH_OFF,
            ..FunctionControl::default()
        };
        self.controls = vec![control; count as usize];
        Ok(())
    }

    /// Whether probes attach and detach many at once; else each takes some 50 ms to remove.
    pub fn has_multi_links(&self) -> bool {
        self.programs.are_multi()
    }

    /// Probes some of the functions that were enrolled, and counts their calls from now on.
    /// The parts are attached in their order: those that are called most should come last.
    /// A window that is open is closed before.
    pub fn open_window(&mut self, parts: &[&[u32]], watch: Watch) -> Result<(), ProbeError> {
        self.close_window()?;
        for ids in parts {
            self.set_window(ids, watch)?;
        }
        let attaching = Instant::now();
        for ids in parts {
            let group = self.link(ids.to_vec(), watch, self.generation)?;
            self.groups.push(group);
        }
        self.arm(true)?;
        self.window = Some(Open {
            attaching: attaching.elapsed(),
            counting: Instant::now(),
        });
        Ok(())
    }

    /// Stops counting and removes the probes; says how long the window was open, zero if it was
    /// not.
    pub fn close_window(&mut self) -> Result<Opened, ProbeError> {
        self.arm(false)?;
        let opened = self.window.take().map(|open| Opened {
            attaching: open.attaching,
            counted: open.counting.elapsed(),
            ended_ns: monotonic_ns(),
        });
        self.detach_at_once()?;
        Ok(opened.unwrap_or_default())
    }

    /// Calls that began in the last window of their function and had not ended when it did: function and time of the beginning,
    /// on the clock of [`CallRecord`](monigo_common::event::CallRecord).
    pub fn open_in_window(&self) -> Vec<(u32, u64)> {
        let inline = self
            .open
            .iter()
            .filter_map(Result::ok)
            .flat_map(|(_, open)| {
                let depth = (open.depth as usize).min(INLINE_DEPTH);
                open.calls.into_iter().take(depth)
            });
        let deep = self
            .deep
            .iter()
            .filter_map(Result::ok)
            .map(|(_, call)| call);
        let foreign = self.foreign.iter().filter_map(Result::ok);
        inline
            .chain(deep)
            .chain(foreign.map(|(_, call)| call))
            .filter(|call| self.is_watched(call))
            .map(|call| (call.function, call.start_ns))
            .collect()
    }

    /// What the probes of each function cost per call, by id; zeros before calibration.
    pub fn prices(&self) -> Vec<Price> {
        let price = |function| self.calibration().price(function);
        self.functions.iter().map(price).collect()
    }

    /// Name of a function.
    pub fn function_name(&self, id: u32) -> Option<&str> {
        let function = self.functions.get(id as usize)?;
        Some(&function.name)
    }

    /// How long calls have been counted in the open window.
    pub fn window_age(&self) -> Duration {
        self.window
            .map_or(Duration::ZERO, |open| open.counting.elapsed())
    }
}

/// Now, on the clock of call records.
pub(super) fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}
