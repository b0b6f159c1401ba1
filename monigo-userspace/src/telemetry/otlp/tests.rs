//! Exports to real receivers, over gRPC and HTTP.

mod profiles;

use std::{net::SocketAddr, sync::Mutex};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        profiles::v1development::ExportProfilesServiceRequest,
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    metrics::v1::{metric, number_data_point},
};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

use super::*;
use crate::{
    config::Span,
    query::DuckSource,
    service::{ExporterStatus, Recorded},
    store::{Database, fixture},
};

/// What a receiver got.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Got>>);

#[derive(Default)]
struct Got {
    metrics: Vec<ExportMetricsServiceRequest>,
    spans: Vec<ExportTraceServiceRequest>,
    profiles: Vec<ExportProfilesServiceRequest>,
    /// Whether HTTP requests with profiles are refused.
    refuse_profiles: bool,
    authorization: Option<String>,
    /// Spans to reject, once.
    reject: i64,
    /// Status to answer HTTP requests with.
    answer: Option<u16>,
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut got = self.0.lock().expect("sound");
        let header = request.metadata().get("authorization");
        got.authorization = header.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        got.metrics.push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut got = self.0.lock().expect("sound");
        got.spans.push(request.into_inner());
        let rejected_spans = std::mem::take(&mut got.reject);
        let partial_success = (rejected_spans > 0).then(|| ExportTracePartialSuccess {
            rejected_spans,
            error_message: "too many".to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

impl Received {
    /// A gRPC receiver.
    fn grpc(&self, listener: TcpListener) -> JoinHandle<()> {
        let server = Server::builder()
            .add_service(MetricsServiceServer::new(self.clone()))
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(self.profiles_server());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(async move {
            server.serve_with_incoming(incoming).await.expect("serves");
        })
    }

    /// An HTTP receiver.
    fn http(&self, listener: TcpListener) -> JoinHandle<()> {
        async fn metrics(State(received): State<Received>, body: Bytes) -> StatusCode {
            let mut got = received.0.lock().expect("sound");
            if let Some(answer) = got.answer {
                return StatusCode::from_u16(answer).expect("a status");
            }
            got.metrics
                .push(ExportMetricsServiceRequest::decode(body).expect("decodes"));
            StatusCode::OK
        }
        async fn spans(State(received): State<Received>, body: Bytes) -> StatusCode {
            let mut got = received.0.lock().expect("sound");
            got.spans
                .push(ExportTraceServiceRequest::decode(body).expect("decodes"));
            StatusCode::OK
        }
        async fn profiles(State(received): State<Received>, body: Bytes) -> StatusCode {
            let mut got = received.0.lock().expect("sound");
            got.profiles
                .push(ExportProfilesServiceRequest::decode(body).expect("decodes"));
            if got.refuse_profiles {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::OK
            }
        }
        let router = Router::new()
            .route("/otel/v1development/profiles", post(profiles))
            .route("/otel/v1/metrics", post(metrics))
            .route("/otel/v1/traces", post(spans))
            .with_state(self.clone());
        tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        })
    }

    fn check(&self) {
        let got = self.0.lock().expect("sound");
        let request = got.metrics.first().expect("metrics");
        let of_resource = &request.resource_metrics[0];
        let attributes = &of_resource.resource.as_ref().expect("resource").attributes;
        assert!(
            attributes.contains(&text("service.name", "orders")),
            "{attributes:?}"
        );
        let metrics = &of_resource.scope_metrics[0].metrics;
        let find = |name: &str| {
            let found = metrics.iter().find(|metric| metric.name == name);
            found
                .and_then(|metric| metric.data.clone())
                .expect("metric")
        };
        let metric::Data::Sum(calls) = find("monigo_function_calls") else {
            panic!("no sum")
        };
        assert!(calls.is_monotonic);
        let point = calls
            .data_points
            .iter()
            .find(|point| {
                point
                    .attributes
                    .contains(&text("function", "main.process_order"))
            })
            .expect("point");
        assert_eq!(
            point.value,
            Some(number_data_point::Value::AsDouble(1001.0))
        );
        assert_eq!(point.start_time_unix_nano, fixture::START as u64);
        let metric::Data::Histogram(durations) = find("monigo_function_duration_seconds") else {
            panic!("no histogram")
        };
        let point = &durations.data_points[0];
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        let spans: Vec<_> = got
            .spans
            .iter()
            .flat_map(|request| &request.resource_spans)
            .flat_map(|of_resource| &of_resource.scope_spans)
            .flat_map(|of_scope| &of_scope.spans)
            .collect();
        assert_eq!(spans.len(), 4, "each recorded call once");
        let longest = spans
            .iter()
            .find(|span| span.end_time_unix_nano - span.start_time_unix_nano == 50_000_000)
            .expect("the call of 50 ms");
        assert_eq!(longest.name, "main.process_order");
        assert_eq!((longest.trace_id.len(), longest.span_id.len()), (16, 8));
        // The exemplar names the span.
        let examples = durations
            .data_points
            .iter()
            .flat_map(|point| &point.exemplars);
        let ids: Vec<_> = examples.map(|example| &example.span_id).collect();
        assert!(ids.contains(&&longest.span_id), "{ids:?}");
    }
}

async fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).await.expect("listens");
    let address = listener.local_addr().expect("address");
    (listener, address)
}

