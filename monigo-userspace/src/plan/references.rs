//! Which code of an image calls or jumps to which other code.

use std::{collections::BTreeMap, ops::Range};

use iced_x86::{Decoder, DecoderOptions, FlowControl};

use super::{Fragments, Machine, arm64};
use crate::symbols::Image;

/// Direct calls and jumps between the pieces of an image, by target.
#[derive(Debug, Default)]
pub struct References {
    targets: BTreeMap<u64, Vec<Reference>>,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    from: u64,
    call: bool,
}

impl References {
    /// Decodes every piece of `image`.
    pub fn of(image: &Image, fragments: &Fragments) -> Self {
        let mut references = Self::default();
        for range in fragments.ranges() {
            if let Some(code) = image.code(range.clone()) {
                match image.machine() {
                    Machine::X86_64 => references.add(&range, code),
                    Machine::Arm64 => references.add_arm64(&range, code),
                }
            }
        }
        references
    }

    fn add(&mut self, range: &Range<u64>, code: &[u8]) {
        for instruction in Decoder::with_ip(64, code, range.start, DecoderOptions::NONE) {
            let call = instruction.flow_control() == FlowControl::Call;
            let jump = matches!(
                instruction.flow_control(),
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
            );
            if call || jump {
                self.note(
                    range,
                    instruction.ip(),
                    instruction.near_branch_target(),
                    call,
                );
            }
        }
    }

    fn add_arm64(&mut self, range: &Range<u64>, code: &[u8]) {
        for (from, target, call) in arm64::references(range.start, code) {
            self.note(range, from, target, call);
        }
    }

    fn note(&mut self, range: &Range<u64>, from: u64, target: u64, call: bool) {
        if !range.contains(&target) {
            let references = self.targets.entry(target).or_default();
            references.push(Reference { from, call });
        }
    }

    /// Whether all that goes to `piece` are jumps from within `ranges`.
    pub fn are_jumps_from(&self, piece: &Range<u64>, ranges: &[Range<u64>]) -> bool {
        let mut references = self.targets.range(piece.clone()).flat_map(|(_, list)| list);
        references.all(|reference| {
            !reference.call && ranges.iter().any(|range| range.contains(&reference.from))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_from_one_place_and_calls_are_told_apart() {
        let mut references = References::default();
        // jmp 0x2000; call 0x3000
        let code = [0xe9, 0xfb, 0x0f, 0, 0, 0xe8, 0xf6, 0x1f, 0, 0];
        references.add(&(0x1000..0x100a), &code);
        let own = std::slice::from_ref(&(0x1000..0x100a));
        assert!(references.are_jumps_from(&(0x2000..0x2010), own));
        assert!(!references.are_jumps_from(&(0x2000..0x2010), &[]));
        assert!(!references.are_jumps_from(&(0x3000..0x3010), own));
    }
}
