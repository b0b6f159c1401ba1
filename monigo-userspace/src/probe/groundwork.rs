//! What loading the programs takes that has nothing to do with what will be traced.

use aya::EbpfLoader;

use super::{Features, layout::Layout};

/// What is known of the running kernel before anything is loaded. Reading its type information takes a tenth
/// of a second, which can pass while symbols are read.
pub struct Groundwork {
    pub(super) features: Features,
    pub(super) layout: Layout,
    /// It has read the type information, too, in a form of its own.
    pub(super) loader: EbpfLoader<'static>,
}

impl Groundwork {
    /// Looks at the running kernel, to use `features` of it where it has them.
    pub fn lay(features: Features) -> Self {
        Self {
            features: features.limited_to_kernel(),
            layout: Layout::of_kernel(),
            loader: EbpfLoader::new(),
        }
    }
}
