//! Names for the addresses of stacks, and for the traced functions.

use std::sync::Arc;

use crate::{
    collect::{Resolve, Site, Traced},
    probe::PlannedFunction,
    store::{Frame, NewFunction},
    symbols::{Image, maps::ProcessMaps, symbolize::Symbolizer},
};

impl Resolve for Symbolizer {
    fn resolve(&mut self, pid: u32, address: u64, site: Site) -> Option<Vec<Frame>> {
        let frames = self.frames(pid, address, site == Site::Return)?;
        Some(frames.iter().map(Frame::from).collect())
    }

    fn skipped_caller(&mut self, pid: u32, address: u64, walked: u64) -> Option<u64> {
        Self::skipped_caller(self, pid, address, walked)
    }

    fn kernel(&mut self, address: u64) -> Frame {
        Self::kernel(self, address)
    }

    fn remember(&mut self, pid: u32, maps: ProcessMaps) {
        self.insert_process(pid, maps);
    }

    fn forget(&mut self, pid: u32) {
        Self::forget(self, pid);
    }

    fn take_unsettled(&mut self) -> bool {
        Self::take_unsettled(self)
    }
}

/// The image that the code of `function` is in.
pub fn image_of<'i>(
    images: &'i [Arc<Image>],
    function: &PlannedFunction,
) -> Option<&'i Arc<Image>> {
    let mut images = images.iter();
    images.find(|image| *image.open_path() == *function.image)
}

/// The traced functions as frames of stacks; `described` are those of `functions`.
pub fn traced(
    images: &[Arc<Image>],
    functions: &[PlannedFunction],
    described: &[NewFunction],
) -> Vec<Traced> {
    let pairs = functions.iter().zip(described);
    let traced = |(planned, described): (&PlannedFunction, &NewFunction)| {
        let image = image_of(images, planned);
        let at = |address| image.and_then(|image| image.function_at(address));
        let instances = planned.plans.iter();
        let instances = instances.filter_map(|plan| at(plan.entry.address));
        let name = at(described.entry_address);
        Traced {
            frame: Frame {
                // Its time is not that of the poll function, which has frames of its own.
                function: name
                    .filter(|_| !planned.executions)
                    .map_or_else(|| described.name.clone(), |f| f.name().to_owned()),
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

/// A symbolizer that knows the images already, and where their functions are in the source.
pub fn symbolizer(
    images: &[Arc<Image>],
    functions: &[PlannedFunction],
    described: &mut [NewFunction],
) -> Symbolizer {
    let mut symbolizer = Symbolizer::new();
    // The target's own image, which comes first, is to be added last: it is the one that counts.
    for image in images.iter().rev() {
        symbolizer.add_image(Arc::clone(image));
    }
    for (planned, described) in functions.iter().zip(described) {
        let Some(image) = image_of(images, planned) else {
            continue;
        };
        let Some(function) = image.function_at(described.entry_address) else {
            continue;
        };
        if let Some((file, line)) = symbolizer.source_of(image, function) {
            described.file = Some(file);
            described.line = line;
        }
        for instance in &mut described.instances {
            let function = image.function_at(instance.address);
            let source = function.and_then(|function| symbolizer.source_of(image, function));
            if let Some((file, line)) = source {
                instance.file = Some(file);
                instance.line = line;
            }
        }
    }
    symbolizer
}
