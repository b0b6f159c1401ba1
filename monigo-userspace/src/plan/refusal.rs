//! Why a function is not probed.

/// Why a function has no plan. Each message is one sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No bytes.
    #[error("its symbol covers no code")]
    Empty,
    /// Longer than [`super::MAX_CODE_BYTES`].
    #[error("it is too large to analyse ({bytes} bytes; the limit is 1 MiB)")]
    TooLarge {
        /// Bytes over all ranges.
        bytes: usize,
    },
    /// Two of the function's ranges overlap, so the symbols are wrong.
    #[error("two of its code ranges overlap at {address:#x}")]
    Overlap {
        /// First byte claimed twice.
        address: u64,
    },
    /// Bytes that are not an instruction.
    #[error("its code cannot be decoded at {address:#x}: there is data among the instructions")]
    Undecodable {
        /// Where decoding stopped.
        address: u64,
    },
    /// The last instruction reaches beyond the range, so the range is wrong.
    #[error("its last instruction at {address:#x} crosses the end of its symbol")]
    Truncated {
        /// Where that instruction starts.
        address: u64,
    },
    /// A jump into the middle of an instruction, so the sweep is out of step with the code.
    #[error(
        "a jump at {address:#x} goes into the middle of an instruction ({target:#x}), so its \
         instruction boundaries are uncertain"
    )]
    MidInstruction {
        /// The jump.
        address: u64,
        /// Where it goes.
        target: u64,
    },
    /// Execution runs past the end into what follows.
    #[error("it runs past its end at {address:#x} into the code that follows")]
    FallsThrough {
        /// The last instruction.
        address: u64,
    },
    /// An instruction that has to be probed, but that the kernel does not accept.
    #[error("the kernel cannot probe the instruction at {address:#x} ({what})")]
    Unprobeable {
        /// The instruction.
        address: u64,
        /// Its mnemonic or what is special about it.
        what: String,
    },
    /// No instruction that every call passes once can be probed.
    #[error("no instruction that every call passes exactly once can be probed")]
    NoEntry,
    /// The only instruction that every call passes is an exit as well, where that is not handled.
    #[error("it is a single instruction that leaves at once, so there is nothing to measure")]
    OnlyReturns,
    /// A trampoline, where those are not handled: the only instruction is a jump.
    #[error("it only jumps on to {target:#x}; trace the function there instead")]
    OnlyJumps {
        /// Where it jumps.
        target: u64,
    },
    /// A loop back to the first instruction.
    #[error(
        "a loop at {address:#x} goes back to its first instruction, so an iteration cannot be \
         told from a call"
    )]
    LoopsToStart {
        /// The jump back.
        address: u64,
    },
    /// A Go function re-runs its prologue, and the check that decides it is of an unknown form.
    #[error("its Go stack check has an unknown form, so its entry would be counted twice")]
    GoStackCheck,
    /// A jump out of the function while its stack frame is still there.
    #[error(
        "it jumps at {address:#x} to {target:#x}, outside its symbol, with its stack frame still \
         in place, so part of it is unknown"
    )]
    LeavesWithFrame {
        /// The jump.
        address: u64,
        /// Where it goes.
        target: u64,
    },
    /// A return with the stack pointer elsewhere than at entry (a hand-written trampoline).
    #[error(
        "it returns at {address:#x} with the stack pointer moved, which is not a normal return"
    )]
    OddReturn {
        /// The return.
        address: u64,
    },
    /// An indirect jump that can be a jump table or a tail call.
    #[error("the indirect jump at {address:#x} may be a jump table or a call of another function")]
    AmbiguousJump {
        /// The jump.
        address: u64,
    },
    /// A site is not backed by the file.
    #[error("its code at {address:#x} is not in the file")]
    NotInFile {
        /// The site.
        address: u64,
    },
}

impl Refusal {
    /// The kind of reason in a few words, the same for all functions that have it.
    pub fn summary(&self) -> &'static str {
        match self {
            Self::Empty => "no code",
            Self::TooLarge { .. } => "too large",
            Self::Overlap { .. } => "overlapping symbols",
            Self::Undecodable { .. } => "data among the instructions",
            Self::Truncated { .. } => "a symbol that ends inside an instruction",
            Self::MidInstruction { .. } => "a jump into an instruction",
            Self::FallsThrough { .. } => "code that runs on behind the end of the symbol",
            Self::Unprobeable { .. } => "an instruction that the kernel cannot probe",
            Self::NoEntry => "no instruction that every call passes once",
            Self::OnlyReturns | Self::OnlyJumps { .. } => "a single instruction",
            Self::LoopsToStart { .. } => "a loop back to the first instruction",
            Self::GoStackCheck => "unknown form of Go's stack check",
            Self::LeavesWithFrame { .. } => "parts that no symbol covers",
            Self::OddReturn { .. } => "returns with the stack pointer moved",
            Self::AmbiguousJump { .. } => "unclear indirect jumps",
            Self::NotInFile { .. } => "code that is not in the file",
        }
    }
}
