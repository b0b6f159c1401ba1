//! The 64-bit attach cookie that tells a kernel program which probe site fired.
//!
//! Layout, least significant bit first: function index (32), flags (16), condition code (8),
//! unused (8).

/// Calls of this function are keyed by goroutine (`g` in r14), not by thread.
pub const FLAG_GO: u16 = 1 << 0;
/// The site is a conditional jump out of the function; it is an exit only if the condition holds.
pub const FLAG_CONDITIONAL: u16 = 1 << 1;
/// The site is a jump, so it ends a call only when the stack is back where the call began.
pub const FLAG_JUMP: u16 = 1 << 2;

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Index of the function within the session, as in the counter and histogram maps.
    pub function: u32,
    /// `FLAG_*` bits.
    pub flags: u16,
    /// x86 condition code (low nibble of a `jcc` opcode), with [`FLAG_CONDITIONAL`].
    pub condition: u8,
}

impl Cookie {
    /// Packs into the integer the kernel carries.
    pub const fn pack(self) -> u64 {
        self.function as u64 | (self.flags as u64) << 32 | (self.condition as u64) << 48
    }

    /// Unpacks what [`Cookie::pack`] made.
    #[inline(always)]
    pub const fn unpack(raw: u64) -> Self {
        Self {
            function: raw as u32,
            flags: (raw >> 32) as u16,
            condition: (raw >> 48) as u8,
        }
    }
}

/// Whether x86 condition code `condition` (low nibble of a `jcc` opcode) holds for `rflags`.
///
/// Source: Intel SDM volume 1, appendix B, "EFLAGS Condition Codes".
#[inline(always)]
pub const fn condition_holds(condition: u8, rflags: u64) -> bool {
    let carry = rflags & 1 != 0;
    let parity = rflags & (1 << 2) != 0;
    let zero = rflags & (1 << 6) != 0;
    let sign = rflags & (1 << 7) != 0;
    let overflow = rflags & (1 << 11) != 0;
    let holds = match condition >> 1 {
        0 => overflow,
        1 => carry,
        2 => zero,
        3 => carry || zero,
        4 => sign,
        5 => parity,
        6 => sign != overflow,
        _ => zero || sign != overflow,
    };
    // An odd code is the negation of the even one before it.
    holds != (condition & 1 != 0)
}
