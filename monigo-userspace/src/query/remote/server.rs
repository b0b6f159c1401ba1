//! The side that holds the database.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Answer, Hello, MAX_LINE, PROTOCOL, Question, flat::flatten, short_path, socket_path};
use crate::{
    query::{DuckSource, OpenError, QueryError, Source},
    store::Reader,
};

/// Clients served at a time; more are turned away.
const MAX_CLIENTS: usize = 16;

/// Gives out the source that answers for a session; `None` is the one being recorded.
pub trait Sessions: Send + Sync {
    /// The source, or why there is none.
    fn source(&self, session: Option<i64>) -> Result<Arc<dyn Source>, OpenError>;
}

/// The one session being recorded, and beside it the others of its database.
struct Recording {
    current: Arc<dyn Source>,
    others: Option<Reader>,
}

impl Sessions for Recording {
    fn source(&self, session: Option<i64>) -> Result<Arc<dyn Source>, OpenError> {
        let Some(id) = session else {
            return Ok(Arc::clone(&self.current));
        };
        let current = self.current.overview()?.session;
        match &self.others {
            _ if id == current => Ok(Arc::clone(&self.current)),
            Some(reader) => Ok(Arc::new(DuckSource::open(reader.clone(), session)?)),
            None => Err(OpenError::UnknownSession {
                id,
                available: vec![current],
            }),
        }
    }
}

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens there.
    #[error("another monigo already listens on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket has the name.
    #[error("{} exists and is not a socket; remove it", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("listening on {} failed: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A listening socket; dropping it stops listening and removes the socket. Clients that are
