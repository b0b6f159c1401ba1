//! What happens to monigo and its targets, as one kind of event: in the log, and at a webhook.

mod pace;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde::Serialize;
use serde_json::{Map, Value};

pub use self::webhook::{Webhook, WebhookError, WebhookSettings};
use crate::{collect::unix_ns, service::ExporterStatus};

/// What an event is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// monigo runs.
    Start,
    /// Probes are in.
    Attach,
    /// Probes are out.
    Detach,
    /// Something was not recorded.
    Loss,
    /// A service or the host became healthy or unhealthy.
    Health,
    /// The configuration was read again.
    Reload,
    /// Something failed, and is tried again or given up.
    Failure,
    /// monigo ends.
    Stop,
}

impl EventKind {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Loss => "loss",
            Self::Health => "health",
            Self::Reload => "reload",
            Self::Failure => "failure",
            Self::Stop => "stop",
        }
    }

    /// Whether somebody may have to do something.
    const fn is_warning(self) -> bool {
        matches!(self, Self::Loss | Self::Health | Self::Failure)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// What it is about.
    pub event: EventKind,
    /// One sentence.
    #[serde(rename = "text")]
    pub message: String,
    /// The target, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The session, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<i64>,
    /// Figures.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl Event {
    /// It happens now.
    pub fn now(event: EventKind, message: impl Into<String>) -> Self {
        let time = jiff::Timestamp::from_nanosecond(unix_ns().into()).unwrap_or_default();
        Self {
            time: format!("{time:.3}"),
            event,
            message: message.into(),
            target: None,
            session: None,
            details: Map::new(),
        }
    }

    /// It is about this target.
    #[must_use]
    pub fn of(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// It is about this session.
    #[must_use]
    pub const fn in_session(mut self, session: i64) -> Self {
        self.session = Some(session);
        self
    }

    /// With a figure.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

/// Who is told of events. Cheap to clone; telling never waits.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    service: Option<String>,
    webhook: RwLock<Option<Webhook>>,
}

/// An event as it is sent.
#[derive(Serialize)]
struct Sent<'e> {
    #[serde(flatten)]
    event: &'e Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'e str>,
    host: &'e str,
    monigo_version: &'static str,
}

impl Lifecycle {
    /// Events of `service` go to the log and to `webhook`.
    pub fn new(service: Option<String>, webhook: Option<Webhook>) -> Self {
        Self {
            inner: Arc::new(Inner {
                service,
                webhook: RwLock::new(webhook),
            }),
        }
    }

    /// Tells everybody.
    pub fn emit(&self, event: &Event) {
        log(event);
        let webhook = self.webhook();
        let Some(webhook) = &*webhook else {
            return;
        };
        if !webhook.wants(event.event) {
            return;
        }
        let sent = Sent {
            event,
            service: self.inner.service.as_deref(),
            host: &host(),
            monigo_version: env!("CARGO_PKG_VERSION"),
        };
        match serde_json::to_string(&sent) {
            Ok(body) => webhook.send(body),
            Err(error) => tracing::error!("an event cannot be written as JSON: {error}"),
        }
    }

    /// Where the webhook stands, if there is one.
    pub fn status(&self) -> Option<ExporterStatus> {
        self.webhook().as_ref().map(Webhook::status)
    }

    /// Sends events elsewhere from now on. What waits for the old receiver gets a moment.
    pub fn replace_webhook(&self, webhook: Option<Webhook>) {
        if let Some(webhook) = &webhook {
            webhook.begin();
        }
        let old = {
            let place = self.inner.webhook.write();
            let mut place = place.unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, webhook)
        };
        // Waits, so not while the lock is held.
        drop(old);
    }

    /// Begins to deliver, with the privileges of the calling thread. Until then, events wait.
    pub fn begin(&self) {
        if let Some(webhook) = &*self.webhook() {
            webhook.begin();
        }
    }

    /// Waits a moment for what has not been delivered yet.
    pub fn close(&self) {
        if let Some(webhook) = &*self.webhook() {
            webhook.close();
        }
    }

    fn webhook(&self) -> RwLockReadGuard<'_, Option<Webhook>> {
        let webhook = self.inner.webhook.read();
        webhook.unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line in the log, with fields.
fn log(event: &Event) {
    let Event {
        event: kind,
        message,
        target,
        session,
        details,
        ..
    } = event;
    let details = (!details.is_empty()).then(|| Value::from(details.clone()).to_string());
    // The level has to be known where the line is written.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "monigo::lifecycle",
                event = kind.name(),
                target = target.as_deref(),
                session,
                details,
                "{message}"
            )
        };
    }
    if kind.is_warning() {
        line!(warn);
    } else {
        line!(info);
    }
}

fn host() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
