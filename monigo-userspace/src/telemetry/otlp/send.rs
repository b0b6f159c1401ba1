//! Sending a request, over gRPC or HTTP.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_client::MetricsServiceClient,
    },
    profiles::v1development::{
        ExportProfilesServiceRequest, ExportProfilesServiceResponse,
        profiles_service_client::ProfilesServiceClient,
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
    },
};
use prost::Message as _;
use tonic::{
    Code, Request, Status,
    metadata::{AsciiMetadataKey, MetadataMap},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::settings::{OtlpError, OtlpProtocol, OtlpSettings, Plan};
use crate::certificates::with_hint;

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Metrics(ExportMetricsServiceRequest),
    Spans(ExportTraceServiceRequest),
    Profiles(ExportProfilesServiceRequest),
}

/// Why it was not taken.
#[derive(Debug)]
pub(super) enum SendError {
    /// It may be the next time.
    Later {
        why: String,
        /// How long the receiver asks to be left alone.
        after: Option<Duration>,
    },
    /// It never will be.
    Refused(String),
}

/// The way to the receiver. Cheap to clone.
#[derive(Clone)]
pub(super) enum Sender {
    Grpc {
        channel: Channel,
        headers: MetadataMap,
    },
    Http {
        agent: ureq::Agent,
        plan: Arc<Plan>,
    },
}

impl Sender {
    /// Connects when something is sent, not before. Within a runtime.
    pub fn new(settings: &OtlpSettings, plan: Plan) -> Result<Self, OtlpError> {
        let timeout = settings.timeout.duration();
        let wrong = |reason: String| OtlpError::Endpoint {
            endpoint: plan.origin.clone(),
            reason,
        };
        match settings.protocol {
            OtlpProtocol::Grpc => {
                let mut endpoint = Endpoint::from_shared(plan.origin.clone())
                    .map_err(|error| wrong(error.to_string()))?
                    .timeout(timeout)
                    .connect_timeout(timeout);
                if plan.tls {
                    let tls = ClientTlsConfig::new();
                    let tls = match &plan.ca {
                        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                        None => tls.with_webpki_roots(),
                    };
                    endpoint = endpoint
                        .tls_config(tls)
                        .map_err(|error| wrong(error.to_string()))?;
                }
                let mut headers = MetadataMap::new();
                for (name, value) in &plan.headers.0 {
                    if let (Ok(name), Ok(mut value)) = (
                        name.parse::<AsciiMetadataKey>(),
                        value.parse::<tonic::metadata::AsciiMetadataValue>(),
                    ) {
                        value.set_sensitive(true);
                        headers.insert(name, value);
                    }
                }
                Ok(Self::Grpc {
                    channel: endpoint.connect_lazy(),
                    headers,
                })
            }
            OtlpProtocol::Http => {
                let tls = TlsConfig::builder().root_certs(roots(&plan)?).build();
                let agent = ureq::Agent::config_builder()
                    .timeout_global(Some(timeout))
                    .https_only(plan.tls)
                    .http_status_as_error(false)
                    .max_redirects(0)
                    .tls_config(tls)
                    .build()
                    .new_agent();
                let plan = Arc::new(plan);
                Ok(Self::Http { agent, plan })
            }
        }
    }

    /// Sends it. Returns how many items the receiver rejected although it took the request.
    pub async fn send(&self, payload: Payload) -> Result<u64, SendError> {
        match self {
            Self::Grpc { channel, headers } => send_grpc(channel.clone(), headers, payload).await,
            Self::Http { agent, plan } => {
                let (agent, plan) = (agent.clone(), Arc::clone(plan));
                let sent = tokio::task::spawn_blocking(move || send_http(&agent, &plan, &payload));
                sent.await.unwrap_or_else(|error| {
                    Err(SendError::Later {
                        why: error.to_string(),
                        after: None,
                    })
                })
            }
        }
    }
}

