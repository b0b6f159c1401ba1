//! The collector's part that watches what the probes cost, and puts plans in force.

use std::time::{Duration, Instant};

use super::{
    super::{
        budget::{Demand, Load, Mode, Plan, Records, StackCost},
        clock,
        deltas::{Reading, Watched},
        progress::Cost,
    },
    CollectError, Collector, ParkingLoad,
};
use crate::{
    probe::ProbeError,
    store::{CallRow, FunctionDelta, SampleRow},
};

/// How much longer the time between two marks is than what was open of it. A mark is an instant
/// and the time open until then. `None` when nothing was.
pub(super) fn factor(before: (Instant, Duration), now: (Instant, Duration)) -> Option<f64> {
    let whole = now.0.duration_since(before.0).as_secs_f64();
    let open = now.1.saturating_sub(before.1).as_secs_f64();
    (open > 0.0).then(|| (whole / open).max(1.0))
}

/// What is to be watched; of the collector's fields, so that its budget can change meanwhile.
fn demand<'a>(loads: &'a [Load], parking: &ParkingLoad, records: (u64, f64)) -> Demand<'a> {
    Demand {
        loads,
        parking: parking.load,
        records: records.1,
    }
}

impl Collector {
    /// Looks at what the probes cost, and changes what is watched if it is too much.
    pub(super) fn weigh(&mut self) -> Result<(), CollectError> {
        let now = Instant::now();
        let open = self.pacer.open_time();
        let (before, since, open_before) = &self.weighed;
        let seconds = now.duration_since(*since).as_secs_f64().max(0.001);
        let duty = open.duty.saturating_sub(open_before.duty).as_secs_f64();
        let parking = open.parking.saturating_sub(open_before.parking);
        let mut entered = Vec::with_capacity(before.len());
        let counters = self.kernel.all_counters()?;
        for ((index, last), counters) in before.iter().enumerate().zip(counters) {
            let count = counters.entered;
            let begun = (count - last) as f64;
            let mode = self.mode(index as u32);
            let load = &mut self.loads[index];
            load.price = self.kernel.price(index as u32);
            match mode {
                Mode::Full | Mode::Windows => load.rate = begun / seconds,
                // As it was until a window says more.
                Mode::Duty if duty > 0.0 => load.rate = begun / duty,
                Mode::Duty | Mode::Off => {}
            }
            entered.push(count);
        }
        self.weighed = (entered, now, open);
        self.records.1 = self.records.0 as f64 / seconds;
        self.records.0 = 0;
        self.weigh_parking(seconds, parking)?;
        self.beside_ns += self.beside() * seconds;
        self.replace_failing_return_probes()?;
        if let (copies @ 1.., bytes) = std::mem::take(&mut self.copied) {
            let mean = bytes as f64 / copies as f64;
            self.budget.set_stacks(StackCost::Copied(mean));
        }
        let current = self.budget.current().clone();
        let processes = self.alive.len();
        let demand = demand(&self.loads, &self.parking, self.records);
        if let Some(plan) = self.budget.evaluate(demand, processes) {
            // What was measured until now was measured as before.
            self.flush()?;
            self.budget.adopt(plan.clone());
            if plan.differs_in_kind(&current) {
                self.announce(&current);
            }
            self.put_in_force(&plan)?;
            // Records of it may still be on their way.
            self.before = (current, clock::unix_ns());
        }
        Ok(())
    }

    fn announce(&mut self, before: &Plan) {
        let names: Vec<String> = self
            .functions
            .iter()
            .map(|traced| traced.frame.function.clone())
            .collect();
        let demand = demand(&self.loads, &self.parking, self.records);
        let sentence = self.budget.sentence(before, demand, &names);
        self.notify(sentence);
    }

    /// Tells the user, now and in the recording.
    pub(super) fn notify(&mut self, sentence: String) {
        tracing::warn!("{sentence}");
        self.notices.push(sentence);
    }

    /// Groups the functions as a plan says.
    pub(super) fn put_in_force(&mut self, plan: &Plan) -> Result<(), ProbeError> {
        self.pacer.apply(&mut self.kernel, plan)?;
        self.unseen.clear();
        self.tell_of_executions();
        let now = Instant::now();
        self.duty_mark = (now, Duration::ZERO);
        self.window_mark = (now, Duration::ZERO);
        self.weighed.1 = now;
        self.weighed.2 = self.pacer.open_time();
        self.parking.start_over(self.kernel.park_probes()?);
        let counters = self.kernel.all_counters()?;
        self.weighed.0 = counters.iter().map(|counters| counters.entered).collect();
        let stacks = u32::from(self.wants_stacks && plan.records != Records::NoStacks);
        if self.control.stacks != stacks {
            self.control.stacks = stacks;
            self.kernel.set_control(self.control)?;
        }
        Ok(())
    }

