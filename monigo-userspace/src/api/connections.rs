//! Connections: how many, how long they may be idle, and how slow their clients may be.
//!
//! HTTP/1.1 only: a browser's few requests gain nothing from HTTP/2, whose limits are harder to reason about.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request},
    response::Response,
};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::{settings::ListenSettings, tls::Tls};

/// Longest head of a request, bytes.
const LONGEST_HEAD: usize = 32 << 10;
/// Pause when connections cannot be accepted, which mostly means that descriptors have run out.
const REST: Duration = Duration::from_millis(200);

/// What is asked of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    max_connections: usize,
    idle: Duration,
}

impl From<&ListenSettings> for Limits {
    fn from(settings: &ListenSettings) -> Self {
        Self {
            max_connections: (settings.max_connections as usize).max(1),
            idle: settings.idle_timeout.duration(),
        }
    }
}

/// Answers connections until told to stop, then lets those with a request finish it.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let open = Arc::new(Connections::new(limits.max_connections));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // Without a place, the connection is closed unanswered.
        let Some(place) = open.enter() else {
            continue;
        };
        let tls = tls.as_ref().map(Tls::config);
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let evicted = place.evicted();
            tokio::select! {
                () = connection(stream, peer, tls, router, &place, limits.idle, watcher) => {}
                () = evicted.notified() => {}
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    place: &Place,
    idle: Duration,
    watcher: Watcher,
) {
    // Small answers should not wait for acknowledgements of earlier ones.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(idle));
    let stream = Box::pin(stream);
    let Some(config) = tls else {
        return converse(stream, peer, router, place, idle, watcher).await;
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(idle, handshake).await {
        Ok(Ok(stream)) => converse(stream, peer, router, place, idle, watcher).await,
        Ok(Err(error)) => tracing::debug!("no TLS with {peer}: {error}"),
        Err(_) => {}
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    place: &Place,
    idle: Duration,
    watcher: Watcher,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let busy = place.begin();
        let answer = router.clone().call(request);
        async move {
            let response: Response = answer.await?;
            Ok::<_, Infallible>(response.map(|body| until_sent(body, busy)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("the connection of {peer} broke: {error}");
    }
}

/// Keeps `busy` until the body is sent or given up.
fn until_sent(body: Body, busy: Busy) -> Body {
    // Nothing to wrap, and an empty body must look empty.
    if body.is_end_stream() {
        return body;
    }
    Body::new(body.map_frame(move |frame| {
        let _held = &busy;
        frame
    }))
}

/// The connections that are open.
struct Connections {
    most: usize,
    open: Mutex<HashMap<u64, Entry>>,
}

struct Entry {
    /// Requests being answered.
    requests: usize,
    /// Since when there are none.
    idle_since: Instant,
    evict: Arc<Notify>,
}

impl Connections {
    fn new(most: usize) -> Self {
        Self {
            most,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection. When there is none, the connection that is idle for longest loses
    /// its; `None` when none is idle.
    fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.lock();
        if open.len() >= self.most {
            let idle = open
                .iter()
                .filter(|(_, entry)| entry.requests == 0)
                .min_by_key(|(number, entry)| (entry.idle_since, **number))
                .map(|(number, _)| *number)?;
            if let Some(entry) = open.remove(&idle) {
                entry.evict.notify_one();
            }
        }
        let number = loop {
            let number = rand::random();
            if !open.contains_key(&number) {
                break number;
            }
        };
        let evict = Arc::new(Notify::new());
        let entry = Entry {
            requests: 0,
            idle_since: Instant::now(),
            evict: Arc::clone(&evict),
        };
        open.insert(number, entry);
        drop(open);
        Some(Place {
            connections: Arc::clone(self),
            number,
            evict,
        })
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(&number) {
            change(entry);
        }
    }
}

/// A connection's place; given back when dropped.
struct Place {
    connections: Arc<Connections>,
    number: u64,
    evict: Arc<Notify>,
}

impl Place {
    /// Notified when another connection takes the place.
    fn evicted(&self) -> Arc<Notify> {
        Arc::clone(&self.evict)
    }

    /// A request begins; it ends when the result is dropped.
    fn begin(&self) -> Busy {
        self.connections
            .change(self.number, |entry| entry.requests += 1);
        Busy {
            connections: Arc::clone(&self.connections),
            number: self.number,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
    }
}

/// A request that is being answered.
struct Busy {
    connections: Arc<Connections>,
    number: u64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connections.change(self.number, |entry| {
            entry.requests -= 1;
            entry.idle_since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_is_idle_for_longest_makes_room() {
        let open = Arc::new(Connections::new(3));
        let places: Vec<Place> = (0..3).filter_map(|_| open.enter()).collect();
        let first = places[0].begin();
        // The second is idle for longest; the third was busy meanwhile.
        drop(places[2].begin());
        let fourth = open.enter().expect("one is idle");
        assert!(open.lock().contains_key(&places[0].number));
        assert!(!open.lock().contains_key(&places[1].number));
        assert!(open.lock().contains_key(&places[2].number));
        let busy = (places[2].begin(), fourth.begin());
        assert!(open.enter().is_none(), "all are busy");
        drop((first, busy));
        assert!(open.enter().is_some());
    }

    #[test]
    fn places_are_given_back() {
        let open = Arc::new(Connections::new(2));
        let place = open.enter().unwrap();
        let busy = place.begin();
        drop(place);
        drop(busy);
        assert!(open.lock().is_empty());
    }
}
