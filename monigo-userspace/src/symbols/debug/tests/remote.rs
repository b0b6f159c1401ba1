//! A debuginfod server on loopback, with and without TLS.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    super::{
        Sources,
        remote::{Limits, Remote},
    },
    Stripped,
};
use crate::symbols::tests::samples;

/// Answers GET requests on loopback with what `answer` says for a path: status, then body.
fn serve(
    answer: impl Fn(&str) -> (&'static str, Vec<u8>) + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let (address, count) = serve_streams(Ok, move |stream, asked| {
        let (status, body) = answer(asked);
        // The client may have enough before the end.
        let _ = stream.write_all(head(status, body.len()).as_bytes());
        let _ = stream.write_all(&body);
    });
    (format!("http://{address}"), count)
}

fn head(status: &str, length: usize) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
}

/// Has requests on loopback answered through what `wrap` makes of each connection.
fn serve_streams<S: Read + Write>(
    wrap: impl Fn(TcpStream) -> std::io::Result<S> + Send + 'static,
    answer: impl Fn(&mut S, &str) + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::SeqCst);
            let Ok(mut stream) = wrap(stream) else {
                continue;
            };
            let mut lines = BufReader::new(&mut stream).lines();
            // A client that does not trust the certificate asks nothing.
            let Some(Ok(first)) = lines.next() else {
                continue;
            };
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            answer(&mut stream, first.split(' ').nth(1).unwrap());
            let _ = stream.flush();
        }
    });
    (address.to_string(), count)
}

fn remote(servers: &[&str], cache: &Path, limits: Limits) -> Sources {
    trusting(servers, cache, limits, None)
}

fn trusting(servers: &[&str], cache: &Path, limits: Limits, authorities: Option<&Path>) -> Sources {
    let remote = Remote::new(servers, cache.to_owned(), limits, authorities).unwrap();
    Sources {
        folders: Vec::new(),
        remote: Some(Arc::new(remote)),
        cache: None,
    }
}

#[test]
fn a_server_is_asked_once_and_the_answer_kept() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let path = format!("/buildid/{}/debuginfo", stripped.build_id());
    let body = fs::read(&stripped.debug).unwrap();
    let (empty, asked_empty) = serve(|_| ("404 Not Found", Vec::new()));
    let (url, asked) = serve(move |asked| {
        assert_eq!(asked, path);
        ("200 OK", body.clone())
    });
    let cache = tempfile::tempdir().unwrap();
    let place = cache.path().join("debuginfod");
    let limits = Limits::default();
    for _ in 0..3 {
        let sources = remote(&[&empty, &format!("{url}/")], &place, limits);
        let found = stripped.search(&sources);
        assert!(found.file.is_some(), "{:?}", found.remarks);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(asked_empty.load(Ordering::SeqCst), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let kept = place.join(format!("{}.debug", stripped.build_id()));
    assert_eq!((mode(&place), mode(&kept)), (0o700, 0o600));
    // What somebody else may have put there does not count.
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o666)).unwrap();
    stripped.search(&remote(&[&url], &place, limits));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    fs::remove_file(&kept).unwrap();
    symlink(&stripped.debug, &kept).unwrap();
    stripped.search(&remote(&[&url], &place, limits));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn servers_that_fail_are_spoken_of() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let cache = tempfile::tempdir().unwrap();
    let ask = |servers: &[&str], limits| {
        let sources = remote(servers, cache.path(), limits);
        let found = stripped.search(&sources);
        assert!(found.file.is_none());
        // Once is enough.
        assert!(stripped.search(&sources).remarks.is_empty());
        found.remarks.join("\n")
    };
    let limits = Limits::default();
    let (missing, _) = serve(|_| ("404 Not Found", Vec::new()));
    assert_eq!(ask(&[&missing], limits), "");
    let (broken, _) = serve(|_| ("500 Internal Server Error", Vec::new()));
    assert!(ask(&[&missing, &broken], limits).contains("500"));
    let (large, _) = serve(|_| ("200 OK", vec![0; 100_000]));
    let small = Limits {
        bytes: 10_000,
        ..limits
    };
    assert!(ask(&[&large], small).contains("larger than"));
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    let brief = Limits {
        connect: Duration::from_millis(200),
        total: Duration::from_millis(400),
        ..limits
    };
    // It accepts and says nothing.
    assert!(ask(&[&nobody], brief).contains("timeout"));
    let leftovers = fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(leftovers, 0);
    assert!(Remote::new(&["ftp://example.com"], PathBuf::new(), limits, None).is_err());
}

