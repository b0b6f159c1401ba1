//! Functions with the sites that their probes go to.

use std::{path::Path, sync::Arc};

use crate::{
    plan::{CostClass, FunctionPlan},
    store::ExitProbe,
    symbols::futures::FutureLayout,
};

/// A function ready to attach; its index in the list is its id in the kernel.
#[derive(Clone, Debug)]
pub struct PlannedFunction {
    /// Name for messages.
    pub name: String,
    /// File to open, which the sites are in.
    pub image: Arc<Path>,
    /// Sites of each of its bodies: clones and generic instances count as one function.
    pub plans: Vec<FunctionPlan>,
    /// Calls belong to goroutines.
    pub go: bool,
    /// How ends are seen.
    pub exit: ExitProbe,
    /// For an async function's poll function: where the future of each of `plans` has its state, if
    /// that is known. If any is, the next function of the list counts the executions.
    pub futures: Vec<Option<FutureLayout>>,
    /// Counts the executions of the async function before it in the list, and has no sites.
    pub executions: bool,
}

impl PlannedFunction {
    /// Whether the next function of the list counts executions.
    pub fn has_executions(&self) -> bool {
        self.futures.iter().any(Option::is_some)
    }

    /// The dearest class among the sites.
    pub fn cost_class(&self) -> CostClass {
        let classes = self.plans.iter().map(|plan| self.cost_class_of(plan));
        classes.max().unwrap_or(CostClass::SingleStep)
    }

    /// The dearest class among the sites of one of its bodies.
    pub fn cost_class_of(&self, plan: &FunctionPlan) -> CostClass {
        match self.exit {
            ExitProbe::Ret => plan.cost_class(),
            ExitProbe::Uretprobe => plan.entry.cost,
        }
    }

    /// Number of probe sites.
    pub fn sites(&self) -> usize {
        self.plans.iter().map(|plan| self.sites_of(plan)).sum()
    }

    /// Number of probe sites of one of its bodies.
    pub fn sites_of(&self, plan: &FunctionPlan) -> usize {
        match self.exit {
            ExitProbe::Ret => 1 + plan.exits.len(),
            ExitProbe::Uretprobe => 2,
        }
    }
}
