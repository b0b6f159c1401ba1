//! What a session is, and what it could not see.

use serde::{Deserialize, Serialize};

use crate::{query::warnings, symbols::Language};

/// The session as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Session id in the store.
    pub session: i64,
    /// Target path.
    pub target: String,
    /// Language of the target.
    pub language: Language,
    /// Pids seen, ascending.
    pub pids: Vec<u32>,
    /// Host name.
    pub host: String,
    /// Kernel release.
    pub kernel: String,
    /// monigo's version when it recorded.
    pub monigo_version: String,
    /// Version of the language's runtime; `None` where it has none, or an older monigo recorded.
    #[serde(default)]
    pub runtime_version: Option<String>,
    /// How long measurements are kept, for example `7d`, as it was when the session began; `None` where an older
    /// monigo recorded.
    #[serde(default)]
    pub retention: Option<String>,
    /// Start, Unix time in ns.
    pub started_ns: i64,
    /// End, Unix time in ns; `None` while recording (or after a kill).
    pub ended_ns: Option<i64>,
    /// Time of the last flush, Unix time in ns.
    pub last_flush_ns: Option<i64>,
    /// Flush interval, ns.
    pub flush_ns: i64,
    /// Calls recorded in full since the start.
    pub recorded: u64,
    /// Losses by cause since the start.
    pub losses: Vec<LossRow>,
    /// Sentences for the user: what monigo could not see, and what to do.
    pub warnings: Vec<String>,
    /// Share of one CPU that records of calls and probes on the runtime of the language took from
    /// the target: about, and beside the probes of calls.
    #[serde(default)]
    pub beside_share: f64,
    /// Time between start and end in which there was nothing to measure, since the clock was set forward, ns.
    #[serde(default)]
    pub skipped_ns: i64,
}

impl Overview {
    /// Length of the recording so far, in ns.
    pub fn duration_ns(&self) -> u64 {
        let end = self.ended_ns.or(self.last_flush_ns);
        let length = end.map_or(0, |end| end.saturating_sub(self.started_ns));
        let length = length.saturating_sub(self.skipped_ns);
        u64::try_from(length).unwrap_or(0)
    }

    /// Calls that were to be recorded in full and could not be.
    pub fn dropped(&self) -> u64 {
        let dropped = |loss: &&LossRow| warnings::is_dropped_event(&loss.cause);
        self.losses
            .iter()
            .filter(dropped)
            .map(|loss| loss.count)
            .sum()
    }
}

/// Losses of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRow {
    /// Stable cause name.
    pub cause: String,
    /// How many since the start.
    pub count: u64,
}
