//! Copies of this test's own stack, compared with what the C library's unwinder says.

use std::{arch::asm, cell::RefCell, fs::File, hint::black_box, os::unix::fs::FileExt as _};

use monigo_common::copy::{COPY_RETURNED, Hidden, KIND_STACK_COPY, MAX_COPY_BYTES, StackCopyHead};

use proptest::prelude::*;

use super::{End, Unwinder, Walk};
use crate::probe::StackCopy;

/// A copied stack, and its return addresses, innermost first.
struct Taken {
    head: StackCopyHead,
    stack: Vec<u8>,
    truth: Vec<u64>,
}

impl Taken {
    fn walk(&self) -> Walk {
        Unwinder::default().walk(&StackCopy {
            head: self.head,
            stack: &self.stack,
        })
    }

    /// Where on the stack a return address lies.
    fn position_of(&self, index: usize) -> u64 {
        let mut words = self.stack.chunks_exact(8).enumerate();
        let mut at = 0;
        // Recursive calls return to the same address, so the way there counts.
        for address in &self.truth[..=index] {
            let found = words.find(|(_, word)| *word == address.to_ne_bytes());
            at = found.unwrap().0 as u64;
        }
        self.head.sp + 8 * at
    }
}

#[inline(never)]
fn take(deeper: u32) -> Taken {
    if deeper > 0 {
        let taken = take(deeper - 1);
        return black_box(taken);
    }
    let (ip, sp, fp): (u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "lea {ip}, [rip]", "mov {sp}, rsp", "mov {fp}, rbp",
            ip = out(reg) ip, sp = out(reg) sp, fp = out(reg) fp,
        );
    }
    let mut stack = vec![0; MAX_COPY_BYTES];
    let memory = File::open("/proc/self/mem").unwrap();
    let read = memory.read_at(&mut stack, sp).unwrap();
    stack.truncate(read);
    // Behind that, so that its result is no part of the copy.
    let mut addresses = vec![std::ptr::null_mut(); 64];
    // SAFETY: the buffer is as long as said.
    let found = unsafe { libc::backtrace(addresses.as_mut_ptr(), 64) };
    Taken {
        head: StackCopyHead {
            kind: KIND_STACK_COPY,
            pid: std::process::id(),
            ip,
            sp,
            fp,
            top: u64::MAX,
            bytes: stack.len() as u32,
            ..StackCopyHead::default()
        },
        stack,
        // The first is in this function.
        truth: addresses[1..found as usize]
            .iter()
            .map(|address| *address as u64)
            .collect(),
    }
}

#[test]
fn as_the_c_library_sees_it() {
    let taken = take(5);
    let walk = taken.walk();
    assert_eq!(walk.addresses[0], taken.head.ip);
    assert_eq!(walk.addresses[1..], taken.truth);
    assert_eq!(walk.end, End::Complete);
    assert!(taken.truth.len() > 6);
}

#[test]
fn what_is_not_copied_is_missing() {
    let mut taken = take(5);
    let last = taken.position_of(4);
    taken.stack.truncate((last - taken.head.sp) as usize);
    let walk = taken.walk();
    assert_eq!(walk.addresses[1..], taken.truth[..4]);
    assert_eq!(walk.end, End::CopyTooSmall);
    // Nothing of the stack lies beyond, so something else is wrong.
    taken.head.top = last;
    assert!(matches!(taken.walk().end, End::Undescribed(_)));
}

#[test]
fn a_hidden_return_address_is_put_back() {
    let mut taken = take(3);
    let address = taken.truth[1];
    let at = taken.position_of(1);
    let offset = (at - taken.head.sp) as usize;
    taken.stack[offset..offset + 8].fill(1);
    assert_ne!(taken.walk().end, End::Complete);
    taken.head.hidden[0] = Hidden { at, address };
    taken.head.hidden_count = 1;
    let walk = taken.walk();
    assert_eq!(walk.addresses[1..], taken.truth);
    assert_eq!(walk.end, End::Complete);
}

