//! A64 encodings, as far as planning asks for them.
//!
//! Source: Arm Architecture Reference Manual, chapter C4 "A64 Instruction Set Encoding". What a
//! probe costs follows `arch/arm64/kernel/probes/decode-insn.c` of Linux 6.18.

use crate::plan::CostClass;

/// Bytes of every instruction.
pub(super) const LENGTH: u64 = 4;
/// Number of the stack pointer where an operand can be one.
pub(super) const SP: u32 = 31;
/// Number of the frame pointer.
pub(super) const FP: u32 = 29;

/// What an instruction does with the program counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Goes on.
    Next,
    /// `b`.
    Jump(u64),
    /// `b.cond`, with the condition.
    Conditional(u64, u8),
    /// `cbz`, `cbnz`, `tbz`, `tbnz`.
    Test(u64),
    /// `bl`, to an address or through a register.
    Call(Option<u64>),
    /// `br` through a register.
    Indirect(u32),
    /// `ret` and its authenticating forms.
    Return,
    /// Does not go on: `udf`, `brk`, `hlt`.
    Stop,
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) address: u64,
    pub(super) bits: u32,
}

impl Word {
    fn is(self, mask: u32, value: u32) -> bool {
        self.bits & mask == value
    }

    fn field(self, low: u32, width: u32) -> u32 {
        self.bits >> low & ((1 << width) - 1)
    }

    /// A signed field in units of instructions, as a distance.
    fn target(self, low: u32, width: u32) -> u64 {
        let offset = signed(self.field(low, width), width) * LENGTH as i64;
        self.address.wrapping_add_signed(offset)
    }

    pub(super) fn next(self) -> u64 {
        self.address.wrapping_add(LENGTH)
    }

    /// Register in the place where most instructions name their result.
    pub(super) fn rd(self) -> u32 {
        self.field(0, 5)
    }

    /// Register in the place of the first operand or the base.
    pub(super) fn rn(self) -> u32 {
        self.field(5, 5)
    }

    /// Register in the place of the second operand.
    pub(super) fn rm(self) -> u32 {
        self.field(16, 5)
    }

    pub(super) fn flow(self) -> Flow {
        if self.is(0xfc00_0000, 0x1400_0000) {
            Flow::Jump(self.target(0, 26))
        } else if self.is(0xfc00_0000, 0x9400_0000) {
            Flow::Call(Some(self.target(0, 26)))
        } else if self.is(0xff00_0000, 0x5400_0000) {
            Flow::Conditional(self.target(5, 19), self.field(0, 4) as u8)
        } else if self.is(0x7e00_0000, 0x3400_0000) {
            Flow::Test(self.target(5, 19))
        } else if self.is(0x7e00_0000, 0x3600_0000) {
            Flow::Test(self.target(5, 14))
        } else if self.is(0xffff_fc1f, 0xd65f_0000) || self.is(0xffff_fbff, 0xd65f_0bff) {
            Flow::Return
        } else if self.is(0xffff_fc1f, 0xd63f_0000) || self.is(0xfeff_f800, 0xd63f_0800) {
            Flow::Call(None)
        } else if self.is(0xffff_fc1f, 0xd61f_0000) || self.is(0xfeff_f800, 0xd61f_0800) {
            Flow::Indirect(self.rn())
        } else if self.is(0xffff_0000, 0)
            || self.is(0xffe0_001f, 0xd420_0000)
            || self.is(0xffe0_001f, 0xd440_0000)
        {
            Flow::Stop
        } else {
            Flow::Next
        }
    }

    /// Where a jump goes (not a call).
    pub(super) fn jump_target(self) -> Option<u64> {
        match self.flow() {
            Flow::Jump(target) | Flow::Conditional(target, _) | Flow::Test(target) => Some(target),
            _ => None,
        }
    }

    /// The number of a `hint`: 0 is `nop`.
    pub(super) fn hint(self) -> Option<u32> {
        self.is(0xffff_f01f, 0xd503_201f).then(|| self.field(5, 7))
    }

    /// Fills space between functions.
    pub(super) fn is_padding(self) -> bool {
        self.hint() == Some(0) || self.bits == 0
    }

    /// Stands where an indirect call may arrive: `bti`, `paciasp`, `pacibsp`.
    pub(super) fn is_landing_pad(self) -> bool {
        matches!(self.hint(), Some(25 | 27 | 32 | 34 | 36 | 38))
    }

    /// The address that a load of a literal reads.
    pub(super) fn literal(self) -> Option<u64> {
        self.is(0x3b00_0000, 0x1800_0000)
            .then(|| self.target(5, 19))
    }

    /// The price of a probe; `None` when the kernel refuses it.
    pub(super) fn cost(self) -> Option<CostClass> {
        let authenticates = self.is(0xfe9f_f800, 0xd61f_0800);
        match self.flow() {
            Flow::Next => self.cost_of_ordinary(),
            Flow::Stop => None,
            _ if authenticates || self.is(0xff00_0010, 0x5400_0010) => None,
            _ => Some(CostClass::Emulated),
        }
    }

