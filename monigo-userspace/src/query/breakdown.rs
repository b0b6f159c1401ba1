//! Where the time of each function went: on CPU, waiting for one, blocked, or not known.
//!
//! Durations are measured; what happened inside is sampled. Time off CPU is nearly complete (every
//! interval from 1 ms on is seen), so it stands, and time on CPU, a matter of chance, fills at most
//! the rest. What is left over is shown as unattributed.

use std::collections::{BTreeMap, HashMap};

use duckdb::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{
    FunctionRow, QueryError,
    samples::{Activity, SampleSum},
    totals::Span,
};
use crate::store::{Reader, Wait};

/// Parts of some time, ns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeParts {
    /// All of it: the parts add up to this.
    pub wall: u64,
    /// Running.
    pub on_cpu: u64,
    /// Able to run, and waiting for a CPU.
    pub runnable: u64,
    /// Waiting for something else, by what.
    pub blocked: BTreeMap<Wait, u64>,
    /// Not sampled: too short to be seen, or in calls that no sample could be attributed to.
    pub unattributed: u64,
}

impl TimeParts {
    /// Summed time of all kinds of waits, ns.
    pub fn blocked_total(&self) -> u64 {
        self.blocked.values().sum()
    }
}

/// Where the time of one function went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Index of the function in the session.
    pub function: u32,
    /// Name of the function.
    pub name: String,
    /// Time in the function outside of traced functions that it called.
    pub own: TimeParts,
    /// Time from entry to return, traced callees included.
    pub total: TimeParts,
}

/// Sums of samples.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sampled {
    on_cpu: f64,
    runnable: f64,
    blocked: BTreeMap<Wait, f64>,
}

impl Sampled {
    fn add(&mut self, other: &Self) {
        self.on_cpu += other.on_cpu;
        self.runnable += other.runnable;
        for (wait, ns) in &other.blocked {
            *self.blocked.entry(*wait).or_default() += ns;
        }
    }
}

/// Samples of one function: as the innermost call, and around another function's.
#[derive(Clone, Debug, Default)]
struct OfFunction {
    own: Sampled,
    around: Sampled,
}

/// Sums of samples by function, kept up to date by reading only what is new.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    epoch: u64,
    upto_ns: Option<i64>,
    functions: HashMap<u32, OfFunction>,
}

impl Sums {
    /// Those of the samples in `span`.
    pub fn of(connection: &Connection, span: Span) -> Result<Self, QueryError> {
        let mut sums = Self::default();
        sums.read(connection, span)?;
        Ok(sums)
    }

    /// Adds what was flushed until `upto_ns`.
    pub fn refresh(
        &mut self,
        reader: &Reader,
        session: i64,
        upto_ns: i64,
    ) -> Result<(), QueryError> {
        let epoch = reader.epoch();
        if epoch != self.epoch {
            *self = Self {
                epoch,
                ..Self::default()
            };
        }
        if self.upto_ns.is_some_and(|upto| upto >= upto_ns) {
            return Ok(());
        }
        let span = Span {
            session,
            after_ns: self.upto_ns.unwrap_or(i64::MIN),
            upto_ns,
        };
        // Apart, so that an error leaves no half sums.
        let new = reader.with(|connection| Self::of(connection, span))?;
        for (function, sums) in new.functions {
            let all = self.functions.entry(function).or_default();
            all.own.add(&sums.own);
            all.around.add(&sums.around);
        }
        self.upto_ns = Some(upto_ns);
        Ok(())
    }

