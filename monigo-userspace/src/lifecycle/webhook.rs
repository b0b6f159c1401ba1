//! Events as HTTP requests, from a thread of their own: a slow receiver never delays a recording.

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{
    EventKind,
    pace::{Rate, backoff},
};
use crate::{
    api::Secret,
    config::Span,
    service::{ExporterState, ExporterStatus},
};

/// Time that the rest gets when monigo ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Section `[webhook]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where events are posted; hidden, since some services put a secret into it.
    pub url: Option<Secret>,
    /// File with the URL instead.
    pub url_file: Option<PathBuf>,
    /// Which events are sent; empty for all.
    pub events: Vec<EventKind>,
    /// Token for `Authorization: Bearer`; better from the environment than from the file.
    pub token: Option<Secret>,
    /// File with the token instead.
    pub token_file: Option<PathBuf>,
    /// Certificates, PEM, that are trusted instead of the Mozilla root program's.
    pub ca_file: Option<PathBuf>,
    /// Send over plain HTTP to another host.
    pub insecure: bool,
    /// Longest wait for an answer.
    pub timeout: Span,
    /// Wait before the second attempt; doubled for each further one, up to 5 minutes.
    pub retry: Span,
    /// Attempts before an event is given up.
    pub attempts: u32,
    /// Requests per minute.
    pub per_minute: u32,
    /// Events that wait; beyond it the oldest is given up.
    pub queue: u32,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            events: Vec::new(),
            token: None,
            token_file: None,
            ca_file: None,
            insecure: false,
            timeout: Span::from_secs(10),
            retry: Span::from_secs(1),
            attempts: 10,
            per_minute: 60,
            queue: 1000,
        }
    }
}

/// Why events cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A file with a secret or certificates.
    #[error("webhook.{setting}: {}: {reason}", path.display())]
    File {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The URL is none.
    #[error("webhook.url: it must begin with https:// (or http:// for this host) and name a host")]
    Url,
    /// Events would cross the network in the open.
    #[error(
        "webhook.url: {0} would get events over plain HTTP; use https://, or set webhook.insecure = true"
    )]
    Plain(String),
}

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

/// What an attempt came to.
enum Attempt {
    Accepted,
    /// Another one may succeed.
    Failed(String),
    /// None will.
    Refused(String),
}

/// The thread's own part.
#[derive(Debug)]
struct Sender {
    agent: Agent,
    url: String,
    /// Scheme and host.
    endpoint: String,
    token: Option<Secret>,
    retry: Duration,
    attempts: u32,
    rate: Rate,
}

