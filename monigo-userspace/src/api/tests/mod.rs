//! The server as a client sees it.

mod connections;
mod crowds;
mod discovery;
mod events;
mod files;
mod guards;
mod questions;
mod recorded;
mod service;
mod sessions;
mod socket;
mod walk;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{Content, Guards, HttpSettings, LiveState, LiveStatus, router};
use crate::{
    query::{
        Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame,
        FunctionRow, Heatmap, Overview, QueryError, Root, Selection, SeriesPoint, Source, StackRow,
        Story, Table, Tail, TailQuestion, Window,
    },
    service::Recorded,
    symbols::Language,
};

const BOUND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// Answers with little, remembers what it was asked, and fails on demand.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn note(&self, question: String) {
        self.asked.lock().unwrap().push(question);
    }
}

impl Source for Scripted {
    fn overview(&self) -> Result<Overview, QueryError> {
        Ok(Overview {
            session: 7,
            target: "/bin/target".to_owned(),
            language: Language::Rust,
            pids: vec![1, 2],
            host: "host".to_owned(),
            kernel: "6.18".to_owned(),
            monigo_version: "0".to_owned(),
            runtime_version: None,
            retention: None,
            started_ns: 1,
            ended_ns: None,
            last_flush_ns: Some(2),
            flush_ns: 1,
            recorded: 0,
            losses: Vec::new(),
            beside_share: 0.0,
            skipped_ns: 0,
            warnings: Vec::new(),
        })
    }
    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError> {
        self.note(format!("functions {:?} {:?}", window.from_ns, window.to_ns));
        Ok(Vec::new())
    }
    fn breakdown(&self, _: Window) -> Result<Vec<Breakdown>, QueryError> {
        Ok(Vec::new())
    }
    fn histogram(&self, function: u32, _: Window) -> Result<Vec<Bucket>, QueryError> {
        match function {
            0 => Ok(vec![Bucket {
                low_ns: 1,
                high_ns: 2,
                count: 3,
            }]),
            other => Err(QueryError::UnknownFunction(other)),
        }
    }
    fn series(
        &self,
        function: Option<u32>,
        _: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError> {
        self.note(format!("series {function:?} {points}"));
        Err(QueryError::Remote("it went away".to_owned()))
    }
    fn heatmap(&self, _: u32, _: Window, _: u32) -> Result<Heatmap, QueryError> {
        panic!("a bug in the source")
    }
    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError> {
        self.note(format!("slowest {limit}{}", shown(selection)));
        Ok(vec![Call {
            function: 3,
            start_ns: 1_795_460_521_877_934_135,
            duration_ns: 5,
            probes_ns: 0,
            pid: 100,
            tid: 101,
            goid: None,
            cpu: 0,
            weight: 1,
            stack: None,
        }])
    }
    fn stacks(&self, selection: &Selection, _: u32) -> Result<Vec<StackRow>, QueryError> {
        self.note(format!("stacks {:?}", selection.weight));
        Err(QueryError::Store("disk on fire".to_owned()))
    }
    fn stack(&self, _: u64) -> Result<Vec<Frame>, QueryError> {
        Ok(Vec::new())
    }
    fn flame(&self, _: &Selection) -> Result<FlameNode, QueryError> {
        // Long enough to be worth compressing.
        Ok(FlameNode {
            name: "all".repeat(2000),
            ..FlameNode::default()
        })
    }
    fn tail(&self, question: &TailQuestion) -> Result<Tail, QueryError> {
        self.note(format!("tail {question:?}"));
        Err(QueryError::NoSuchCalls("none of them was slow".to_owned()))
    }
    fn story(&self, call: CallKey) -> Result<Story, QueryError> {
        self.note(format!("story {call}"));
        Err(QueryError::NoSuchCalls(format!("no call {call}")))
    }
    fn compare(&self, question: &CompareQuestion) -> Result<Comparison, QueryError> {
        self.note(format!(
            "compare {:?} {:?}",
            question.before, question.after
        ));
        Ok(Comparison::default())
    }
    fn sql(&self, _: &str, _: u32) -> Result<Table, QueryError> {
        panic!("no SQL over the network")
    }
}

/// What is unusual about a selection.
fn shown(selection: &Selection) -> String {
    if selection.is_ranged() || selection.root != Root::Callers {
        let Selection {
            slower_than_ns,
            faster_than_ns,
            percentile,
            root,
            ..
        } = selection;
        format!(" {slower_than_ns:?} {faster_than_ns:?} {percentile:?} {root:?}")
    } else {
        String::new()
    }
}

struct Fixture {
    source: Arc<Scripted>,
    router: Router,
    flush: watch::Sender<u64>,
    status: watch::Sender<LiveStatus>,
    stop: watch::Sender<bool>,
}

fn fixture(settings: &HttpSettings, bound: SocketAddr) -> Fixture {
    let source = Arc::new(Scripted::default());
    let (flush, flushes) = watch::channel(0);
    let (status, statuses) = watch::channel(LiveStatus::default());
    let (stop, stopping) = watch::channel(false);
    let live = LiveState {
        flushes,
        status: statuses,
    };
    let asked: Arc<dyn Source> = Arc::clone(&source) as _;
    Fixture {
        source,
        router: {
            let guards = Guards::new(settings, Some(bound)).expect("settings");
            router(content(asked, live).into(), settings, guards, stopping)
        },
        flush,
        status,
        stop,
    }
}

fn content(source: Arc<dyn Source>, live: LiveState) -> Content {
    Content {
        service: Arc::new(Recorded::new(Arc::clone(&source))),
        source,
        live,
        discoverer: None,
    }
}

fn loopback() -> Fixture {
    fixture(&HttpSettings::default(), BOUND)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

async fn send(router: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header(header::HOST, "localhost:8080");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Method::GET, path, &[]).await
}
