//! The collector's part that closes what dead processes and goroutines had open.

use monigo_common::open::OwnerKey;

use super::Collector;
use crate::{collect::goroutines, target::process};

/// Owners looked at per flush to find processes and dead goroutines.
const OWNERS_LIMIT: usize = 4096;

impl Collector {
    /// Finds processes that made calls without being recorded, and closes what the goroutines of
    /// dead processes had open: the kernel side only sees threads end.
    pub(super) fn sweep(&mut self) {
        for owner in self.kernel.owners(OWNERS_LIMIT) {
            self.see(owner.pid);
            if process::is_alive(owner.pid) {
                continue;
            }
            self.close(owner);
        }
        for (key, function) in self.kernel.foreign_calls(OWNERS_LIMIT) {
            self.see(key.pid);
            if !process::is_alive(key.pid) {
                self.kernel.forget_foreign(key);
                if let Some(function) = function {
                    self.count_swept(function);
                }
            }
        }
        for (key, function) in self.kernel.open_executions(OWNERS_LIMIT) {
            if !process::is_alive(key.pid) {
                self.kernel.forget_execution(key);
                self.count_swept(function);
            }
        }
        self.sweep_pending();
    }

    /// Closes what goroutines that ended inside a call had open. Only once nothing is counted any
    /// more: the runtime may reuse a `g` at any time.
    pub(super) fn sweep_goroutines(&mut self) {
        let goid_offset = self.control.goid_offset;
        if goid_offset == 0 {
            return;
        }
        for owner in self.kernel.owners(usize::MAX) {
            let Some((depth, goid)) = self.kernel.open_calls(owner) else {
                continue;
            };
            if depth > 0
                && goroutines::has_ended(owner.pid, owner.owner, goid, goid_offset) == Some(true)
            {
                self.close(owner);
            }
        }
    }

    fn close(&mut self, owner: OwnerKey) {
        for function in self.kernel.forget(owner) {
            self.count_swept(function);
        }
    }

    fn count_swept(&mut self, function: u32) {
        if let Some(swept) = self.swept.get_mut(function as usize) {
            *swept += 1;
        }
    }
}
