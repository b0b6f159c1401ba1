//! The thread that sends events.

use std::{
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ureq::{Agent, tls::TlsConfig};

use super::{
    Shared, State, WebhookError, WebhookSettings,
    settings::{authorities, secret},
};
use crate::sync::lock;
use crate::{
    api::Secret,
    certificates::with_hint,
    lifecycle::pace::{Rate, backoff},
    service::ExporterState,
};

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
pub(super) struct Sender {
    agent: Agent,
    url: String,
    /// Scheme and host.
    pub endpoint: String,
    token: Option<Secret>,
    retry: Duration,
    attempts: u32,
    rate: Rate,
}

impl Sender {
    pub fn new(settings: &WebhookSettings) -> Result<Option<Self>, WebhookError> {
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

    pub fn run(&mut self, shared: &Shared) {
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
                let text = with_hint(&error.to_string()).replace(&self.url, &self.endpoint);
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
