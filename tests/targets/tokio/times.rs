//! Tasks of tokio with a known time budget: an async function that spins and waits for a slow pipe
//! while it is polled, and sleeps, waits for a lock and for a message between polls.

use std::{
    hint::black_box,
    io::{self, BufRead as _, Read as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, mpsc, oneshot};

const PART: Duration = Duration::from_millis(10);

/// CPU time of this thread, ns.
fn cpu_ns() -> i64 {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    let now = nix::time::clock_gettime(clock).expect("a clock");
    now.tv_sec() * 1_000_000_000 + now.tv_nsec()
}

/// What the parts took, ns.
#[derive(Default)]
struct Took {
    cpu: i64,
    pipe: u128,
    awaited: u128,
}

struct Desk {
    stock: Arc<Mutex<u64>>,
    /// Has the lock held for a while, and says when it is.
    hold: mpsc::Sender<oneshot::Sender<()>>,
    ask: mpsc::Sender<oneshot::Sender<u64>>,
    /// Has a byte written after a while.
    want: std::sync::mpsc::Sender<()>,
    pipe: io::PipeReader,
    took: Took,
}

#[inline(never)]
fn spins() {
    let start = cpu_ns();
    while cpu_ns() - start < PART.as_nanos() as i64 {
        for i in 0..20_000 {
            black_box(i);
        }
    }
}

/// Blocks the thread, as nobody should in an async function, and many do.
#[inline(never)]
fn reads(desk: &mut Desk) {
    let start = Instant::now();
    desk.want.send(()).expect("a writer");
    desk.pipe.read_exact(&mut [0]).expect("a byte");
    desk.took.pipe += start.elapsed().as_nanos();
}

async fn awaits(desk: &Desk) {
    tokio::time::sleep(PART).await;
    let (say, held) = oneshot::channel();
    desk.hold.send(say).await.expect("a holder");
    held.await.expect("a holder");
    *desk.stock.lock().await += 1;
    let (answer, answered) = oneshot::channel();
    desk.ask.send(answer).await.expect("a server");
    black_box(answered.await.expect("an answer"));
}

async fn work(desk: &mut Desk) {
    let before = cpu_ns();
    spins();
    desk.took.cpu += cpu_ns() - before;
    let start = Instant::now();
    awaits(desk).await;
    desk.took.awaited += start.elapsed().as_nanos();
    reads(desk);
    black_box(());
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let times: usize = std::env::args()
        .nth(1)
        .map_or(10, |times| times.parse().expect("a number"));
    println!("ready {}", std::process::id());
    let mut lines = io::stdin().lock().lines();
    if lines.next().and_then(Result::ok).as_deref() != Some("go") {
        std::process::exit(3);
    }
    let stock = Arc::new(Mutex::new(0));
    let (hold, mut holds) = mpsc::channel::<oneshot::Sender<()>>(1);
    let (ask, mut asked) = mpsc::channel::<oneshot::Sender<u64>>(1);
    let (want, wanted) = std::sync::mpsc::channel();
    let (pipe, mut writer) = io::pipe().expect("a pipe");
    let shared = Arc::clone(&stock);
    tokio::spawn(async move {
        while let Some(held) = holds.recv().await {
            let stock = shared.lock().await;
            held.send(()).expect("somebody waits");
            tokio::time::sleep(PART).await;
            drop(stock);
        }
    });
    tokio::spawn(async move {
        while let Some(answer) = asked.recv().await {
            tokio::time::sleep(PART).await;
            answer.send(1).expect("somebody waits");
        }
    });
    std::thread::spawn(move || {
        for () in wanted {
            std::thread::sleep(PART);
            writer.write_all(b"x").expect("a reader");
        }
    });
    let mut desk = Desk {
        stock,
        hold,
        ask,
        want,
        pipe,
        took: Took::default(),
    };
    let task = tokio::spawn(async move {
        let mut wall = 0;
        for _ in 0..times {
            let start = Instant::now();
            work(&mut desk).await;
            wall += start.elapsed().as_nanos();
        }
        (wall, desk.took)
    });
    let (wall, took) = task.await.expect("the work is done");
    let Took { cpu, pipe, awaited } = took;
    println!(
        "{{\"functions\":{{\"tokio_times::work (async)\":{{\"calls\":{times},\"unwound\":0,\"in_flight\":0}}}},\
         \"values\":{{\"wall_ns\":{wall},\"cpu_ns\":{cpu},\"pipe_ns\":{pipe},\"await_ns\":{awaited}}}}}"
    );
    lines.next();
}
