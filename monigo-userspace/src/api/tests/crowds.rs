//! Clients that are many, or that take more than their share.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::{
    Scripted,
    connections::{ask, closed, connect, serve},
};
use crate::{
    api::{self, Content, HttpSettings, LiveState, Server},
    config::Span,
    query::Source,
    service::{
        ExporterStatus, Identity, Live, Metrics, RoutineKind, RoutineReader, Routines, Service,
        ServiceError, ServiceInfo,
    },
    system::{
        health::HealthSettings,
        metrics::{HostLook, Look, Monitor, ProcLook, ProcessLook},
    },
};

/// A client with another address of this host.
async fn connect_as_another(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let other = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), 0);
    socket.bind(other).unwrap();
    socket.connect(server.address()).await.unwrap()
}

/// As many descriptors as are allowed.
fn allow_many_connections() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// Begins a request on a connection that stays open.
async fn begin(stream: &mut TcpStream, server: &Server) {
    let head = format!(
        "GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// Reads the answer to a request on a connection that stays open.
async fn end(stream: &mut TcpStream) -> String {
    let mut said = vec![0; 4096];
    let count = stream.read(&mut said).await.unwrap();
    String::from_utf8_lossy(&said[..count]).into_owned()
}

#[tokio::test]
async fn a_thousand_idle_connections_do_not_stop_the_service() {
    allow_many_connections();
    let mut settings = HttpSettings::default();
    settings.listen.max_connections = 100;
    let server = serve(&settings);
    let mut idle = Vec::new();
    for number in 0..1000 {
        let mut stream = connect(&server).await;
        if number % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        }
        idle.push(stream);
    }
    for _ in 0..10 {
        let answer = ask(connect(&server).await, &server).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    // The one that was idle for longest made room.
    closed(&mut idle[0]).await;
}

#[tokio::test]
async fn idle_connections_of_one_client_cost_others_none() {
    allow_many_connections();
    let settings = HttpSettings::default();
    let server = serve(&settings);
    let mut kept = connect(&server).await;
    begin(&mut kept, &server).await;
    assert!(end(&mut kept).await.starts_with("HTTP/1.1 200"));
    // It is idle for longer than any of those that follow.
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(connect_as_another(&server).await);
    }
    // Connections are accepted in their order: the last is in now, and the first had to go.
    begin(&mut idle[999], &server).await;
    assert!(end(&mut idle[999]).await.starts_with("HTTP/1.1 200"));
    closed(&mut idle[0]).await;
    begin(&mut kept, &server).await;
    assert!(end(&mut kept).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn busy_connections_of_one_client_lock_nobody_out() {
    let mut settings = HttpSettings::default();
    settings.listen.max_connections = 20;
    settings.listen.max_connections_per_client = 10;
    let server = serve(&settings);
    let head = format!(
        "POST /monigo/api/v1/reports HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        server.address()
    );
    let mut busy = Vec::new();
    for _ in 0..20 {
        let mut stream = connect_as_another(&server).await;
        // Those beyond the limit may be closed already.
        let _ = stream.write_all(head.as_bytes()).await;
        busy.push(stream);
    }
    let answer = ask(connect(&server).await, &server).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// Has much to say.
struct Talkative;

impl Service for Talkative {
    fn info(&self) -> ServiceInfo {
        ServiceInfo::default()
    }
    fn metrics(&self) -> Result<Metrics, ServiceError> {
        Err(ServiceError::Unavailable("none".to_owned()))
    }
    fn routines(&self) -> Result<Routines, ServiceError> {
        Err(ServiceError::Unavailable("none".to_owned()))
    }
    fn exporters(&self) -> Vec<ExporterStatus> {
        Vec::new()
    }
    fn settings(&self) -> serde_json::Value {
        json!({"text": "x".repeat(8 << 20)})
    }
}

fn serve_service(service: Arc<dyn Service>, settings: &HttpSettings) -> Server {
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let content = Content {
        service,
        source: Arc::new(Scripted::default()),
        live: LiveState::finished(""),
        discoverer: None,
    };
    api::serve(api::bind(any).unwrap(), content, settings).unwrap()
}

#[tokio::test]
async fn a_client_that_hardly_reads_is_left() {
    let mut settings = HttpSettings::default();
    settings.listen.idle_timeout = Span::from_secs(1);
    let server = serve_service(Arc::new(Talkative), &settings);
    let request = format!(
        "GET /monigo/api/v1/settings HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        server.address()
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(server.address()).await.unwrap();
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut taken = 0;
    let reset = loop {
        taken += slow.read(&mut [0]).await.unwrap_or(0);
        if let Some(error) = slow.take_error().unwrap() {
            break error;
        }
        // Others are served meanwhile.
        let mut other = connect(&server).await;
        begin(&mut other, &server).await;
        assert!(end(&mut other).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(taken < 100_000, "{taken}");

    // Who takes what is sent gets all of it.
    let mut quick = connect(&server).await;
    quick.write_all(request.as_bytes()).await.unwrap();
    let mut whole = Vec::new();
    quick.read_to_end(&mut whole).await.unwrap();
    assert!(whole.len() > 8 << 20);
}

#[tokio::test]
async fn a_hundred_readers_at_once() {
    let server = Arc::new(serve(&HttpSettings::default()));
    let readers = (0..100).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { ask(connect(&server).await, &server).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        let answer = reader.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

/// Counts how often `/proc` is read.
struct Counting(ProcLook, Arc<AtomicU64>);

impl Look for Counting {
    fn boot_ns(&mut self) -> u64 {
        self.0.boot_ns()
    }
    fn unix_ns(&mut self) -> i64 {
        self.0.unix_ns()
    }
    fn process(&mut self, pid: u32) -> Option<ProcessLook> {
        self.0.process(pid)
    }
    fn host(&mut self, first: Option<u32>) -> HostLook {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.host(first)
    }
}

struct NoRoutines;

impl RoutineReader for NoRoutines {
    fn count(&self, _: &[u32]) -> Option<(RoutineKind, u64)> {
        None
    }
    fn routines(&self, _: &[u32]) -> Result<Routines, ServiceError> {
        Err(ServiceError::Unavailable("none".to_owned()))
    }
    fn runtime(&self, _: &[u32], _: &mut Metrics) {}
    fn tick(&self, _: &[u32]) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_readers_cost_one_look_at_proc() {
    let looks = Arc::new(AtomicU64::new(0));
    let look = Counting(ProcLook::default(), Arc::clone(&looks));
    let own = std::process::id();
    let monitor = Monitor::new(Box::new(look), Box::new(move || BTreeSet::from([own])));
    let source: Arc<dyn Source> = Arc::new(Scripted::default());
    let live = Live::new(
        Identity::default(),
        monitor,
        Box::new(NoRoutines),
        source,
        HealthSettings::default(),
    );
    let server = Arc::new(serve_service(Arc::new(live), &HttpSettings::default()));
    let (began, before) = (Instant::now(), looks.load(Ordering::SeqCst));
    let readers = (0..100).map(|number| {
        let server = Arc::clone(&server);
        let path = [
            "monigo/api/v1/metrics",
            "monigo/api/v1/service-info",
            "metrics",
        ][number % 3];
        tokio::spawn(async move {
            let mut stream = connect(&server).await;
            let head = format!(
                "GET /{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                server.address()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        let answer = reader.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    // One for each second that it took, begun or not.
    let most = 1 + began.elapsed().as_secs();
    let looks = looks.load(Ordering::SeqCst) - before;
    assert!((1..=most).contains(&looks), "{looks} looks, {most} allowed");
}
