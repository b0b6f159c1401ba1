//! Discovering while a recording goes on, from its views.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Serialize, Serializer};

use super::Ranking;

/// What became of a function that was to be traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "message", rename_all = "kebab-case")]
pub enum Tracing {
    /// It is being attached.
    Asked,
    /// It is traced.
    Traced,
    /// It is not, and why.
    Failed(String),
}

/// Where a discovery stands.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Discovery {
    /// One is going on.
    pub running: bool,
    /// Why the last one failed.
    pub error: Option<String>,
    /// What the last one, or the one that goes on, has found so far.
    #[serde(serialize_with = "shared")]
    pub ranking: Option<Arc<Ranking>>,
    /// Functions that were to be traced, by name.
    pub traced: BTreeMap<String, Tracing>,
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn shared<S: Serializer>(ranking: &Option<Arc<Ranking>>, to: S) -> Result<S::Ok, S::Error> {
    ranking.as_deref().serialize(to)
}

/// Why a request was not followed; one sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// One at a time.
    #[error("a discovery is going on; wait until it is over")]
    Busy,
    /// There is nothing to look at.
    #[error("{0}")]
    Impossible(String),
}

/// Discovers and traces for a view.
pub trait Discoverer: Send + Sync {
    /// Starts to discover on a thread of its own.
    fn start(&self) -> Result<(), RequestError>;
    /// Ends it early; what is known stays.
    fn stop(&self);
    /// Where it stands. Quick.
    fn state(&self) -> Discovery;
    /// Traces a function from now on in the running session. Waits until it is attached.
    fn trace(&self, name: &str) -> Result<(), RequestError>;
}
