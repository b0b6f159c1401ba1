//! What `cargo xtask bench` probes in Rust: like target.c, and the line `unwind` makes it panic
//! through `work`.

use std::{
    hint::black_box,
    io::{BufRead, stdin},
    panic::{catch_unwind, set_hook},
};

#[inline(never)]
fn leaf(value: u64) -> u64 {
    assert!(value != u64::MAX, "unwind");
    black_box(value.wrapping_mul(2_654_435_761))
}

#[inline(never)]
fn work(value: u64) -> u64 {
    leaf(value) ^ value
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
}

/// CPU time of this thread.
fn now_ns() -> i64 {
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    let mut time = [0; 2];
    // SAFETY: `timespec` is two 64-bit numbers on x86-64.
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time[0] * 1_000_000_000 + time[1]
}

fn main() {
    set_hook(Box::new(|_| {}));
    for line in stdin().lock().lines().map_while(Result::ok) {
        if line == "unwind" {
            let _ = catch_unwind(|| black_box(work(u64::MAX)));
            println!("0");
            continue;
        }
        let calls: u64 = line.parse().expect("a number of calls");
        let start = now_ns();
        let mut sum = 0u64;
        for call in 0..calls {
            sum = sum.wrapping_add(work(black_box(call)));
        }
        black_box(sum);
        println!("{}", now_ns() - start);
    }
}
