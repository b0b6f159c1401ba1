//! What is shown of looking for functions to trace.

use crate::discover::{Discovery, Found, Ranking, Tracing};

/// The pane over the others that ranks functions.
#[derive(Clone, Debug, Default)]
pub struct DiscoveryPane {
    /// This monigo records, so it can look for functions.
    pub available: bool,
    /// As the discoverer says.
    pub state: Discovery,
    /// The selected row.
    pub selected: usize,
    /// Why the last request was not followed.
    pub refused: Option<String>,
}

impl DiscoveryPane {
    /// What is known so far.
    pub fn ranking(&self) -> Option<&Ranking> {
        self.state.ranking.as_deref()
    }

    /// The functions found, in order of time.
    pub fn functions(&self) -> &[Found] {
        self.ranking().map_or(&[], |ranking| &ranking.functions)
    }

    /// The selected function.
    pub fn selected(&self) -> Option<&Found> {
        let last = self.functions().len().checked_sub(1)?;
        self.functions().get(self.selected.min(last))
    }

    /// What became of a function that was to be traced.
    pub fn tracing(&self, name: &str) -> Option<&Tracing> {
        self.state.traced.get(name)
    }
}
