//! An async function of tokio of which one call in fifty is slow, for a reason named by the first argument:
//! what blocks or spins while it is polled, and what is awaited between polls.

use std::{
    hint::black_box,
    io::{self, BufRead as _, Read as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, mpsc, oneshot};

const SLOW: Duration = Duration::from_millis(12);

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

/// Blocks the thread, as nobody should in an async function, and many do.
#[inline(never)]
fn back_off() {
    std::thread::sleep(black_box(SLOW));
    black_box(());
}

#[inline(never)]
fn read_answer(answers: &mut io::PipeReader) {
    answers.read_exact(black_box(&mut [0])).expect("a byte");
    black_box(());
}

#[inline(never)]
fn reserve_stock(stock: &std::sync::Mutex<u64>) {
    *black_box(stock).lock().expect("not poisoned") += 1;
}

struct Shop {
    reason: String,
    /// Has somebody hold the lock for a while, and says when it is held.
    wanted: mpsc::Sender<oneshot::Sender<()>>,
    /// Has a byte written after a while.
    asked: std::sync::mpsc::Sender<()>,
    blocking: Arc<std::sync::Mutex<u64>>,
    awaited: Arc<Mutex<u64>>,
    answers: io::PipeReader,
}

async fn handle(shop: &mut Shop, slow: bool) {
    checksum(Duration::from_micros(100));
    match (slow, shop.reason.as_str()) {
        (true, "sleep") => back_off(),
        (true, "spin") => {
            checksum(SLOW);
        }
        (true, "pipe") => read_answer(&mut shop.answers),
        (true, "await-sleep") => tokio::time::sleep(SLOW).await,
        _ => {}
    }
    reserve_stock(&shop.blocking);
    *shop.awaited.lock().await += 1;
    black_box(());
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let reason = arguments.next().expect("a reason");
    let calls: u32 = arguments
        .next()
        .map_or(1000, |calls| calls.parse().expect("a number"));
    println!("ready {}", std::process::id());
    let mut lines = io::stdin().lock().lines();
    lines.next();
    let (blocking, awaited) = (Arc::new(std::sync::Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (wanted, mut wants) = mpsc::channel::<oneshot::Sender<()>>(1);
    let (asked, asks) = std::sync::mpsc::channel::<()>();
    let (answers, mut answer) = io::pipe().expect("a pipe");
    let (locked, shared) = (Arc::clone(&blocking), Arc::clone(&awaited));
    let why = reason.clone();
    tokio::spawn(async move {
        while let Some(held) = wants.recv().await {
            if why == "await-lock" {
                let stock = shared.lock().await;
                held.send(()).expect("somebody waits");
                tokio::time::sleep(SLOW).await;
                drop(stock);
            } else {
                let locked = Arc::clone(&locked);
                std::thread::spawn(move || {
                    let stock = locked.lock().expect("not poisoned");
                    held.send(()).expect("somebody waits");
                    std::thread::sleep(SLOW);
                    drop(stock);
                });
            }
        }
    });
    std::thread::spawn(move || {
        for () in asks {
            std::thread::sleep(SLOW);
            answer.write_all(b"x").expect("a reader");
        }
    });
    let mut shop = Shop {
        reason,
        wanted,
        asked,
        blocking,
        awaited,
        answers,
    };
    let work = tokio::spawn(async move {
        for call in 0..calls {
            let slow = call % 50 == 49;
            if slow && shop.reason.ends_with("lock") {
                let (say, held) = oneshot::channel();
                shop.wanted.send(say).await.expect("a holder");
                held.await.expect("a holder");
            }
            if slow && shop.reason == "pipe" {
                shop.asked.send(()).expect("a writer");
            }
            handle(&mut shop, slow).await;
        }
    });
    work.await.expect("the work is done");
    println!(
        "{{\"functions\":{{\"tokio_tail::handle (async)\":{{\"calls\":{calls},\"unwound\":0,\"in_flight\":0}}}},\"values\":{{\"slow\":{}}}}}",
        calls / 50
    );
    lines.next();
}
