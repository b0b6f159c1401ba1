//! Events as HTTP requests, from a thread of their own: a slow receiver never delays a recording.

mod sender;
mod settings;

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use self::sender::Sender;
pub use self::settings::{WebhookError, WebhookSettings};
use super::EventKind;
use crate::service::{ExporterState, ExporterStatus};
use crate::sync::lock;

/// Time that the rest gets when monigo ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Sends events, in order.
#[derive(Debug)]
pub struct Webhook {
    events: Vec<EventKind>,
    shared: Arc<Shared>,
    worker: Mutex<Worker>,
}

/// The thread, which begins when privileges have been given up.
#[derive(Debug)]
enum Worker {
    Idle(Box<Sender>),
    Running(JoinHandle<()>),
    Done,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<String>,
    most: usize,
    status: ExporterStatus,
    /// Until when the rest may be sent.
    closing: Option<Instant>,
}

impl Webhook {
    /// Prepares to send as `settings` say; `None` if they name no receiver. Events wait for
    /// [`Webhook::begin`].
    pub fn new(settings: &WebhookSettings) -> Result<Option<Self>, WebhookError> {
        let Some(sender) = Sender::new(settings)? else {
            return Ok(None);
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                most: settings.queue.max(1) as usize,
                status: ExporterStatus {
                    name: "webhook".to_owned(),
                    endpoint: sender.endpoint.clone(),
                    state: ExporterState::Idle,
                    sent: 0,
                    dropped: 0,
                    queued: 0,
                    last_success: None,
                    last_error: None,
                    last_error_time: None,
                },
                closing: None,
            }),
            changed: Condvar::new(),
        });
        Ok(Some(Self {
            events: settings.events.clone(),
            shared,
            worker: Mutex::new(Worker::Idle(Box::new(sender))),
        }))
    }

    /// Begins to send, from a thread with the privileges of the calling one.
    pub fn begin(&self) {
        let mut worker = lock(&self.worker);
        *worker = match std::mem::replace(&mut *worker, Worker::Done) {
            Worker::Idle(mut sender) => {
                let shared = Arc::clone(&self.shared);
                let thread = thread::Builder::new()
                    .name("webhook".to_owned())
                    .spawn(move || sender.run(&shared));
                match thread {
                    Ok(thread) => Worker::Running(thread),
                    Err(error) => {
                        tracing::error!("webhook: starting a thread failed: {error}");
                        Worker::Done
                    }
                }
            }
            other => other,
        };
    }

    /// Whether events of this kind are sent.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.events.is_empty() || self.events.contains(&kind)
    }

    /// Queues an event.
    pub fn send(&self, body: String) {
        let mut state = lock(&self.shared.state);
        if state.closing.is_some() {
            state.status.dropped += 1;
            return;
        }
        if state.waiting.len() >= state.most {
            state.waiting.pop_front();
            state.status.dropped += 1;
        }
        state.waiting.push_back(body);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Where it stands.
    pub fn status(&self) -> ExporterStatus {
        let state = lock(&self.shared.state);
        ExporterStatus {
            queued: state.waiting.len() as u64,
            ..state.status.clone()
        }
    }

    /// Sends the rest, for some seconds at most.
    pub fn close(&self) {
        self.begin();
        lock(&self.shared.state).closing = Some(Instant::now() + LAST_WORDS);
        self.shared.changed.notify_all();
        let worker = std::mem::replace(&mut *lock(&self.worker), Worker::Done);
        if let Worker::Running(thread) = worker {
            let _ = thread.join();
        }
        let mut state = lock(&self.shared.state);
        let left = state.waiting.len();
        if left > 0 {
            tracing::warn!("{left} events did not reach the webhook");
            state.status.dropped += left as u64;
            state.waiting.clear();
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.close();
    }
}
