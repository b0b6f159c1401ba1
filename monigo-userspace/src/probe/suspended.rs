//! Executions of async functions that wait between two polls.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use monigo_common::open::{FutureKey, INLINE_DEPTH, OwnerKey};

use super::kernel::Kernel;
use crate::symbols::futures::Suspensions;

/// An open execution of an async function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Its future.
    pub key: FutureKey,
    /// Index of the function that counts the executions.
    pub function: u32,
    /// When its first poll began, on the kernel's monotonic clock.
    pub start_ns: u64,
    /// Time in its polls so far.
    polled_ns: u64,
}

/// An execution that is not being polled.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The execution.
    pub outer: Execution,
    /// Executions whose futures lie inside its own.
    pub inside: Vec<Execution>,
    /// What its future can wait at.
    pub suspensions: Arc<Suspensions>,
}

impl Kernel {
    /// Executions that are open and not being polled, of futures that lie in no other one and whose places to
    /// wait at are known: at most `most` of them, from number `from` on in a circle, and how many there are.
    /// Looks at `limit` open ones; `owners` are the threads that may poll.
    pub fn suspended(
        &self,
        owners: &[OwnerKey],
        from: usize,
        most: usize,
        limit: usize,
    ) -> (Vec<Waiting>, usize) {
        let keys = self.futures.keys().take(limit).filter_map(Result::ok);
        let keys = keys.filter_map(|key| {
            let size = self.future_sites.suspensions(key.site)?.size;
            // Once timing has paused, ends are not seen any more.
            let polls = self.future_sites.executions(key.site)?.checked_sub(1)?;
            let followed = self.controls.get(polls as usize)?.window == 0;
            followed.then_some((key, size))
        });
        let nests = nests(keys.collect());
        if nests.is_empty() {
            return (Vec::new(), 0);
        }
        let polled = self.polled(owners);
        let chosen = nests.iter().cycle().skip(from % nests.len());
        let waiting = |nest: &Vec<FutureKey>| {
            let (outer, inside) = nest.split_first()?;
            if polled.contains(outer) {
                return None;
            }
            Some(Waiting {
                outer: self.execution(*outer)?,
                inside: inside
                    .iter()
                    .filter_map(|key| self.execution(*key))
                    .collect(),
                suspensions: Arc::clone(self.future_sites.suspensions(outer.site)?),
            })
        };
        let waiting = chosen.take(most.min(nests.len())).filter_map(waiting);
        (waiting.collect(), nests.len())
    }

    fn execution(&self, key: FutureKey) -> Option<Execution> {
        let state = self.futures.get(&key, 0).ok()?;
        Some(Execution {
            key,
            function: self.future_sites.executions(key.site)?,
            start_ns: state.start_ns,
            polled_ns: state.polled_ns,
        })
        // A first poll that has only just begun has no start yet.
        .filter(|execution| execution.start_ns != 0)
    }

    /// When the execution at a future began, on the kernel's monotonic clock, if it is open.
    pub fn begun(&self, future: FutureKey) -> Option<u64> {
        Some(self.execution(future)?.start_ns)
    }

    /// Whether no poll of an execution has ended since.
    pub fn still_waits(&self, execution: &Execution) -> bool {
        self.execution(execution.key) == Some(*execution)
    }

    /// The futures that are being polled.
    fn polled(&self, owners: &[OwnerKey]) -> HashSet<FutureKey> {
        let owners = owners.iter();
        let open = owners.filter_map(|owner| Some((owner, self.open.get(owner, 0).ok()?)));
        let polls = open.flat_map(|(owner, open)| {
            let depth = (open.depth as usize).min(INLINE_DEPTH);
            let calls = open.calls.into_iter().take(depth);
            calls.map(move |call| FutureKey {
                pid: owner.pid,
                site: call.future_site,
                address: call.future,
            })
        });
        polls.filter(|key| key.site != 0).collect()
    }
}

/// Puts futures that lie inside others, as their sizes tell, behind the outermost one.
fn nests(keys: Vec<(FutureKey, u32)>) -> Vec<Vec<FutureKey>> {
    let mut processes: HashMap<u32, Vec<(FutureKey, u32)>> = HashMap::new();
    for key in keys {
        processes.entry(key.0.pid).or_default().push(key);
    }
    let mut nests: Vec<Vec<FutureKey>> = Vec::new();
    for (_, mut keys) in processes {
        // The larger one of two at an address is around the other.
        keys.sort_by_key(|(key, size)| (key.address, std::cmp::Reverse(*size), key.site));
        let mut end = 0;
        for (key, size) in keys {
            match nests.last_mut() {
                Some(nest) if key.address < end => nest.push(key),
                _ => {
                    end = key.address.saturating_add(u64::from(size));
                    nests.push(vec![key]);
                }
            }
        }
    }
    nests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future(pid: u32, site: u32, address: u64, bytes: u32) -> (FutureKey, u32) {
        (FutureKey { pid, site, address }, bytes)
    }

    #[test]
    fn futures_inside_others_belong_to_the_outermost() {
        let keys = vec![
            future(7, 2, 0x108, 16),
            future(7, 1, 0x100, 64),
            future(7, 3, 0x100, 16),
            future(7, 1, 0x140, 64),
            future(8, 2, 0x108, 16),
        ];
        let mut found: Vec<Vec<(u32, u32, u64)>> = nests(keys)
            .into_iter()
            .map(|nest| {
                nest.into_iter()
                    .map(|key| (key.pid, key.site, key.address))
                    .collect()
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                vec![(7, 1, 0x100), (7, 3, 0x100), (7, 2, 0x108)],
                vec![(7, 1, 0x140)],
                vec![(8, 2, 0x108)],
            ]
        );
        assert!(nests(Vec::new()).is_empty());
    }
}