    /// Return probes nest 64 deep in the kernel; calls beyond are not seen.
    fn replace_failing_return_probes(&mut self) -> Result<(), ProbeError> {
        let losses = self.kernel.losses()?;
        if losses[monigo_common::event::Loss::ReturnDepth as usize] == 0 {
            return Ok(());
        }
        let replaced = self.kernel.replace_return_probes()?;
        if replaced > 0 {
            self.notify(
                "calls nest deeper than return probes can; ends of calls are seen by their return instructions from now on"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Says which executions of async functions are not followed any more.
    fn tell_of_executions(&mut self) {
        let lost: Vec<String> = (0..)
            .zip(&self.functions)
            .filter(|(function, _)| self.kernel.counts_executions(*function))
            .filter(|(function, _)| self.mode(*function) != Mode::Full)
            .map(|(_, traced)| traced.frame.function.clone())
            .filter(|name| !self.unfollowed.contains(name))
            .collect();
        if lost.is_empty() {
            return;
        }
        self.notify(format!(
            "{}: executions are not measured any more, since not every poll is; a larger --max-overhead or fewer functions keep them",
            lost.join(", ")
        ));
        self.unfollowed.extend(lost);
    }

    pub(super) fn mode(&self, function: u32) -> Mode {
        self.mode_under(self.budget.current(), function)
    }

    pub(super) fn mode_under(&self, plan: &Plan, function: u32) -> Mode {
        // Executions are seen as their polls are.
        let function = function - u32::from(self.kernel.counts_executions(function));
        let mode = plan.modes.get(function as usize);
        mode.copied().unwrap_or_default()
    }

    /// The plan before, if it was in force at `end_ns`.
    pub(super) fn plan_before(&self, end_ns: i64) -> Option<&Plan> {
        let (before, until_ns) = &self.before;
        (end_ns < *until_ns).then_some(before)
    }

    /// How calls of a function were watched in this interval; `None` if it is too early to say.
    /// `sampled` is how much longer the interval is than what windows were open of it.
    pub(super) fn watched(&self, function: u32, sampled: Option<f64>) -> Option<Watched> {
        match self.mode(function) {
            Mode::Full => Some(Watched::Fully),
            // Not followed any more: those that were open are over some time.
            _ if self.kernel.counts_executions(function) => Some(Watched::InPart),
            Mode::Windows | Mode::Off => Some(Watched::InPart),
            Mode::Duty => sampled.map(|factor| {
                let load = &self.loads[function as usize];
                let slowed = (load.rate * f64::from(load.price.cost_ns) / 1e9).min(0.95);
                Watched::Sampled { factor, slowed }
            }),
        }
    }

    /// For how much what was recorded of each function in an interval stands.
    pub(super) fn factors(
        &mut self,
        deltas: &[Option<FunctionDelta>],
        readings: &[Reading],
    ) -> Vec<f64> {
        let mut factors = vec![1.0; deltas.len()];
        let (windows, duty) = (self.budget.current().windows, self.budget.current().duty);
        for delta in deltas.iter().flatten() {
            let share = match self.mode(delta.function) {
                Mode::Windows => windows,
                Mode::Duty => duty,
                Mode::Full | Mode::Off => continue,
            };
            let place = delta.function as usize;
            let measured_ns = self.baselines[place].measured_ns(&readings[place]);
            let factor = self
                .unseen
                .factor(delta.function, delta.total_ns, measured_ns, share);
            // What began and did not end stands for as much as others will.
            factors[place] =
                factor.unwrap_or_else(|| self.budget.current().rarity(self.mode(delta.function)));
        }
        factors
    }

    /// For how much something stands that ended at `end_ns`: `factors` are those of the plan in force.
    fn weight(&self, function: u32, end_ns: i64, factors: &[f64]) -> f64 {
        self.plan_before(end_ns).map_or_else(
            || factors.get(function as usize).copied().unwrap_or(1.0),
            |before| before.rarity(self.mode_under(before, function)),
        )
    }

    /// Takes the recorded calls, standing for those that were not watched, too.
    pub(super) fn weighted_calls(&mut self, factors: &[f64]) -> Vec<CallRow> {
        let mut calls = std::mem::take(&mut self.calls);
        for call in &mut calls {
            let end_ns = call.start_ns.saturating_add_unsigned(call.duration_ns);
            let factor = self.weight(call.function, end_ns, factors);
            call.weight = (f64::from(call.weight) * factor).round() as u32;
        }
        calls
    }

    /// Takes the samples, standing for the time outside windows, too.
    pub(super) fn weighted_samples(&mut self, factors: &[f64]) -> Vec<SampleRow> {
        let mut samples = std::mem::take(&mut self.samples);
        for sample in &mut samples {
            let end_ns = sample.taken_ns.saturating_add_unsigned(sample.away_ns);
            let factor = self.weight(sample.function, end_ns, factors);
            sample.weight_ns = (sample.weight_ns as f64 * factor) as u64;
            sample.runnable_ns = (sample.runnable_ns as f64 * factor) as u64;
        }
        samples
    }

    /// What the probes take from the target now.
    pub(super) fn cost(&self) -> Cost {
        let plan = self.budget.current();
        let demand = demand(&self.loads, &self.parking, self.records);
        let ns = demand.probes_cost(plan);
        Cost {
            share_of_cpu: (ns + self.records_ns()) / 1e9,
            budget: self.budget.share(),
            step: plan.step(),
        }
    }

    /// What records and the probes on Go's scheduler take, ns per second.
    fn beside(&self) -> f64 {
        let plan = self.budget.current();
        self.records_ns() + self.parking.load.cost(plan.parking, plan)
    }

    fn records_ns(&self) -> f64 {
        let stacks = if self.control.stacks == 0 {
            StackCost::None
        } else {
            self.budget.stacks()
        };
        self.records.1 * stacks.record_ns()
    }
}
