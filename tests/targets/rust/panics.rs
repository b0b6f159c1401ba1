//! Panics through traced frames, generics, threads.

use std::{
    hint::black_box,
    io::{BufRead, Write},
    panic::{self, AssertUnwindSafe},
    thread,
};

struct Guard<'a>(&'a mut u64);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        *self.0 += 1;
    }
}

#[inline(never)]
pub fn descend(depth: u64, fails: bool, dropped: &mut u64) -> u64 {
    let guard = Guard(dropped);
    if depth == 0 {
        assert!(!black_box(fails), "as asked");
        return 0;
    }
    let below = descend(depth - 1, fails, guard.0);
    black_box(below) + 1
}

#[inline(never)]
pub fn catches(depth: u64, fails: bool, dropped: &mut u64) -> u64 {
    let result = panic::catch_unwind(AssertUnwindSafe(|| descend(depth, fails, dropped)));
    black_box(result.unwrap_or(1000))
}

pub trait Shape {
    fn area(&self) -> u64;
}

pub struct Square(u64);

impl Shape for Square {
    #[inline(never)]
    fn area(&self) -> u64 {
        black_box(self.0) * self.0
    }
}

/// Instantiated twice; both instances are one function to the user.
#[inline(never)]
pub fn sum_of<T: Copy + Into<u64>>(values: &[T]) -> u64 {
    black_box(values.iter().map(|value| (*value).into()).sum())
}

fn run(depth: u64, times: u64) -> (u64, u64) {
    let (mut total, mut dropped) = (0, 0);
    for i in 0..times {
        total += catches(depth, i % 2 == 1, &mut dropped);
        total += Square(i).area();
        total += sum_of(&[i as u32, 1]) + sum_of(&[i as u8, 2]);
    }
    // Ends the calls that the last panic left.
    total += catches(0, false, &mut dropped);
    (total, dropped)
}

fn await_line(word: &str) -> bool {
    std::io::stdin()
        .lock()
        .lines()
        .map_while(Result::ok)
        .any(|line| line == word)
}

fn main() {
    let argument = |index: usize, otherwise: u64| {
        std::env::args()
            .nth(index)
            .map_or(otherwise, |text| text.parse().unwrap())
    };
    let (depth, times, threads) = (argument(1, 10), argument(2, 100), argument(3, 3));
    panic::set_hook(Box::new(|_| {}));
    println!("ready {}", std::process::id());
    std::io::stdout().flush().unwrap();
    if !await_line("go") {
        std::process::exit(3);
    }
    let running: Vec<_> = (0..threads)
        .map(|_| thread::spawn(move || run(depth, times)))
        .collect();
    let (mut total, mut dropped) = (0, 0);
    for thread in running {
        let (thread_total, thread_dropped) = thread.join().unwrap();
        total += thread_total;
        dropped += thread_dropped;
    }
    let (failing, good) = (times / 2, times - times / 2);
    let function = |name: &str, calls: u64, unwound: u64| {
        format!("\"{name}\":{{\"calls\":{calls},\"unwound\":{unwound},\"in_flight\":0}}")
    };
    println!(
        "{{\"functions\":{{{},{},{},{}}},\"values\":{{\"total\":{total},\"dropped\":{dropped}}}}}",
        function("catches", threads * (times + 1), 0),
        function(
            "descend",
            threads * ((depth + 1) * good + 1),
            threads * (depth + 1) * failing
        ),
        function("area", threads * times, 0),
        function("sum_of", threads * times * 2, 0),
    );
    await_line("exit");
}
