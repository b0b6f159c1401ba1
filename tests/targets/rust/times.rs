//! Calls with a known time budget: they spin, sleep, wait for a lock and for a message of another
//! thread, and read a slow pipe and a slow connection. One of them polls an async function until it is done.

use std::{
    hint::black_box,
    io::{self, BufRead as _, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    pin::{Pin, pin},
    sync::{Arc, Condvar, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

const PART: Duration = Duration::from_millis(10);

#[repr(C)]
struct Time {
    seconds: i64,
    nanos: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Time) -> i32;
}

/// CPU time of this thread, ns.
fn cpu_ns() -> i64 {
    let mut time = Time {
        seconds: 0,
        nanos: 0,
    };
    // SAFETY: CLOCK_THREAD_CPUTIME_ID is 3, and the structure is that of 64-bit Linux.
    unsafe { clock_gettime(3, &mut time) };
    time.seconds * 1_000_000_000 + time.nanos
}

/// What the parts took, ns.
#[derive(Default)]
struct Took {
    sleep: u128,
    lock: u128,
    channel: u128,
    io: u128,
    network: u128,
    future: u128,
}

struct Desk {
    mutex: Arc<Mutex<u64>>,
    held: mpsc::Receiver<()>,
    wanted: mpsc::Sender<()>,
    done: mpsc::Sender<()>,
    asked: mpsc::Sender<()>,
    answers: mpsc::Receiver<u64>,
    byte_wanted: mpsc::Sender<()>,
    pipe: io::PipeReader,
    answer_wanted: mpsc::Sender<()>,
    line: TcpStream,
    took: Took,
}

impl Desk {
    #[inline(never)]
    fn spins(&self) {
        let start = cpu_ns();
        while cpu_ns() - start < PART.as_nanos() as i64 {
            for i in 0..20_000 {
                black_box(i);
            }
        }
    }

    #[inline(never)]
    fn sleeps(&mut self) {
        let start = Instant::now();
        thread::sleep(PART);
        self.took.sleep += start.elapsed().as_nanos();
    }

    #[inline(never)]
    fn locks(&mut self) {
        self.held.recv().unwrap();
        let start = Instant::now();
        self.wanted.send(()).unwrap();
        *self.mutex.lock().unwrap() += 1;
        self.done.send(()).unwrap();
        self.took.lock += start.elapsed().as_nanos();
    }

    #[inline(never)]
    fn receives(&mut self) {
        let start = Instant::now();
        self.asked.send(()).unwrap();
        black_box(self.answers.recv().unwrap());
        self.took.channel += start.elapsed().as_nanos();
    }

    #[inline(never)]
    fn reads(&mut self) {
        let start = Instant::now();
        self.byte_wanted.send(()).unwrap();
        self.pipe.read_exact(&mut [0]).unwrap();
        self.took.io += start.elapsed().as_nanos();
    }

    #[inline(never)]
    fn hears(&mut self) {
        let start = Instant::now();
        self.answer_wanted.send(()).unwrap();
        self.line.read_exact(&mut [0]).unwrap();
        self.took.network += start.elapsed().as_nanos();
    }

    #[inline(never)]
    fn executes(&mut self) {
        let start = Instant::now();
        block_on(pause());
        self.took.future += start.elapsed().as_nanos();
    }

    #[inline(never)]
    fn work(&mut self) {
        self.spins();
        self.sleeps();
        self.locks();
        self.receives();
        self.reads();
        self.hears();
        self.executes();
        black_box(());
    }
}

/// Waits without sleeping itself: another thread wakes it.
async fn pause() -> u64 {
    Timer { started: false }.await;
    black_box(1)
}

struct Timer {
    started: bool,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.started {
            return Poll::Ready(());
        }
        self.started = true;
        let waker = context.waker().clone();
        thread::spawn(move || {
            thread::sleep(PART);
            waker.wake();
        });
        Poll::Pending
    }
}

#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(Arc::clone(&parker));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let woken = parker.woken.lock().unwrap();
        *parker.changed.wait_while(woken, |woken| !*woken).unwrap() = false;
    }
}

fn main() {
    let times: usize = std::env::args()
        .nth(1)
        .map_or(10, |times| times.parse().unwrap());
    println!("ready {}", std::process::id());
    let mut lines = io::stdin().lock().lines();
    if lines.next().map(Result::unwrap).as_deref() != Some("go") {
        std::process::exit(3);
    }
    let mutex = Arc::new(Mutex::new(0));
    let (hold, held) = mpsc::channel();
    let (wanted, is_wanted) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let (asked, is_asked) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let (byte_wanted, is_byte_wanted) = mpsc::channel();
    let (pipe, mut writer) = io::pipe().unwrap();
    let (answer_wanted, is_answer_wanted) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut other = listener.accept().unwrap().0;
    let shared = Arc::clone(&mutex);
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let holder = named("holder").spawn(move || {
        for _ in 0..times {
            let guard = shared.lock().unwrap();
            hold.send(()).unwrap();
            is_wanted.recv().unwrap();
            thread::sleep(PART);
            drop(guard);
            is_done.recv().unwrap();
        }
    });
    let server = named("server").spawn(move || {
        for () in is_asked {
            thread::sleep(PART);
            answer.send(1).unwrap();
        }
    });
    let slow = named("writer").spawn(move || {
        for () in is_byte_wanted {
            thread::sleep(PART);
            writer.write_all(b"x").unwrap();
        }
    });
    let peer = named("peer").spawn(move || {
        for () in is_answer_wanted {
            thread::sleep(PART);
            other.write_all(b"x").unwrap();
        }
    });
    let mut desk = Desk {
        mutex,
        held,
        wanted,
        done,
        asked,
        answers,
        byte_wanted,
        pipe,
        answer_wanted,
        line,
        took: Took::default(),
    };
    let (mut wall, mut cpu) = (0, 0);
    for _ in 0..times {
        let (start, before) = (Instant::now(), cpu_ns());
        desk.work();
        cpu += cpu_ns() - before;
        wall += start.elapsed().as_nanos();
    }
    let Took {
        sleep,
        lock,
        channel,
        io,
        network,
        future,
    } = desk.took;
    drop((desk.asked, desk.byte_wanted, desk.answer_wanted));
    for thread in [holder, server, slow, peer] {
        thread.unwrap().join().unwrap();
    }
    println!(
        "{{\"functions\":{{\"Desk::work\":{{\"calls\":{times},\"unwound\":0,\"in_flight\":0}}}},\
         \"values\":{{\"wall_ns\":{wall},\"cpu_ns\":{cpu},\"sleep_ns\":{sleep},\"lock_ns\":{},\
         \"channel_ns\":{channel},\"io_ns\":{io},\"network_ns\":{network},\"future_ns\":{future}}}}}",
        lock + future
    );
    lines.next();
}
