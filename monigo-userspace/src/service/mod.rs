//! What is known of a service beside its calls: identity, resources, health, goroutines or threads,
//! exporters. The API under `/monigo/api/v1`, the terminal interface and the exporters read it
//! through [`Service`].
//!
//! Names of fields are those of the `MoniGo` library where it has them. Numbers carry their unit in the
//! name; text beside them is for people.

mod figures;
mod lately;
mod live;
mod recorded;
mod routines;
mod sampler;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::routines::frame_text;
pub use self::{
    figures::{
        CoreStatistics, CpuStatistics, DiskIo, Health, HealthPair, IoFigures, LoadStatistics,
        MemStatsRecord, MemoryStatistics, Metrics, NetworkIo, Reading,
    },
    live::{Identity, Live, RoutineReader},
    recorded::Recorded,
    routines::{RoutineGroup, RoutineKind, Routines},
    sampler::Sampler,
};

/// Who is watched, and by what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceInfo {
    /// Configured name; the target's file name without one.
    pub service_name: String,
    /// Start of the oldest traced process that lives, RFC 3339 in UTC; of the recording when none
    /// does.
    pub service_start_time: String,
    /// `go`, `rust`, `c` or `c++`.
    pub language: String,
    /// Version of the language's runtime or compiler, as the image tells it.
    pub runtime_version: Option<String>,
    /// The same, for Go only, for example `go1.24.11`.
    pub go_version: Option<String>,
    /// The oldest traced process that lives.
    pub process_id: Option<u32>,
    /// All traced processes that live.
    pub process_ids: Vec<u32>,
    /// As configured, for example `7d`.
    pub retention_period: String,
    /// `disk` or `memory`.
    pub storage_type: String,
    /// Size of the database and its write-ahead log; `None` in memory.
    pub storage_on_disk_bytes: Option<u64>,
    /// Host name.
    pub host: String,
    /// Version of monigo.
    pub monigo_version: String,
    /// IANA name of the zone that views show times in; `None` for the viewer's own.
    pub time_zone: Option<String>,
}

/// Where something that is sent elsewhere stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExporterStatus {
    /// For example `otlp` or `webhook`.
    pub name: String,
    /// Address without credentials.
    pub endpoint: String,
    /// State.
    pub state: ExporterState,
    /// Items (data points, spans, events) accepted by the receiver.
    pub sent: u64,
    /// Items given up.
    pub dropped: u64,
    /// Items that wait.
    pub queued: u64,
    /// RFC 3339 in UTC.
    pub last_success: Option<String>,
    /// The last failure, one sentence.
    pub last_error: Option<String>,
    /// When that was, RFC 3339 in UTC.
    pub last_error_time: Option<String>,
}

/// State of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExporterState {
    /// Nothing was to be sent so far.
    Idle,
    /// The last attempt succeeded.
    Ok,
    /// The last attempt failed and is repeated.
    Retrying,
    /// The breaker is open: nothing is attempted for a while.
    Open,
    /// One attempt decides whether the breaker closes.
    HalfOpen,
}

/// Why something about the service is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// It cannot be known here; a sentence for the user with the reason and the next step.
    #[error("{0}")]
    Unavailable(String),
    /// Reading it failed.
    #[error("{0}")]
    Failed(String),
}

/// What views ask about the service. Answers come from caches with a time to live, so that a hundred
/// readers cost one look at `/proc`. Calls may block for some milliseconds; asynchronous callers use
/// a blocking task.
pub trait Service: Send + Sync {
    /// Identity.
    fn info(&self) -> ServiceInfo;
    /// Resources and health of the service and the host.
    fn metrics(&self) -> Result<Metrics, ServiceError>;
    /// Goroutines of Go processes, threads of others, by identical stack.
    fn routines(&self) -> Result<Routines, ServiceError>;
    /// Exporters that are configured; empty for none.
    fn exporters(&self) -> Vec<ExporterStatus>;
    /// The configuration in force, secrets left out, as a tree of sections; each leaf is
    /// `{"value": …, "source": "default|file|environment|flag"}`.
    fn settings(&self) -> serde_json::Value;
}

/// `disk` or `memory`.
fn storage_type(storage: crate::query::Storage) -> &'static str {
    if storage.on_disk_bytes.is_some() {
        "disk"
    } else {
        "memory"
    }
}
