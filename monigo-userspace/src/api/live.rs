//! What the dashboard hears about a recording in progress.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{sync::watch, task::JoinHandle};

use crate::query::Source;

/// Where a recording stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LiveStatus {
    /// One line for people, for example "waiting for a process to start"; empty for none.
    pub text: String,
    /// What the probes cost the target now, for example "probes cost about 1.3% of one CPU"; empty when not known.
    pub cost: String,
    /// Nothing more will be measured.
    pub ended: bool,
    /// When this process last wrote measurements, or began to; `None` when another one records, or none.
    #[serde(skip)]
    pub flushed: Option<Instant>,
    /// Why measurements cannot be written, while that lasts.
    #[serde(skip)]
    pub store_error: Option<String>,
}

/// Announcements of a recording. When the sender of `flushes` goes away, the recording counts as
/// ended.
#[derive(Clone, Debug)]
pub struct LiveState {
    /// Number of the last flush.
    pub flushes: watch::Receiver<u64>,
    /// The status.
    pub status: watch::Receiver<LiveStatus>,
}

impl LiveState {
    /// A recording that is over.
    pub fn finished(text: &str) -> Self {
        let (_, flushes) = watch::channel(0);
        let (_, status) = watch::channel(LiveStatus {
            text: text.to_owned(),
            ended: true,
            ..LiveStatus::default()
        });
        Self { flushes, status }
    }

    /// Whether nothing more will be measured.
    pub fn has_ended(&self) -> bool {
        self.status.borrow().ended || self.flushes.has_changed().is_err()
    }
}

/// Looks at a source until dropped.
#[derive(Debug)]
pub struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Shortest time between two looks at a source.
const SHORTEST_POLL: Duration = Duration::from_millis(250);

/// Watches a source that cannot announce its flushes, such as another monigo behind its socket:
/// looks at the overview once per flush interval, until the recording ends or the second part of the answer is dropped.
pub fn poll(source: Arc<dyn Source>) -> (LiveState, Watching) {
    let (flush, flushes) = watch::channel(0_u64);
    let (tell, status) = watch::channel(LiveStatus::default());
    let task = tokio::spawn(async move {
        let mut seen = None;
        loop {
            let asked = Arc::clone(&source);
            let answer = tokio::task::spawn_blocking(move || asked.overview()).await;
            let pause = match answer {
                Ok(Ok(overview)) => {
                    if overview.last_flush_ns != seen {
                        seen = overview.last_flush_ns;
                        flush.send_modify(|sequence| *sequence += 1);
                    }
                    let ended = overview.ended_ns.is_some();
                    set_status(&tell, String::new(), ended);
                    if ended {
                        return;
                    }
                    Duration::from_nanos(overview.flush_ns.try_into().unwrap_or(0))
                }
                Ok(Err(error)) => {
                    set_status(&tell, error.to_string(), false);
                    Duration::from_secs(1)
                }
                Err(_) => return,
            };
            tokio::time::sleep(pause.max(SHORTEST_POLL)).await;
        }
    });
    (LiveState { flushes, status }, Watching(task))
}

fn set_status(tell: &watch::Sender<LiveStatus>, text: String, ended: bool) {
    let next = LiveStatus {
        text,
        ended,
        ..LiveStatus::default()
    };
    tell.send_if_modified(|status| {
        let changed = *status != next;
        *status = next;
        changed
    });
}
