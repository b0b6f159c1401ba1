//! Works from the start until told "go": one function is called far more often than the others,
//! one takes most of the time.

use std::{
    hint::black_box,
    io::BufRead as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

static STOP: AtomicBool = AtomicBool::new(false);

mod work {
    use super::{Duration, black_box, thread};

    #[inline(never)]
    pub fn hot(x: u64) -> u64 {
        black_box(x).wrapping_mul(3).wrapping_add(1) % 1_000_003
    }

    #[inline(never)]
    pub fn slow() {
        thread::sleep(black_box(Duration::from_millis(3)));
        black_box(());
    }

    #[inline(never)]
    pub fn generic<T: Copy + std::ops::Add<Output = T>>(x: T) -> T {
        black_box(x) + x
    }
}

fn main() {
    println!("ready {}", std::process::id());
    let worker = thread::spawn(|| {
        let (mut sum, mut hot, mut slow) = (0_u64, 0_u64, 0_u64);
        while !STOP.load(Ordering::Relaxed) {
            for _ in 0..3000 {
                sum = work::hot(sum);
                hot += 1;
            }
            black_box(work::generic(1_u32));
            black_box(work::generic(1_u64));
            work::slow();
            slow += 1;
        }
        (sum, hot, slow)
    });
    let mut lines = std::io::stdin().lock().lines();
    lines.next();
    STOP.store(true, Ordering::Relaxed);
    let (sum, hot, slow) = worker.join().unwrap();
    let expected = (0..hot).fold(0, |sum: u64, _| (sum * 3 + 1) % 1_000_003);
    let count = |calls| format!("{{\"calls\":{calls},\"unwound\":0,\"in_flight\":0}}");
    println!(
        "{{\"functions\":{{\"hot\":{},\"slow\":{}}},\"values\":{{\"sum\":{sum},\"expected\":{expected}}}}}",
        count(hot),
        count(slow)
    );
    lines.next();
}