/// As on the copy of an instruction that a probe makes the thread execute.
#[test]
fn from_nowhere_the_walk_goes_on_behind_the_call() {
    let mut taken = take(3);
    taken.head.position = taken.position_of(1);
    let code = taken.head.ip;
    taken.head.ip = std::ptr::from_ref(&taken.head) as u64;
    let walk = taken.walk();
    assert_eq!(walk.return_address, Some(taken.truth[1]));
    assert_eq!(walk.addresses[0], taken.head.ip);
    // The registers that the frames in between have saved are lost, so the walk may end at a caller that
    // goes by its frame pointer, and says so; it skips nothing.
    assert_eq!(walk.addresses[1..2], taken.truth[1..2]);
    assert!(
        taken.truth[1..].starts_with(&walk.addresses[1..]),
        "{walk:x?}"
    );
    let whole = walk.addresses.len() == taken.truth.len();
    assert_eq!(walk.end == End::Complete, whole, "{walk:x?}");

    taken.head.ip = code;
    assert_eq!(taken.walk().addresses[1..], taken.truth);
    // The same at the call's very end, where its caller's registers are back.
    taken.head.ip = std::ptr::from_ref(&taken.head) as u64;
    let bytes = (taken.head.position - taken.head.sp) as usize;
    // In code with frame pointers the caller's was saved right before the return address.
    if let Some(saved) = taken.stack[..bytes].last_chunk()
        && (taken.head.position..taken.head.position + (1 << 20))
            .contains(&u64::from_ne_bytes(*saved))
    {
        taken.head.fp = u64::from_ne_bytes(*saved);
    }
    taken.stack.drain(..bytes);
    taken.head.sp = taken.head.position;
    assert_eq!(taken.walk().addresses[1..], taken.truth[1..]);
}

/// What lies there is no return address of the stack.
#[test]
fn a_call_that_was_left_is_recognized() {
    let mut taken = take(3);
    taken.head.position = taken.position_of(1) + 8;
    let walk = taken.walk();
    assert_eq!(walk.addresses[1..], taken.truth);
    let (position, places) = walk.left.unwrap();
    assert_eq!(position, taken.head.position);
    assert_eq!(places[..2], [0, 1].map(|index| taken.position_of(index)));
    taken.head.position = taken.position_of(1);
    assert_eq!(taken.walk().left, None);
}

#[test]
fn a_return_probe_sees_the_caller() {
    let mut taken = take(3);
    taken.head.flags = COPY_RETURNED;
    taken.head.ip = taken.truth[0];
    let at = taken.position_of(0) + 8;
    taken.stack.drain(..(at - taken.head.sp) as usize);
    taken.head.sp = at;
    let walk = taken.walk();
    assert_eq!(walk.return_address, Some(taken.truth[0]));
    assert_eq!(walk.addresses[1..2], taken.truth[..1]);
}

/// Whatever word differs from a stack that was walked before.
#[test]
fn another_stack_is_not_taken_for_one_before() {
    let mut taken = take(3);
    taken.head.position = taken.position_of(1);
    let mut unwinder = Unwinder::default();
    let mut different = 0;
    let words = (taken.position_of(4) - taken.head.sp) / 8 + 1;
    for at in (0..words as usize).map(|word| word * 8) {
        let mut walk = |taken: &Taken| {
            unwinder.walk(&StackCopy {
                head: taken.head,
                stack: &taken.stack,
            })
        };
        let whole = walk(&taken);
        // The second is kept, the third is that one.
        assert_eq!(walk(&taken), whole);
        assert_eq!(walk(&taken), whole);
        let kept = taken.stack[at..at + 8].to_owned();
        taken.stack[at..at + 8].fill(1);
        let walked = walk(&taken);
        assert_eq!(walked, taken.walk(), "{at}");
        different += usize::from(walked != whole);
        taken.stack[at..at + 8].copy_from_slice(&kept);
    }
    assert!(different > 4, "{different} of {words}");
}

#[test]
fn an_unknown_process_has_no_more_than_the_caller() {
    let mut taken = take(1);
    taken.head.pid = u32::MAX;
    taken.head.position = taken.position_of(0);
    let walk = taken.walk();
    assert_eq!(walk.addresses, [taken.head.ip, taken.truth[0]]);
    assert_eq!(walk.end, End::ProcessUnknown);
}

#[test]
fn any_registers_and_bytes_are_walked() {
    let unwinder = RefCell::new(Unwinder::default());
    let code = any_registers_and_bytes_are_walked as *const () as u64;
    proptest!(|(
        nowhere: u64,
        sp: u64,
        fp: u64,
        position: u64,
        stack in prop::collection::vec(any::<u8>(), 0..200),
    )| {
        for ip in [nowhere, code] {
            let head = StackCopyHead {
                pid: std::process::id(),
                ip,
                sp,
                fp,
                position,
                top: u64::MAX,
                ..StackCopyHead::default()
            };
            let walk = unwinder.borrow_mut().walk(&StackCopy { head, stack: &stack });
            prop_assert_eq!(walk.addresses[0], ip);
        }
    });
}