fn roots(plan: &Plan) -> Result<RootCerts, OtlpError> {
    let Some(pem) = &plan.ca else {
        return Ok(RootCerts::WebPki);
    };
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        if let Ok(PemItem::Certificate(certificate)) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(OtlpError::Endpoint {
            endpoint: plan.origin.clone(),
            reason: "ca_file holds no certificate".to_owned(),
        });
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

async fn send_grpc(
    channel: Channel,
    headers: &MetadataMap,
    payload: Payload,
) -> Result<u64, SendError> {
    fn request<T>(message: T, headers: &MetadataMap) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = headers.clone();
        request
    }
    match payload {
        Payload::Metrics(message) => {
            let answer = MetricsServiceClient::new(channel)
                .export(request(message, headers))
                .await;
            Ok(rejected_points(
                &answer.map_err(|status| of_status(&status))?.into_inner(),
            ))
        }
        Payload::Spans(message) => {
            let answer = TraceServiceClient::new(channel)
                .export(request(message, headers))
                .await;
            Ok(rejected_spans(
                &answer.map_err(|status| of_status(&status))?.into_inner(),
            ))
        }
        Payload::Profiles(message) => {
            let answer = ProfilesServiceClient::new(channel)
                .export(request(message, headers))
                .await;
            Ok(rejected_profiles(
                &answer.map_err(|status| of_status(&status))?.into_inner(),
            ))
        }
    }
}

fn of_status(status: &Status) -> SendError {
    let why = format!("{} ({:?})", reason(status), status.code());
    let why = with_hint(&why);
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted
        // How tonic calls a connection that broke.
        | Code::Unknown => SendError::Later { why, after: None },
        _ => SendError::Refused(why),
    }
}

/// The innermost cause says most.
fn reason(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    if status.message().is_empty() || std::error::Error::source(status).is_some() {
        text
    } else {
        status.message().to_owned()
    }
}

fn send_http(agent: &ureq::Agent, plan: &Plan, payload: &Payload) -> Result<u64, SendError> {
    let (kind, body) = match payload {
        Payload::Metrics(message) => ("v1/metrics", message.encode_to_vec()),
        Payload::Spans(message) => ("v1/traces", message.encode_to_vec()),
        Payload::Profiles(message) => ("v1development/profiles", message.encode_to_vec()),
    };
    let url = format!("{}{}/{kind}", plan.origin, plan.path);
    let mut request = agent
        .post(&url)
        .header("content-type", "application/x-protobuf");
    for (name, value) in &plan.headers.0 {
        request = request.header(name, value);
    }
    let later = |why: String| SendError::Later { why, after: None };
    let mut answer = request
        .send(&body[..])
        .map_err(|error| later(with_hint(&error.to_string())))?;
    let status = answer.status();
    let after = answer
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let body = answer.body_mut().with_config().limit(1 << 20).read_to_vec();
    match status.as_u16() {
        200..=299 => {
            let body = body.unwrap_or_default();
            Ok(match payload {
                Payload::Metrics(_) => ExportMetricsServiceResponse::decode(&body[..])
                    .map_or(0, |answer| rejected_points(&answer)),
                Payload::Spans(_) => ExportTraceServiceResponse::decode(&body[..])
                    .map_or(0, |answer| rejected_spans(&answer)),
                Payload::Profiles(_) => ExportProfilesServiceResponse::decode(&body[..])
                    .map_or(0, |answer| rejected_profiles(&answer)),
            })
        }
        408 | 429 | 502 | 503 | 504 => Err(SendError::Later {
            why: format!("the receiver answered {status}"),
            after,
        }),
        _ => Err(SendError::Refused(format!(
            "the receiver answered {status}"
        ))),
    }
}

fn rejected_points(answer: &ExportMetricsServiceResponse) -> u64 {
    let rejected = answer
        .partial_success
        .as_ref()
        .map_or(0, |p| p.rejected_data_points);
    u64::try_from(rejected).unwrap_or(0)
}

fn rejected_spans(answer: &ExportTraceServiceResponse) -> u64 {
    let rejected = answer
        .partial_success
        .as_ref()
        .map_or(0, |p| p.rejected_spans);
    u64::try_from(rejected).unwrap_or(0)
}

fn rejected_profiles(answer: &ExportProfilesServiceResponse) -> u64 {
    let rejected = answer
        .partial_success
        .as_ref()
        .map_or(0, |p| p.rejected_profiles);
    u64::try_from(rejected).unwrap_or(0)
}
