//! Questions to the running monigo that holds a database, over a Unix socket beside it.
//!
//! `DuckDB` lets one process at a time write a file, and nobody else read it then. So a monigo
//! that records listens on `FILE.sock` (mode 0600; only root and its own user may ask). Client and
//! server send one JSON object a line: first the client a [`Hello`], then [`Question`]s; the
//! server answers each line with one [`Answer`].

mod client;
mod flat;
mod server;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use self::flat::FlatNode;
pub use self::{
    client::RemoteSource,
    server::{Sessions, SocketError, SocketServer, serve_socket},
};
use super::{
    Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, DiffNode, FlameNode, Frame,
    FunctionRow, Heatmap, LatencyPoint, LatencyQuestion, Overview, QueryError, ReadingsPoint,
    ReadingsQuestion, Selected, Selection, SeriesPoint, SessionRow, SinceStart, StackRow, Storage,
    Story, Table, Tail, TailQuestion, Window,
};

/// Changes when old and new monigos would misunderstand each other.
pub const PROTOCOL: u32 = 2;
/// Longest line that either side reads, bytes.
const MAX_LINE: u64 = 256 << 20;

/// The first line of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the client.
    pub protocol: u32,
    /// Session asked about; `None` for the one being recorded.
    pub session: Option<i64>,
}

/// One method of [`super::Source`] with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are the arguments of the methods named"
)]
pub enum Question {
    /// [`super::Source::overview`]
    Overview,
    /// [`super::Source::functions`]
    Functions { window: Window },
    /// [`super::Source::since_start`]
    SinceStart,
    /// [`super::Source::breakdown`]
    Breakdown { window: Window },
    /// [`super::Source::histogram`]
    Histogram { function: u32, window: Window },
    /// [`super::Source::series`]
    Series {
        function: Option<u32>,
        window: Window,
        points: u32,
    },
    /// [`super::Source::heatmap`]
    Heatmap {
        function: u32,
        window: Window,
        columns: u32,
    },
    /// [`super::Source::slowest`]
    Slowest { selection: Selection, limit: u32 },
    /// [`super::Source::stacks`]
    Stacks { selection: Selection, limit: u32 },
    /// [`super::Source::selected`]
    Selected { selection: Selection },
    /// [`super::Source::stack`]
    Stack { id: u64 },
    /// [`super::Source::flame`]
    Flame { selection: Selection },
    /// [`super::Source::tail`]
    Tail { tail: TailQuestion },
    /// [`super::Source::story`]
    Story { call: CallKey },
    /// [`super::Source::compare`]
    Compare { compare: CompareQuestion },
    /// [`super::Source::sql`]
    Sql { query: String, limit: u32 },
    /// [`super::Source::readings`]
    Readings { readings: ReadingsQuestion },
    /// [`super::Source::latency_series`]
    Latency { latency: LatencyQuestion },
    /// [`super::Source::last_runs`]
    LastRuns,
    /// [`super::Source::sessions`]
    Sessions,
    /// [`super::Source::storage`]
    Storage,
}

/// The answer to one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum Answer {
    /// The hello was accepted; the session that questions are about.
    Welcome(i64),
    /// See [`Question::Overview`].
    Overview(Box<Overview>),
    /// See [`Question::Functions`].
    Functions(Vec<FunctionRow>),
    /// See [`Question::SinceStart`].
    SinceStart(Vec<SinceStart>),
    /// See [`Question::Breakdown`].
    Breakdown(Vec<Breakdown>),
    /// See [`Question::Histogram`].
    Histogram(Vec<Bucket>),
    /// See [`Question::Series`].
    Series(Vec<SeriesPoint>),
    /// See [`Question::Heatmap`].
    Heatmap(Heatmap),
    /// See [`Question::Slowest`].
    Slowest(Vec<Call>),
    /// See [`Question::Stacks`].
    Stacks(Vec<StackRow>),
    /// See [`Question::Selected`].
    Selected(Box<Selected>),
    /// See [`Question::Stack`].
    Stack(Vec<Frame>),
    /// See [`Question::Flame`]. Flat, since JSON readers limit nesting.
    Flame(Vec<FlatNode<FlameNode>>),
    /// See [`Question::Tail`]. The tree is apart, and flat.
    Tail(Box<Tail>, Vec<FlatNode<DiffNode>>),
    /// See [`Question::Story`].
    Story(Box<Story>),
    /// See [`Question::Compare`]. The tree is apart, and flat.
    Compare(Box<Comparison>, Vec<FlatNode<DiffNode>>),
    /// See [`Question::Sql`].
    Sql(Table),
    /// See [`Question::Readings`].
    Readings(Vec<ReadingsPoint>),
    /// See [`Question::Latency`].
    Latency(Vec<LatencyPoint>),
    /// See [`Question::LastRuns`].
    LastRuns(Vec<(u32, i64)>),
    /// See [`Question::Sessions`].
    Sessions(Vec<SessionRow>),
    /// See [`Question::Storage`].
    Storage(Storage),
    /// No such session; the ones there are.
    UnknownSession(Vec<i64>),
    /// The question has no answer.
    Failed(QueryError),
}

/// Where the monigo that records into `database` listens.
pub fn socket_path(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".sock");
    name.into()
}

/// A path for the same socket that fits into a socket address, and what keeps it valid: an
/// address holds 107 bytes, so long ones go through the open directory.
fn short_path(socket: &Path) -> std::io::Result<(PathBuf, Option<std::fs::File>)> {
    use std::os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _};
    if socket.as_os_str().as_bytes().len() <= 107 {
        return Ok((socket.to_owned(), None));
    }
    let parent = match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = std::fs::File::open(parent)?;
    let name = socket.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    Ok((short, Some(directory)))
}
