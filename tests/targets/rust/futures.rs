//! Async functions on a small executor: futures that move between threads, are dropped half-way,
//! panic, complete at once, contain each other, and return large values.

use std::{
    collections::VecDeque,
    future::Future,
    hint::black_box,
    io::{BufRead, Write},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

/// What one function did.
#[derive(Default)]
struct Tally {
    completed: AtomicU64,
    ended: AtomicU64,
    polls: AtomicU64,
    unwound_polls: AtomicU64,
    inside_ns: AtomicU64,
    around_ns: AtomicU64,
}

macro_rules! tallies {
    ($($name:ident $text:literal),*) => {
        $(static $name: Tally = Tally {
            completed: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            unwound_polls: AtomicU64::new(0),
            inside_ns: AtomicU64::new(0),
            around_ns: AtomicU64::new(0),
        };)*
        const TALLIES: &[(&str, &Tally)] = &[$(($text, &$name)),*];
    };
}

tallies!(FETCH "fetch", READY "ready", LARGE "large", PAIR "pair", OUTER "outer", INNER "inner", WRAP "wrap", STUCK "stuck");

/// Takes the time of the body of an async function.
struct Inside(&'static Tally, Instant);

impl Inside {
    fn of(tally: &'static Tally) -> Self {
        Self(tally, Instant::now())
    }

    fn end(self) {
        self.0
            .inside_ns
            .fetch_add(self.1.elapsed().as_nanos() as u64, Relaxed);
    }
}

/// Pending once; ready as soon as anybody polls again.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Pending once; woken by the timer thread.
struct Sleep(Option<Duration>);

static TIMER: Mutex<Option<mpsc::Sender<(Instant, Waker)>>> = Mutex::new(None);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(time) = self.0.take() else {
            return Poll::Ready(());
        };
        let timer = TIMER.lock().unwrap();
        let due = (Instant::now() + time, context.waker().clone());
        timer.as_ref().unwrap().send(due).unwrap();
        Poll::Pending
    }
}

