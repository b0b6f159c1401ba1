//! Settings that change while a recording goes on. No probe is touched, so no call is missed.

use std::sync::{Arc, atomic::AtomicU64};

use super::{CollectError, Collector};
use crate::{collect::Tuning, probe::ProbeError};

impl Collector {
    /// A number that grows as long as the collector makes progress.
    pub fn heartbeat(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.beats)
    }

    /// Goes on with other settings.
    pub(super) fn tune(&mut self, tuning: Tuning) -> Result<(), CollectError> {
        let Tuning {
            sampling,
            flush,
            share,
            storage,
        } = tuning;
        self.flush = flush;
        // With a fixed number of calls the cost has an end, and each of them counts.
        if self.limits.max_calls.is_none() {
            self.budget.set_share(share);
        }
        if sampling != self.sampling {
            // Each record says for itself how many calls it stands for.
            self.sampling = sampling;
            self.control.sample_every = sampling.first();
            self.kernel.set_control(self.control)?;
        }
        if let Err(error) = self.store.apply(&storage) {
            tracing::warn!("the new limits of the database are not in force yet: {error}");
        }
        Ok(())
    }

    /// Counts the calls of further processes.
    pub(super) fn follow(&mut self, pids: &[u32]) -> Result<(), ProbeError> {
        for &pid in pids {
            self.kernel.list(pid)?;
            self.see(pid);
        }
        Ok(())
    }
}
