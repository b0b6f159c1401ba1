//! Who has calls and executions open, as the kernel's maps hold them.

use monigo_common::{
    config::FutureSite,
    open::{DeepKey, ForeignKey, FutureKey, INLINE_DEPTH, OpenCall, OwnerKey},
};

use crate::symbols::futures::{Argument, FutureLayout};

use super::{
    ProbeError,
    kernel::{Kernel, in_map},
};

impl Kernel {
    /// Threads and goroutines that have made a traced call, at most `limit`.
    pub fn owners(&self, limit: usize) -> Vec<OwnerKey> {
        self.open
            .keys()
            .take(limit)
            .filter_map(Result::ok)
            .collect()
    }

    /// Number of calls an owner has open, and the goroutine id it had at the last entry.
    pub fn open_calls(&self, owner: OwnerKey) -> Option<(u32, u64)> {
        self.open
            .get(&owner, 0)
            .ok()
            .map(|open| (open.depth, open.goid))
    }

    /// Whether the end of a call is watched for. It is not once the time window is closed in which it began; then it
    /// may be over.
    pub(super) fn is_watched(&self, call: &OpenCall) -> bool {
        let control = self.controls.get(call.function as usize);
        control.is_some_and(|control| control.window == call.window)
    }

    /// Forgets an owner and returns the function of each call it had open, of those whose end was watched for.
    pub fn forget(&mut self, owner: OwnerKey) -> Vec<u32> {
        let Ok(open) = self.open.get(&owner, 0) else {
            return Vec::new();
        };
        let depth = open.depth as usize;
        let inline = open.calls.iter().take(depth.min(INLINE_DEPTH));
        let mut functions: Vec<u32> = inline
            .filter(|call| self.is_watched(call))
            .map(|call| call.function)
            .collect();
        for depth in INLINE_DEPTH..depth {
            let key = DeepKey {
                owner,
                depth: depth as u64,
            };
            if let Ok(call) = self.deep.get(&key, 0) {
                functions.extend(self.is_watched(&call).then_some(call.function));
                let _ = self.deep.remove(&key);
            }
        }
        let _ = self.open.remove(&owner);
        functions
    }

    /// Processes with calls open on stacks that are not their thread's own, with the function of
    /// each call if its end was watched for; at most `limit` calls.
    pub fn foreign_calls(&self, limit: usize) -> Vec<(ForeignKey, Option<u32>)> {
        self.foreign
            .iter()
            .take(limit)
            .filter_map(Result::ok)
            .map(|(key, call)| (key, self.is_watched(&call).then_some(call.function)))
            .collect()
    }

    /// Forgets such a call.
    pub fn forget_foreign(&mut self, key: ForeignKey) {
        let _ = self.foreign.remove(&key);
    }

    /// Lets the executions of an async function be followed: the futures that one of its poll
    /// function's plans polls.
    pub(super) fn add_future_site(
        &mut self,
        function: u32,
        plan: usize,
        layout: &FutureLayout,
    ) -> Result<(), ProbeError> {
        let room = self.future_places.len();
        let Some(site) = self
            .future_sites
            .add(function, plan, room, layout.suspensions.clone())
        else {
            let name = &self.functions[function as usize].name;
            tracing::warn!("too many async functions: of {name}, only polls are counted");
            return Ok(());
        };
        let place = FutureSite {
            executions: function + 1,
            argument: match layout.argument {
                Argument::First => 0,
                Argument::Second => 1,
            },
            state_offset: layout.state_offset,
            state_bytes: layout.state_bytes,
            states: layout.states,
            pad: 0,
        };
        self.future_places
            .set(site, place, 0)
            .map_err(in_map("FUTURE_SITES"))
    }

    /// Whether executions of any async function are followed.
    pub fn follows_futures(&self) -> bool {
        !self.future_sites.is_empty()
    }

    /// Whether a function counts the executions of the async function before it.
    pub fn counts_executions(&self, function: u32) -> bool {
        let function = self.functions.get(function as usize);
        function.is_some_and(|function| function.executions)
    }

    /// Open executions of async functions with the function that counts them; at most `limit`.
    pub fn open_executions(&self, limit: usize) -> Vec<(FutureKey, u32)> {
        let keys = self.futures.keys().take(limit).filter_map(Result::ok);
        keys.filter_map(|key| Some((key, self.future_sites.executions(key.site)?)))
            .collect()
    }

    /// Forgets such an execution.
    pub fn forget_execution(&mut self, key: FutureKey) {
        let _ = self.futures.remove(&key);
    }
}
