//! The collector's part that hands what was measured to the store.

use std::{thread, time::Instant};

use super::{CollectError, Collector, LAST_ATTEMPTS, LAST_WAIT, Pending};
use crate::{collect::clock::unix_ns, export::format, store::StoreError};

impl Collector {
    /// Writes what is not written yet. What fails stays for the next attempt.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        let (frames, stacks) = self.stacks.pending();
        let batch = self.backlog.batch();
        batch.frames = frames.to_vec();
        batch.stacks = stacks.to_vec();
        let pending = self.pending.iter().flat_map(Pending::stacks);
        batch.held_stacks = pending.chain(self.wakers.stacks()).collect();
        let result = self.store.append(self.session, batch);
        self.stacks
            .drop_ids(&self.store.take_forgotten(self.session));
        let now = Instant::now();
        match &result {
            Ok(()) => {
                self.stacks.stored();
                let failed_for = self.backlog.written(now);
                self.progress.send_modify(|progress| {
                    progress.flushes += 1;
                    progress.store_error = None;
                });
                if let Some(passed) = failed_for {
                    let passed = format::duration_ns(passed.as_nanos() as u64);
                    self.notify(format!(
                        "the database could not be written for {passed} and can be again; counts and histograms are complete, and calls and samples that there was no room for are counted as lost"
                    ));
                }
            }
            Err(error) => {
                if self.backlog.failed(now) {
                    tracing::warn!(
                        "{error}; the recording goes on in memory, and writing is tried again"
                    );
                }
                self.progress
                    .send_modify(|progress| progress.store_error = Some(error.to_string()));
            }
        }
        result
    }

    /// Writes the rest at the end, and closes the session.
    pub(super) fn write_rest(&mut self) -> Result<(), CollectError> {
        // The flush before has written all, unless it failed.
        let mut left = self.progress.borrow().store_error.is_some();
        let mut attempt = || {
            if left {
                self.write()?;
                left = false;
            }
            self.store.end_session(self.session, unix_ns())
        };
        for _ in 1..LAST_ATTEMPTS {
            if attempt().is_ok() {
                return Ok(());
            }
            thread::sleep(LAST_WAIT);
        }
        Ok(attempt()?)
    }
}
