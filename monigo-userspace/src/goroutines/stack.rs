//! Stacks of goroutines, walked by the sizes of frames that the function table tells.
//!
//! The runtime walks them so itself. Frame pointers would do as well where all code keeps them, but
//! where a goroutine waits in a system call, most versions do not note the frame pointer.

use std::collections::HashMap;

use super::MOST_FRAMES;
use crate::symbols::{
    Image, Machine,
    go::{self, CodeSpot},
};

/// Walks copies of stacks of one process.
pub struct Walker<'i> {
    image: &'i Image,
    /// What has to be added to addresses of the image.
    bias: u64,
    /// The same few places come again and again.
    spots: HashMap<u64, Option<CodeSpot>>,
}

impl<'i> Walker<'i> {
    /// For the program `image`, loaded at `bias`.
    pub fn new(image: &'i Image, bias: u64) -> Self {
        Self {
            image,
            bias,
            spots: HashMap::new(),
        }
    }

    /// Addresses of the instructions where each frame has left off, innermost first, and whether the
    /// outermost is missing.
    /// `stack` is what lies from the stack pointer on.
    pub fn walk(&mut self, pc: u64, stack: &[u8]) -> (Vec<u64>, bool) {
        let mut addresses = Vec::new();
        // Distance from the stack pointer.
        let (mut pc, mut at) = (pc, 0_u64);
        loop {
            let Some(spot) = self.spot(pc) else {
                return (addresses, true);
            };
            if spot.outermost {
                return (addresses, false);
            }
            if addresses.len() >= MOST_FRAMES {
                return (addresses, true);
            }
            // The call is before the return address; who has not begun has no call.
            addresses.push(if spot.at_entry { pc } else { pc - 1 });
            let (return_at, caller_at) = match self.image.machine() {
                Machine::X86_64 => {
                    let return_at = at.saturating_add(spot.frame_bytes);
                    (return_at, return_at.saturating_add(8))
                }
                // The return address is the lowest word of the frame.
                Machine::Arm64 => (at, at.saturating_add(spot.frame_bytes)),
            };
            let word = usize::try_from(return_at)
                .ok()
                .and_then(|at| stack.get(at..at.checked_add(8)?))
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_le_bytes);
            let Some(word) = word.filter(|_| caller_at > at) else {
                return (addresses, true);
            };
            (pc, at) = (word, caller_at);
        }
    }

    fn spot(&mut self, pc: u64) -> Option<CodeSpot> {
        let (image, bias) = (self.image, self.bias);
        *self
            .spots
            .entry(pc)
            .or_insert_with(|| go::code_spot(image, pc.wrapping_sub(bias)))
    }
}
