//! How slowly a client may take what it is answered.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// Bytes a second that a client must take in the long run, while there is something to send.
const LEAST_RATE: u32 = 8 << 10;

/// Patience with a client: waiting uses it up, and what the client takes makes up for it.
#[derive(Debug)]
struct Patience {
    most: Duration,
    left: Duration,
    waiting_since: Option<Instant>,
}

impl Patience {
    fn new(most: Duration) -> Self {
        Self {
            most,
            left: most,
            waiting_since: None,
        }
    }

    /// Nothing can be sent now. Until when that may last.
    fn waits(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.left
    }

    /// So much was sent.
    fn sent(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self.left.saturating_sub(now - since);
        }
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(LEAST_RATE));
        self.left = self.most.min(self.left.saturating_add(earned));
    }
}

/// A connection on which writing fails when the other side takes nothing for `patience`, or less than 8 KiB a second
/// for so long that this patience is used up.
pub struct Paced {
    stream: TcpStream,
    patience: Patience,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// Around a connection.
    pub fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience: Patience::new(patience),
            timer: None,
        }
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.patience.sent(bytes, Instant::now());
                Poll::Ready(Ok(bytes))
            }
            Poll::Pending => {
                let until = self.patience.waits(Instant::now());
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep_until(until)));
                timer.as_mut().reset(until);
                ready!(timer.as_mut().poll(context));
                // Else the kernel would go on to send what it has.
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                let why = "the client takes its answer too slowly";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When a client is left that takes so many bytes at the end of each pause; `None` if never within an hour.
    fn left_after(bytes: usize, pause: Duration) -> Option<Duration> {
        let begin = Instant::now();
        let mut patience = Patience::new(15 * SECOND);
        let mut now = begin;
        while now < begin + 3600 * SECOND {
            let until = patience.waits(now);
            if until <= now + pause {
                return Some(until - begin);
            }
            now += pause;
            patience.sent(bytes, now);
        }
        None
    }

    #[test]
    fn a_client_that_takes_next_to_nothing_is_left_soon() {
        assert_eq!(left_after(0, 100 * SECOND), Some(15 * SECOND));
        let trickle = left_after(1, SECOND).expect("left");
        assert!(trickle < 16 * SECOND, "{trickle:?}");
        let half = left_after(LEAST_RATE as usize / 2, SECOND).expect("left");
        assert!(half < 31 * SECOND, "{half:?}");
    }

    #[test]
    fn a_client_that_is_merely_slow_is_not() {
        assert_eq!(left_after(LEAST_RATE as usize, SECOND), None);
        assert_eq!(left_after(100_000, 10 * SECOND), None);
        // One pause that is too long is.
        assert!(left_after(10_000_000, 20 * SECOND).is_some());
    }

    proptest! {
        #[test]
        fn patience_is_bounded_by_what_was_taken(steps in proptest::collection::vec((0_usize..50_000, 0_u64..20_000), 1..200)) {
            let begin = Instant::now();
            let mut patience = Patience::new(15 * SECOND);
            let (mut now, mut taken) = (begin, 0);
            for (bytes, pause_ms) in steps {
                let until = patience.waits(now);
                let most = 15.0 + taken as f64 / f64::from(LEAST_RATE);
                prop_assert!((until - begin).as_secs_f64() <= most + 1e-3 * 200.0);
                now += Duration::from_millis(pause_ms);
                if until <= now {
                    break;
                }
                patience.sent(bytes, now);
                taken += bytes;
            }
        }
    }
}
