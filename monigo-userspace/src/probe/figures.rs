//! What the programs have counted.

use std::ops::Range;

use aya::maps::IterableMap as _;
use monigo_common::{
    counters::{Buckets, Counters},
    event::Loss,
};

use super::{
    ProbeError, batch,
    kernel::{Kernel, in_map},
};

impl Kernel {
    /// Counters of one function, summed over CPUs.
    pub fn counters(&self, function: u32) -> Result<Counters, ProbeError> {
        let per_cpu = self
            .counters
            .get(&function, 0)
            .map_err(in_map("COUNTERS"))?;
        Ok(batch::sum(per_cpu.iter()))
    }

    /// Counters of all functions by id, each summed over CPUs.
    pub fn all_counters(&self) -> Result<Vec<Counters>, ProbeError> {
        self.counters_of(0..self.functions.len() as u32)
    }

    /// Counters of some functions, each summed over CPUs.
    ///
    /// # Errors
    /// A map cannot be read, or has no such functions.
    pub fn counters_of(&self, functions: Range<u32>) -> Result<Vec<Counters>, ProbeError> {
        if functions.end <= self.room
            && let Ok(all) = batch::counters(self.counters.map(), functions.start, functions.end)
        {
            return Ok(all);
        }
        functions.map(|function| self.counters(function)).collect()
    }

    /// Calls `visit` with each CPU's histogram of one function.
    pub fn histograms(
        &self,
        function: u32,
        mut visit: impl FnMut(usize, &Buckets),
    ) -> Result<(), ProbeError> {
        let slot = self.slots.get(&function, 0).map_err(in_map("SLOTS"))?;
        let Some(slot) = u32::try_from(slot)
            .ok()
            .and_then(|slot| slot.checked_sub(1))
        else {
            return Ok(());
        };
        if slot >= self.histograms.len() {
            // More functions were called than there are histograms; the kernel side counts that.
            return Ok(());
        }
        let per_cpu = self
            .histograms
            .get(&slot, 0)
            .map_err(in_map("HISTOGRAMS"))?;
        for (cpu, buckets) in per_cpu.iter().enumerate() {
            visit(cpu, buckets);
        }
        Ok(())
    }

    /// Losses since attach, in the order of [`Loss::ALL`].
    pub fn losses(&self) -> Result<[u64; Loss::COUNT], ProbeError> {
        let mut sums = [0; Loss::COUNT];
        for (index, sum) in sums.iter_mut().enumerate() {
            let per_cpu = self
                .losses
                .get(&(index as u32), 0)
                .map_err(in_map("LOSSES"))?;
            *sum = per_cpu.iter().sum();
        }
        Ok(sums)
    }

    /// Probes on the Go runtime that have fired, see [`Kernel::watch_parking`].
    pub fn park_probes(&self) -> Result<u64, ProbeError> {
        let per_cpu = self.park_probes.get(&0, 0).map_err(in_map("PARK_PROBES"))?;
        Ok(per_cpu.iter().sum())
    }
}
