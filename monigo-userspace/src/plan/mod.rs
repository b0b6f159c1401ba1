//! Which instructions of a function to probe. Pure functions over bytes.
//!
//! [`plan`] takes the code of one function and answers with a [`FunctionPlan`]: one entry site
//! that every call passes exactly once, at the lowest price the kernel has for it, and every
//! instruction through which a call can end. What cannot be proven safe is a [`Refusal`], since a
//! breakpoint in the wrong place corrupts the traced program.

mod arm64;
mod fragments;
mod image;
mod landing;
mod recursion;
mod references;
mod refusal;
#[cfg(test)]
mod tests;
mod x86_64;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use crate::symbols::Machine;

pub use self::{
    fragments::Fragments,
    image::{ImagePlanner, Unplannable},
    recursion::may_recurse,
    refusal::Refusal,
};

/// Longest function that is planned, in bytes over all its ranges.
pub const MAX_CODE_BYTES: usize = 1 << 20;

/// Most pieces that unwind tables may add to a function.
const MAX_FRAGMENTS: usize = 16;

/// One contiguous piece of a function's code.
#[derive(Clone, Copy, Debug)]
pub struct FunctionCode<'a> {
    /// ELF virtual address of the first byte.
    pub address: u64,
    /// The code.
    pub bytes: &'a [u8],
}

/// What a plan needs to know of the image around the function.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Built by the Go tool chain (1.17 or later: register ABI, `g` in r14).
    pub go: bool,
    /// Maps an ELF virtual address of code to its offset in the file.
    pub file_offset: &'a dyn Fn(u64) -> Option<u64>,
    /// The piece of code around an ELF virtual address according to the image's unwind tables
    /// (see [`Fragments`]); asked only when a function jumps to code that no symbol gives it.
    pub fragment: &'a dyn Fn(u64) -> Option<Range<u64>>,
    /// Reads `length` bytes of code or initialised data at an ELF virtual address, as they are in the
    /// file (not relocated). Used to look into jump tables.
    pub read: &'a dyn Fn(u64, usize) -> Option<&'a [u8]>,
    /// Where exceptions can enter the code in a range of ELF virtual addresses (see
    /// [`Fragments::landing_pads`]); `None` if that is not known.
    pub landing_pads: &'a dyn Fn(Range<u64>) -> Option<Vec<u64>>,
}

/// An instruction set that functions can be planned for.
trait Architecture {
    /// See [`plan`].
    fn plan(code: &[FunctionCode<'_>], context: &Context<'_>) -> Result<FunctionPlan, Refusal>;
}

/// Plans the sites of one x86-64 function; see [`plan_on`].
pub fn plan<'a>(code: &[FunctionCode<'a>], context: &Context<'a>) -> Result<FunctionPlan, Refusal> {
    plan_on(Machine::X86_64, code, context)
}

/// Plans the sites of one function.
///
/// `code[0]` starts with the function's entry; the others are its cold parts, in any order. The
/// bytes must be those of the file, without breakpoints of other tracers.
pub fn plan_on<'a>(
    machine: Machine,
    code: &[FunctionCode<'a>],
    context: &Context<'a>,
) -> Result<FunctionPlan, Refusal> {
    let size: usize = code.iter().map(|part| part.bytes.len()).sum();
    if code.first().is_none_or(|part| part.bytes.is_empty()) {
        return Err(Refusal::Empty);
    }
    if size > MAX_CODE_BYTES {
        return Err(Refusal::TooLarge { bytes: size });
    }
    let mut parts = code.to_vec();
    loop {
        let result = match machine {
            Machine::X86_64 => x86_64::X86_64::plan(&parts, context),
            Machine::Arm64 => arm64::Arm64::plan(&parts, context),
        };
        let Err(Refusal::LeavesWithFrame { target, .. }) = result else {
            return result;
        };
        // Only a piece of the same function is entered with its stack frame in place.
        match fragment(target, context) {
            Some(piece) if parts.len() < code.len() + MAX_FRAGMENTS => parts.push(piece),
            _ => return result,
        }
    }
}

fn fragment<'a>(address: u64, context: &Context<'a>) -> Option<FunctionCode<'a>> {
    let range = (context.fragment)(address)?;
    let length = usize::try_from(range.end - range.start).ok()?;
    if length > MAX_CODE_BYTES {
        return None;
    }
    Some(FunctionCode {
        address: range.start,
        bytes: (context.read)(range.start, length)?,
    })
}

/// What the kernel does when a probe at an instruction fires, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostClass {
    /// A 5-byte nop, which Linux 6.18 and later turns into a call.
    Nop5,
    /// The kernel emulates the instruction inside the trap.
    Emulated,
    /// The kernel executes a copy out of line under single-step: two traps.
    SingleStep,
}

/// Why a site is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SiteKind {
    /// Every call passes here exactly once, before the stack pointer changes.
    Entry,
    /// The same, and the instruction is an exit as well: the call ends where it begins, with
    /// nothing in between to measure. One probe has to see both, since the kernel promises no
    /// order between two on one instruction.
    EntryAndExit {
        /// Low nibble of the `jcc` opcode under which the call ends here; `None` for always.
        condition: Option<u8>,
    },
    /// A return instruction.
    Return,
    /// An unconditional jump out of the function: a tail call.
    TailJump,
    /// A conditional jump out of the function; leaves only when the condition holds.
    ConditionalTailJump {
        /// Low nibble of the `jcc` opcode; on arm64, the condition of the `b.cond`.
        condition: u8,
    },
    /// A jump inside the function behind which nothing is left to do but to give the frame back and
    /// return. Stands for the return instruction, which is dearer to probe.
    Epilogue {
        /// Low nibble of the `jcc` opcode under which control goes there; `None` for always.
        condition: Option<u8>,
        /// Where the stack pointer was at function entry.
        frame: Frame,
    },
}

impl SiteKind {
    /// As listings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::EntryAndExit { condition: None } => "entry-and-exit",
            Self::EntryAndExit { .. } => "entry-and-conditional-exit",
            Self::Return => "return",
            Self::TailJump => "tail-jump",
            Self::ConditionalTailJump { .. } => "conditional-tail-jump",
            Self::Epilogue {
                condition: None, ..
            } => "epilogue",
            Self::Epilogue { .. } => "conditional-epilogue",
        }
    }
}

/// Where the stack pointer was at function entry, relative to a register at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// This many words of 8 bytes above the stack pointer.
    StackPointer(u16),
    /// This many words of 8 bytes above the frame pointer.
    FramePointer(u16),
}

/// One instruction to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// ELF virtual address.
    pub address: u64,
    /// Offset in the file, as the kernel wants it.
    pub file_offset: u64,
    /// Why it is probed.
    pub kind: SiteKind,
    /// Its price.
    pub cost: CostClass,
}

/// The sites that together see each call of one function begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPlan {
    /// Where a call begins.
    pub entry: Site,
    /// Where it can end; empty for a function that never returns.
    pub exits: Vec<Site>,
}

impl FunctionPlan {
    /// Whether a call can be seen to end.
    pub fn has_end(&self) -> bool {
        !self.exits.is_empty() || matches!(self.entry.kind, SiteKind::EntryAndExit { .. })
    }

    /// The dearest class among the sites: what a call is dominated by.
    pub fn cost_class(&self) -> CostClass {
        self.exits
            .iter()
            .map(|site| site.cost)
            .fold(self.entry.cost, Ord::max)
    }
}
