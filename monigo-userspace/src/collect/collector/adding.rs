//! Tracing further functions in a session that goes on.

use crossbeam_channel::Sender;

use super::{CollectError, Collector, Traced};
use crate::{
    collect::{budget::Load, deltas::Baseline},
    probe::{PlannedFunction, ProbeError},
    store::{NewFunction, StoreError},
};

/// A function to trace from now on.
#[derive(Clone, Debug)]
pub struct Addition {
    /// Where its probes go.
    pub planned: PlannedFunction,
    /// The same, as stored; prices are filled in.
    pub described: NewFunction,
    /// The same, for stacks.
    pub traced: Traced,
}

/// Functions to add, and where to send the answer: the id of the first, or a sentence.
#[derive(Debug)]
pub struct Request {
    /// The functions.
    pub additions: Vec<Addition>,
    /// Gets one answer.
    pub answer: Sender<Result<u32, AddError>>,
}

/// Why functions were not added; the session goes on without them.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The kernel side refused.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The recording counts a limited number of calls, which are being counted already.
    #[error("with --max-calls the functions are those that the session began with")]
    Limited,
}

impl Collector {
    /// Adds functions; what keeps the recording itself from going on is the outer error.
    pub(super) fn add(&mut self, request: Request) -> Result<(), CollectError> {
        let added = self.try_add(request.additions);
        let changed = added.is_ok();
        // Nobody may be waiting any more.
        let _ = request.answer.send(added);
        let plan = self.budget.current().clone();
        if changed && plan.modes.iter().any(|mode| *mode != super::Mode::Full) {
            self.flush()?;
            self.put_in_force(&plan)?;
        }
        Ok(())
    }

    fn try_add(&mut self, additions: Vec<Addition>) -> Result<u32, AddError> {
        if self.limits.max_calls.is_some() {
            return Err(AddError::Limited);
        }
        let first = self.functions.len() as u32;
        let (mut planned, mut described, mut traced) = (Vec::new(), Vec::new(), Vec::new());
        for mut addition in additions {
            let price = self.kernel.calibration().price(&addition.planned);
            addition.described.cost_ns = price.cost_ns;
            addition.described.floor_ns = price.floor_ns;
            addition.described.count_ns = price.count_ns;
            planned.push(addition.planned);
            described.push(addition.described);
            traced.push(addition.traced);
        }
        // Whoever reads must know a function before there are figures of it.
        self.store.add_functions(self.session, first, &described)?;
        if let Err(error) = self.kernel.add(planned) {
            self.store.remove_functions(self.session, first)?;
            return Err(error.into());
        }
        self.functions.extend(traced);
        let count = self.functions.len();
        for function in first..count as u32 {
            self.kernel.set_slow_ns(function, self.always_slow_ns)?;
        }
        self.baselines.resize_with(count, Baseline::default);
        self.swept.resize(count, 0);
        self.weighed.0.resize(count, 0);
        self.loads.resize(count, Load::default());
        self.budget.grow(count);
        Ok(first)
    }
}
