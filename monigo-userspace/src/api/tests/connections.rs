//! Clients that are slow, many, or speak TLS.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Scripted, content};
use crate::{
    api::{self, HttpSettings, LiveState, Server},
    config::Span,
};

pub(super) fn serve(settings: &HttpSettings) -> Server {
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let content = content(Arc::new(Scripted::default()), LiveState::finished(""));
    api::serve(api::bind(any).unwrap(), content, settings).unwrap()
}

pub(super) async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

/// One request on a connection that then closes; the answer's head and body.
pub(super) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    server: &Server,
) -> String {
    let head = format!(
        "GET /api/v1/overview HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        server.address()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A TLS peer may close without saying so.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

/// Waits until the other side closes; what it said before.
pub(super) async fn closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn slow_clients_are_left() {
    let mut settings = HttpSettings::default();
    settings.listen.idle_timeout = Span::from_secs(1);
    settings.listen.body_timeout = Span::from_secs(1);
    let server = serve(&settings);
    let mut silent = connect(&server).await;
    let mut slow_head = connect(&server).await;
    slow_head
        .write_all(b"GET / HTTP/1.1\r\nHost: lo")
        .await
        .unwrap();
    let mut slow_body = connect(&server).await;
    let head = format!(
        "POST /monigo/api/v1/reports HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        server.address()
    );
    slow_body.write_all(head.as_bytes()).await.unwrap();
    let mut kept = connect(&server).await;
    let head = format!(
        "GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address()
    );
    kept.write_all(head.as_bytes()).await.unwrap();

    assert_eq!(closed(&mut silent).await, "");
    let said = closed(&mut slow_head).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 408"),
        "{said}"
    );
    let said = closed(&mut slow_body).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("too_slow") && said.contains("body"), "{said}");
    let said = closed(&mut kept).await;
    assert!(
        said.starts_with("HTTP/1.1 200"),
        "answered, then idle: {said}"
    );
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let server = serve(&HttpSettings::default());
    let mut stream = connect(&server).await;
    let line = format!("X-Padding: {}\r\n", "x".repeat(8000));
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n").await;
    for _ in 0..16 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let said = closed(&mut stream).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431"),
        "{said}"
    );
    let answer = ask(connect(&server).await, &server).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = serve(&HttpSettings::default());
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"\r\n\r\n\0\0\0\0 \r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let said = closed(&mut stream).await;
        assert!(!said.starts_with("HTTP/1.1 200"), "{said}");
    }
    let answer = ask(connect(&server).await, &server).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"));
}

/// Writes a new certificate and key, and returns what trusts it.
fn certify(directory: &Path) -> TlsConnector {
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    std::fs::write(directory.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), cert.pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(cert.der().to_vec()))
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn tls_and_a_new_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let first = certify(directory.path());
    let mut settings = HttpSettings::default();
    settings.tls.cert_file = Some(directory.path().join("cert.pem"));
    settings.tls.key_file = Some(directory.path().join("key.pem"));
    let server = serve(&settings);
    assert!(server.url().starts_with("https://127.0.0.1:"));
    let name = || "localhost".try_into().unwrap();
    let stream = first.connect(name(), connect(&server).await).await.unwrap();
    let answer = ask(stream, &server).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.contains("strict-transport-security: max-age="),
        "{answer}"
    );

    let plain = ask(connect(&server).await, &server).await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");

    let second = certify(directory.path());
    // The server looks at the files every few seconds.
    loop {
        match second.connect(name(), connect(&server).await).await {
            Ok(stream) => {
                assert!(ask(stream, &server).await.starts_with("HTTP/1.1 200 OK"));
                break;
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    std::fs::write(directory.path().join("cert.pem"), "damaged").unwrap();
    let stream = second
        .connect(name(), connect(&server).await)
        .await
        .unwrap();
    assert!(
        ask(stream, &server).await.starts_with("HTTP/1.1 200 OK"),
        "the old one stays"
    );
}

#[tokio::test]
async fn certificates_that_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path());
    let (cert, key) = (
        directory.path().join("cert.pem"),
        directory.path().join("key.pem"),
    );
    let other = tempfile::tempdir().unwrap();
    certify(other.path());
    let refused = |cert: Option<&Path>, key: Option<&Path>| {
        let mut settings = HttpSettings::default();
        settings.tls.cert_file = cert.map(Path::to_owned);
        settings.tls.key_file = key.map(Path::to_owned);
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let content = content(Arc::new(Scripted::default()), LiveState::finished(""));
        let error = api::serve(api::bind(any).unwrap(), content, &settings);
        error.expect_err("refused").to_string()
    };
    let none = Path::new("/nonexistent");
    for (cert, key, part) in [
        (Some(&*cert), None, "tls.cert_file needs tls.key_file"),
        (None, Some(&*key), "tls.key_file needs tls.cert_file"),
        (Some(none), Some(&*key), "tls.cert_file: /nonexistent"),
        (Some(&*cert), Some(none), "tls.key_file: /nonexistent"),
        (Some(&*key), Some(&*key), "holds no certificate"),
        (Some(&*cert), Some(&*cert), "tls.key_file"),
        (
            Some(&*cert),
            Some(&*other.path().join("key.pem")),
            "cannot be used together",
        ),
    ] {
        let error = refused(cert, key);
        assert!(error.contains(part), "{part}: {error}");
    }
}
