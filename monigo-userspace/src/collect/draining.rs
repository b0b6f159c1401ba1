//! Empties the ring buffer on a thread of its own, so that nothing is lost while the collector names
//! stacks and stores. Copied stacks are unwound here, too: what goes on is small.

use std::{
    io,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

use super::{copies::Copies, newcomer::Newcomer};
use crate::{
    probe::{Item, Record, Records, RecordsCaller},
    unwind::Tally,
};

/// Most time between looks at the ring buffer; the kernel side wakes when much waits, or a process is new. Each
/// look wakes a CPU, whose interrupts the target may feel.
const MOST: Duration = Duration::from_millis(250);
/// Least time between looks.
const LEAST: Duration = Duration::from_millis(2);
/// Between looks at the end, when a record may still be being written.
const LAST: Duration = Duration::from_millis(1);
/// Records handed on at a time, and how many times that the collector may be behind.
const BATCH: usize = 1024;
const BEHIND: usize = 64;

/// What looks at the ring buffer brought.
#[derive(Debug, Default)]
pub struct Drained {
    /// Processes that records are of from now on.
    pub newcomers: Vec<Newcomer>,
    /// In the order in which the kernel side sent them.
    pub records: Vec<Record>,
    /// Items that were no records.
    pub malformed: u64,
    /// Copied stacks, and their bytes.
    pub copies: u64,
    /// See `copies`.
    pub copied_bytes: u64,
}

enum Order {
    Remember(u32),
    Forget(u32),
    Finish,
}

/// The thread that empties the ring buffer.
pub struct Drain {
    orders: Sender<Order>,
    caller: RecordsCaller,
    drained: Receiver<Drained>,
    thread: Option<JoinHandle<Option<Tally>>>,
}

impl Drain {
    /// Starts it. With `copies`, stacks come as copies.
    pub fn start(records: Records, copies: bool) -> io::Result<Self> {
        let (orders, received) = unbounded();
        let (sender, drained) = bounded(BEHIND);
        let caller = records.caller();
        let thread = thread::Builder::new()
            .name("drain".to_owned())
            .spawn(move || {
                let mut work = Work {
                    records,
                    copies: copies.then(Copies::default),
                    sender,
                };
                work.run(&received);
                work.copies.map(|copies| copies.tally().clone())
            })?;
        Ok(Self {
            orders,
            caller,
            drained,
            thread: Some(thread),
        })
    }

    /// Remembers what a process maps, which is needed after its end.
    pub fn remember(&self, pid: u32) {
        // Without the thread, there is nothing to remember for.
        let _ = self.orders.send(Order::Remember(pid));
    }

    /// A process ended.
    pub fn forget(&self, pid: u32) {
        let _ = self.orders.send(Order::Forget(pid));
    }

    /// Where what has come can be waited for. It ends when nothing can come any more.
    pub fn drained(&self) -> Receiver<Drained> {
        self.drained.clone()
    }

    /// Hands out the rest until the ring buffer is empty, and then how copied stacks ended, if there
    /// were any. To be called when nothing is sent any more.
    pub fn finish(&mut self, mut take: impl FnMut(Drained)) -> Option<Tally> {
        let _ = self.orders.send(Order::Finish);
        self.caller.call();
        for drained in &self.drained {
            take(drained);
        }
        self.thread.take()?.join().ok().flatten()
    }
}

/// What the thread does.
struct Work {
    records: Records,
    copies: Option<Copies>,
    sender: Sender<Drained>,
}

impl Work {
    fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            let mut finish = false;
            loop {
                match orders.try_recv() {
                    Ok(order) => finish |= self.obey(&order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let looked = Instant::now();
            if self.look().is_none() {
                return;
            }
            if finish {
                // A record being written ends a look early; it is there for the next one.
                while self.look().is_some_and(|taken| taken > 0) || {
                    thread::sleep(LAST);
                    self.look().is_some_and(|taken| taken > 0)
                } {}
                return;
            }
            self.records.wait(MOST);
            if let Some(early) = LEAST.checked_sub(looked.elapsed()) {
                thread::sleep(early);
            }
        }
    }

    /// Returns whether that is the end.
    fn obey(&mut self, order: &Order) -> bool {
        match (order, &mut self.copies) {
            (Order::Finish, _) => return true,
            (Order::Remember(pid), Some(copies)) => copies.remember(*pid),
            (Order::Forget(pid), Some(copies)) => copies.forget(*pid),
            (Order::Remember(_) | Order::Forget(_), None) => {}
        }
        false
    }

    /// Takes what is in the ring buffer, and says how many items that were; `None` when nobody wants them any
    /// more.
    fn look(&mut self) -> Option<usize> {
        let mut items = 0;
        loop {
            let mut drained = Drained::default();
            let copies = &mut self.copies;
            let taken = self.records.take(BATCH, |item| match item {
                Ok(Item::Copy(copy)) => {
                    drained.copies += 1;
                    drained.copied_bytes += copy.stack.len() as u64;
                    // At once: copies are large.
                    if let Some(copies) = copies {
                        copies.take(&copy);
                    }
                }
                Ok(Item::Record(mut record)) => {
                    let wanted = copies
                        .as_mut()
                        .is_none_or(|copies| copies.complete(&mut record));
                    if wanted {
                        drained.records.push(record);
                    }
                }
                // Processes whose ids look alike to the kernel side are told of again and again.
                Ok(Item::Process(pid))
                    if drained.newcomers.iter().any(|one| one.row.pid == pid) => {}
                Ok(Item::Process(pid)) => {
                    // At once: it may end soon.
                    drained.newcomers.push(Newcomer::look(pid));
                    if let Some(copies) = copies {
                        copies.remember(pid);
                    }
                }
                Err(error) => {
                    tracing::debug!("{error}");
                    drained.malformed += 1;
                }
            });
            items += taken;
            if taken > 0 {
                // While the collector is far behind, this waits, and then the ring buffer fills.
                self.sender.send(drained).ok()?;
            }
            if taken < BATCH {
                return Some(items);
            }
        }
    }
}
