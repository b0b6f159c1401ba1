//! Where measurements are kept: the [`Store`] trait, and `DuckDB` behind it ([`Database`]).
//!
//! [`migrate`] documents the schema.
//!
//! Times are Unix time in ns (`i64`) everywhere outside the kernel programs.

mod append;
mod blocks;
mod database;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod functions;
mod held;
mod journal;
mod merge;
pub mod migrate;
mod prune;
mod reader;
mod room;
mod rows;
mod settings;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    blocks::BLOCK,
    error::message_of,
    functions::{cost_name, exit_name},
    upkeep::log_path,
};
pub use self::{
    database::Database,
    error::StoreError,
    prune::Pruned,
    reader::Reader,
    settings::{StorageKind, StorageProblem, StorageSettings},
    sweep::Forgotten,
};
use crate::{plan::CostClass, service::Reading, symbols::Language};

/// What a new session is about; written once when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Unix time in ns.
    pub started_ns: i64,
    /// monigo's version.
    pub monigo_version: String,
    /// Host name.
    pub host: String,
    /// Kernel release.
    pub kernel: String,
    /// monigo's arguments, for people.
    pub command_line: String,
    /// Time between flushes in ns.
    pub flush_ns: i64,
    /// What the configuration calls the target, if it does.
    pub label: Option<String>,
    /// The target's path as shown.
    pub target_path: String,
    /// GNU build id in hex, if the image has one.
    pub build_id: Option<String>,
    /// Language of the target.
    pub language: Language,
    /// Version of the language's runtime, where it has one and tells it.
    pub runtime_version: Option<String>,
    /// How long measurements are to be kept, for people; for example `7d`.
    pub retention: String,
    /// Function table; a function's index in it is its id within the session.
    pub functions: Vec<NewFunction>,
    /// Sentences for the user: what cannot be seen in this session, and why.
    pub warnings: Vec<String>,
}

/// A traced function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFunction {
    /// Demangled name.
    pub name: String,
    /// Name in the image.
    pub linkage_name: String,
    /// Image the function is in.
    pub image: String,
    /// Source file of its definition, when known.
    pub file: Option<String>,
    /// Line of its definition, when known.
    pub line: Option<u32>,
    /// ELF virtual address of the entry probe.
    pub entry_address: u64,
    /// `ret` or `uretprobe`.
    pub exit: ExitProbe,
    /// Number of probe sites, entry included.
    pub sites: u32,
    /// Cost class of the dearest site.
    pub cost_class: CostClass,
    /// Time that the probes of one call take from the target, ns; 0 when not measured.
    pub cost_ns: u32,
    /// Durations below this cannot be told from none, ns.
    pub floor_ns: u32,
    /// As `cost_ns`, of a call that is counted and not timed.
    pub count_ns: u32,
    /// Its bodies, by address; empty if it has only one.
    pub instances: Vec<Instance>,
}

/// One of the bodies that count as one function: a generic instance, a clone, a static of the same
/// name in another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Demangled name.
    pub name: String,
    /// Name in the image.
    pub linkage_name: String,
    /// ELF virtual address of its first instruction.
    pub address: u64,
    /// Source file of its definition, when known.
    pub file: Option<String>,
    /// Line of its definition, when known.
    pub line: Option<u32>,
    /// Number of probe sites, entry included.
    pub sites: u32,
    /// Cost class of the dearest site.
    pub cost_class: CostClass,
}

/// How the end of a call is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitProbe {
    /// Probes on the return and leaving-jump instructions.
    Ret,
    /// A return probe, which replaces the return address on the target's stack.
    Uretprobe,
}

