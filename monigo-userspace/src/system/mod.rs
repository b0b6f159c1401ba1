//! What this host allows: kernel features, privileges, settings.
//!
//! [`facts`] reads, [`checks`] judges (pure functions over what was read), and
//! [`require_attach`] is the gate that `attach` and `run` pass before doing anything.
//! [`metrics`] says what traced processes and host use, [`health`] what to think of it.

pub mod checks;
pub mod facts;
pub mod health;
mod memory;
pub mod metrics;
pub mod notify;
mod privilege;

use std::fmt;

pub use self::{
    checks::{Check, Severity},
    facts::HostFacts,
    memory::give_back,
    privilege::{UserError, become_user, drop_privileges},
};

/// The host does not allow attaching. Holds every blocking problem with its remedy, so that the
/// user can fix all of them at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct HostError {
    /// The checks that block, in the order of the report; never empty.
    pub blocking: Vec<Check>,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this host does not allow attaching:")?;
        for check in &self.blocking {
            write!(f, "\n  {}: {}", check.name, check.found)?;
            if !check.consequence.is_empty() {
                write!(f, "; {}", check.consequence)?;
            }
            if !check.remedy.is_empty() {
                write!(f, "\n    {}", check.remedy)?;
            }
        }
        write!(f, "\n  `monigo doctor` shows the whole picture")
    }
}

/// Says whether monigo may attach probes here.
///
/// Takes about a millisecond. Errors: [`HostError`] with every reason and its remedy.
pub fn require_attach() -> Result<(), HostError> {
    judge(&checks::evaluate(&HostFacts::read()))
}

/// Whether a report allows attaching: no check that blocks.
pub fn judge(report: &[Check]) -> Result<(), HostError> {
    let blocking: Vec<Check> = report
        .iter()
        .filter(|check| check.severity == Severity::Missing)
        .cloned()
        .collect();
    if blocking.is_empty() {
        Ok(())
    } else {
        Err(HostError { blocking })
    }
}
