//! Empties the ring buffer on a thread of its own, so that nothing is lost while the collector names
//! stacks and stores. Copied stacks are unwound here, too: what goes on is small.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{collector::COMING, copies::Copies};
use crate::{
    probe::{Item, Record, Records},
    unwind::Tally,
};

/// Least and most time between looks at the ring buffer. At the latter, 16 MiB still hold what comes
/// all at once. Each wakes a CPU, whose interrupts the target may feel.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(80);
/// The latter while processes come, see [`COMING`].
const LONGEST_COMING: Duration = Duration::from_millis(10);
/// Between looks at first.
const FIRST: Duration = Duration::from_millis(10);
/// Between looks at the end, when a record may still be being written.
const LAST: Duration = Duration::from_millis(1);
/// Records handed on at a time, and how many times that the collector may be behind.
const BATCH: usize = 1024;
const BEHIND: usize = 64;

/// What looks at the ring buffer brought.
#[derive(Debug, Default)]
pub struct Drained {
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
    drained: Receiver<Drained>,
    thread: Option<JoinHandle<Option<Tally>>>,
}

impl Drain {
    /// Starts it. With `copies`, stacks come as copies.
    pub fn start(records: Records, copies: bool) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let (sender, drained) = mpsc::sync_channel(BEHIND);
        let thread = thread::Builder::new()
            .name("drain".to_owned())
            .spawn(move || {
                let mut work = Work {
                    records,
                    copies: copies.then(Copies::default),
                    last_new: None,
                    sender,
                };
                work.run(&received);
                work.copies.map(|copies| copies.tally().clone())
            })?;
        Ok(Self {
            orders,
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

    /// What has come; `None` if nothing has.
    pub fn next(&self) -> Option<Drained> {
        self.drained.try_recv().ok()
    }

    /// Hands out the rest until the ring buffer is empty, and then how copied stacks ended, if there
    /// were any. To be called when nothing is sent any more.
    pub fn finish(&mut self, mut take: impl FnMut(Drained)) -> Option<Tally> {
        let _ = self.orders.send(Order::Finish);
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
    /// When a process was first seen last.
    last_new: Option<Instant>,
    sender: SyncSender<Drained>,
}

impl Work {
    fn run(&mut self, orders: &Receiver<Order>) {
        let mut pause = FIRST;
        loop {
            let mut finish = false;
            match orders.recv_timeout(pause) {
                Ok(order) => finish |= self.obey(&order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            loop {
                match orders.try_recv() {
                    Ok(order) => finish |= self.obey(&order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let Some(bytes) = self.look() else { return };
            let coming = self.last_new.is_some_and(|at| at.elapsed() < COMING);
            let longest = if coming { LONGEST_COMING } else { LONGEST };
            pause = next_pause(pause, longest, bytes, self.records.ring_bytes());
            if finish {
                // A record being written ends a look early; it is there for the next one.
                while self.look().is_some_and(|bytes| bytes > 0) || {
                    thread::sleep(LAST);
                    self.look().is_some_and(|bytes| bytes > 0)
                } {}
                return;
            }
        }
    }

    /// Returns whether that is the end.
    fn obey(&mut self, order: &Order) -> bool {
        if let Order::Remember(_) = order {
            self.last_new = Some(Instant::now());
        }
        match (order, &mut self.copies) {
            (Order::Finish, _) => return true,
            (Order::Remember(pid), Some(copies)) => copies.remember(*pid),
            (Order::Forget(pid), Some(copies)) => copies.forget(*pid),
            (Order::Remember(_) | Order::Forget(_), None) => {}
        }
        false
    }

    /// Takes what is in the ring buffer, and says how much that was; `None` when nobody wants it any
    /// more.
    fn look(&mut self) -> Option<usize> {
        let mut bytes = 0;
        loop {
            let mut drained = Drained::default();
            let copies = &mut self.copies;
            let taken = self.records.take(BATCH, |length, item| {
                bytes += length;
                match item {
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
                    Err(error) => {
                        tracing::debug!("{error}");
                        drained.malformed += 1;
                    }
                }
            });
            if taken > 0 {
                // While the collector is far behind, this waits, and then the ring buffer fills.
                self.sender.send(drained).ok()?;
            }
            if taken < BATCH {
                return Some(bytes);
            }
        }
    }
}

/// Time until the next look, `longest` at most, after one that found `bytes` in a ring buffer of `ring_bytes`. Each
/// look wakes a CPU.
fn next_pause(pause: Duration, longest: Duration, bytes: usize, ring_bytes: usize) -> Duration {
    let next = if bytes > ring_bytes / 16 {
        (pause / 2).max(SHORTEST)
    } else if bytes < ring_bytes / 128 {
        pause * 2
    } else {
        pause
    };
    next.min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rare_when_little_comes() {
        let ring_bytes = 16 << 20;
        let next = |pause, bytes| next_pause(pause, LONGEST, bytes, ring_bytes);
        let mut pause = FIRST;
        for _ in 0..8 {
            pause = next(pause, 1000);
        }
        assert_eq!(pause, LONGEST);
        assert_eq!(next(pause, ring_bytes / 32), LONGEST);
        let coming = next_pause(pause, LONGEST_COMING, 1000, ring_bytes);
        assert_eq!(coming, LONGEST_COMING);
        for _ in 0..8 {
            pause = next(pause, ring_bytes / 2);
        }
        assert_eq!(pause, SHORTEST);
        assert_eq!(next(pause, ring_bytes / 32), SHORTEST);
    }
}
