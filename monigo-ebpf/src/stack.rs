//! The stack of open calls of one owner, ordered by position.

use core::{arch::asm, ffi::c_void};

use monigo_common::open::{DeepKey, INLINE_DEPTH, OpenCall, OpenCalls, OwnerKey};

use crate::{
    futures,
    maps::{COUNTERS, DEEP, FUNCTIONS, add},
};

const _: () = assert!(INLINE_DEPTH.is_power_of_two());

/// Whether the end of a call is watched for. It is not once the time window is closed in which it
/// began; then it may be over.
#[inline(always)]
pub fn is_watched(call: *const OpenCall) -> bool {
    // SAFETY: slots point to live map values.
    let (function, window) = unsafe { ((*call).function, (*call).window) };
    FUNCTIONS
        .get(function)
        .is_some_and(|function| function.window == window)
}

/// Writes a call to its place, field by field. Volatile, or the compiler makes a call of `memset` of those
/// that are zero, which for this target goes byte by byte.
///
/// # Safety
/// `place` must point into a live map value.
#[inline(always)]
unsafe fn write(call: &OpenCall, place: *mut OpenCall) {
    // SAFETY: promised by the caller.
    unsafe {
        (&raw mut (*place).position).write_volatile(call.position);
        (&raw mut (*place).start_ns).write_volatile(call.start_ns);
        (&raw mut (*place).nested_ns).write_volatile(call.nested_ns);
        (&raw mut (*place).probes_ns).write_volatile(call.probes_ns);
        (&raw mut (*place).function).write_volatile(call.function);
        (&raw mut (*place).window).write_volatile(call.window);
        (&raw mut (*place).class).write_volatile(call.class);
        (&raw mut (*place).future_site).write_volatile(call.future_site);
        (&raw mut (*place).future).write_volatile(call.future);
    }
}

/// Open calls of one owner, inside its map value.
pub struct Stack {
    open: *mut OpenCalls,
    owner: OwnerKey,
}

impl Stack {
    /// Wraps a map value.
    #[inline(always)]
    pub fn new(open: *mut OpenCalls, owner: OwnerKey) -> Self {
        Self { open, owner }
    }

    /// Number of open calls.
    #[inline(always)]
    pub fn depth(&self) -> u32 {
        // SAFETY: `open` points to a live map value that only its owner's probes touch.
        unsafe { (*self.open).depth }
    }

    #[inline(always)]
    fn set_depth(&mut self, depth: u32) {
        // SAFETY: as in `depth`.
        unsafe { (*self.open).depth = depth };
    }

    #[inline(always)]
    fn inline_slot(&self, index: u32) -> *mut OpenCall {
        let mut index = u64::from(index);
        // The compiler would drop a mask that it can prove redundant; the verifier needs to see it.
        // SAFETY: arithmetic on one register.
        unsafe {
            asm!("{index} &= {mask}", index = inout(reg) index, mask = const INLINE_DEPTH - 1)
        };
        // SAFETY: the index is inside the array.
        unsafe {
            (&raw mut (*self.open).calls)
                .cast::<OpenCall>()
                .add(index as usize)
        }
    }

    /// The open call at an index, the outermost being 0.
    #[inline(always)]
    pub fn slot(&self, index: u32) -> Option<*mut OpenCall> {
        if index < INLINE_DEPTH as u32 {
            return Some(self.inline_slot(index));
        }
        DEEP.get_ptr_mut(DeepKey {
            owner: self.owner,
            depth: u64::from(index),
        })
    }

    /// Of the outermost `depth` calls, those up to the innermost one whose end is watched for.
    #[inline(always)]
    pub fn watched(&self, depth: u32) -> u32 {
        let mut unwatched = Unwatched {
            open: self.open,
            owner: self.owner,
            depth,
        };
        // Nearly always the innermost one is.
        if !unwatched.round() {
            repeat(&mut unwatched);
        }
        unwatched.depth
    }

    /// The innermost open call.
    #[inline(always)]
    pub fn top(&self) -> Option<OpenCall> {
        let depth = self.depth();
        if depth == 0 {
            return None;
        }
        // SAFETY: a slot points to a live map value.
        self.slot(depth - 1).map(|slot| unsafe { *slot })
    }

    /// Removes the innermost open call.
    #[inline(always)]
    pub fn pop(&mut self) {
        let depth = self.depth();
        if depth == 0 {
            return;
        }
        let index = depth - 1;
        if index >= INLINE_DEPTH as u32 {
            let _ = DEEP.remove(DeepKey {
                owner: self.owner,
                depth: u64::from(index),
            });
        }
        self.set_depth(index);
    }

    /// Adds an innermost call; false when there is no room.
    #[inline(always)]
    pub fn push(&mut self, call: OpenCall) -> bool {
        let depth = self.depth();
        if depth < INLINE_DEPTH as u32 {
            // SAFETY: a slot points into a live map value.
            unsafe { write(&call, self.inline_slot(depth)) };
        } else if DEEP
            .insert(
                DeepKey {
                    owner: self.owner,
                    depth: u64::from(depth),
                },
                call,
                0,
            )
            .is_err()
        {
            return false;
        }
        self.set_depth(depth + 1);
        true
    }

    /// The innermost open call, to be changed in place.
    #[inline(always)]
    pub fn top_mut(&mut self) -> Option<*mut OpenCall> {
        match self.depth() {
            0 => None,
            depth => self.slot(depth - 1),
        }
    }

