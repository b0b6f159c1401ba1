//! The descriptor of a goroutine.

use crate::symbols::go::GoroutineLayout;

/// Largest stack that Go allows on 64-bit machines.
const LARGEST_STACK_BYTES: u64 = 1 << 31;
/// `_Gscan`: the garbage collector looks at the stack.
const SCAN: u32 = 0x1000;

/// What a goroutine does: `atomicstatus` in `runtime/runtime2.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GoroutineState {
    /// Could run.
    Runnable,
    /// Runs.
    Running,
    /// In a system call or in C code.
    Syscall,
    /// Waits.
    Waiting,
    /// Its stack is being moved.
    CopyStack,
    /// Stopped by the runtime.
    Preempted,
    /// Waits for what nobody can send any more, as the runtime found out.
    Leaked,
    /// Ended, or not begun.
    Dead,
}

impl GoroutineState {
    /// Of Go 1.17 to 1.27; `None` for numbers that none of those uses.
    fn of(status: u32) -> Option<Self> {
        Some(match status & !SCAN {
            1 => Self::Runnable,
            2 => Self::Running,
            3 => Self::Syscall,
            4 => Self::Waiting,
            // 5 was never used.
            8 => Self::CopyStack,
            9 => Self::Preempted,
            10 => Self::Leaked,
            // `_Gidle` is being set up.
            0 | 6 | 11 => Self::Dead,
            _ => return None,
        })
    }

    /// As Go's own traces spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Syscall => "syscall",
            Self::Waiting => "waiting",
            Self::CopyStack => "copystack",
            Self::Preempted => "preempted",
            Self::Leaked => "leaked",
            Self::Dead => "dead",
        }
    }

    /// Whether the goroutine has left its stack as the runtime noted it.
    pub(super) const fn is_off_stack(self) -> bool {
        matches!(
            self,
            Self::Runnable | Self::Syscall | Self::Waiting | Self::Preempted | Self::Leaked
        )
    }
}

/// The fields of one `runtime.g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub stack: (u64, u64),
    pub sched: (u64, u64, u64),
    pub syscall: (u64, u64),
    pub status: u32,
    pub id: u64,
    pub wait_since_ns: u64,
    pub wait_reason: u8,
    pub created_at: u64,
    pub start: u64,
}