    fn cost_of_ordinary(self) -> Option<CostClass> {
        if let Some(hint) = self.hint() {
            return match hint {
                0 => Some(CostClass::Emulated),
                7 | 8 | 10 | 24..=27 | 32 | 34 | 36 | 38 => Some(CostClass::SingleStep),
                _ => None,
            };
        }
        // `adr`, `adrp`.
        if self.is(0x1f00_0000, 0x1000_0000) {
            return Some(CostClass::Emulated);
        }
        let refused = self.literal().is_some()
            // Exclusive and ordered loads and stores.
            || self.is(0x3f00_0000, 0x0800_0000)
            // Memory copies and fills, in threes.
            || self.is(0x3b20_0c00, 0x1900_0400)
            // Exceptions, returns from them, system registers.
            || self.is(0xff00_0000, 0xd400_0000)
            || self.is(0xfe00_0000, 0xd600_0000)
            || self.is(0xfff8_f01f, 0xd500_401f)
            || self.is(0xfff0_0000, 0xd510_0000)
            || self.is(0xffff_ffe0, 0xd53b_4220);
        (!refused).then_some(CostClass::SingleStep)
    }

    /// `add` or `sub` of an immediate, 64 bits wide, flags untouched: result, operand, and what is
    /// added.
    pub(super) fn add_immediate(self) -> Option<(u32, u32, i64)> {
        let shift = 12 * self.field(22, 1);
        let value = i64::from(self.field(10, 12)) << shift;
        if self.is(0xff80_0000, 0x9100_0000) {
            Some((self.rd(), self.rn(), value))
        } else if self.is(0xff80_0000, 0xd100_0000) {
            Some((self.rd(), self.rn(), -value))
        } else {
            None
        }
    }

    /// `add` of two registers.
    pub(super) fn is_add_registers(self) -> bool {
        self.is(0xff20_0000, 0x8b00_0000) || self.is(0xffe0_0000, 0x8b20_0000)
    }

    /// `mov` between registers.
    pub(super) fn is_move(self) -> bool {
        self.is(0xffe0_ffe0, 0xaa00_03e0)
    }

    /// A load or store that changes its base register: the register and by how much.
    pub(super) fn write_back(self) -> Option<(u32, i64)> {
        // Pairs, post- or pre-indexed.
        if self.is(0x3a80_0000, 0x2880_0000) {
            let size = self.field(30, 2);
            let scale = if self.field(26, 1) == 1 {
                4 << size
            } else {
                4 << (size >> 1)
            };
            return Some((self.rn(), signed(self.field(15, 7), 7) * scale));
        }
        self.is(0x3b20_0400, 0x3800_0400)
            .then(|| (self.rn(), signed(self.field(12, 9), 9)))
    }

    fn is_load_or_store(self) -> bool {
        self.is(0x0a00_0000, 0x0800_0000)
    }

    fn is_pair(self) -> bool {
        self.is(0x3a00_0000, 0x2800_0000)
    }

    /// A store of one or two registers at a constant distance from a base register.
    pub(super) fn is_plain_store(self) -> bool {
        let pair = self.is_pair() && self.field(22, 1) == 0;
        let single = self.is(0x3bc0_0000, 0x3900_0000) || self.is(0x3be0_0c00, 0x3800_0000);
        pair || single
    }

    /// A load into a general register with a constant distance from its base.
    pub(super) fn is_plain_load(self) -> bool {
        self.is(0x3f40_0000, 0x3940_0000) || self.is(0x3f60_0c00, 0x3840_0000)
    }

    /// A load whose address is the sum of two registers.
    pub(super) fn is_indexed_load(self) -> bool {
        self.is(0x3b20_0c00, 0x3820_0800) && self.field(22, 2) != 0
    }

    /// Whether it is a load of 64 bits.
    pub(super) fn is_64_bit_load(self) -> bool {
        self.field(30, 2) == 3
    }

    /// Whether the instruction may write general register `register`, or the stack pointer as
    /// [`SP`]. Wrong only in saying yes too often.
    pub(super) fn may_write(self, register: u32) -> bool {
        if self.hint().is_some() || self.jump_target().is_some() {
            return false;
        }
        if let Some((base, _)) = self.write_back()
            && base == register
        {
            return true;
        }
        if self.is_load_or_store() {
            let loads = !self.is_plain_store();
            let second = self.is_pair() && self.field(10, 5) == register;
            // A load into register 31 is one into nowhere.
            return loads && register != SP && (self.rd() == register || second);
        }
        if self.rd() != register {
            return false;
        }
        // Only these can name the stack pointer as their result.
        register != SP
            || self.is(0x3f80_0000, 0x1100_0000)
            || self.is(0x1f80_0000, 0x1200_0000) && self.field(29, 2) != 3
            || self.is(0x3fe0_0000, 0x0b20_0000)
            || self.is(0x1f80_0000, 0x1180_0000)
            || self.is(0x1e00_0000, 0x0400_0000)
    }
}

fn signed(value: u32, width: u32) -> i64 {
    let shift = 64 - width;
    (i64::from(value) << shift) >> shift
}
