//! Whether stacks are walked by frame pointers or copied and unwound.

use crate::symbols::Image;

/// Functions of an image that are looked at.
const LOOKED_AT: usize = 512;
/// Shorter functions may not need a frame, whatever the compiler was told.
const LEAST_BYTES: u64 = 64;
/// Where in a function the frame pointer is set at the latest; tests for trivial cases can come
/// first.
const PROLOGUE_BYTES: u64 = 64;
/// Fewer functions than this say nothing.
const LEAST_FUNCTIONS: usize = 4;
/// Share of functions that set a frame pointer in images that keep them. Without, only functions
/// with frames of variable size do.
const SHARE: f64 = 0.5;

/// `push %rbp; mov %rsp,%rbp`, in both encodings.
const FRAMES: [[u8; 4]; 2] = [[0x55, 0x48, 0x89, 0xe5], [0x55, 0x48, 0x8b, 0xec]];

/// How an image treats the frame pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// As a frame pointer.
    FramePointers,
    /// As just another register.
    None,
    /// It has too few functions to tell.
    Unknown,
}

/// Whether functions with these first bytes keep frame pointers, by the share of those that set it.
pub fn keeps_frame_pointers<'a>(prologues: impl Iterator<Item = &'a [u8]>) -> Keeps {
    let (mut all, mut with) = (0_usize, 0_usize);
    for prologue in prologues {
        all += 1;
        with += usize::from(
            prologue
                .windows(4)
                .any(|bytes| FRAMES.iter().any(|f| f == bytes)),
        );
    }
    if all < LEAST_FUNCTIONS {
        return Keeps::Unknown;
    }
    if with as f64 >= all as f64 * SHARE {
        Keeps::FramePointers
    } else {
        Keeps::None
    }
}

/// How an image treats the frame pointer.
pub fn frame_pointers(image: &Image) -> Keeps {
    if image.go().is_some() {
        return Keeps::FramePointers;
    }
    let long: Vec<_> = image
        .functions()
        .iter()
        .filter_map(|function| function.ranges.first())
        .filter(|range| range.end.saturating_sub(range.start) >= LEAST_BYTES)
        .collect();
    let step = long.len().div_ceil(LOOKED_AT).max(1);
    let prologues = long
        .iter()
        .step_by(step)
        .filter_map(|range| image.code(range.start..range.start + PROLOGUE_BYTES));
    keeps_frame_pointers(prologues)
}

/// What images of a process need for complete stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// There is code that can only be unwound by tables, and has them.
    pub tables: bool,
    /// There is code of Go.
    pub go: bool,
}

impl Ways {
    /// Takes an image into account.
    pub fn add(&mut self, image: &Image) {
        self.go |= image.go().is_some();
        // A small program says little of itself; tables are right in any case.
        self.tables |= frame_pointers(image) != Keeps::FramePointers && image.eh_frame().is_some();
    }

    /// Whether stacks should be copied. Go keeps frame pointers and has no such tables, and its
    /// stacks are those of goroutines.
    pub fn copy(self) -> bool {
        self.tables && !self.go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = &[0x41, 0x57, 0x41, 0x56, 0x53, 0x48, 0x83, 0xec, 0x10];
    const FRAME: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x53];
    /// `test %edi,%edi; je …; push %rbp; mov %rsp,%rbp`.
    const LATE: &[u8] = &[0x85, 0xff, 0x74, 0x20, 0x55, 0x48, 0x8b, 0xec];

    fn of(prologues: &[&'static [u8]]) -> Keeps {
        keeps_frame_pointers(prologues.iter().copied())
    }

    #[test]
    fn most_functions_decide() {
        assert_eq!(of(&[FRAME, LATE, FRAME, PLAIN]), Keeps::FramePointers);
        assert_eq!(of(&[PLAIN, PLAIN, FRAME, PLAIN]), Keeps::None);
        assert_eq!(of(&[FRAME, FRAME]), Keeps::Unknown);
        assert_eq!(of(&[]), Keeps::Unknown);
    }
}
