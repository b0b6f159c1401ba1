//! Watching functions in turns, each for a short time only.

use std::time::{Duration, Instant};

use monigo_common::config::{FunctionControl, WATCH_OFF};

use super::{Kernel, PlannedFunction, ProbeError, Watch};

/// How long a window was open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Calls were counted for this long.
    pub counted: Duration,
    /// Probes were in place for this long: attaching and removing them included.
    pub probed: Duration,
}

/// A window that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    attaching: Instant,
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

    /// Probes some of the functions that were enrolled, and counts their calls from now on.
    /// A window that is open is closed before.
    pub fn open_window(&mut self, ids: &[u32], watch: Watch) -> Result<(), ProbeError> {
        self.close_window()?;
        let attaching = Instant::now();
        self.set_window(ids, watch)?;
        let group = self.link(ids.to_vec(), watch, self.generation)?;
        self.groups.push(group);
        self.arm(true)?;
        self.window = Some(Open {
            attaching,
            counting: Instant::now(),
        });
        Ok(())
    }

    /// Stops counting and removes the probes; says how long the window was open, zero if it was
    /// not.
    pub fn close_window(&mut self) -> Result<Opened, ProbeError> {
        let counted = self.window.map(|open| open.counting.elapsed());
        self.detach()?;
        let opened = self
            .window
            .take()
            .zip(counted)
            .map(|(open, counted)| Opened {
                counted,
                probed: open.attaching.elapsed(),
            });
        Ok(opened.unwrap_or_default())
    }

    /// How long calls have been counted in the open window.
    pub fn window_age(&self) -> Duration {
        self.window
            .map_or(Duration::ZERO, |open| open.counting.elapsed())
    }
}
