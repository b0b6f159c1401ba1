//! A receiver of OTLP, over gRPC or HTTP, that decodes what it gets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        profiles::v1development::{
            ExportProfilesServiceRequest, ExportProfilesServiceResponse,
            profiles_service_server::{ProfilesService, ProfilesServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message as _;
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status, transport::Server};

use crate::lines::PATIENCE;

/// One request.
#[derive(Clone, Debug)]
pub struct Export {
    /// What is in it.
    pub body: Body,
    /// The header `authorization`.
    pub authorization: Option<String>,
}

/// What a request holds.
#[derive(Clone, Debug)]
pub enum Body {
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
    /// Recorded calls.
    Spans(ExportTraceServiceRequest),
    /// Stacks.
    Profiles(ExportProfilesServiceRequest),
}

impl Export {
    /// Value of a counter for a function in a resource; `None` when it is not in this request.
    pub fn counter(&self, name: &str, function: &str) -> Option<(Resource, f64)> {
        let Body::Metrics(request) = &self.body else {
            return None;
        };
        request.resource_metrics.iter().find_map(|of_resource| {
            let mut metrics = of_resource.scope_metrics.iter().flat_map(|of| &of.metrics);
            let metric = metrics.find(|metric| metric.name == name)?;
            let Some(Data::Sum(sum)) = &metric.data else {
                return None;
            };
            let point = sum.data_points.iter().find(|point| {
                attribute(&point.attributes, "function").as_deref() == Some(function)
            })?;
            let Some(number_data_point::Value::AsDouble(value)) = point.value else {
                return None;
            };
            Some((of_resource.resource.clone()?, value))
        })
    }

    /// Recorded calls, each with its resource.
    pub fn spans(&self) -> Vec<(Resource, Span)> {
        let Body::Spans(request) = &self.body else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for of_resource in &request.resource_spans {
            let resource = of_resource.resource.clone().unwrap_or_default();
            let spans = of_resource.scope_spans.iter().flat_map(|of| &of.spans);
            found.extend(spans.map(|span| (resource.clone(), span.clone())));
        }
        found
    }
}

/// The text or the number that an attribute is.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A receiver on a free port of this machine.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    exports: mpsc::Receiver<Export>,
    /// gRPC is served as long as this lives.
    _runtime: Option<Runtime>,
}

impl Receiver {
    /// One that speaks gRPC.
    pub fn grpc() -> Result<Self> {
        let (sender, exports) = mpsc::channel();
        let runtime = Runtime::new()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let taker = Taker(sender);
        let server = Server::builder()
            .add_service(MetricsServiceServer::new(taker.clone()))
            .add_service(TraceServiceServer::new(taker.clone()))
            .add_service(ProfilesServiceServer::new(taker));
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        runtime.spawn(server.serve_with_incoming(incoming));
        Ok(Self {
            address,
            exports,
            _runtime: Some(runtime),
        })
    }

    /// One that takes POST requests.
    pub fn http() -> Result<Self> {
        let (sender, exports) = mpsc::channel();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || {
                    // Until the other side has no more to say.
                    while let Ok(export) = take_post(&stream) {
                        if sender.send(export).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Ok(Self {
            address,
            exports,
            _runtime: None,
        })
    }

    /// To be given as `otlp.endpoint`, with `otlp.plaintext`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes requests until `done` says so.
    pub fn take_until(
        &self,
        what: &str,
        mut done: impl FnMut(Export) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.exports.recv_timeout(left) {
                Ok(export) => {
                    if done(export)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no {what} within {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the receiver has ended"),
            }
        }
    }

    /// What has come and was not taken.
    pub fn rest(&self) -> Vec<Export> {
        self.exports.try_iter().collect()
    }
}

/// Hands on what gRPC brings.
#[derive(Clone)]
struct Taker(mpsc::Sender<Export>);

impl Taker {
    fn take<T>(&self, request: Request<T>, body: fn(T) -> Body) {
        let header = request.metadata().get("authorization");
        let authorization = header.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        // The test may have ended.
        let _ = self.0.send(Export {
            body: body(request.into_inner()),
            authorization,
        });
    }
}

#[tonic::async_trait]
impl MetricsService for Taker {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take(request, Body::Metrics);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Taker {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request, Body::Spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl ProfilesService for Taker {
    async fn export(
        &self,
        request: Request<ExportProfilesServiceRequest>,
    ) -> Result<Response<ExportProfilesServiceResponse>, Status> {
        self.take(request, Body::Profiles);
        Ok(Response::new(ExportProfilesServiceResponse::default()))
    }
}

/// Reads one POST request, and takes it.
fn take_post(stream: &TcpStream) -> Result<Export> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the end");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let header = |name: &str| {
        let lines = head.iter().filter_map(|line| line.split_once(": "));
        let found = lines
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").context("no length")?;
    let mut body = vec![0; length.parse()?];
    reader.read_exact(&mut body)?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    let path = head[0].split(' ').nth(1).context("no path")?;
    let body = match path {
        "/v1/metrics" => Body::Metrics(ExportMetricsServiceRequest::decode(&*body)?),
        "/v1/traces" => Body::Spans(ExportTraceServiceRequest::decode(&*body)?),
        "/v1development/profiles" => Body::Profiles(ExportProfilesServiceRequest::decode(&*body)?),
        _ => bail!("nothing is at {path}"),
    };
    Ok(Export {
        body,
        authorization: header("authorization"),
    })
}
