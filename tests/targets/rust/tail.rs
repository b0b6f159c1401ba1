//! Calls of which one in fifty is slow, for a reason named by the first argument.

use std::{
    hint::black_box,
    io::{BufRead as _, Read as _, Write as _},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

const SLOW: Duration = Duration::from_millis(12);

#[inline(never)]
fn restock(stock: &Mutex<u64>, held: &mpsc::Sender<()>) {
    let mut stock = stock.lock().unwrap();
    held.send(()).unwrap();
    thread::sleep(SLOW);
    *stock += 1;
}

#[inline(never)]
fn reserve_stock(stock: &Mutex<u64>) {
    *black_box(stock).lock().unwrap() += 1;
}

#[inline(never)]
fn checksum(long: Duration) -> u64 {
    let start = Instant::now();
    let mut sum = 0_u64;
    while start.elapsed() < long {
        for i in 0..20_000_u64 {
            sum = black_box(sum.wrapping_add(i));
        }
    }
    black_box(sum)
}

#[inline(never)]
fn back_off() {
    thread::sleep(black_box(SLOW));
    black_box(());
}

#[inline(never)]
fn read_answer(answers: &mut impl std::io::Read) {
    let mut one = [0];
    answers.read_exact(black_box(&mut one)).unwrap();
    black_box(one);
}

#[inline(never)]
fn handle(reason: &str, slow: bool, stock: &Mutex<u64>, answers: &mut std::io::PipeReader) {
    checksum(Duration::from_micros(100));
    match (slow, reason) {
        (true, "sleep") => back_off(),
        (true, "spin") => {
            checksum(SLOW);
        }
        (true, "pipe") => read_answer(answers),
        _ => {}
    }
    reserve_stock(stock);
    black_box(());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let reason = arguments.next().unwrap();
    let calls: u32 = arguments.next().map_or(1000, |calls| calls.parse().unwrap());
    let stock = Arc::new(Mutex::new(0));
    let (mut answers, mut answer) = std::io::pipe().unwrap();
    let (wanted, wants) = mpsc::channel::<()>();
    let (held, holds) = mpsc::channel();
    let helper = thread::Builder::new().name("restocker".to_owned());
    let (shared, why) = (Arc::clone(&stock), reason.clone());
    let helper = helper.spawn(move || {
        while wants.recv().is_ok() {
            if why == "lock" {
                restock(&shared, &held);
            } else {
                thread::sleep(SLOW);
                answer.write_all(b"x").unwrap();
            }
        }
    });
    println!("ready {}", std::process::id());
    let mut lines = std::io::stdin().lock().lines();
    lines.next();
    for call in 0..calls {
        let slow = call % 50 == 49;
        if slow && (reason == "lock" || reason == "pipe") {
            wanted.send(()).unwrap();
        }
        if slow && reason == "lock" {
            holds.recv().unwrap();
        }
        handle(&reason, slow, &stock, &mut answers);
    }
    drop(wanted);
    helper.unwrap().join().unwrap();
    println!(
        "{{\"functions\":{{\"tail::handle\":{{\"calls\":{calls},\"unwound\":0,\"in_flight\":0}}}},\"values\":{{\"slow\":{}}}}}",
        calls / 50
    );
    lines.next();
}
