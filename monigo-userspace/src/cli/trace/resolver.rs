//! Names for the addresses of stacks, and for the traced functions.

use std::sync::Arc;

use crate::{
    collect::{Resolve, Site, Traced},
    probe::PlannedFunction,
    store::{Frame, NewFunction},
    symbols::{Image, symbolize::Symbolizer},
};

impl Resolve for Symbolizer {
    fn resolve(&mut self, pid: u32, address: u64, site: Site) -> Option<Vec<Frame>> {
        self.frames(pid, address, site == Site::Return)
            .map(|frames| frames.to_vec())
    }

    fn kernel(&mut self, address: u64) -> Frame {
        Self::kernel(self, address)
    }

    fn remember(&mut self, pid: u32) {
        Self::remember(self, pid);
    }

    fn forget(&mut self, pid: u32) {
        Self::forget(self, pid);
    }
}

/// The traced functions as frames of stacks; `described` are those of `functions`.
pub fn traced(
    image: &Image,
    functions: &[PlannedFunction],
    described: &[NewFunction],
) -> Vec<Traced> {
    let pairs = functions.iter().zip(described);
    let traced = |(planned, described): (&PlannedFunction, &NewFunction)| {
        let instances = planned
            .plans
            .iter()
            .filter_map(|plan| image.function_at(plan.entry.address));
        let name = image.function_at(described.entry_address);
        Traced {
            frame: Frame {
                function: name.map_or_else(|| described.name.clone(), |f| f.name().to_owned()),
                image: described.image.clone(),
                address: described.entry_address,
                file: described.file.clone(),
                line: described.line,
                inlined: false,
                kernel: false,
            },
            ranges: instances.flat_map(|f| f.ranges.iter().cloned()).collect(),
        }
    };
    pairs.map(traced).collect()
}

/// A symbolizer that knows the target already, and where its functions are in the source.
pub fn symbolizer(image: &Arc<Image>, functions: &mut [NewFunction]) -> Symbolizer {
    let mut symbolizer = Symbolizer::new();
    symbolizer.add_image(Arc::clone(image));
    for described in functions {
        let Some(function) = image.function_at(described.entry_address) else {
            continue;
        };
        if let Some((file, line)) = symbolizer.source_of(image, function) {
            described.file = Some(file);
            described.line = line;
        }
    }
    symbolizer
}