    /// Sets when the innermost call began.
    #[inline(always)]
    pub fn start(&mut self, start_ns: u64) {
        if let Some(slot) = self.top_mut() {
            // SAFETY: a slot points to a live map value.
            unsafe { (*slot).start_ns = start_ns };
        }
    }

    /// Closes calls that cannot be running any more once the stack is at `limit`: those below it.
    #[inline(always)]
    pub fn unwind_below(&mut self, limit: u64) {
        if self.top().is_some_and(|top| top.position < limit) {
            let mut unwind = Unwind {
                open: self.open,
                owner: self.owner,
                limit,
            };
            repeat(&mut unwind);
        }
    }

    /// Whether there are `depth` calls, of which the innermost lies below `limit`.
    #[inline(always)]
    fn is_below(&self, depth: u32, limit: u64) -> bool {
        // SAFETY: a slot points to a live map value.
        depth != 0
            && self
                .slot(depth - 1)
                .is_some_and(|slot| unsafe { (*slot).position } < limit)
    }

    /// How many calls are open once those are left out that lie below `limit`. Nothing is closed.
    #[inline(always)]
    pub fn depth_above(&self, limit: u64) -> u32 {
        let depth = self.depth();
        if !self.is_below(depth, limit) {
            return depth;
        }
        let mut search = Search {
            open: self.open,
            owner: self.owner,
            limit,
            depth,
        };
        repeat(&mut search);
        search.depth
    }

    /// Closes every open call.
    #[inline(always)]
    pub fn unwind_all(&mut self) {
        self.unwind_below(u64::MAX);
    }
}

/// Something that is done round by round. The verifier checks a round once, whatever their number.
pub trait Rounds {
    /// One round; true when that was the last.
    fn round(&mut self) -> bool;
}

/// Calls [`Rounds::round`] until it is done, at most as often as calls can be open.
#[cfg(not(feature = "portable"))]
#[inline(always)]
pub fn repeat<R: Rounds>(rounds: &mut R) {
    use aya_ebpf::helpers::generated::bpf_loop;
    use monigo_common::open::MAX_UNWIND;

    #[inline(never)]
    extern "C" fn round<R: Rounds>(_number: u32, rounds: *mut c_void) -> i64 {
        // SAFETY: the kernel passes on what it was given below.
        i64::from(unsafe { (*rounds.cast::<R>()).round() })
    }

    // SAFETY: the callback and its argument outlive the call.
    unsafe {
        bpf_loop(
            MAX_UNWIND,
            round::<R> as *mut c_void,
            (&raw mut *rounds).cast(),
            0,
        )
    };
}

/// The same for kernels without `bpf_loop`: once for each element of a map, until it is done.
#[cfg(feature = "portable")]
#[inline(always)]
pub fn repeat<R: Rounds>(rounds: &mut R) {
    use aya_ebpf::helpers::generated::bpf_for_each_map_elem;

    use crate::maps::ROUNDS;

    #[inline(never)]
    extern "C" fn round<R: Rounds>(
        _map: *mut c_void,
        _key: *const u32,
        _value: *mut u8,
        rounds: *mut c_void,
    ) -> i64 {
        // SAFETY: the kernel passes on what it was given below.
        i64::from(unsafe { (*rounds.cast::<R>()).round() })
    }

    // SAFETY: the callback and its argument outlive the call.
    unsafe {
        bpf_for_each_map_elem(
            (&raw const ROUNDS).cast_mut().cast(),
            round::<R> as *mut c_void,
            (&raw mut *rounds).cast(),
            0,
        );
    }
}

/// Closes calls below a limit, the innermost first.
struct Unwind {
    open: *mut OpenCalls,
    owner: OwnerKey,
    limit: u64,
}

impl Rounds for Unwind {
    #[inline(always)]
    fn round(&mut self) -> bool {
        let mut stack = Stack::new(self.open, self.owner);
        let Some(top) = stack.top() else { return true };
        if top.position >= self.limit {
            return true;
        }
        count_unwound(&top, self.owner.pid);
        stack.pop();
        false
    }
}

/// Looks for the innermost call whose end is watched for.
struct Unwatched {
    open: *mut OpenCalls,
    owner: OwnerKey,
    depth: u32,
}

impl Rounds for Unwatched {
    #[inline(always)]
    fn round(&mut self) -> bool {
        let Some(index) = self.depth.checked_sub(1) else {
            return true;
        };
        let stack = Stack::new(self.open, self.owner);
        if stack.slot(index).is_none_or(|call| is_watched(call)) {
            return true;
        }
        self.depth = index;
        false
    }
}

/// Looks for the innermost call that is not below a limit.
struct Search {
    open: *mut OpenCalls,
    owner: OwnerKey,
    limit: u64,
    depth: u32,
}

impl Rounds for Search {
    #[inline(always)]
    fn round(&mut self) -> bool {
        let stack = Stack::new(self.open, self.owner);
        if stack.is_below(self.depth, self.limit) {
            self.depth -= 1;
            false
        } else {
            true
        }
    }
}

/// Counts a call of process `pid` that left without passing an exit site.
#[inline(always)]
pub fn count_unwound(call: &OpenCall, pid: u32) {
    futures::abandon(call, pid);
    // Of a call that began in another time window the end may just not have been watched.
    let watched = FUNCTIONS
        .get(call.function)
        .is_some_and(|function| function.window == call.window);
    if watched && let Some(counters) = COUNTERS.get_ptr_mut(call.function) {
        // SAFETY: `counters` points to a live map value.
        add(unsafe { &raw mut (*counters).unwound }, 1);
    }
}
