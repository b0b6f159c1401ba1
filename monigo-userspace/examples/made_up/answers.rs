//! What a made-up recording answers.

use std::{cmp::Reverse, collections::BTreeMap};

use monigo::{
    plan::CostClass,
    query::{
        Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, ExitProbe, FlameNode, Frame,
        FunctionRow, Heatmap, LatencyPoint, LatencyQuestion, LossRow, Overview, ProbeRow,
        QueryError, ReadingsPoint, ReadingsQuestion, Selection, SeriesPoint, Source, StackRow,
        Story, Table, Tail, TailQuestion, TimeParts, Wait, Weight, Window,
    },
    symbols::Language,
};
use monigo_common::histogram::bounds;

use super::{
    counts::Counts,
    over_time,
    recording::{Interval, Recording, State},
    stacks,
};

/// Buckets in one row of a heatmap.
const BUCKETS_IN_ROW: usize = 8;

impl Recording {
    fn known(&self, function: u32) -> Result<usize, QueryError> {
        let index = function as usize;
        if index < self.plan.shapes.len() {
            Ok(index)
        } else {
            Err(QueryError::UnknownFunction(function))
        }
    }

    /// A function's figures, without its share in the time of all.
    fn row(&self, state: &State, index: usize, window: Window) -> FunctionRow {
        let shape = &self.plan.shapes[index];
        let mut counts = Counts::default();
        let mut unwound = 0;
        for interval in state.inside(window) {
            counts.merge(&interval.counts[index]);
            unwound += interval.unwound[index];
        }
        let calls = counts.calls();
        let latency_ns = counts.latency();
        FunctionRow {
            id: index as u32,
            name: shape.name.clone(),
            image: "/srv/orders/orderd".to_owned(),
            file: Some(shape.file.clone()),
            line: Some(shape.line),
            calls,
            // The fourth is estimated, the fifth timed in part.
            calls_error: if index == 3 { calls / 40 } else { 0 },
            timed: if index == 4 { calls / 8 } else { calls },
            unwound,
            in_flight: if calls == 0 {
                0
            } else {
                (index as u64 * 7) % 5
            },
            unmatched: u64::from(index == 0 && calls > 0),
            rate: calls as f64 / self.seconds(state, window),
            share: 0.0,
            probes_ns: calls * 1_900,
            self_ns: Some(latency_ns.total / (1 + index as u64 % 3)),
            latency_ns,
            probe: probe(index),
        }
    }
}

/// Every fourth function has a dear probe.
fn probe(index: usize) -> ProbeRow {
    let (cost_class, cost_ns) = if index % 4 == 3 {
        (CostClass::SingleStep, 16_300)
    } else {
        (CostClass::Emulated, 1_900)
    };
    ProbeRow {
        entry: format!("{:#x}", 0x004b_1c40 + index * 0x340),
        exit: ExitProbe::Ret,
        sites: 3 + index as u32 % 4,
        cost_class,
        cost_ns,
        floor_ns: 160,
        instances: Vec::new(),
    }
}

fn parts(wall: u64) -> TimeParts {
    let blocked = BTreeMap::from([
        (Wait::Lock, wall / 4),
        (Wait::Io, wall / 8),
        (Wait::Network, wall / 8),
    ]);
    let (on_cpu, runnable) = (wall / 3, wall / 20);
    let known = on_cpu + runnable + blocked.values().sum::<u64>();
    TimeParts {
        wall,
        on_cpu,
        runnable,
        blocked,
        unattributed: wall - known,
    }
}

/// Questions that need what is not made up.
fn made_up<T>() -> Result<T, QueryError> {
    Err(QueryError::NoSuchCalls(
        "this recording is made up".to_owned(),
    ))
}

impl Source for Recording {
    fn overview(&self) -> Result<Overview, QueryError> {
        let flushes = self.state().intervals.len();
        (self.plan.before_overview)(flushes)?;
        let state = self.state();
        let losses = vec![LossRow {
            cause: "ring_full".to_owned(),
            count: state.lost,
        }];
        let warnings = vec![format!(
            "{} recorded calls did not fit into the ring buffer; counts and latencies are still \
             exact, stacks and slowest calls miss them",
            state.lost
        )];
        Ok(Overview {
            session: 3,
            target: "/srv/orders/orderd".to_owned(),
            language: Language::Go,
            pids: if self.plan.empty {
                Vec::new()
            } else {
                vec![4242, 4377]
            },
            host: "shop-7".to_owned(),
            kernel: "6.18.2".to_owned(),
            monigo_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_version: None,
            retention: None,
            started_ns: self.started_ns,
            ended_ns: state.ended_ns,
            last_flush_ns: (flushes > 0).then(|| self.last_ns(&state)),
            flush_ns: self.flush_ns,
            recorded: state.calls.len() as u64,
            losses: if state.lost > 0 { losses } else { Vec::new() },
            warnings: if state.lost > 0 { warnings } else { Vec::new() },
            beside_share: 0.0,
            skipped_ns: 0,
        })
    }

    fn functions(&self, window: Window) -> Result<Vec<FunctionRow>, QueryError> {
        let state = self.state();
        let functions = 0..self.plan.shapes.len();
        let mut rows: Vec<FunctionRow> = functions
            .map(|index| self.row(&state, index, window))
            .collect();
        let total: u64 = rows.iter().map(|row| row.latency_ns.total).sum();
        for row in &mut rows {
            row.share = row.latency_ns.total as f64 / total.max(1) as f64;
        }
        rows.sort_by_key(|row| Reverse(row.latency_ns.total));
        Ok(rows)
    }