    fn read(&mut self, connection: &Connection, span: Span) -> Result<(), QueryError> {
        // Samples of a monigo before version 3 of the schema do not say what was waited for.
        let mut statement = connection.prepare_cached(
            "WITH inside AS (
                 SELECT sample_id, function_id, kind, weight_ns::DOUBLE AS weight,
                        CASE WHEN kind = 'cpu' THEN NULL
                             WHEN sample_id IS NULL THEN 'other' ELSE wait END AS wait,
                        CASE WHEN kind = 'offcpu' AND sample_id IS NOT NULL AND wait IS NULL
                             THEN weight_ns ELSE coalesce(runnable_ns, 0) END::DOUBLE AS runnable
                 FROM samples WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3
             ), around AS (
                 SELECT DISTINCT sample_id, function_id FROM sample_callers
                 WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3
             )
             SELECT function_id, TRUE, kind, wait, sum(weight), sum(runnable)
             FROM inside GROUP BY ALL
             UNION ALL
             SELECT around.function_id, FALSE, kind, wait, sum(weight), sum(runnable)
             FROM around JOIN inside USING (sample_id)
             WHERE around.function_id <> inside.function_id GROUP BY ALL",
        )?;
        let mut rows = statement.query(params![span.session, span.after_ns, span.upto_ns])?;
        while let Some(row) = rows.next()? {
            let of = self.functions.entry(row.get(0)?).or_default();
            let sampled = if row.get(1)? {
                &mut of.own
            } else {
                &mut of.around
            };
            let (kind, wait): (String, Option<String>) = (row.get(2)?, row.get(3)?);
            let (weight, runnable): (f64, f64) = (row.get(4)?, row.get(5)?);
            if kind == "cpu" {
                sampled.on_cpu += weight;
                continue;
            }
            sampled.runnable += runnable;
            if let Some(wait) = wait {
                let wait = Wait::of_name(&wait).unwrap_or(Wait::Other);
                *sampled.blocked.entry(wait).or_default() += (weight - runnable).max(0.0);
            }
        }
        Ok(())
    }
}

/// Puts measured durations and samples together. Empty when nothing was sampled.
pub(super) fn combine(rows: &[FunctionRow], sums: &Sums) -> Vec<Breakdown> {
    if sums.functions.is_empty() {
        return Vec::new();
    }
    let none = OfFunction::default();
    let one = |row: &FunctionRow| {
        // Executions of async functions run in the polls of the function before.
        let polled = row.id - u32::from(row.counts_executions());
        let of = sums.functions.get(&polled).unwrap_or(&none);
        let mut total = of.own.clone();
        total.add(&of.around);
        if polled != row.id
            && let Some(suspended) = sums.functions.get(&row.id)
        {
            // Which is no time of its own.
            total.add(&suspended.own);
            total.add(&suspended.around);
        }
        // Calls that have not returned are sampled, and have no duration yet.
        let whole = Whole {
            open: row.in_flight > 0 || row.unwound > 0,
            estimated: row.timed < row.calls,
        };
        let total_ns = row.latency_ns.total;
        Breakdown {
            function: row.id,
            name: row.name.clone(),
            own: parts(row.self_ns.unwrap_or(total_ns), whole, &of.own),
            total: parts(total_ns, whole, &total),
        }
    };
    rows.iter().map(one).collect()
}

/// `wall_ns` of calls that have returned in parts, by the samples of these calls.
pub(super) fn parts_of(wall_ns: u64, sums: &[SampleSum]) -> TimeParts {
    let mut sampled = Sampled::default();
    for sum in sums {
        for (activity, wait, ns) in sum.parts([]) {
            match activity {
                Activity::Running => sampled.on_cpu += ns,
                Activity::Runnable => sampled.runnable += ns,
                Activity::Waiting => {
                    *sampled
                        .blocked
                        .entry(wait.unwrap_or(Wait::Other))
                        .or_default() += ns;
                }
            }
        }
    }
    parts(wall_ns, Whole::default(), &sampled)
}

/// How a whole and its parts belong together.
#[derive(Clone, Copy, Debug, Default)]
struct Whole {
    /// Calls were sampled that are not in it.
    open: bool,
    /// Both stand for more than was seen.
    estimated: bool,
}