/// Everything measured between two flushes. Appended in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// End of the interval, Unix time in ns.
    pub at_ns: i64,
    /// By how much the clock was set forward in it, ns: no time that anything was measured in.
    pub skipped_ns: u64,
    /// Time that records of calls and probes on the runtime of the language took from the target,
    /// ns: about, and beside the probes of calls.
    pub beside_ns: u64,
    /// Per function; only functions whose counters changed.
    pub functions: Vec<FunctionDelta>,
    /// Recorded calls.
    pub calls: Vec<CallRow>,
    /// Samples taken inside traced functions.
    pub samples: Vec<SampleRow>,
    /// Frames not stored before in this session. Ids count up from 1 within the session.
    pub frames: Vec<NewFrame>,
    /// Stacks not stored before in this session. Ids count up from 1 within the session.
    pub stacks: Vec<NewStack>,
    /// Stacks that rows to come refer to, beside those of this batch.
    pub held_stacks: Vec<u64>,
    /// Processes seen for the first time.
    pub processes: Vec<ProcessRow>,
    /// Losses by cause in this interval; only causes that are not zero.
    pub losses: Vec<LossDelta>,
    /// Sentences for the user about what changed in how functions are watched.
    pub notices: Vec<String>,
    /// Figures of the service and the host.
    pub readings: Vec<Reading>,
}

/// What happened to one function in one flush interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionDelta {
    /// Index of the function in the session.
    pub function: u32,
    /// Calls begun.
    pub entered: u64,
    /// Calls completed.
    pub calls: u64,
    /// Calls unwound.
    pub unwound: u64,
    /// Ends of calls whose beginning was not seen.
    pub unmatched: u64,
    /// Completed calls whose duration was measured. Fewer than `calls` when the ends of calls were
    /// watched for a part of the interval only; `total_ns`, `self_ns` and `buckets` are then scaled
    /// up to `calls`.
    pub timed: u64,
    /// 0 when `calls` was counted; else it is estimated from a part of the interval, and this is
    /// the variance of the estimate, calls squared.
    pub variance: u64,
    /// Summed duration of the completed calls, ns.
    pub total_ns: u64,
    /// The same without time in traced callees.
    pub self_ns: u64,
    /// Shortest completed call of the session so far, ns.
    pub min_ns: u64,
    /// Longest completed call of the session so far, ns.
    pub max_ns: u64,
    /// Bucket index (see `monigo_common::histogram`) and completed calls in it; no zeros.
    pub buckets: Vec<(u16, u64)>,
}

/// One call recorded in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRow {
    /// Index of the function in the session.
    pub function: u32,
    /// Unix time in ns.
    pub start_ns: i64,
    /// Duration in ns, without what probes took.
    pub duration_ns: u64,
    /// What probes took in it, ns: both together are the time from entry to return.
    pub probes_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Goroutine id.
    pub goid: Option<u64>,
    /// CPU.
    pub cpu: u32,
    /// Completed calls this one stands for.
    pub weight: u32,
    /// Stack id, if a stack was taken.
    pub stack: Option<u64>,
}

/// What a sample is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SampleKind {
    /// A thread or goroutine ran.
    Cpu,
    /// A thread was off CPU: it waited, or had to let others run.
    OffCpu,
}

/// What a thread or goroutine waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// A mutex, condition variable, semaphore or futex.
    Lock,
    /// Files, block devices, pipes, terminals.
    Io,
    /// A time to pass.
    Sleep,
    /// A Go channel, or a `select` over channels.
    Channel,
    /// A socket.
    Network,
    /// Any of several things: `epoll`, `poll`, `select`.
    Events,
    /// The garbage collector.
    Gc,
    /// Another process to end.
    Child,
    /// What an async function awaits.
    Await,
    /// Anything else.
    Other,
}

impl Wait {
    /// Every kind, as sorted.
    pub const ALL: [Self; 10] = [
        Self::Lock,
        Self::Io,
        Self::Sleep,
        Self::Channel,
        Self::Network,
        Self::Events,
        Self::Gc,
        Self::Child,
        Self::Await,
        Self::Other,
    ];

    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Io => "io",
            Self::Sleep => "sleep",
            Self::Channel => "channel",
            Self::Network => "network",
            Self::Events => "events",
            Self::Gc => "gc",
            Self::Child => "child",
            Self::Await => "await",
            Self::Other => "other",
        }
    }

    /// The kind that is stored as `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wait| wait.name() == name)
    }
}