/// Waits that tests can await.
const SHORT: Waits = Waits {
    retry: Duration::from_millis(5),
    retry_most: Duration::from_millis(20),
    open: Duration::from_millis(50),
    open_most: Duration::from_millis(100),
};

fn settings(endpoint: String, protocol: OtlpProtocol) -> OtlpSettings {
    OtlpSettings {
        endpoint: Some(endpoint),
        protocol,
        plaintext: true,
        interval: Span::try_from(Duration::from_millis(40)).expect("a span"),
        timeout: Span::from_secs(5),
        ..OtlpSettings::default()
    }
}

fn export(settings: &OtlpSettings) -> (Database, OtlpExporter) {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let source: Arc<dyn Source> = Arc::new(source);
    let service = Arc::new(Recorded::new(Arc::clone(&source)));
    let exporter = OtlpExporter::start_with(&Handle::current(), settings, source, service, SHORT);
    (
        database,
        exporter.expect("starts").expect("has an endpoint"),
    )
}

async fn until(exporter: &OtlpExporter, what: impl Fn(&ExporterStatus) -> bool) -> ExporterStatus {
    let handle = exporter.status();
    let reached = time::timeout(Duration::from_mins(1), async {
        loop {
            let status = handle.get();
            if what(&status) {
                return status;
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    });
    let Ok(status) = reached.await else {
        panic!("it stays {:?}", handle.get())
    };
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_receivers_decode_what_was_recorded() {
    use std::io::Write as _;
    let received = Received::default();
    received.0.lock().expect("sound").reject = 1;
    let (listener, address) = listener("127.0.0.1:0").await;
    let server = received.grpc(listener);
    let mut file = tempfile::NamedTempFile::new().expect("file");
    writeln!(file, "authorization: Bearer abc").expect("writes");
    let mut settings = settings(format!("http://{address}"), OtlpProtocol::Grpc);
    settings.headers_file = Some(file.path().to_owned());
    let (_database, exporter) = export(&settings);
    let status = until(&exporter, |status| status.sent > 3 && status.dropped > 0).await;
    assert_eq!(
        (status.state, status.dropped),
        (ExporterState::Ok, 1),
        "{status:?}"
    );
    exporter.shutdown().await;
    received.check();
    let header = received.0.lock().expect("sound").authorization.clone();
    assert_eq!(header.as_deref(), Some("Bearer abc"));
    server.abort();
}

/// A receiver with a certificate of its own, which may say that it is an authority's.
async fn with_tls(
    received: &Received,
    authority: bool,
) -> (JoinHandle<()>, SocketAddr, tempfile::NamedTempFile) {
    use std::io::Write as _;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut wanted = rcgen::CertificateParams::new(names).expect("names");
    if authority {
        wanted.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = wanted.self_signed(&key).expect("a certificate");
    let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
    let (listener, address) = listener("127.0.0.1:0").await;
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .expect("TLS")
        .add_service(MetricsServiceServer::new(received.clone()))
        .add_service(TraceServiceServer::new(received.clone()));
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tokio::spawn(async move {
        server.serve_with_incoming(incoming).await.expect("serves");
    });
    let mut ca = tempfile::NamedTempFile::new().expect("file");
    ca.write_all(certificate.pem().as_bytes()).expect("writes");
    (server, address, ca)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_and_strangers_are_not_trusted() {
    let received = Received::default();
    let (server, address, ca) = with_tls(&received, false).await;
    let mut settings = settings(
        format!("https://localhost:{}", address.port()),
        OtlpProtocol::Grpc,
    );
    settings.plaintext = false;
    // Nobody vouches for the certificate.
    let (_database, exporter) = export(&settings);
    let status = until(&exporter, |status| status.last_error.is_some()).await;
    assert_eq!(status.sent, 0, "{status:?}");
    let told = status.last_error.unwrap_or_default();
    assert!(told.contains("name that certificate in ca_file"), "{told}");
    exporter.shutdown().await;
    settings.ca_file = Some(ca.path().to_owned());
    let (_database, exporter) = export(&settings);
    until(&exporter, |status| status.sent > 3).await;
    exporter.shutdown().await;
    received.check();
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_authority_is_refused_with_what_to_do() {
    let received = Received::default();
    let (server, address, ca) = with_tls(&received, true).await;
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        let mut settings = settings(format!("https://localhost:{}", address.port()), protocol);
        settings.plaintext = false;
        settings.ca_file = Some(ca.path().to_owned());
        let (_database, exporter) = export(&settings);
        let status = until(&exporter, |status| status.last_error.is_some()).await;
        let told = status.last_error.unwrap_or_default();
        assert!(told.contains("CA:FALSE"), "{protocol:?}: {told}");
        exporter.shutdown().await;
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_receivers_decode_what_was_recorded() {
    let received = Received::default();
    let (listener, address) = listener("127.0.0.1:0").await;
    let server = received.http(listener);
    let settings = settings(format!("http://{address}/otel"), OtlpProtocol::Http);
    let (_database, exporter) = export(&settings);
    until(&exporter, |status| status.sent > 3).await;
    exporter.shutdown().await;
    received.check();
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_comes_late_gets_what_waited() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        // Nobody listens on it any more.
        let (free, address) = listener("127.0.0.1:0").await;
        drop(free);
        let settings = settings(format!("http://{address}/otel"), protocol);
        let (_database, exporter) = export(&settings);
        let status = until(&exporter, |status| status.state == ExporterState::Open).await;
        assert!(
            status.last_error.is_some() && status.queued > 0,
            "{status:?}"
        );
        assert_eq!((status.sent, status.last_success), (0, None));
        let received = Received::default();
        let (again, _) = listener(&address.to_string()).await;
        let server = match protocol {
            OtlpProtocol::Grpc => received.grpc(again),
            OtlpProtocol::Http => received.http(again),
        };
        let status = until(&exporter, |s| s.state == ExporterState::Ok && s.sent > 3).await;
        assert!(status.last_success.is_some());
        exporter.shutdown().await;
        received.check();
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_bounded_and_what_goes_is_counted() {
    let (free, address) = listener("127.0.0.1:0").await;
    drop(free);
    let mut settings = settings(format!("http://{address}"), OtlpProtocol::Grpc);
    settings.queue = 2;
    let (_database, exporter) = export(&settings);
    let first = until(&exporter, |status| status.dropped > 0).await;
    let later = until(&exporter, |status| status.dropped > 3 * first.dropped).await;
    // Two requests of metrics, or one of them and the spans.
    assert!(later.queued <= 2 * 200, "{later:?}");
    exporter.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_is_not_repeated() {
    let received = Received::default();
    received.0.lock().expect("sound").answer = Some(400);
    let (listener, address) = listener("127.0.0.1:0").await;
    let server = received.http(listener);
    let mut settings = settings(format!("http://{address}/otel"), OtlpProtocol::Http);
    settings.spans = false;
    let (_database, exporter) = export(&settings);
    let status = until(&exporter, |status| status.dropped > 0).await;
    assert!(status.last_error.is_some_and(|why| why.contains("400")));
    received.0.lock().expect("sound").answer = None;
    until(&exporter, |status| status.state == ExporterState::Ok).await;
    exporter.shutdown().await;
    server.abort();
}
