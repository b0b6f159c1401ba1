//! What slow calls of a function did that fast ones did not.

mod explain;
mod own;
mod read;
mod sentence;

use serde::{Deserialize, Serialize};

pub use self::sentence::phrase;
pub(super) use self::{explain::place, own::Code};
use super::{Activity, DiffNode, Percentile, Wait, Window};

/// Which calls of a function to compare: slow ones with fast ones. By default those from the 99th
/// percentile on with those up to the median; with a duration, those that took as long with
/// the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TailQuestion {
    /// The function.
    pub function: u32,
    /// When the calls ended.
    pub window: Window,
    /// Slow is what took at least this, ns.
    #[serde(default)]
    pub slower_than_ns: Option<u64>,
    /// Slow is what took at least this percentile; 99 when neither is given.
    #[serde(default)]
    pub percentile: Option<Percentile>,
}

/// The difference between slow and fast calls of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// The function.
    pub function: u32,
    /// Its name.
    pub name: String,
    /// Slow calls took at least this, ns.
    pub slower_than_ns: u64,
    /// Fast calls took less than this, ns.
    pub faster_than_ns: u64,
    /// The slow calls.
    pub slow: CallGroup,
    /// The fast calls.
    pub fast: CallGroup,
    /// Time that a slow call takes more than a fast one, on average, ns.
    pub extra_ns: u64,
    /// The part of it that no sample explains, ns.
    pub unattributed_ns: u64,
    /// What slow calls spend more time on, most first.
    pub causes: Vec<Cause>,
    /// Sentences for the user: how far to trust this.
    pub notes: Vec<String>,
    /// Where the time of a call goes, ns per call: `before` in fast calls, `after` in slow ones.
    pub tree: DiffNode,
}

/// Calls that are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallGroup {
    /// How many were recorded.
    pub recorded: u64,
    /// How many they stand for.
    pub calls: u64,
    /// Their mean duration, ns.
    pub mean_ns: u64,
    /// The part of it that samples explain, ns.
    pub sampled_ns: u64,
    /// Samples taken inside them.
    pub samples: u64,
}

/// Something that slow calls spend more time on than fast ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// One sentence, without a full stop.
    pub sentence: String,
    /// Its share in the extra time of slow calls, 0 to 1.
    pub share: f64,
    /// Time per slow call, ns.
    pub slow_ns: u64,
    /// Time per fast call, ns.
    pub fast_ns: u64,
    /// What was done.
    pub activity: Activity,
    /// What was waited for.
    pub wait: Option<Wait>,
    /// The reason for the wait that the language's runtime gives.
    pub reason: Option<String>,
    /// The innermost function of the target's own code.
    pub function: String,
    /// What it called, if that is where the time was spent.
    pub callee: Option<String>,
    /// Who called it, inside the traced function.
    pub caller: Option<String>,
    /// The thread that ended most of the wait.
    pub waker: Option<String>,
    /// What that thread was in then.
    pub waker_function: Option<String>,
    /// Samples in slow calls.
    pub samples: u64,
    /// The heaviest stack in slow calls, for [`super::Source::stack`].
    pub stack: Option<u64>,
}
