//! Connections: how many, how long they may be idle, and how slow their clients may be.
//!
//! HTTP/1.1 only: a browser's few requests gain nothing from HTTP/2, whose limits are harder to reason about.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

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
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::{
    pace::Paced,
    places::{Busy, Place, Places},
    settings::ListenSettings,
    tls::Tls,
};

/// Longest head of a request, bytes.
const LONGEST_HEAD: usize = 32 << 10;
/// Pause when connections cannot be accepted, which mostly means that descriptors have run out.
const REST: Duration = Duration::from_millis(200);

/// What of an answer may wait in the kernel for a slow client, bytes. The kernel lets writing go on when a third of
/// it was taken: with the megabytes that it would grow to, slow clients would look like those that take nothing.
const SEND_BUFFER: usize = 128 << 10;

/// What is asked of connections.
pub struct Limits {
    places: Places,
    idle: Duration,
}

impl From<&ListenSettings> for Limits {
    fn from(settings: &ListenSettings) -> Self {
        Self {
            places: Places::new(
                settings.max_connections as usize,
                settings.max_connections_per_client as usize,
                settings.trusted_proxies.clone(),
            ),
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
    let Limits { places, idle } = limits;
    let places = Arc::new(places);
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
        let Some(place) = places.enter(peer.ip()) else {
            continue;
        };
        let tls = tls.as_ref().map(Tls::config);
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let evicted = place.evicted();
            tokio::select! {
                () = connection(stream, peer, tls, router, &place, idle, watcher) => {}
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
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let stream = Paced::new(stream, idle);
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
