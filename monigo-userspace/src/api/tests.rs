//! The server as a client sees it: guards, errors, events, and a real socket.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, sync::watch};
use tower::ServiceExt as _;

use super::{
    Content, HttpSettings, LiveState, LiveStatus, ServeError, router,
    security::{Access, Token},
    serve,
};
use crate::{
    query::{
        Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame,
        FunctionRow, Heatmap, Overview, QueryError, Root, Selection, SeriesPoint, Source, StackRow,
        Story, Table, Tail, TailQuestion, Window,
    },
    service::BareService,
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
            started_ns: 1,
            ended_ns: None,
            last_flush_ns: Some(2),
            flush_ns: 1,
            recorded: 0,
            losses: Vec::new(),
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

fn fixture(access: Access) -> Fixture {
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
        router: router(content(asked, live), access, stopping),
        flush,
        status,
        stop,
    }
}

fn content(source: Arc<dyn Source>, live: LiveState) -> Content {
    Content {
        service: Arc::new(BareService::new(Arc::clone(&source))),
        source,
        live,
        discoverer: None,
    }
}

fn loopback() -> Fixture {
    fixture(Access::loopback(BOUND))
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

#[tokio::test]
async fn overview_tells_where_the_recording_stands() {
    let fixture = loopback();
    fixture.flush.send_replace(41);
    fixture.status.send_replace(LiveStatus {
        text: "waiting".to_owned(),
        cost: "probes cost about 1.3% of one CPU".to_owned(),
        ended: false,
    });
    let answer = get(&fixture.router, "/api/v1/overview").await;
    assert_eq!(answer.status, StatusCode::OK);
    let json = answer.json();
    assert_eq!(json["session"], 7);
    assert_eq!(json["language"], "rust");
    assert_eq!(json["sequence"], 41);
    assert_eq!(json["status"]["text"], "waiting");
    assert_eq!(json["status"]["ended"], false);
    drop(fixture.flush);
    let answer = get(&fixture.router, "/api/v1/overview").await;
    assert_eq!(answer.json()["status"]["ended"], true);
}

#[tokio::test]
async fn parameters_reach_the_source() {
    let fixture = loopback();
    for path in [
        "/api/v1/functions?from=-5&to=9",
        "/api/v1/functions",
        "/api/v1/series?function=3&points=17",
        "/api/v1/calls?limit=1000",
        "/api/v1/stacks?weight=calls",
    ] {
        get(&fixture.router, path).await;
    }
    let asked = fixture.source.asked.lock().unwrap().clone();
    let expected = [
        "functions Some(-5) Some(9)",
        "functions None None",
        "series Some(3) 17",
        "slowest 1000",
        "stacks Calls",
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn calls_carry_the_name_that_their_story_takes() {
    let fixture = loopback();
    let calls = get(&fixture.router, "/api/v1/calls").await.json();
    assert_eq!(calls[0]["function"], 3);
    let key = calls[0]["key"].as_str().expect("a key");
    get(&fixture.router, &format!("/api/v1/story/{key}")).await;
    let asked = fixture.source.asked.lock().unwrap().clone();
    assert_eq!(asked[1], "story 3-100-1795460521877934135");
}

#[tokio::test]
async fn questions_about_slow_calls_reach_the_source() {
    let fixture = loopback();
    for (path, status, code) in [
        (
            "/api/v1/calls?function=3&slower_than=10&faster_than=20&root=function&limit=5",
            StatusCode::OK,
            "",
        ),
        (
            "/api/v1/tail?function=3&percentile=99.9",
            StatusCode::NOT_FOUND,
            "no_such_calls",
        ),
        (
            "/api/v1/story/3-100-17",
            StatusCode::NOT_FOUND,
            "no_such_calls",
        ),
        (
            "/api/v1/story/3-100-17/trace.json",
            StatusCode::NOT_FOUND,
            "no_such_calls",
        ),
        (
            "/api/v1/diff?session=2&against_session=1&against_to=9",
            StatusCode::OK,
            "",
        ),
        ("/api/v1/diff.svg", StatusCode::NOT_FOUND, "not_found"),
    ] {
        let answer = get(&fixture.router, path).await;
        assert_eq!(answer.status, status, "{path}");
        if status != StatusCode::OK {
            assert_eq!(answer.code(), code, "{path}");
        }
    }
    let asked = fixture.source.asked.lock().unwrap().clone();
    assert_eq!(asked[0], "slowest 5 Some(10) Some(20) None Function");
    assert!(asked[1].contains("function: 3") && asked[1].contains("Percentile(99900)"));
    assert_eq!(asked[2..4], ["story 3-100-17", "story 3-100-17"]);
    assert!(
        asked[4].contains("Some(1)") && asked[4].contains("Some(9)"),
        "{}",
        asked[4]
    );
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let router = loopback().router;
    for (path, part) in [
        ("/api/v1/functions?from=soon", "'from' must be Unix time"),
        ("/api/v1/functions?to=1e9", "'to' must be Unix time"),
        ("/api/v1/functions?from=2&to=2", "'from' must be before"),
        (
            "/api/v1/functions?form=2",
            "'form' is not known; this takes from, to",
        ),
        (
            "/api/v1/overview?x=1",
            "'x' is not known; this takes no parameters",
        ),
        ("/api/v1/series?function=-1", "'function' must be the id"),
        (
            "/api/v1/series?points=0",
            "'points' must be a whole number from 1 to",
        ),
        (
            "/api/v1/calls?limit=1001",
            "'limit' must be a whole number from 1 to 1000",
        ),
        ("/api/v1/heatmap", "'function' is missing"),
        (
            "/api/v1/flame?weight=heavy",
            "'weight' must be wall, calls, cpu, offcpu or time",
        ),
        (
            "/api/v1/flame?root=leaf",
            "'root' must be callers or function",
        ),
        (
            "/api/v1/flame?percentile=100",
            "'percentile' must be a number",
        ),
        (
            "/api/v1/calls?slower_than=1ms",
            "'slower_than' must be a duration in ns",
        ),
        ("/api/v1/tail", "'function' is missing"),
        (
            "/api/v1/tail?function=0&weight=cpu",
            "'weight' is not known",
        ),
        (
            "/api/v1/diff?session=last",
            "'session' must be the id of a session",
        ),
        (
            "/api/v1/diff?against_from=2&against_to=1",
            "'against_from' must be before",
        ),
        ("/api/v1/story/17", "'17' is not the id of a call"),
        (
            "/api/v1/functions/main/histogram",
            "'main' is not the id of a function",
        ),
        ("/api/v1/stack/-1", "'-1' is not the id of a stack"),
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.code(), "bad_parameter", "{path}");
        assert!(
            answer.message().contains(part),
            "{path}: {}",
            answer.message()
        );
    }
}

#[tokio::test]
async fn errors_of_the_source_keep_their_meaning() {
    let router = loopback().router;
    for (path, status, code, part) in [
        (
            "/api/v1/functions/9/histogram",
            404,
            "unknown_function",
            "no function with id 9",
        ),
        ("/api/v1/series", 502, "remote", "it went away"),
        ("/api/v1/stacks", 500, "store", "disk on fire"),
        ("/api/v1/stack/5", 404, "not_found", "no stack 5"),
        ("/api/v1/heatmap?function=0", 500, "internal", "its log"),
        (
            "/api/v1/sql?query=SELECT%201",
            404,
            "not_found",
            "/api/v1/sql",
        ),
        ("/api/v2/overview", 404, "not_found", "/api/v2/overview"),
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.code(), code, "{path}");
        assert!(
            answer.message().contains(part),
            "{path}: {}",
            answer.message()
        );
        assert!(
            !answer.body.contains("a bug in the source"),
            "details stay in the log"
        );
    }
}

#[tokio::test]
async fn loopback_wants_its_own_name() {
    let router = loopback().router;
    for host in [
        "localhost:8080",
        "LOCALHOST:8080",
        "127.0.0.1:8080",
        "[::1]:8080",
    ] {
        let answer = send(&router, Method::GET, "/api/v1/overview", &[("host", host)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost",
        "localhost:8081",
        "localhost.evil.example:8080",
        "127.0.0.1.evil.example:8080",
        "127.0.0.1:8080:8080",
        "",
    ] {
        for path in ["/", "/api/v1/overview", "/api/v1/events"] {
            let answer = send(&router, Method::GET, path, &[("host", host)]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{host} {path}");
        }
    }
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "localhost:8080"),
    ];
    let answer = send(&router, Method::GET, "/", &forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let router = loopback().router;
    for (name, value, allowed) in [
        ("origin", "http://localhost:8080", true),
        ("origin", "http://evil.example", false),
        ("origin", "http://localhost:3000", false),
        ("origin", "null", false),
        ("sec-fetch-site", "same-origin", true),
        ("sec-fetch-site", "none", true),
        ("sec-fetch-site", "same-site", false),
        ("sec-fetch-site", "cross-site", false),
    ] {
        let answer = send(&router, Method::GET, "/api/v1/overview", &[(name, value)]).await;
        assert_eq!(answer.status == StatusCode::OK, allowed, "{name}: {value}");
    }
    let foreign = [("origin", "http://evil.example")];
    let answer = send(&router, Method::GET, "/api/v1/events", &foreign).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let router = loopback().router;
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ] {
        for path in ["/", "/api/v1/overview", "/api/v1/nothing"] {
            let answer = send(&router, method.clone(), path, &[]).await;
            assert_eq!(
                answer.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
    let answer = send(&router, Method::HEAD, "/api/v1/overview", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn strangers_need_the_token() {
    let bound: SocketAddr = "0.0.0.0:8080".parse().unwrap();
    let router = fixture(Access::with_token(bound, Token::known(TOKEN))).router;
    let host = ("host", "shop-7:8080");
    let path = "/api/v1/overview";

    let answer = send(&router, Method::GET, path, &[host]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.code(), "token_needed");
    let answer = send(&router, Method::GET, "/", &[host]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.body.contains("needs its token"));

    let short = &TOKEN[..31];
    for wrong in [
        "",
        short,
        "00112233445566778899aabbccddeefe",
        &format!("{TOKEN}0"),
    ] {
        let bearer = format!("Bearer {wrong}");
        let cookie = format!("monigo_token_8080={wrong}");
        for pair in [
            ("authorization", bearer.as_str()),
            ("cookie", cookie.as_str()),
        ] {
            let answer = send(&router, Method::GET, path, &[host, pair]).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{pair:?}");
        }
        let answer = send(&router, Method::GET, &format!("/?token={wrong}"), &[host]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let other_port = format!("monigo_token_9090={TOKEN}");
    let answer = send(&router, Method::GET, path, &[host, ("cookie", &other_port)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    let answer = send(&router, Method::GET, &format!("/?token={TOKEN}"), &[host]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        !answer.body.contains(TOKEN),
        "the page does not repeat the token"
    );
    let set = answer.header("set-cookie").to_owned();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap_or_default();
    let many = format!("theme=dark; {cookie}; other=1");
    for pair in [("cookie", cookie), ("cookie", &many)] {
        let answer = send(&router, Method::GET, path, &[host, pair]).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let bearer = format!("Bearer {TOKEN}");
    let answer = send(
        &router,
        Method::GET,
        path,
        &[host, ("authorization", &bearer)],
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[test]
fn tokens_are_long_and_differ() {
    let url = |token| Access::with_token("192.0.2.1:80".parse().unwrap(), token).url();
    let (first, second) = (url(Token::random()), url(Token::random()));
    assert_ne!(first, second);
    let token = first.split_once("http://192.0.2.1:80/?token=").unwrap().1;
    assert_eq!(token.len(), 32);
    assert_eq!(Access::loopback(BOUND).url(), "http://127.0.0.1:8080/");
}

#[tokio::test]
async fn every_answer_carries_the_guarding_headers() {
    let router = loopback().router;
    for (path, host) in [
        ("/", "localhost:8080"),
        ("/api/v1/overview", "localhost:8080"),
        ("/api/v1/nothing", "localhost:8080"),
        ("/api/v1/heatmap?function=0", "localhost:8080"),
        ("/", "evil.example"),
    ] {
        let answer = send(&router, Method::GET, path, &[("host", host)]).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'self';"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
}

#[tokio::test]
async fn large_answers_are_compressed() {
    let router = loopback().router;
    let gzip = [("accept-encoding", "gzip")];
    let answer = send(&router, Method::GET, "/api/v1/flame", &gzip).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    let answer = get(&router, "/api/v1/flame").await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.json()["name"].as_str().map(str::len), Some(6000));
}

#[tokio::test]
async fn paths_of_the_page_get_the_page_and_missing_files_do_not() {
    let router = loopback().router;
    let answer = get(&router, "/some/page").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").starts_with("text/html"));
    for path in [
        "/assets/none.js",
        "/none.txt",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn files_are_offered_for_keeping() {
    let router = loopback().router;
    let answer = get(&router, "/api/v1/functions.csv").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"functions.csv\""
    );
    assert!(answer.body.starts_with("id,name,"), "{}", answer.body);
    for path in ["/api/v1/flamegraph.svg", "/api/v1/flamegraph.folded"] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.message().contains("no call was recorded"), "{path}");
    }
    let answer = get(&router, "/api/v1/flamegraph.svg?weight=heavy").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

/// Reads a stream of events until `count` of the kind `name` came.
async fn events(body: &mut Body, name: &str, count: usize) -> Vec<String> {
    let mut text = String::new();
    loop {
        let found: Vec<String> = text
            .split("\n\n")
            .filter(|event| event.contains(&format!("event: {name}\n")))
            .map(str::to_owned)
            .collect();
        if found.len() >= count {
            return found;
        }
        let frame = body.frame().await.expect("an open stream").unwrap();
        text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
}

async fn open_events(router: &Router) -> Body {
    let request = Request::get("/api/v1/events")
        .header(header::HOST, "localhost:8080")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    assert!(response.headers().get(header::CONTENT_ENCODING).is_none());
    response.into_body()
}

#[tokio::test]
async fn each_flush_is_an_event() {
    let fixture = loopback();
    let mut body = open_events(&fixture.router).await;
    let first = events(&mut body, "flush", 1).await;
    assert!(first[0].contains("data: {\"sequence\":0}"), "{first:?}");
    for sequence in 1..=3 {
        fixture.flush.send_replace(sequence);
        let next = events(&mut body, "flush", 1).await;
        assert!(next[0].contains(&format!("data: {{\"sequence\":{sequence}}}")));
        assert!(next[0].contains(&format!("id: {sequence}")));
    }
    fixture.status.send_replace(LiveStatus {
        text: "the target ended".to_owned(),
        cost: String::new(),
        ended: true,
    });
    let status = events(&mut body, "ended", 1).await;
    assert_eq!(status.len(), 1);
    fixture.stop.send_replace(true);
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}

#[tokio::test]
async fn a_recorder_that_goes_away_ends_the_recording() {
    let fixture = loopback();
    let mut body = open_events(&fixture.router).await;
    events(&mut body, "flush", 1).await;
    drop(fixture.flush);
    events(&mut body, "ended", 1).await;
}

#[tokio::test]
async fn streams_are_bounded_and_given_back() {
    let fixture = loopback();
    let mut open = Vec::new();
    for _ in 0..super::MAX_STREAMS {
        open.push(open_events(&fixture.router).await);
    }
    let answer = get(&fixture.router, "/api/v1/events").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "too_many_streams");
    open.pop();
    // Succeeds only with the place that was given back.
    drop(open_events(&fixture.router).await);
}

async fn fetch(address: SocketAddr, path: &str) -> (StatusCode, Body) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .body(Empty::<axum::body::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    (response.status(), Body::new(response.into_body()))
}

/// Binds and serves in one step.
fn serve_at(
    address: SocketAddr,
    source: Arc<dyn Source>,
    live: LiveState,
) -> Result<super::Server, ServeError> {
    serve(
        super::bind(address)?,
        content(source, live),
        &HttpSettings::default(),
    )
}

#[tokio::test]
async fn serves_on_a_free_port_and_stops_with_open_streams() {
    let (flush, flushes) = watch::channel(5);
    let (_status, status) = watch::channel(LiveStatus::default());
    let live = LiveState { flushes, status };
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let server = serve_at(any, Arc::new(Scripted::default()), live).unwrap();
    let address = server.address();
    assert_ne!(address.port(), 0);
    assert_eq!(server.url(), format!("http://{address}/"));

    let (status, _) = fetch(address, "/api/v1/overview").await;
    assert_eq!(status, StatusCode::OK);
    let (status, mut body) = fetch(address, "/api/v1/events").await;
    assert_eq!(status, StatusCode::OK);
    events(&mut body, "flush", 1).await;
    flush.send_replace(6);
    let next = events(&mut body, "flush", 1).await;
    assert!(next[0].contains("\"sequence\":6"));

    let stopped = tokio::time::timeout(Duration::from_secs(30), server.shutdown());
    stopped
        .await
        .expect("an open stream does not hold up the end");
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            break;
        }
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_names_its_holder() {
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let source: Arc<dyn Source> = Arc::new(Scripted::default());
    let first = serve_at(any, Arc::clone(&source), LiveState::finished("")).unwrap();
    let taken = first.address();
    let error = serve_at(taken, source, LiveState::finished("")).unwrap_err();
    let ServeError::PortInUse { port, holder, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*port, taken.port());
    assert_eq!(
        holder.as_ref().map(|holder| holder.pid as u32),
        Some(std::process::id())
    );
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("port {port} on 127.0.0.1 is in use by ")),
        "{text}"
    );
    assert!(
        text.ends_with("choose another with --port, or --port 0 for a free one"),
        "{text}"
    );
}

#[tokio::test]
async fn an_address_of_another_host_is_refused() {
    // Set aside for documentation (RFC 5737): no host has it.
    let address = "192.0.2.1:0".parse().unwrap();
    let source = Arc::new(Scripted::default());
    let error = serve_at(address, source, LiveState::finished("")).unwrap_err();
    assert!(matches!(error, ServeError::NotOurs { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("192.0.2.1 is not an address of this host")
    );
}
