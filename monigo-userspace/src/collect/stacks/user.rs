//! The user part of a sample's stack, seen from the traced function.

use monigo_common::event::MAX_FRAMES;

use super::{Resolve, Site, Traced};
use crate::probe::Sample;

/// Whether a whole stack shows that the call of a sample is over: other code than the function's stands
/// where that has been.
pub(super) fn is_left(resolver: &mut dyn Resolve, traced: &Traced, sample: &Sample) -> bool {
    if !sample.copied || sample.cut {
        return false;
    }
    let site = |depth| {
        if depth == 0 {
            Site::Interrupted
        } else {
            Site::Return
        }
    };
    // What has no name may be the function's, too: the copy of an instruction under a probe, a cold part.
    let is_other = |depth: usize| {
        let address = sample.user[depth];
        let frames = resolver.resolve(sample.pid, address, site(depth));
        frames.is_some_and(|frames| {
            !frames.is_empty()
                && !frames
                    .iter()
                    .any(|frame| traced.contains(frame) || frame.function.starts_with('['))
        })
    };
    let walked = sample.user.len();
    match sample.return_address {
        None => walked > 0 && (0..walked).all(is_other),
        Some(caller) => {
            let found = sample.user.iter().skip(1).position(|&at| at == caller);
            // The first is never a return address.
            found.is_some_and(is_other)
        }
    }
}

/// The sample with the caller that its walk skipped, if it did.
pub(super) fn completed(resolver: &mut dyn Resolve, sample: &Sample) -> Option<Sample> {
    let (&at, &walked) = (sample.user.first()?, sample.user.get(1)?);
    if sample.copied || sample.user.len() >= MAX_FRAMES {
        return None;
    }
    let caller = resolver.skipped_caller(sample.pid, at, walked)?;
    let mut completed = sample.clone();
    completed.user.insert(1, caller);
    Some(completed)
}

/// User addresses of a sample around the traced function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserStack<'a> {
    /// From where it was up to the traced function.
    pub inner: &'a [u64],
    /// The walk skipped the traced function.
    pub skips_function: bool,
    /// The callers of the traced function.
    pub outer: Vec<u64>,
    /// What is beyond could not be walked.
    pub truncated: bool,
}

impl<'a> UserStack<'a> {
    /// `is_function` tells whether an address belongs to the traced function.
    pub fn of(sample: &'a Sample, mut is_function: impl FnMut(u64, Site) -> bool) -> Self {
        let walked = sample.user.as_slice();
        let as_walked = Self {
            inner: walked,
            skips_function: false,
            outer: Vec::new(),
            truncated: false,
        };
        let Some(caller) = sample.return_address else {
            return as_walked;
        };
        if walked.len() == MAX_FRAMES && !sample.copied {
            return Self {
                truncated: true,
                ..as_walked
            };
        }
        let Some(&first) = walked.first() else {
            return Self {
                skips_function: true,
                outer: vec![caller],
                truncated: true,
                ..as_walked
            };
        };
        // The first address is never a return address.
        let found = walked.iter().skip(1).position(|&address| address == caller);
        if let Some(found) = found {
            let (inner, outer) = walked.split_at(found + 1);
            let site = if found == 0 {
                Site::Interrupted
            } else {
                Site::Return
            };
            let last = inner.last().copied().unwrap_or(first);
            return Self {
                inner,
                skips_function: !is_function(last, site),
                outer: outer.to_vec(),
                truncated: false,
            };
        }
        let (inner, rest) = walked.split_at(1);
        let mut outer = vec![caller];
        let at_function = is_function(first, Site::Interrupted);
        if at_function {
            // Only the caller is missing: the function's own frame is not set up.
            outer.extend(rest);
        }
        Self {
            inner,
            skips_function: !at_function,
            outer,
            truncated: !at_function,
        }
    }
}
