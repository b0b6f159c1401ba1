//! Atomic read-modify-write operations, which `core` does not offer for this target.
//!
//! Source: Linux `Documentation/bpf/standardization/instruction-set.rst`, "Atomic operations".

use core::arch::asm;

/// Adds to a 64-bit counter.
///
/// # Safety
/// `counter` must point into a live map value and be aligned to 8 bytes.
#[inline(always)]
pub unsafe fn add_u64(counter: *mut u64, value: u64) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {value}", counter = in(reg) counter, value = in(reg) value);
    }
}

/// Adds to a 32-bit counter, wrapping.
///
/// # Safety
/// `counter` must point into a live map value and be aligned to 4 bytes.
#[inline(always)]
pub unsafe fn add_u32(counter: *mut u32, value: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        // w2 is the lower half of r2; the register class of its own needs a target feature.
        asm!("lock *(u32 *)({counter} + 0) += w2", counter = in(reg) counter, in("r2") value);
    }
}

/// Adds to a 64-bit counter and returns what it was before.
///
/// # Safety
/// As for [`add_u64`].
#[inline(always)]
pub unsafe fn fetch_add_u64(counter: *mut u64, value: u64) -> u64 {
    let mut fetched = value;
    // SAFETY: promised by the caller.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({counter} + 0), {value})", counter = in(reg) counter, value = inout(reg) fetched);
    }
    fetched
}

/// Stores `new` if the value is `expected`; returns what it was before.
///
/// # Safety
/// As for [`add_u64`].
#[inline(always)]
pub unsafe fn compare_exchange_u64(place: *mut u64, expected: u64, new: u64) -> u64 {
    let mut found = expected;
    // SAFETY: promised by the caller.
    unsafe {
        asm!("r0 = cmpxchg_64({place} + 0, r0, {new})", place = in(reg) place, new = in(reg) new, inout("r0") found);
    }
    found
}
