//! The thread that takes readings.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::Live;
use crate::collect::Command;

/// Takes readings for the collector until dropped, or until the collector has ended.
#[derive(Debug)]
pub struct Sampler {
    _stop: Sender<()>,
}

impl Sampler {
    /// Starts it. It gets the privileges that the calling thread has now.
    ///
    /// Readings are as frequent as flushes, so that each stored interval of calls has one beside
    /// it, and at most one a second.
    pub fn start(live: Arc<Live>, commands: Sender<Command>, flush: Duration) -> io::Result<Self> {
        let interval = flush.max(Duration::from_secs(1));
        let (stop, stopped) = bounded::<()>(0);
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                let mut due = Instant::now();
                loop {
                    let readings = live.readings(interval / 2);
                    if !readings.is_empty() && commands.send(Command::Readings(readings)).is_err() {
                        return;
                    }
                    // After a pause of the whole machine, what was missed is not made up for.
                    due = (due + interval).max(Instant::now());
                    let rest = due.saturating_duration_since(Instant::now());
                    match stopped.recv_timeout(rest) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            })?;
        // Nobody waits for its end: the kernel may make it wait for a process that is stuck.
        Ok(Self { _stop: stop })
    }
}