#[test]
fn what_a_server_sends_is_checked() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let cache = tempfile::tempdir().unwrap();
    let other = fs::read(samples::c(&["-O0", "-g"])).unwrap();
    let (url, _) = serve(move |_| ("200 OK", other.clone()));
    let found = stripped.search(&remote(&[&url], cache.path(), Limits::default()));
    assert!(found.file.is_none());
    assert!(
        found.remarks[0].contains("another build"),
        "{:?}",
        found.remarks
    );
}

/// A certificate authority, and a server's certificate of it.
struct Authority {
    folder: tempfile::TempDir,
    server: Arc<rustls::ServerConfig>,
}

impl Authority {
    fn new(server_name: &str) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(Vec::new()).unwrap();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = own.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(own, key);
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec![server_name.to_owned()]).unwrap();
        let server = server.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![server.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self {
            folder,
            server: Arc::new(config),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// As [`serve_streams`], over TLS; returns a URL.
    fn serve(
        &self,
        answer: impl Fn(&mut rustls::StreamOwned<rustls::ServerConnection, TcpStream>, &str)
        + Send
        + 'static,
    ) -> String {
        let config = Arc::clone(&self.server);
        let wrap = move |stream| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config));
            let connection = connection.map_err(std::io::Error::other)?;
            Ok(rustls::StreamOwned::new(connection, stream))
        };
        let (address, _) = serve_streams(wrap, answer);
        format!("https://{address}")
    }

    fn serve_file(&self, file: &Path) -> String {
        let body = fs::read(file).unwrap();
        self.serve(move |stream, _| {
            let _ = stream.write_all(head("200 OK", body.len()).as_bytes());
            let _ = stream.write_all(&body);
            stream.conn.send_close_notify();
        })
    }
}

#[test]
fn over_tls_with_an_authority_that_is_named() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let authority = Authority::new("127.0.0.1");
    let url = authority.serve_file(&stripped.debug);
    let limits = Limits::default();
    let search = |authorities: Option<&Path>| {
        let cache = tempfile::tempdir().unwrap();
        let sources = trusting(&[&url], cache.path(), limits, authorities);
        let found = stripped.search(&sources);
        (found.file.is_some(), found.remarks.join("\n"))
    };
    let file = authority.file();
    assert_eq!(search(Some(&file)), (true, String::new()));
    // Browsers do not know this authority, nor does another one.
    let other = Authority::new("127.0.0.1");
    for authorities in [None, Some(other.file())] {
        let (found, remark) = search(authorities.as_deref());
        assert!(!found && remark.contains("certificate"), "{remark}");
    }
}

#[test]
fn over_tls_a_certificate_of_another_host_is_refused() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let authority = Authority::new("debuginfod.example.com");
    let url = authority.serve_file(&stripped.debug);
    let cache = tempfile::tempdir().unwrap();
    let file = authority.file();
    let sources = trusting(&[&url], cache.path(), Limits::default(), Some(&file));
    let found = stripped.search(&sources);
    let remark = found.remarks.join("\n");
    assert!(
        found.file.is_none() && remark.contains("certificate"),
        "{remark}"
    );
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn over_tls_another_build_is_refused() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let authority = Authority::new("127.0.0.1");
    let url = authority.serve_file(&samples::c(&["-O0", "-g"]));
    let cache = tempfile::tempdir().unwrap();
    let file = authority.file();
    let sources = trusting(&[&url], cache.path(), Limits::default(), Some(&file));
    let found = stripped.search(&sources);
    assert!(found.file.is_none());
    assert!(
        found.remarks[0].contains("another build"),
        "{:?}",
        found.remarks
    );
}

/// A server that sends for ever, if slowly, is given up, and half a file is not kept.
#[test]
fn over_tls_a_slow_server_is_given_up() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let authority = Authority::new("127.0.0.1");
    let url = authority.serve(|stream, _| {
        let _ = stream.write_all(head("200 OK", 1 << 20).as_bytes());
        // Until the client goes away.
        while stream.write_all(b"x").and_then(|()| stream.flush()).is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let limits = Limits {
        total: Duration::from_millis(600),
        ..Limits::default()
    };
    let file = authority.file();
    let sources = trusting(&[&url], cache.path(), limits, Some(&file));
    let found = stripped.search(&sources);
    let remark = found.remarks.join("\n");
    assert!(
        found.file.is_none() && remark.contains("timeout"),
        "{remark}"
    );
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn files_that_hold_no_authority_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let make = || {
        let servers = ["https://127.0.0.1"];
        let made = Remote::new(&servers, PathBuf::new(), Limits::default(), Some(&file));
        made.unwrap_err().to_string()
    };
    assert!(
        make().contains("--debuginfod-ca: No such file"),
        "{}",
        make()
    );
    fs::write(&file, "nothing").unwrap();
    assert!(make().contains("no certificate"), "{}", make());
}
