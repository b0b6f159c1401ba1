//! The 64-bit attach cookie that tells a kernel program which probe site fired.
//!
//! Layout, least significant bit first: function index (24), flags (16), condition code (4),
//! cost class (4), stack words (16).

/// Calls of this function are keyed by goroutine (`g` in r14), not by thread.
pub const FLAG_GO: u16 = 1 << 0;
/// The site is a conditional jump; it is an exit only if the condition holds.
pub const FLAG_CONDITIONAL: u16 = 1 << 1;
/// The site is a jump out of the function, which ends a call only when the stack is back where the
/// call began.
pub const FLAG_JUMP: u16 = 1 << 2;
/// `words` counts from the frame pointer, not from the stack pointer.
pub const FLAG_FRAME_POINTER: u16 = 1 << 3;
/// Which of two sets of links the site belongs to, see
/// [`crate::config::FunctionControl::generation`].
pub const FLAG_GENERATION: u16 = 1 << 4;
/// The end of the call is seen by a return probe, of which the kernel nests a limited number.
pub const FLAG_RETURN_PROBE: u16 = 1 << 5;
/// An entry at which the call ends as well (with [`FLAG_CONDITIONAL`]: if the condition holds).
pub const FLAG_INSTANT: u16 = 1 << 6;

/// Most functions in one session.
pub const MAX_FUNCTIONS: usize = 1 << 24;
/// Kinds of sites whose probes differ in price: the cost classes in their order, and
/// [`CLASS_RETURN_PROBE`].
pub const CLASSES: usize = 4;
/// Class of a return probe.
pub const CLASS_RETURN_PROBE: u8 = 3;

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Index of the function within the session, as in the counter map; below [`MAX_FUNCTIONS`].
    pub function: u32,
    /// `FLAG_*` bits.
    pub flags: u16,
    /// x86 condition code (low nibble of a `jcc` opcode), with [`FLAG_CONDITIONAL`].
    pub condition: u8,
    /// Price of the site, an index below [`CLASSES`] into [`crate::config::Costs`].
    pub class: u8,
    /// How far the stack pointer at function entry lies above the register (see
    /// [`FLAG_FRAME_POINTER`]) at an exit site, in words of 8 bytes. At the entry of a poll function
    /// whose futures are followed, the index of its [`crate::config::FutureSite`]; else 0.
    pub words: u16,
}

impl Cookie {
    /// Packs into the integer the kernel carries.
    pub const fn pack(self) -> u64 {
        self.function as u64 & 0xff_ffff
            | (self.flags as u64) << 24
            | (self.condition as u64 & 0xf) << 40
            | (self.class as u64 & 0xf) << 44
            | (self.words as u64) << 48
    }

    /// Unpacks what [`Cookie::pack`] made.
    #[inline(always)]
    pub const fn unpack(raw: u64) -> Self {
        Self {
            function: raw as u32 & 0xff_ffff,
            flags: (raw >> 24) as u16,
            condition: (raw >> 40) as u8 & 0xf,
            class: (raw >> 44) as u8 & 0xf,
            words: (raw >> 48) as u16,
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