    fn breakdown(&self, window: Window) -> Result<Vec<Breakdown>, QueryError> {
        let rows = self.functions(window)?.into_iter();
        Ok(rows
            .map(|row| Breakdown {
                function: row.id,
                name: row.name,
                own: parts(row.self_ns.unwrap_or(0)),
                total: parts(row.latency_ns.total),
            })
            .collect())
    }

    fn histogram(&self, function: u32, window: Window) -> Result<Vec<Bucket>, QueryError> {
        let index = self.known(function)?;
        let mut counts = Counts::default();
        for interval in self.state().inside(window) {
            counts.merge(&interval.counts[index]);
        }
        Ok(counts.buckets())
    }

    fn series(
        &self,
        function: Option<u32>,
        window: Window,
        points: u32,
    ) -> Result<Vec<SeriesPoint>, QueryError> {
        let wanted = match function {
            Some(function) => {
                let index = self.known(function)?;
                index..index + 1
            }
            None => 0..self.plan.shapes.len(),
        };
        let point = |group: Vec<&Interval>| {
            let (mut counts, mut unwound) = (Counts::default(), 0);
            for interval in &group {
                for index in wanted.clone() {
                    counts.merge(&interval.counts[index]);
                    unwound += interval.unwound[index];
                }
            }
            SeriesPoint {
                at_ns: group[0].start_ns,
                step_ns: group.len() as i64 * self.flush_ns,
                calls: counts.calls(),
                unwound,
                p50: counts.quantile(0.5),
                p99: counts.quantile(0.99),
            }
        };
        let state = self.state();
        let groups = state.groups(window, points).into_iter();
        Ok(groups.map(point).collect())
    }

    fn heatmap(&self, function: u32, window: Window, columns: u32) -> Result<Heatmap, QueryError> {
        let index = self.known(function)?;
        let state = self.state();
        let groups = state.groups(window, columns);
        let used: Vec<usize> = state
            .inside(window)
            .flat_map(|interval| interval.counts[index].iter())
            .map(|(bucket, _)| bucket / BUCKETS_IN_ROW)
            .collect();
        let (Some(&low), Some(&high)) = (used.iter().min(), used.iter().max()) else {
            return Ok(Heatmap::default());
        };
        let mut counts = vec![vec![0; high - low + 1]; groups.len()];
        for (column, group) in counts.iter_mut().zip(&groups) {
            for interval in group {
                for (bucket, count) in interval.counts[index].iter() {
                    column[bucket / BUCKETS_IN_ROW - low] += count;
                }
            }
        }
        Ok(Heatmap {
            times_ns: groups.iter().map(|group| group[0].start_ns).collect(),
            step_ns: groups[0].len() as i64 * self.flush_ns,
            rows_ns: (low..=high)
                .map(|row| bounds(row * BUCKETS_IN_ROW).0)
                .collect(),
            top_ns: bounds((high + 1) * BUCKETS_IN_ROW - 1).1,
            counts,
        })
    }

    fn slowest(&self, selection: &Selection, limit: u32) -> Result<Vec<Call>, QueryError> {
        let state = self.state();
        let mut calls: Vec<Call> = state.selected(selection).cloned().collect();
        calls.sort_by_key(|call| Reverse(call.duration_ns));
        calls.truncate(limit as usize);
        Ok(calls)
    }

    fn stacks(&self, selection: &Selection, limit: u32) -> Result<Vec<StackRow>, QueryError> {
        let state = self.state();
        // Per stack: estimated ns, estimated calls, recorded ns, recorded calls.
        let mut sums: BTreeMap<u64, [u64; 4]> = BTreeMap::new();
        for call in state.selected(selection) {
            let sum = sums.entry(call.stack.unwrap_or(0)).or_default();
            let weight = u64::from(call.weight);
            let add = [call.duration_ns * weight, weight, call.duration_ns, 1];
            for (sum, add) in sum.iter_mut().zip(add) {
                *sum += add;
            }
        }
        let mut rows: Vec<StackRow> = sums
            .into_iter()
            .map(|(id, [wall, calls, recorded_ns, recorded])| StackRow {
                id,
                weight: if selection.weight == Weight::Calls {
                    calls
                } else {
                    wall
                },
                calls,
                mean_ns: recorded_ns / recorded.max(1),
                frames: stacks::frames(&self.plan.shapes, id),
                truncated: stacks::is_truncated(id),
            })
            .collect();
        rows.sort_by_key(|row| Reverse(row.weight));
        rows.truncate(limit as usize);
        Ok(rows)
    }

    fn stack(&self, id: u64) -> Result<Vec<Frame>, QueryError> {
        Ok(stacks::frames(&self.plan.shapes, id))
    }

    fn flame(&self, selection: &Selection) -> Result<FlameNode, QueryError> {
        Ok(stacks::flame(&self.stacks(selection, u32::MAX)?))
    }

    fn tail(&self, _: &TailQuestion) -> Result<Tail, QueryError> {
        made_up()
    }

    fn story(&self, _: CallKey) -> Result<Story, QueryError> {
        made_up()
    }

    fn compare(&self, _: &CompareQuestion) -> Result<Comparison, QueryError> {
        made_up()
    }

    fn readings(&self, question: &ReadingsQuestion) -> Result<Vec<ReadingsPoint>, QueryError> {
        let last = self.last_ns(&self.state());
        Ok(over_time::readings(self.started_ns, last, question))
    }

    fn latency_series(&self, question: &LatencyQuestion) -> Result<Vec<LatencyPoint>, QueryError> {
        over_time::latency_series(self, question)
    }

    fn sql(&self, _query: &str, _limit: u32) -> Result<Table, QueryError> {
        Err(QueryError::Sql("this recording is made up".to_owned()))
    }
}