impl Sender {
    fn new(settings: &WebhookSettings) -> Result<Option<Self>, WebhookError> {
        let url = secret(
            "url_file",
            settings.url.as_ref(),
            settings.url_file.as_ref(),
        )?;
        let Some(url) = url else { return Ok(None) };
        let uri: ureq::http::Uri = url.expose().parse().map_err(|_| WebhookError::Url)?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(WebhookError::Url);
        };
        match scheme {
            "https" => {}
            "http" if settings.insecure || is_loopback(host) => {}
            "http" => return Err(WebhookError::Plain(host.to_owned())),
            _ => return Err(WebhookError::Url),
        }
        let endpoint = uri.port_u16().map_or_else(
            || format!("{scheme}://{host}"),
            |port| format!("{scheme}://{host}:{port}"),
        );
        let mut config = Agent::config_builder()
            .timeout_global(Some(settings.timeout.duration()))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("monigo/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &settings.ca_file {
            let tls = TlsConfig::builder().root_certs(authorities(path)?).build();
            config = config.tls_config(tls);
        }
        let token = secret(
            "token_file",
            settings.token.as_ref(),
            settings.token_file.as_ref(),
        )?;
        Ok(Some(Self {
            agent: config.build().into(),
            url: url.expose().to_owned(),
            endpoint,
            token,
            retry: settings.retry.duration(),
            attempts: settings.attempts.max(1),
            rate: Rate::new(settings.per_minute, Instant::now()),
        }))
    }

    fn run(&mut self, shared: &Shared) {
        while let Some(body) = next(shared) {
            self.deliver(&body, shared);
        }
    }

    /// Sends one event until it is accepted or given up.
    fn deliver(&mut self, body: &str, shared: &Shared) {
        let mut failures = 0;
        loop {
            while let Err(wait) = self.rate.take(Instant::now()) {
                if !pause(shared, wait) {
                    return give_up(shared, "monigo ended before it could be sent");
                }
            }
            let reason = match self.attempt(body) {
                Attempt::Accepted => {
                    let mut state = lock(&shared.state);
                    state.status.sent += 1;
                    state.status.state = ExporterState::Ok;
                    state.status.last_success = Some(now());
                    return;
                }
                Attempt::Refused(reason) => return give_up(shared, &reason),
                Attempt::Failed(reason) => reason,
            };
            failures += 1;
            if failures == 1 {
                tracing::warn!("webhook: {reason}; trying again");
            }
            if failures >= self.attempts {
                return give_up(shared, &reason);
            }
            note(shared, &reason, ExporterState::Retrying);
            if !pause(shared, backoff(self.retry, failures, rand::random())) {
                return give_up(shared, &reason);
            }
        }
    }

    fn attempt(&self, body: &str) -> Attempt {
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        match request.send(body) {
            Ok(response) if response.status().is_success() => Attempt::Accepted,
            Ok(response) => {
                let status = response.status();
                let reason = format!("{} answered {status}", self.endpoint);
                let later = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
                if later {
                    Attempt::Failed(reason)
                } else {
                    Attempt::Refused(reason)
                }
            }
            // Its text may hold the whole URL.
            Err(error) => {
                let text = error.to_string().replace(&self.url, &self.endpoint);
                Attempt::Failed(format!("{}: {text}", self.endpoint))
            }
        }
    }
}

/// The next event; `None` when monigo ends.
fn next(shared: &Shared) -> Option<String> {
    let mut state = lock(&shared.state);
    loop {
        let over = state.closing.is_some_and(|until| Instant::now() >= until);
        if over {
            return None;
        }
        if let Some(body) = state.waiting.pop_front() {
            return Some(body);
        }
        if state.closing.is_some() {
            return None;
        }
        state = wait(shared, state, Duration::from_mins(1));
    }
}

/// Waits this long; `false` if monigo ends before.
fn pause(shared: &Shared, time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut state = lock(&shared.state);
    loop {
        let now = Instant::now();
        if now >= end {
            return true;
        }
        if let Some(until) = state.closing
            && until < end
        {
            return false;
        }
        state = wait(shared, state, end - now);
    }
}

fn wait<'s>(
    shared: &Shared,
    state: MutexGuard<'s, State>,
    time: Duration,
) -> MutexGuard<'s, State> {
    let woken = shared.changed.wait_timeout(state, time);
    woken.unwrap_or_else(PoisonError::into_inner).0
}

fn note(shared: &Shared, reason: &str, to: ExporterState) {
    let mut state = lock(&shared.state);
    state.status.state = to;
    state.status.last_error = Some(reason.to_owned());
    state.status.last_error_time = Some(now());
}

fn give_up(shared: &Shared, reason: &str) {
    tracing::warn!("webhook: an event was given up: {reason}");
    note(shared, reason, ExporterState::Retrying);
    lock(&shared.state).status.dropped += 1;
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn is_loopback(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || plain
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The secret itself, or what the file holds.
fn secret(
    setting: &'static str,
    own: Option<&Secret>,
    file: Option<&PathBuf>,
) -> Result<Option<Secret>, WebhookError> {
    let (None, Some(path)) = (own, file) else {
        return Ok(own.cloned());
    };
    let text = read(setting, path)?;
    Ok(Some(Secret::new(text.trim())))
}

fn read(setting: &'static str, path: &PathBuf) -> Result<String, WebhookError> {
    fs::read_to_string(path).map_err(|error| WebhookError::File {
        setting,
        path: path.clone(),
        reason: error.to_string(),
    })
}

fn authorities(path: &PathBuf) -> Result<RootCerts, WebhookError> {
    let text = read("ca_file", path)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(text.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(WebhookError::File {
            setting: "ca_file",
            path: path.clone(),
            reason: "it holds no certificate in PEM".to_owned(),
        });
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