/// Who ended a wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waker {
    /// Thread id.
    pub tid: u32,
    /// `comm`.
    pub name: String,
    /// Stack id, if a stack was taken.
    pub stack: Option<u64>,
}

/// A look at what happens inside a traced function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRow {
    /// Counts up from 1 within the session.
    pub id: u64,
    /// Start of the innermost open call, Unix time in ns; equal to [`CallRow::start_ns`] of the same
    /// function and process if the call is recorded.
    pub call_start_ns: i64,
    /// Traced calls around that one, innermost first: function and start.
    pub callers: Vec<(u32, i64)>,
    /// Off CPU: the part of `weight_ns` in which it could have run.
    pub runnable_ns: u64,
    /// Off CPU: what it waited for; `None` when it only waited for a CPU.
    pub wait: Option<Wait>,
    /// Wait reason that the language's runtime gives.
    pub reason: Option<String>,
    /// Who ended the wait, if known.
    pub waker: Option<Waker>,
    /// Index of the function of the innermost open call.
    pub function: u32,
    /// What it is about.
    pub kind: SampleKind,
    /// When it was taken, or when the time off CPU began; Unix time in ns.
    pub taken_ns: i64,
    /// Time that it stands for, ns.
    pub weight_ns: u64,
    /// How long the time off CPU was, ns; 0 of one that ran.
    pub away_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Goroutine id.
    pub goid: Option<u64>,
    /// Stack id, if there is room for it.
    pub stack: Option<u64>,
}

/// One symbolized frame. An address inside inlined code gives several of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewFrame {
    /// Id within the session.
    pub id: u64,
    /// The frame.
    pub frame: Frame,
}

/// A stack as a list of frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewStack {
    /// Id within the session.
    pub id: u64,
    /// Frame ids, innermost first.
    pub frames: Vec<u64>,
    /// Whether the walk ended before the outermost frame.
    pub truncated: bool,
}

/// A symbolized frame, as stored and as shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Demangled function name; `[unknown]` with the address when there is none.
    pub function: String,
    /// Image path as shown; `[kernel]` for kernel frames.
    pub image: String,
    /// ELF virtual address.
    pub address: u64,
    /// Source file, when known.
    pub file: Option<String>,
    /// Line, when known.
    pub line: Option<u32>,
    /// Inlined into the next outer frame.
    pub inlined: bool,
    /// Kernel code.
    pub kernel: bool,
}

/// A traced process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Process id.
    pub pid: u32,
    /// `comm`.
    pub name: String,
    /// When monigo first saw it, Unix time in ns.
    pub seen_ns: i64,
}

/// Losses of one cause in one interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossDelta {
    /// Stable cause name (`monigo_common::event::Loss::name`, or a user-side cause).
    pub cause: String,
    /// How many.
    pub count: u64,
}

/// A place to keep measurements. Implementations keep each batch as one unit.
pub trait Store: Send {
    /// Starts a session and returns its id.
    fn begin_session(&mut self, session: &NewSession) -> Result<i64, StoreError>;
    /// Appends what was measured since the last call.
    fn append(&mut self, session: i64, batch: &Batch) -> Result<(), StoreError>;
    /// Adds functions to a session that goes on; they get the ids from `first` on, which must follow
    /// the last one.
    fn add_functions(
        &mut self,
        session: i64,
        first: u32,
        functions: &[NewFunction],
    ) -> Result<(), StoreError>;
    /// Takes the functions from `first` on out again; nothing was measured of them.
    fn remove_functions(&mut self, session: i64, first: u32) -> Result<(), StoreError>;
    /// Marks the session as ended in order.
    fn end_session(&mut self, session: i64, ended_ns: i64) -> Result<(), StoreError>;
    /// Stacks and frames of the session that were deleted since the last call, because no row that is kept
    /// refers to them. Should they come again, they need new ids.
    fn take_forgotten(&mut self, session: i64) -> Forgotten {
        let _ = session;
        Forgotten::default()
    }
    /// Keeps what `settings` say from now on.
    fn apply(&mut self, settings: &StorageSettings) -> Result<(), StoreError>;
}
