//! Which instructions of a function to probe. Pure functions over bytes.

use serde::{Deserialize, Serialize};

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
    /// A return instruction.
    Return,
    /// An unconditional jump out of the function: a tail call.
    TailJump,
    /// A conditional jump out of the function; leaves only when the condition holds.
    ConditionalTailJump {
        /// Low nibble of the `jcc` opcode.
        condition: u8,
    },
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
    /// The dearest class among the sites: what a call is dominated by.
    pub fn cost_class(&self) -> CostClass {
        self.exits
            .iter()
            .map(|site| site.cost)
            .fold(self.entry.cost, Ord::max)
    }
}
