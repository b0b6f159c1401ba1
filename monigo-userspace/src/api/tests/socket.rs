//! A real socket.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch};

use super::{Scripted, content, events::events};
use crate::{
    api::{self, HttpSettings, LiveState, LiveStatus, ServeError, Server},
    query::Source,
};

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
) -> Result<Server, ServeError> {
    api::serve(
        api::bind(address)?,
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
