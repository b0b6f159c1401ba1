//! Questions through the socket of a monigo that records.

use super::*;

fn database_with_socket(
    directory: &Path,
) -> (
    Database,
    crate::query::remote::SocketServer,
    std::path::PathBuf,
) {
    let file = directory.join("run.duckdb");
    let mut database = Database::open(&file).expect("opens");
    fixture::record(&mut database);
    let reader = database.reader().expect("reads");
    let source = Arc::new(DuckSource::open(reader.clone(), None).expect("session"));
    let server = serve_socket(&file, source, Some(reader)).expect("listens");
    (database, server, file)
}

pub fn locked(path: &Path) -> StoreError {
    StoreError::Locked {
        path: path.into(),
        pid: Some(1),
        program: None,
    }
}

#[test]
fn answers_through_the_socket_are_the_same() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (mut database, server, file) = database_with_socket(directory.path());
    check_answers(&RemoteSource::open(&file, None, locked(&file)).expect("connects"));
    fixture::record(&mut database);
    let other = RemoteSource::open(&file, Some(2), locked(&file)).expect("connects");
    assert_eq!(other.overview().expect("overview").session, 2);
    let error = RemoteSource::open(&file, Some(9), locked(&file)).expect_err("unknown");
    assert!(
        matches!(&error, OpenError::UnknownSession { id: 9, available } if available == &[1, 2]),
        "{error}"
    );
    assert_eq!(server.path(), socket_path(&file));
    drop(server);
    assert!(!socket_path(&file).exists());
    let error = RemoteSource::open(&file, None, locked(&file)).expect_err("gone");
    assert!(matches!(error, OpenError::HeldElsewhere { .. }), "{error}");
}

#[test]
fn the_socket_is_private_single_and_replaces_a_stale_one() {
    use std::os::unix::{fs::PermissionsExt as _, net::UnixListener};
    let directory = tempfile::tempdir().expect("temporary directory");
    let socket = socket_path(&directory.path().join("run.duckdb"));
    drop(UnixListener::bind(&socket).expect("binds"));
    assert!(socket.exists(), "a stale socket stays behind");
    let (database, server, file) = database_with_socket(directory.path());
    let mode = std::fs::metadata(&socket)
        .expect("exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let reader = database.reader().expect("reads");
    let source = Arc::new(DuckSource::open(reader, None).expect("session"));
    let error = serve_socket(&file, Arc::clone(&source) as _, None).expect_err("taken");
    assert!(matches!(error, SocketError::InUse { .. }), "{error}");
    drop(server);
    std::fs::write(&socket, "a file").expect("writes");
    let error = serve_socket(&file, source, None).expect_err("no socket");
    assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
}

#[test]
fn a_path_longer_than_a_socket_address_works() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let long = directory.path().join("d".repeat(120));
    std::fs::create_dir(&long).expect("creates");
    let (_database, server, file) = database_with_socket(&long);
    let source = RemoteSource::open(&file, None, locked(&file)).expect("connects");
    assert_eq!(source.overview().expect("overview").session, 1);
    drop(server);
    assert!(!socket_path(&file).exists());
}

#[test]
fn nonsense_on_the_socket_gets_an_error_and_harms_nothing() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let directory = tempfile::tempdir().expect("temporary directory");
    let (_database, server, file) = database_with_socket(directory.path());
    let mut stream = std::os::unix::net::UnixStream::connect(server.path()).expect("connects");
    for line in ["hello", "{\"protocol\":99,\"session\":null}"] {
        writeln!(stream, "{line}").expect("writes");
        let mut answer = String::new();
        let mut lines = BufReader::new(stream.try_clone().expect("clones"));
        lines.read_line(&mut answer).expect("reads");
        assert!(answer.contains("failed"), "{answer}");
    }
    check_answers(&RemoteSource::open(&file, None, locked(&file)).expect("connects"));
}