fn start_timer() {
    let (sender, receiver) = mpsc::channel::<(Instant, Waker)>();
    *TIMER.lock().unwrap() = Some(sender);
    thread::spawn(move || {
        let mut waiting: Vec<(Instant, Waker)> = Vec::new();
        loop {
            let now = Instant::now();
            let (due, rest) = waiting.into_iter().partition(|(at, _)| *at <= now);
            waiting = rest;
            let due: Vec<(Instant, Waker)> = due;
            for (_, waker) in due {
                waker.wake();
            }
            let next = waiting.iter().map(|(at, _)| *at).min();
            let wait = next.map_or(Duration::from_secs(60), |at| {
                at.saturating_duration_since(now)
            });
            match receiver.recv_timeout(wait) {
                Ok(more) => waiting.push(more),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    });
}

/// Polls a future through a pointer that the compiler cannot see through, counting and timing: the
/// future stays inside this one, at the same address if the compiler likes.
struct Watched<F: Future> {
    future: F,
    poll: fn(Pin<&mut F>, &mut Context<'_>) -> Poll<F::Output>,
    tally: &'static Tally,
    began: Option<Instant>,
    done: bool,
}

fn watched<F: Future>(tally: &'static Tally, future: F) -> Watched<F> {
    Watched {
        future,
        poll: black_box(F::poll),
        tally,
        began: None,
        done: false,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is never moved out of here.
        let this = unsafe { self.get_unchecked_mut() };
        let began = *this.began.get_or_insert_with(Instant::now);
        this.tally.unwound_polls.fetch_add(1, Relaxed);
        // SAFETY: as above.
        let result = (this.poll)(unsafe { Pin::new_unchecked(&mut this.future) }, context);
        this.tally.unwound_polls.fetch_sub(1, Relaxed);
        this.tally.polls.fetch_add(1, Relaxed);
        if result.is_ready() {
            this.done = true;
            this.tally.completed.fetch_add(1, Relaxed);
            this.tally
                .around_ns
                .fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
        }
        result
    }
}

impl<F: Future> Drop for Watched<F> {
    fn drop(&mut self) {
        if self.began.is_some() && !self.done {
            self.tally.ended.fetch_add(1, Relaxed);
        }
    }
}

pub async fn fetch(value: u64, pauses: u32, fails: bool) -> u64 {
    let inside = Inside::of(&FETCH);
    let mut sum = value;
    for pause in 0..pauses {
        if pause % 2 == 0 {
            Sleep(Some(Duration::from_millis(2))).await;
        } else {
            Yield(false).await;
        }
        sum += u64::from(pause);
        assert!(!(fails && pause == 1), "as asked");
    }
    inside.end();
    black_box(sum)
}

pub async fn ready(value: u64) {
    let inside = Inside::of(&READY);
    black_box(value);
    inside.end();
}

pub async fn large(value: u64) -> [u64; 9] {
    let inside = Inside::of(&LARGE);
    let values = black_box([value; 9]);
    Sleep(Some(Duration::from_millis(1))).await;
    inside.end();
    values
}

/// Instantiated for several types: the state lies elsewhere in each.
pub async fn pair<T: Copy + Into<u64>, const N: usize>(values: [T; N]) -> Result<u64, u8> {
    let inside = Inside::of(&PAIR);
    let mut sum = 0;
    for value in values {
        sum += value.into();
        Yield(false).await;
    }
    inside.end();
    if sum == 1 { Err(1) } else { Ok(sum) }
}

pub async fn inner(value: u64) -> u64 {
    let inside = Inside::of(&INNER);
    Yield(false).await;
    Sleep(Some(Duration::from_millis(1))).await;
    inside.end();
    value + 1
}

pub async fn outer(value: u64) -> u64 {
    let inside = Inside::of(&OUTER);
    let mut sum = watched(&INNER, inner(value)).await;
    Yield(false).await;
    sum += watched(&INNER, inner(value)).await;
    inside.end();
    sum
}

/// Instances of this one contain each other, maybe at one address.
pub async fn wrap<F: Future<Output = u64>>(future: F) -> u64 {
    let inside = Inside::of(&WRAP);
    let value = future.await;
    inside.end();
    value + 1
}

/// Dropped half-way, and no other future takes its place: nobody can tell it from one that waits.
pub async fn stuck(value: u64) -> u64 {
    let inside = Inside::of(&STUCK);
    Yield(false).await;
    inside.end();
    black_box(value)
}

struct Queue {
    tasks: Mutex<VecDeque<Arc<Task>>>,
    more: Condvar,
    open: Mutex<u64>,
    idle: Condvar,
    closed: AtomicBool,
}

struct Task {
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    queue: Arc<Queue>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let queue = Arc::clone(&self.queue);
        queue.tasks.lock().unwrap().push_back(self);
        queue.more.notify_one();
    }
}

fn spawn(queue: &Arc<Queue>, future: impl Future<Output = ()> + Send + 'static) {
    *queue.open.lock().unwrap() += 1;
    let task = Arc::new(Task {
        future: Mutex::new(Some(Box::pin(future))),
        queue: Arc::clone(queue),
    });
    task.wake();
}

fn work(queue: &Arc<Queue>) {
    loop {
        let task = {
            let mut tasks = queue.tasks.lock().unwrap();
            loop {
                if let Some(task) = tasks.pop_front() {
                    break task;
                }
                if queue.closed.load(Relaxed) {
                    return;
                }
                tasks = queue.more.wait(tasks).unwrap();
            }
        };
        let waker = Waker::from(Arc::clone(&task));
        let mut slot = task.future.lock().unwrap();
        let Some(future) = slot.as_mut() else {
            continue;
        };
        let mut context = Context::from_waker(&waker);
        let poll = panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        if !matches!(poll, Ok(Poll::Pending)) {
            *slot = None;
            *queue.open.lock().unwrap() -= 1;
            queue.idle.notify_all();
        }
    }
}

/// Polls a future `polls` times, then drops it; the next one takes its place in memory.
fn cancel(times: u64, polls: u32) {
    let mut slot = Box::pin(None);
    let mut context = Context::from_waker(Waker::noop());
    for round in 0..times {
        slot.set(Some(watched(&FETCH, fetch(round, 9, false))));
        for _ in 0..polls {
            if let Some(future) = slot.as_mut().as_pin_mut() {
                assert!(future.poll(&mut context).is_pending());
            }
        }
    }
    // The last one completes, or it would stay in flight.
    slot.set(Some(watched(&FETCH, fetch(times, 0, false))));
    if let Some(future) = slot.as_mut().as_pin_mut() {
        assert!(future.poll(&mut context).is_ready());
    }
}

/// Polls a future and leaves it behind.
fn abandon() {
    let mut future = Box::pin(watched(&STUCK, stuck(1)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    drop(future);
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
    let (tasks, times, threads) = (argument(1, 20), argument(2, 10), argument(3, 3));
    panic::set_hook(Box::new(|_| {}));
    println!("ready {}", std::process::id());
    std::io::stdout().flush().unwrap();
    if !await_line("go") {
        std::process::exit(3);
    }
    start_timer();
    let queue = Arc::new(Queue {
        tasks: Mutex::default(),
        more: Condvar::new(),
        open: Mutex::new(0),
        idle: Condvar::new(),
        closed: AtomicBool::new(false),
    });
    let start = |_| {
        let queue = Arc::clone(&queue);
        thread::spawn(move || work(&queue))
    };
    let workers: Vec<_> = (0..threads).map(start).collect();
    let total = Arc::new(AtomicU64::new(0));
    for task in 0..tasks {
        let total = Arc::clone(&total);
        spawn(&queue, async move {
            for round in 0..times {
                let mut sum = watched(&FETCH, fetch(task, 3, false)).await;
                watched(&READY, ready(round)).await;
                sum += watched(&LARGE, large(round)).await.iter().sum::<u64>();
                sum += watched(&PAIR, pair([1u8, 2])).await.unwrap();
                sum += watched(&PAIR, pair([1u32, 2, 3])).await.unwrap();
                sum += watched(&OUTER, outer(round)).await;
                let once = wrap(watched(&FETCH, fetch(1, 1, false)));
                sum += watched(&WRAP, wrap(watched(&WRAP, once))).await;
                total.fetch_add(sum, Relaxed);
            }
        });
    }
    for task in 0..tasks {
        spawn(&queue, async move {
            watched(&FETCH, fetch(task, 3, true)).await;
        });
    }
    let mut open = queue.open.lock().unwrap();
    while *open > 0 {
        open = queue.idle.wait(open).unwrap();
    }
    drop(open);
    cancel(times, 1);
    abandon();
    // The end of a thread ends the calls that its last panic left.
    {
        let _tasks = queue.tasks.lock().unwrap();
        queue.closed.store(true, Relaxed);
        queue.more.notify_all();
    }
    for worker in workers {
        worker.join().unwrap();
    }
    let mut functions = Vec::new();
    let mut values = vec![format!("\"total\":{}", total.load(Relaxed))];
    for (name, tally) in TALLIES {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let ended = of(&tally.ended);
        let (unwound, in_flight) = if *name == "stuck" {
            (0, ended)
        } else {
            (ended, 0)
        };
        functions.push(format!(
            "\"{name}\":{{\"calls\":{},\"unwound\":{unwound},\"in_flight\":{in_flight}}}",
            of(&tally.completed)
        ));
        values.push(format!(
            "\"{name}_polls\":{},\"{name}_unwound_polls\":{},\"{name}_inside_ns\":{},\"{name}_around_ns\":{}",
            of(&tally.polls),
            of(&tally.unwound_polls),
            of(&tally.inside_ns),
            of(&tally.around_ns)
        ));
    }
    println!(
        "{{\"functions\":{{{}}},\"values\":{{{}}}}}",
        functions.join(","),
        values.join(",")
    );
    await_line("exit");
}
