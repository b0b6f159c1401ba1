//! Names for the addresses of stacks, and for the traced functions.

use std::sync::Arc;

use crate::{
    collect::{Resolve, Site},
    store::{Frame, NewFunction},
    symbols::{Image, symbolize::Symbolizer},
};

impl Resolve for Symbolizer {
    fn resolve(&mut self, pid: u32, address: u64, site: Site) -> Option<Vec<Frame>> {
        self.frames(pid, address, site == Site::Return)
            .map(|frames| frames.to_vec())
    }

    fn remember(&mut self, pid: u32) {
        Self::remember(self, pid);
    }

    fn forget(&mut self, pid: u32) {
        Self::forget(self, pid);
    }
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
