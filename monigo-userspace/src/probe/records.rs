//! The ring buffer that records come through.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    thread,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
};

use super::{
    RecordError,
    decode::{self, Item},
};

/// What the kernel side sends.
pub struct Records {
    ring: RingBuf<MapData>,
    /// Told of what the kernel side wakes for, and of calls.
    wakes: Epoll,
    caller: Caller,
}

impl Records {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        let wakes = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let caller = Caller(Arc::new(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?));
        // By edges: that something lies in the ring buffer is no reason to wake.
        let edge = |fd: BorrowedFd<'_>| {
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
            wakes.add(fd, event)
        };
        edge(ring.as_fd())?;
        edge(caller.0.as_fd())?;
        Ok(Self {
            ring,
            wakes,
            caller,
        })
    }

    /// Who may end a wait.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Waits until the kernel side or somebody else wakes, or for `most`.
    pub fn wait(&self, most: Duration) {
        let timeout = EpollTimeout::try_from(most).unwrap_or(EpollTimeout::ZERO);
        match self.wakes.wait(&mut [EpollEvent::empty()], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::debug!(%error, "waiting for records failed");
                thread::sleep(most);
            }
        }
    }

    /// Takes at most `limit` items and returns how many it took; `visit` is told of each.
    pub fn take(
        &mut self,
        limit: usize,
        mut visit: impl FnMut(Result<Item<'_>, RecordError>),
    ) -> usize {
        for taken in 0..limit {
            let Some(item) = self.ring.next() else {
                return taken;
            };
            visit(decode::item(&item));
        }
        limit
    }
}

/// Ends waits for records.
#[derive(Clone, Debug)]
pub struct Caller(Arc<EventFd>);

impl Caller {
    /// Ends the wait, or the next one.
    pub fn call(&self) {
        // It fails if it was called so often that it cannot be missed.
        let _ = self.0.write(1);
    }
}
