//! What monigo reports at the end, as agreed in the contract of `--format json`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The object that `--format json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// What was traced.
    pub target: Target,
    /// Length of the session, ns.
    pub duration_ns: u64,
    /// One per traced function.
    pub functions: Vec<Function>,
    /// Calls recorded in full.
    pub events: Events,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}

impl Report {
    /// The row of the function that the target calls `name`.
    pub fn function(&self, name: &str) -> Result<&Function> {
        self.functions
            .iter()
            .find(|row| crate::compare::is_called(&row.name, name))
            .with_context(|| format!("{name} is not in the report"))
    }

    /// Fails unless every call was recorded in full and there is nothing to warn of.
    pub fn expect_nothing_lost(&self) -> Result<()> {
        self.expect_all_counted()?;
        ensure!(self.warnings.is_empty(), "warnings {:?}", self.warnings);
        Ok(())
    }

    /// Fails if a record was lost, or if there is something to warn of other than stacks that end early:
    /// where more come at once than can be copied, which is a matter of load, they are walked.
    pub fn expect_all_counted(&self) -> Result<()> {
        ensure!(
            self.events.dropped == 0,
            "{} records were lost",
            self.events.dropped
        );
        let of_stacks = |warning: &String| warning.contains(" stacks end early (");
        let others: Vec<_> = self.warnings.iter().filter(|w| !of_stacks(w)).collect();
        ensure!(others.is_empty(), "warnings {others:?}");
        Ok(())
    }
}

/// The report's `target`.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Path as shown.
    pub path: String,
    /// Pids seen.
    pub pids: Vec<u32>,
    /// `go`, `rust`, `c` or `c++`.
    pub language: String,
}

/// One function of the report.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// Demangled name.
    pub name: String,
    /// Completed calls.
    pub calls: u64,
    /// Calls that ended otherwise.
    pub unwound: u64,
    /// Open calls.
    pub in_flight: u64,
    /// Ends of calls that began before monigo attached.
    #[serde(default)]
    pub unmatched: u64,
    /// Durations.
    pub latency_ns: Latency,
    /// Time of completed calls outside the traced functions that they called, ns.
    #[serde(default)]
    pub self_ns: Option<u64>,
    /// Where the time from entry to return went.
    #[serde(default)]
    pub time_ns: Option<Times>,
    /// The same without traced callees.
    #[serde(default)]
    pub self_time_ns: Option<Times>,
    /// Completed calls whose duration was measured.
    pub timed: u64,
    /// Half width of the 95 % interval of `calls`; 0 when counted.
    pub calls_error: u64,
    /// `calls` is an estimate.
    pub estimated: bool,
    /// How it was probed.
    pub probe: Probe,
}

/// Latency of completed calls, ns.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the contract")]
pub struct Latency {
    pub min: u64,
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub total: u64,
}

/// Where time went, ns.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the contract")]
pub struct Times {
    pub on_cpu: u64,
    pub runnable: u64,
    pub blocked: BTreeMap<String, u64>,
    pub unattributed: u64,
}

impl Times {
    /// Time blocked by what `kind` names.
    pub fn blocked_by(&self, kind: &str) -> u64 {
        self.blocked.get(kind).copied().unwrap_or(0)
    }

    /// All parts together.
    pub fn sum(&self) -> u64 {
        self.on_cpu + self.runnable + self.blocked.values().sum::<u64>() + self.unattributed
    }
}

/// How a function was probed.
#[derive(Clone, Debug, Deserialize)]
pub struct Probe {
    /// Hexadecimal address.
    pub entry: String,
    /// `ret` or `uretprobe`.
    pub exit: String,
    /// Sites.
    pub sites: u32,
    /// `emulated`, `single-step` or `nop5`.
    pub cost_class: String,
    /// Its bodies, if there are several.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// One of the bodies that count as one function.
#[derive(Clone, Debug, Deserialize)]
pub struct Instance {
    /// Demangled name.
    pub name: String,
    /// Name in the image.
    pub linkage_name: String,
    /// Hexadecimal address.
    pub address: String,
    /// Source file.
    pub file: Option<String>,
    /// Sites.
    pub sites: u32,
}

/// Records written and lost.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Events {
    /// Written.
    pub recorded: u64,
    /// Lost.
    pub dropped: u64,
}