/// `wall_ns` in parts.
fn parts(wall_ns: u64, whole: Whole, sampled: &Sampled) -> TimeParts {
    let settled = !whole.open;
    let seen = |wait: &Wait| *wait != Wait::Await;
    let waits = sampled.blocked.iter().filter(|(wait, _)| seen(wait));
    let off: f64 = sampled.runnable + waits.clone().map(|(_, ns)| ns).sum::<f64>();
    let wall = wall_ns as f64;
    // Short waits are drawn, and stand for more than they took. Where windows stand for all the time, time on CPU is
    // not to make room for a chance in that.
    let certain = if whole.estimated {
        off + sampled.on_cpu
    } else {
        off
    };
    let scale = if settled && certain > wall {
        wall / certain
    } else {
        1.0
    };
    let runnable = (sampled.runnable * scale) as u64;
    let mut blocked: BTreeMap<Wait, u64> = waits
        .map(|(wait, ns)| (*wait, (ns * scale) as u64))
        .filter(|(_, ns)| *ns > 0)
        .collect();
    let off = runnable + blocked.values().sum::<u64>();
    let mut on_cpu = sampled.on_cpu as u64;
    if settled {
        on_cpu = on_cpu.min(wall_ns.saturating_sub(off));
    }
    let mut known = on_cpu + off;
    // Suspended futures are looked at from time to time, so that is a matter of chance, too.
    let awaited = sampled.blocked.get(&Wait::Await).copied();
    let mut awaited = awaited.unwrap_or_default() as u64;
    if settled {
        awaited = awaited.min(wall_ns.saturating_sub(known));
    }
    if awaited > 0 {
        blocked.insert(Wait::Await, awaited);
    }
    known += awaited;
    let wall = wall_ns.max(known);
    TimeParts {
        wall,
        on_cpu,
        runnable,
        blocked,
        unattributed: wall - known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Whole = Whole {
        open: true,
        estimated: false,
    };

    fn sampled(on_cpu: f64, runnable: f64, lock: f64) -> Sampled {
        Sampled {
            on_cpu,
            runnable,
            blocked: BTreeMap::from([(Wait::Lock, lock), (Wait::Gc, 0.0)]),
        }
    }

    #[test]
    fn parts_add_up() {
        let found = parts(1000, Whole::default(), &sampled(300.0, 50.0, 400.0));
        assert_eq!(
            found,
            TimeParts {
                wall: 1000,
                on_cpu: 300,
                runnable: 50,
                blocked: BTreeMap::from([(Wait::Lock, 400)]),
                unattributed: 250,
            }
        );
        assert_eq!(found.blocked_total(), 400);
    }

    #[test]
    fn time_on_cpu_fills_at_most_the_rest() {
        let found = parts(1000, Whole::default(), &sampled(900.0, 0.0, 400.0));
        assert_eq!((found.on_cpu, found.unattributed), (600, 0));
    }

    #[test]
    fn what_was_awaited_fills_at_most_the_rest() {
        let mut sampled = sampled(300.0, 50.0, 400.0);
        sampled.blocked.insert(Wait::Await, 200.0);
        let found = parts(1000, Whole::default(), &sampled);
        assert_eq!((found.on_cpu, found.blocked[&Wait::Await]), (300, 200));
        assert_eq!(found.unattributed, 50);
        sampled.blocked.insert(Wait::Await, 9000.0);
        let found = parts(1000, Whole::default(), &sampled);
        assert_eq!((found.on_cpu, found.blocked[&Wait::Await]), (300, 250));
        assert_eq!((found.blocked[&Wait::Lock], found.unattributed), (400, 0));
        assert_eq!(parts(1000, OPEN, &sampled).wall, 9750);
    }

    #[test]
    fn no_more_was_waited_than_time_passed() {
        let found = parts(1000, Whole::default(), &sampled(10.0, 500.0, 1500.0));
        assert_eq!((found.wall, found.on_cpu, found.runnable), (1000, 0, 250));
        assert_eq!(found.blocked_total(), 750);
    }

    #[test]
    fn in_windows_all_parts_are_a_matter_of_chance() {
        let estimated = Whole {
            estimated: true,
            ..Whole::default()
        };
        let found = parts(1000, estimated, &sampled(300.0, 0.0, 1200.0));
        assert_eq!((found.on_cpu, found.blocked_total()), (200, 800));
        let found = parts(1000, estimated, &sampled(300.0, 0.0, 400.0));
        assert_eq!((found.on_cpu, found.unattributed), (300, 300));
    }

    #[test]
    fn open_calls_make_the_time_longer() {
        let found = parts(1000, OPEN, &sampled(500.0, 0.0, 4000.0));
        assert_eq!((found.wall, found.on_cpu), (4500, 500));
        assert_eq!((found.blocked_total(), found.unattributed), (4000, 0));
    }
}
