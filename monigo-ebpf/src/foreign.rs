//! Calls on stacks that are not their thread's own: those of signal handlers and coroutines.
//!
//! Such stacks come and go and change threads, so nothing follows from the order of positions.
//! But the place of its return address tells a call from all others of its process.

use monigo_common::{
    event::Loss,
    open::{ForeignKey, OpenCall},
};

use crate::{
    maps::{FOREIGN, lose},
    owner::Owner,
    stack::count_unwound,
};

#[inline(always)]
fn key(owner: &Owner) -> ForeignKey {
    ForeignKey {
        pid: owner.key.pid,
        pad: 0,
        position: owner.position,
    }
}

/// A call begins at the position of an older one, which is therefore over.
#[inline(always)]
pub fn replace(owner: &Owner) {
    let key = key(owner);
    if let Some(old) = FOREIGN.get_ptr(key) {
        // SAFETY: `old` points to a live map value.
        count_unwound(unsafe { &*old }, key.pid);
        let _ = FOREIGN.remove(key);
    }
}

/// Remembers a call; false when there is no room.
#[inline(always)]
pub fn enter(owner: &Owner, call: OpenCall) -> bool {
    let stored = FOREIGN.insert(key(owner), call, 0).is_ok();
    if !stored {
        lose(Loss::OwnersFull);
    }
    stored
}

/// Sets when the call began.
#[inline(always)]
pub fn start(owner: &Owner, start_ns: u64) {
    if let Some(call) = FOREIGN.get_ptr_mut(key(owner)) {
        // SAFETY: `call` points to a live map value.
        unsafe { (*call).start_ns = start_ns };
    }
}

/// The call of `function` that ends here.
#[inline(always)]
pub fn leave(owner: &Owner, function: u32) -> Option<OpenCall> {
    let key = key(owner);
    // SAFETY: `call` points to a live map value.
    let call = FOREIGN.get_ptr(key).map(|call| unsafe { *call })?;
    if call.function != function {
        return None;
    }
    let _ = FOREIGN.remove(key);
    Some(call)
}
