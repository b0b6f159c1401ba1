//! OTLP: metrics, recorded calls as spans, and stacks as profiles, over gRPC or HTTP.
//!
//! The messages and the gRPC client come from `opentelemetry-proto`; the exporters of the OpenTelemetry
//! SDK are not used, since their queues and repetitions cannot be watched, and since their aggregation has
//! no use for histograms that are exact already.

mod metrics;
mod profiles;
mod send;
mod settings;
mod spans;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
};
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle, time};

use self::send::{Payload, SendError, Sender};
pub use self::settings::{OtlpError, OtlpProtocol, OtlpSettings};
use super::{
    breaker::{Breaker, Stand, Waits},
    families::families,
    queue::Queue,
    status::StatusHandle,
};
use crate::{
    collect::unix_ns,
    query::{Overview, QueryError, Source},
    service::{ExporterState, Service},
};

/// Longest time that the end of monigo waits for the last export.
const LAST_EXPORT: Duration = Duration::from_secs(3);

/// A running exporter.
#[derive(Debug)]
pub struct OtlpExporter {
    status: StatusHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl OtlpExporter {
    /// Begins to export on `runtime`, if `settings` have an endpoint.
    pub fn start(
        runtime: &Handle,
        settings: &OtlpSettings,
        source: Arc<dyn Source>,
        service: Arc<dyn Service>,
    ) -> Result<Option<Self>, OtlpError> {
        Self::start_with(runtime, settings, source, service, Waits::default())
    }

    /// As [`OtlpExporter::start`], with other waits.
    pub(super) fn start_with(
        runtime: &Handle,
        settings: &OtlpSettings,
        source: Arc<dyn Source>,
        service: Arc<dyn Service>,
        waits: Waits,
    ) -> Result<Option<Self>, OtlpError> {
        let Some(endpoint) = &settings.endpoint else {
            return Ok(None);
        };
        let plan = settings.plan(endpoint)?;
        let status = StatusHandle::new("otlp", &format!("{}{}", plan.origin, plan.path));
        let _inside = runtime.enter();
        let sender = Sender::new(settings, plan)?;
        let exporter = Export {
            gatherer: Arc::new(Gatherer {
                source,
                service,
                metrics: settings.metrics,
                spans: settings.spans,
                profiles: AtomicBool::new(settings.profiles),
            }),
            sender,
            queue: Queue::new(settings.queue as usize),
            breaker: Breaker::new(waits),
            status: status.clone(),
            sent_upto_ns: None,
        };
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(exporter.run(settings.interval.duration(), stopped));
        Ok(Some(Self { status, stop, task }))
    }

    /// Where it stands.
    pub fn status(&self) -> StatusHandle {
        self.status.clone()
    }

    /// Sends what there is, and ends; waits for that for some seconds at most.
    pub async fn shutdown(self) {
        // It may have ended by itself, when the runtime did.
        let _ = self.stop.send(());
        let abort = self.task.abort_handle();
        if time::timeout(LAST_EXPORT, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Reads what is to be sent. Blocks.
struct Gatherer {
    source: Arc<dyn Source>,
    service: Arc<dyn Service>,
    metrics: bool,
    spans: bool,
    /// Until the receiver refuses them.
    profiles: AtomicBool,
}

/// What there is to send.
struct Gathered {
    payloads: Vec<(Payload, u64)>,
    /// Calls that were not taken.
    left_out: u64,
    /// Calls that were written until then are in it; Unix time in ns.
    upto_ns: i64,
}

impl Gatherer {
    fn gather(&self, sent_upto_ns: Option<i64>) -> Result<Gathered, QueryError> {
        let overview = self.source.overview()?;
        let resource = self.resource(&overview);
        let mut payloads = Vec::new();
        if self.metrics {
            let families = families(&*self.source, &*self.service)?;
            let (request, points) =
                metrics::request(&families, resource.clone(), overview.started_ns, unix_ns());
            payloads.push((Payload::Metrics(request), points));
        }
        let upto_ns = overview.last_flush_ns.unwrap_or(overview.started_ns);
        let after_ns = sent_upto_ns.unwrap_or(overview.started_ns);
        let mut left_out = 0;
        let window = (after_ns, upto_ns);
        if self.profiles.load(Ordering::Relaxed) && upto_ns > after_ns {
            let requests = profiles::requests(&*self.source, &resource, window)?;
            payloads.extend(
                requests
                    .into_iter()
                    .map(|(request, count)| (Payload::Profiles(request), count)),
            );
        }
        if self.spans && upto_ns > after_ns {
            let (requests, rest) =
                spans::requests(&*self.source, &resource, overview.session, window)?;
            left_out = rest;
            payloads.extend(
                requests
                    .into_iter()
                    .map(|(request, count)| (Payload::Spans(request), count)),
            );
        }
        Ok(Gathered {
            payloads,
            left_out,
            upto_ns,
        })
    }

    fn resource(&self, overview: &Overview) -> Resource {
        let info = self.service.info();
        // Recordings of one service can overlap: its old build and the new one.
        let instance = format!("{}/{}", overview.host, overview.started_ns);
        let mut attributes = vec![
            text("service.name", &info.service_name),
            text("service.instance.id", &instance),
            text("host.name", &overview.host),
            text("process.executable.path", &overview.target),
            text("telemetry.sdk.name", "monigo"),
            text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
            text("telemetry.sdk.language", &info.language),
        ];
        attributes.extend(info.process_id.map(|pid| number("process.pid", pid.into())));
        let runtime = info.runtime_version.as_deref();
        attributes.extend(runtime.map(|version| text("process.runtime.version", version)));
        Resource {
            attributes,
            ..Resource::default()
        }
    }
}

/// The exporter's task.
struct Export {
    gatherer: Arc<Gatherer>,
    sender: Sender,
    queue: Queue<Payload>,
    breaker: Breaker,
    status: StatusHandle,
    sent_upto_ns: Option<i64>,
}

impl Export {
    async fn run(mut self, interval: Duration, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = time::interval(interval);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let again = self.breaker.wait_until();
            // Without a wait it is ready at once: a timer takes a moment, and a busy interval would
            // always come before it.
            let rested = async {
                if let Some(again) = again {
                    time::sleep_until(again.into()).await;
                }
            };
            tokio::select! {
                _ = &mut stopped => break,
                _ = ticks.tick() => self.gather().await,
                () = rested, if self.queue.first().is_some() => {
                    self.attempt().await;
                }
            }
        }
        self.gather().await;
        while self.queue.first().is_some() && self.attempt().await {}
    }

    async fn gather(&mut self) {
        let source = Arc::clone(&self.gatherer);
        let upto_ns = self.sent_upto_ns;
        let found = tokio::task::spawn_blocking(move || source.gather(upto_ns)).await;
        match found {
            Ok(Ok(gathered)) => {
                self.sent_upto_ns = Some(gathered.upto_ns);
                let mut dropped = gathered.left_out;
                for (payload, items) in gathered.payloads {
                    dropped += self.queue.push(payload, items);
                }
                let queued = self.queue.items();
                self.status.change(|status| {
                    status.dropped += dropped;
                    status.queued = queued;
                });
            }
            Ok(Err(error)) => tracing::debug!(%error, "nothing to export"),
            Err(error) => tracing::debug!(%error, "reading what to export failed"),
        }
    }

    /// Sends the oldest batch. Whether it is out of the queue.
    async fn attempt(&mut self) -> bool {
        let Some((payload, items)) = self.queue.first() else {
            return false;
        };
        let (payload, items) = (payload.clone(), *items);
        let profiles = matches!(payload, Payload::Profiles(_));
        if self.breaker.stand(Instant::now()) == Stand::HalfOpen {
            self.status
                .change(|status| status.state = ExporterState::HalfOpen);
        }
        let result = self.sender.send(payload).await;
        let gone = match result {
            Ok(rejected) => {
                self.breaker.succeeded();
                self.queue.pop();
                self.status.succeeded(items.saturating_sub(rejected));
                self.status.change(|status| status.dropped += rejected);
                true
            }
            Err(SendError::Refused(why)) => {
                // Sending it again would not help; sending the next may not, either.
                if profiles {
                    tracing::warn!("the receiver takes no profiles, so no more are sent: {why}");
                    self.gatherer.profiles.store(false, Ordering::Relaxed);
                }
                self.breaker.failed(Instant::now(), None);
                self.queue.pop();
                self.status.change(|status| status.dropped += items);
                self.fail(&why);
                false
            }
            Err(SendError::Later { why, after }) => {
                self.breaker.failed(Instant::now(), after);
                self.fail(&why);
                false
            }
        };
        let queued = self.queue.items();
        self.status.change(|status| status.queued = queued);
        gone
    }

    fn fail(&self, why: &str) {
        let state = match self.breaker.stand(Instant::now()) {
            Stand::Open | Stand::HalfOpen => ExporterState::Open,
            Stand::Closed | Stand::Failing => ExporterState::Retrying,
        };
        if self.status.get().state != state {
            tracing::warn!(
                "OTLP export to {} failed: {why}",
                self.status.get().endpoint
            );
        }
        self.status.failed(state, why);
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "monigo".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

#[cfg(test)]
mod tests;
