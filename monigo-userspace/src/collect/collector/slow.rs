//! The collector's part that keeps what explains slow calls, where only that was asked for.

use std::time::Instant;

use monigo_common::open::FutureKey;

use super::{Collector, Pending};
use crate::{
    collect::clock,
    probe::ProbeError,
    store::{CallRow, SampleRow},
};

/// Samples that were dropped before it was known whether their call is slow.
const SAMPLES_UNDECIDED: &str = "samples_undecided";

impl Collector {
    /// Records every call of at least `slower_than_ns`, and samples of recorded calls only.
    pub fn keep_slow(&mut self, slower_than_ns: u64) -> Result<(), ProbeError> {
        self.always_slow_ns = slower_than_ns;
        self.pending = Some(Pending::new(slower_than_ns));
        for function in 0..self.functions.len() as u32 {
            self.kernel.set_slow_ns(function, slower_than_ns)?;
        }
        Ok(())
    }

    /// Takes a sample in, for now or for good.
    pub(super) fn keep(&mut self, sample: SampleRow) {
        self.keep_by(sample, Pending::sample);
    }

    /// The same with a sample of suspended futures, of which the outermost is `future`.
    pub(super) fn keep_suspended(&mut self, sample: SampleRow, future: FutureKey) {
        self.keep_by(sample, |pending, sample| pending.suspended(future, sample));
    }

    fn keep_by(
        &mut self,
        sample: SampleRow,
        take: impl FnOnce(&mut Pending, SampleRow) -> (Vec<SampleRow>, u64),
    ) {
        let Some(pending) = &mut self.pending else {
            self.samples.push(sample);
            return;
        };
        let (decided, dropped) = take(pending, sample);
        self.samples.extend(decided);
        self.lose(SAMPLES_UNDECIDED, dropped);
    }

    /// Takes a call in, and the samples that waited for it.
    pub(super) fn record(&mut self, call: CallRow) {
        if let Some(pending) = &mut self.pending {
            self.samples.extend(pending.call(&call));
        }
        self.calls.push(call);
    }

    /// Drops the samples of executions of async functions that turned out to be fast.
    pub(super) fn sweep_pending(&mut self) {
        let kernel = &self.kernel;
        if let Some(pending) = &mut self.pending {
            pending.sweep(Instant::now(), |future, (_, start_ns)| {
                let begun = kernel.begun(future).map(clock::unix_of);
                begun == Some(start_ns)
            });
        }
    }
}