/// connected are served until they leave.
#[derive(Debug)]
pub struct SocketServer {
    path: PathBuf,
    /// Inode of the socket, so that only our own is removed.
    inode: Option<u64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Answers questions about `source`, which records into `database`, on the socket beside it.
/// `others` opens the other sessions of the database.
pub fn serve_socket(
    database: &Path,
    source: Arc<dyn Source>,
    others: Option<Reader>,
) -> Result<SocketServer, SocketError> {
    let current = source;
    SocketServer::start(database, Arc::new(Recording { current, others }))
}

impl SocketServer {
    /// Listens beside `database` and answers from `sessions`.
    pub fn start(database: &Path, sessions: Arc<dyn Sessions>) -> Result<Self, SocketError> {
        let path = socket_path(database);
        let failed = |source| SocketError::Io {
            path: path.clone(),
            source,
        };
        let (address, _directory) = short_path(&path).map_err(failed)?;
        remove_stale(&path, &address)?;
        let listener = bind_private(&address).map_err(failed)?;
        let inode = fs::symlink_metadata(&path).ok().map(|found| found.ino());
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("socket".to_owned())
            .spawn(move || accept(&listener, &sessions, &stopping))
            .map_err(failed)?;
        Ok(Self {
            path,
            inode,
            stop,
            thread: Some(thread),
        })
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A connection wakes the accepting thread.
        let woken =
            short_path(&self.path).and_then(|(address, _keep)| UnixStream::connect(address));
        if woken.is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
        let ours = fs::symlink_metadata(&self.path)
            .ok()
            .map(|found| found.ino());
        if ours.is_some() && ours == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of a monigo that is gone.
fn remove_stale(path: &Path, address: &Path) -> Result<(), SocketError> {
    use std::os::unix::fs::FileTypeExt as _;
    let path = path.to_owned();
    match fs::symlink_metadata(&path) {
        Err(_) => Ok(()),
        Ok(found) if !found.file_type().is_socket() => Err(SocketError::NotASocket { path }),
        Ok(_) if UnixStream::connect(address).is_ok() => Err(SocketError::InUse { path }),
        Ok(_) => fs::remove_file(&path).map_err(|source| SocketError::Io { path, source }),
    }
}

/// Binds a socket that only its owner can connect to: the mode that it has before it is bound is
/// the mode that its file is created with.
fn bind_private(address: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fs::File::from(std::os::fd::AsFd::as_fd(&socket).try_clone_to_owned()?)
        .set_permissions(fs::Permissions::from_mode(0o600))?;
    socket.bind(&SockAddr::unix(address)?)?;
    socket.listen(MAX_CLIENTS as i32)?;
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

fn accept(listener: &UnixListener, sessions: &Arc<dyn Sessions>, stop: &AtomicBool) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if clients.load(Ordering::Acquire) >= MAX_CLIENTS || !may_ask(&stream) {
            continue;
        }
        clients.fetch_add(1, Ordering::AcqRel);
        let (sessions, count) = (Arc::clone(sessions), Arc::clone(&clients));
        let spawned = thread::Builder::new()
            .name("socket client".to_owned())
            .spawn(move || {
                if let Err(error) = serve(&stream, sessions.as_ref()) {
                    tracing::debug!(%error, "a client of the socket went away");
                }
                count.fetch_sub(1, Ordering::AcqRel);
            });
        if spawned.is_err() {
            clients.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Only root and the user who records may ask.
fn may_ask(stream: &UnixStream) -> bool {
    peer_uid(stream).is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw())
}

fn peer_uid(stream: &UnixStream) -> Option<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes into `peer`.
    let status = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    (status == 0).then_some(peer.uid)
}

fn serve(stream: &UnixStream, sessions: &dyn Sessions) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut source: Option<Arc<dyn Source>> = None;
    let mut line = String::new();
    loop {
        line.clear();
        if lines.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = match &source {
            None => match greet(&line, sessions) {
                Ok((opened, id)) => {
                    source = Some(opened);
                    Answer::Welcome(id)
                }
                Err(answer) => *answer,
            },
            Some(source) => match serde_json::from_str(&line) {
                Ok(question) => answer(source.as_ref(), question),
                Err(error) => refuse(format!("it does not understand the question: {error}")),
            },
        };
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        { stream }.write_all(text.as_bytes())?;
    }
}

fn refuse(why: String) -> Answer {
    Answer::Failed(QueryError::Remote(why))
}

fn greet(line: &str, sessions: &dyn Sessions) -> Result<(Arc<dyn Source>, i64), Box<Answer>> {
    let hello: Hello = serde_json::from_str(line).map_err(|error| refuse(error.to_string()))?;
    if hello.protocol != PROTOCOL {
        return Err(Box::new(refuse(format!(
            "it speaks protocol {PROTOCOL} and this monigo {}; use the same version for both",
            hello.protocol
        ))));
    }
    let source = sessions
        .source(hello.session)
        .map_err(|error| match error {
            OpenError::UnknownSession { available, .. } => Answer::UnknownSession(available),
            OpenError::Query(error) => Answer::Failed(error),
            other => refuse(other.to_string()),
        })?;
    let overview = source.overview().map_err(Answer::Failed)?;
    Ok((source, overview.session))
}

fn answer(source: &dyn Source, question: Question) -> Answer {
    let answer = match question {
        Question::Overview => source.overview().map(|o| Answer::Overview(Box::new(o))),
        Question::Functions { window } => source.functions(window).map(Answer::Functions),
        Question::SinceStart => source.since_start().map(Answer::SinceStart),
        Question::Breakdown { window } => source.breakdown(window).map(Answer::Breakdown),
        Question::Histogram { function, window } => {
            source.histogram(function, window).map(Answer::Histogram)
        }
        Question::Series {
            function,
            window,
            points,
        } => source.series(function, window, points).map(Answer::Series),
        Question::Heatmap {
            function,
            window,
            columns,
        } => source
            .heatmap(function, window, columns)
            .map(Answer::Heatmap),
        Question::Slowest { selection, limit } => {
            source.slowest(&selection, limit).map(Answer::Slowest)
        }
        Question::Stacks { selection, limit } => {
            source.stacks(&selection, limit).map(Answer::Stacks)
        }
        Question::Selected { selection } => source
            .selected(&selection)
            .map(|selected| Answer::Selected(Box::new(selected))),
        Question::Stack { id } => source.stack(id).map(Answer::Stack),
        Question::Flame { selection } => source
            .flame(&selection)
            .map(|root| Answer::Flame(flatten(root))),
        Question::Tail { tail } => source.tail(&tail).map(|mut tail| {
            let tree = flatten(std::mem::take(&mut tail.tree));
            Answer::Tail(Box::new(tail), tree)
        }),
        Question::Story { call } => source.story(call).map(|s| Answer::Story(Box::new(s))),
        Question::Compare { compare } => source.compare(&compare).map(|mut comparison| {
            let tree = flatten(std::mem::take(&mut comparison.tree));
            Answer::Compare(Box::new(comparison), tree)
        }),
        Question::Sql { query, limit } => source.sql(&query, limit).map(Answer::Sql),
        Question::Readings { readings } => source.readings(&readings).map(Answer::Readings),
        Question::Latency { latency } => source.latency_series(&latency).map(Answer::Latency),
        Question::LastRuns => source.last_runs().map(Answer::LastRuns),
        Question::Sessions => source.sessions().map(Answer::Sessions),
        Question::Storage => source.storage().map(Answer::Storage),
    };
    answer.unwrap_or_else(Answer::Failed)
}