impl Fields {
    pub fn parse(bytes: &[u8], layout: &GoroutineLayout) -> Option<Self> {
        let word = |at: u32| {
            let at = at as usize;
            let bytes = bytes.get(at..at.checked_add(8)?)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        Some(Self {
            stack: (word(0)?, word(8)?),
            sched: (
                word(layout.sched)?,
                word(layout.sched + 8)?,
                word(layout.sched + 16)?,
            ),
            syscall: (word(layout.syscall_sp)?, word(layout.syscall_sp + 8)?),
            status: word(layout.status)? as u32,
            id: word(layout.goid)?,
            wait_since_ns: word(layout.wait_since)?,
            wait_reason: *bytes.get(layout.wait_reason as usize)?,
            created_at: layout.go_pc.and_then(word).unwrap_or(0),
            start: layout.start_pc.and_then(word).unwrap_or(0),
        })
    }

    pub fn state(&self) -> Option<GoroutineState> {
        GoroutineState::of(self.status)
    }

    /// Stack and instruction pointer where the goroutine has left off.
    pub fn position(&self) -> (u64, u64) {
        if self.state() == Some(GoroutineState::Syscall) && self.syscall.0 != 0 {
            self.syscall
        } else {
            (self.sched.0, self.sched.1)
        }
    }

    /// Whether this can be the goroutine at `address`.
    pub fn is_plausible(&self, address: u64) -> bool {
        let Some(state) = self.state() else {
            return false;
        };
        let (low, high) = self.stack;
        if state == GoroutineState::Dead || state == GoroutineState::CopyStack {
            return true;
        }
        let bounds = low < high && high - low <= LARGEST_STACK_BYTES;
        let own = self.sched.2 == address || self.sched.2 == 0;
        let (sp, _) = self.position();
        bounds && own && self.id != 0 && (!state.is_off_stack() || (low..=high).contains(&sp))
    }

    /// Whether the copied stack is that of this state.
    pub fn still_is(&self, before: &Self) -> bool {
        (self.status & !SCAN, self.id, self.stack, self.position())
            == (
                before.status & !SCAN,
                before.id,
                before.stack,
                before.position(),
            )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: GoroutineLayout = GoroutineLayout {
        sched: 56,
        syscall_sp: 112,
        status: 144,
        goid: 152,
        wait_since: 168,
        wait_reason: 176,
        go_pc: Some(296),
        start_pc: Some(312),
    };
    const ADDRESS: u64 = 0xc000_0040;

    /// A goroutine that waits.
    fn waiting() -> Vec<u8> {
        let mut bytes = vec![0; LAYOUT.bytes()];
        let mut put = |at: u32, word: u64| {
            bytes[at as usize..at as usize + 8].copy_from_slice(&word.to_le_bytes());
        };
        put(0, 0xc001_0000);
        put(8, 0xc001_0800);
        put(56, 0xc001_0700);
        put(64, 0x45_0000);
        put(72, ADDRESS);
        put(144, 4);
        put(152, 17);
        put(176, 14);
        bytes
    }

    fn with(at: u32, word: u64) -> Fields {
        let mut bytes = waiting();
        bytes[at as usize..at as usize + 8].copy_from_slice(&word.to_le_bytes());
        Fields::parse(&bytes, &LAYOUT).unwrap()
    }

    #[test]
    fn a_goroutine_that_waits() {
        let fields = Fields::parse(&waiting(), &LAYOUT).unwrap();
        assert!(fields.is_plausible(ADDRESS));
        assert_eq!(fields.state(), Some(GoroutineState::Waiting));
        assert_eq!((fields.id, fields.wait_reason), (17, 14));
        assert_eq!(fields.position(), (0xc001_0700, 0x45_0000));
        let scanned = with(144, 0x1004);
        assert_eq!(scanned.state(), Some(GoroutineState::Waiting));
        assert!(scanned.still_is(&fields), "only scanned meanwhile");
        assert!(!with(56, 0xc001_0600).still_is(&fields), "it ran");
        assert!(!with(152, 18).still_is(&fields), "another goroutine");
        assert!(!with(0, 0xc000_8000).still_is(&fields), "the stack moved");
    }

    #[test]
    fn what_is_no_goroutine() {
        assert!(!with(72, ADDRESS + 8).is_plausible(ADDRESS), "another one");
        assert!(!with(144, 5).is_plausible(ADDRESS), "no such state");
        assert!(!with(56, 1).is_plausible(ADDRESS), "not on its stack");
        assert!(!with(8, 0).is_plausible(ADDRESS), "no stack");
        assert!(!with(152, 0).is_plausible(ADDRESS), "no id");
        assert!(
            with(144, 6).is_plausible(ADDRESS),
            "dead ones hold anything"
        );
    }

    #[test]
    fn in_a_system_call_the_position_is_that_of_the_call() {
        let mut bytes = waiting();
        bytes[144] = 3;
        bytes[112..120].copy_from_slice(&0xc001_0780_u64.to_le_bytes());
        bytes[120..128].copy_from_slice(&0x46_0000_u64.to_le_bytes());
        let fields = Fields::parse(&bytes, &LAYOUT).unwrap();
        assert_eq!(fields.position(), (0xc001_0780, 0x46_0000));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), address: u64) {
            match Fields::parse(&bytes, &LAYOUT) {
                Some(fields) => {
                    let _ = fields.is_plausible(address);
                    prop_assert!(fields.still_is(&fields));
                }
                None => prop_assert!(bytes.len() < LAYOUT.bytes()),
            }
        }
    }
}
