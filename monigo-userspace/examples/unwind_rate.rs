//! How many copied stacks a second one thread unwinds: `unwind_rate [SECONDS]`.
//!
//! The stacks are this program's own, copied at the bottom of random walks through a few functions,
//! with the C library's `qsort` in between. One JSON object on stdout.

use std::{
    arch::asm,
    ffi::{c_int, c_void},
    fs::File,
    hint::black_box,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use monigo::{
    probe::StackCopy,
    unwind::{End, Unwinder},
};
use monigo_common::copy::{KIND_STACK_COPY, MAX_COPY_BYTES, StackCopyHead};

/// Distinct stacks.
const STACKS: u64 = 256;
/// Functions that call each other on the way down.
const DEEPEST: u64 = 24;

#[derive(Default)]
struct Walk {
    random: u64,
    left: u64,
    taken: Vec<(StackCopyHead, Vec<u8>)>,
}

impl Walk {
    fn draw(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) % below
    }
}

unsafe extern "C" {
    fn qsort(
        base: *mut c_void,
        count: usize,
        size: usize,
        compare: extern "C" fn(*const c_void, *const c_void) -> c_int,
    );
}

/// Elements carry the address of the walk.
extern "C" fn compare(left: *const c_void, _: *const c_void) -> c_int {
    // SAFETY: `through_library` sorts addresses of a walk that it has borrowed and does not use
    // meanwhile.
    let walk = unsafe { &mut **left.cast::<*mut Walk>() };
    if walk.left > 0 {
        step(walk);
    }
    0
}

#[inline(never)]
fn through_library(walk: &mut Walk) {
    let mut both = [std::ptr::from_mut(walk); 2];
    // SAFETY: base, count and size are those of the array.
    unsafe { qsort(both.as_mut_ptr().cast(), 2, size_of::<*mut Walk>(), compare) };
    black_box(&mut both);
}

#[inline(never)]
fn with_locals<const N: usize>(walk: &mut Walk) {
    let mut here = black_box([walk.left; N]);
    step(walk);
    black_box(&mut here);
}

#[inline(never)]
fn step(walk: &mut Walk) {
    if walk.left == 0 {
        copy(walk);
        return;
    }
    walk.left -= 1;
    match walk.draw(6) {
        0 => through_library(walk),
        1 => with_locals::<4>(walk),
        2 => with_locals::<12>(walk),
        3 => with_locals::<40>(walk),
        4 => with_locals::<7>(walk),
        _ => step(walk),
    }
    black_box(walk);
}

#[inline(never)]
fn copy(walk: &mut Walk) {
    let (ip, sp, fp): (u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "lea {ip}, [rip]",
            "mov {sp}, rsp",
            "mov {fp}, rbp",
            ip = out(reg) ip,
            sp = out(reg) sp,
            fp = out(reg) fp,
        );
    }
    // Reading it as a file ends at the stack's end.
    let mut stack = vec![0; MAX_COPY_BYTES];
    let read = File::open("/proc/self/mem").and_then(|memory| memory.read_at(&mut stack, sp));
    stack.truncate(read.unwrap_or(0));
    let head = StackCopyHead {
        kind: KIND_STACK_COPY,
        pid: std::process::id(),
        ip,
        sp,
        fp,
        top: u64::MAX,
        bytes: stack.len() as u32,
        ..StackCopyHead::default()
    };
    walk.taken.push((head, stack));
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let limit = Duration::from_secs(seconds.unwrap_or(3));
    let mut walk = Walk::default();
    for number in 0..STACKS {
        walk.left = number % DEEPEST;
        let before = walk.taken.len();
        step(&mut walk);
        // A walk through the library can reach its end more than once.
        walk.taken.truncate(before + 1);
    }
    let copies: Vec<StackCopy<'_>> = walk
        .taken
        .iter()
        .map(|(head, stack)| StackCopy { head: *head, stack })
        .collect();
    let mut unwinder = Unwinder::default();
    let (mut stacks, mut frames, mut complete) = (0_u64, 0_u64, 0_u64);
    let started = Instant::now();
    while started.elapsed() < limit {
        for copy in &copies {
            // As if no stack had been there before: it ends a byte further down each time.
            let head = StackCopyHead {
                top: u64::MAX - stacks,
                ..copy.head
            };
            let stack = copy.stack;
            let walked = unwinder.walk(&StackCopy { head, stack });
            stacks += 1;
            frames += walked.addresses.len() as u64;
            complete += u64::from(walked.end == End::Complete);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{{\"stacks\":{stacks},\"frames\":{frames},\"complete\":{complete},\"wall_s\":{seconds}}}"
    );
}
