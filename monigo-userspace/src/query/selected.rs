//! Stacks and calls of a [`Selection`].

use duckdb::params;

use super::{
    Call, DuckSource, FlameNode, QueryError, Root, Selection, StackRow, Weight, Window,
    flame::{RootAt, Tree},
    samples::{self, Chosen, SampleSum},
    select::Durations,
    session::Functions,
    stacks::{self, Stacks, Weights},
};
use crate::export::format;
use crate::sync::lock;

/// Time of a function's calls that no sample explains.
const NOT_SAMPLED: &str = "[not sampled]";
/// Share of the time of calls that may be missing in samples without being worth a word: sampling is no
/// better than that.
const NOISE: f64 = 0.02;

impl DuckSource {
    /// The durations that a selection is about. An error if no recorded call has one.
    pub(super) fn durations(&self, selection: &Selection) -> Result<Durations, QueryError> {
        selection.check()?;
        self.check(selection.function)?;
        let Some(function) = selection.function.filter(|_| selection.is_ranged()) else {
            return Ok(Durations::ALL);
        };
        let low = match (selection.slower_than_ns, selection.percentile) {
            (Some(ns), _) => ns,
            (None, Some(percentile)) => {
                let histogram = self.histogram_of(function, selection.window)?;
                let low = histogram.slower_than(percentile.share());
                low.ok_or_else(|| {
                    QueryError::NoSuchCalls(
                        "no call was timed, so there are no percentiles".to_owned(),
                    )
                })?
            }
            (None, None) => 0,
        };
        let durations = Durations {
            low,
            high: selection.faster_than_ns.unwrap_or(u64::MAX),
        };
        if durations.low >= durations.high {
            return Err(QueryError::Selection(format!(
                "no duration is both at least {} and below {}",
                format::duration_ns(durations.low),
                format::duration_ns(durations.high)
            )));
        }
        self.expect_calls(function, selection.window, durations)?;
        Ok(durations)
    }

    fn expect_calls(
        &self,
        function: u32,
        window: Window,
        durations: Durations,
    ) -> Result<(), QueryError> {
        let span = self.span(window);
        let (low, high) = durations.signed();
        let (recorded, inside, slowest): (u64, u64, u64) = self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*)::BIGINT,
                        count(*) FILTER (duration_ns >= $5 AND duration_ns < $6)::BIGINT,
                        coalesce(max(duration_ns), 0)
                 FROM calls
                 WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3 AND function_id = $4",
            )?;
            let parameters = params![
                span.session,
                span.after_ns,
                span.upto_ns,
                function as i32,
                low,
                high
            ];
            statement.query_row(parameters, |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
        })?;
        if inside > 0 {
            return Ok(());
        }
        let name = self.name_of(function)?;
        let sentence = if recorded == 0 {
            format!(
                "no call of {name} was recorded in full; let it run longer, or record more with --sample-rate 1"
            )
        } else {
            let range = match (durations.low, durations.high) {
                (low, u64::MAX) => format!("{} or longer", format::duration_ns(low)),
                (0, high) => format!("less than {}", format::duration_ns(high)),
                (low, high) => format!(
                    "from {} to {}",
                    format::duration_ns(low),
                    format::duration_ns(high)
                ),
            };
            format!(
                "none of the {} recorded calls of {name} took {range}; the longest took {}",
                format::count(recorded),
                format::duration_ns(slowest)
            )
        };
        Err(QueryError::NoSuchCalls(sentence))
    }

    pub(super) fn name_of(&self, function: u32) -> Result<String, QueryError> {
        let functions = self.table()?;
        let name = functions.names.get(function as usize);
        name.cloned().ok_or(QueryError::UnknownFunction(function))
    }

    /// The slowest calls.
    pub(super) fn selected_calls(
        &self,
        selection: &Selection,
        limit: u32,
    ) -> Result<Vec<Call>, QueryError> {
        let durations = match self.durations(selection) {
            Err(QueryError::NoSuchCalls(_)) => return Ok(Vec::new()),
            other => other?,
        };
        let span = self.span(selection.window);
        let (low, high) = durations.signed();
        self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT function_id, start_ns, duration_ns, pid, tid, goid, cpu, weight, stack_id,
                        coalesce(probes_ns, 0)
                 FROM calls
                 WHERE session_id = ? AND at_ns > ? AND at_ns <= ?
                       AND function_id = coalesce(?, function_id)
                       AND duration_ns >= ? AND duration_ns < ?
                 ORDER BY duration_ns DESC, start_ns LIMIT ?",
            )?;
            let parameters = params![
                span.session,
                span.after_ns,
                span.upto_ns,
                selection.function.map(|id| id as i32),
                low,
                high,
                limit
            ];
            let calls = statement.query_map(parameters, read_call)?;
            Ok(calls.collect::<Result<_, _>>()?)
        })
    }

    /// The heaviest stacks.
    pub(super) fn selected_stacks(
        &self,
        selection: &Selection,
        limit: u32,
    ) -> Result<Vec<StackRow>, QueryError> {
        let weight = selection.shown_weight();
        let durations = self.durations(selection)?;
        let mut rows = if weight.is_sampled() {
            let sums = self.samples_of(selection, durations)?;
            let sums = samples::by_stack(&sums, weight);
            self.with_stacks(|stacks| stacks.heaviest_sampled(sums, limit))
        } else {
            self.with_weights(selection, durations, |stacks, weights| {
                stacks.heaviest(weights, selection.function, weight, limit)
            })
        }?;
        if let Some(root_at) = root_at(&*self.table()?, selection) {
            for row in &mut rows {
                if let Some(last) = row.frames.iter().rposition(|frame| root_at.is(frame)) {
                    row.frames.truncate(last + 1);
                    row.truncated = false;
                }
            }
        }
        Ok(rows)
    }

    /// The flame graph.
    pub(super) fn selected_flame(&self, selection: &Selection) -> Result<FlameNode, QueryError> {
        let weight = selection.shown_weight();
        let durations = self.durations(selection)?;
        let functions = self.table()?;
        let root_at = root_at(&functions, selection);
        if !weight.is_sampled() {
            return self.with_weights(selection, durations, |stacks, weights| {
                let mut tree = Tree::new(stacks, &functions.names, root_at);
                for (&(function, stack), weighed) in weights {
                    if selection.function.is_none_or(|id| id == function) {
                        tree.add(function, stack, None, [weighed.weight(weight), 0.0]);
                    }
                }
                tree.flame(weight)
            });
        }
        let sums = self.samples_of(selection, durations)?;
        let wall_ns = match selection.function {
            Some(function) if weight == Weight::Time && root_at.is_some() => {
                self.wall_ns(function, selection.window, durations)?
            }
            _ => 0.0,
        };
        self.with_stacks(|stacks| {
            let mut tree = Tree::new(stacks, &functions.names, root_at);
            let mut sampled_ns = 0.0;
            for sum in sums.iter().filter(|sum| samples::counts(sum, weight)) {
                sampled_ns += sum.weight_ns;
                add_sample(&mut tree, stacks, sum, weight, |ns| [ns, 0.0]);
            }
            let missing_ns = wall_ns - sampled_ns;
            if missing_ns > NOISE * wall_ns {
                tree.add_unexplained(NOT_SAMPLED, [missing_ns, 0.0]);
            }
            tree.flame(weight)
        })
    }

    /// Summed duration of the calls of a function, ns.
    fn wall_ns(
        &self,
        function: u32,
        window: Window,
        durations: Durations,
    ) -> Result<f64, QueryError> {
        if durations == Durations::ALL {
            let totals = self.window_totals(window)?;
            let latency = totals
                .get(function as usize)
                .map(|(_, latency, _)| latency.total);
            return Ok(latency.unwrap_or(0) as f64);
        }
        let span = self.span(window);
        let weights = self
            .reader
            .with(|connection| stacks::weigh(connection, span, Some(function), durations))?;
        Ok(weights.values().map(|weighed| weighed.wall_ns).sum())
    }

    fn samples_of(
        &self,
        selection: &Selection,
        durations: Durations,
    ) -> Result<Vec<SampleSum>, QueryError> {
        let span = self.span(selection.window);
        let weight = selection.shown_weight();
        self.reader.with(|connection| match selection.function {
            Some(function) if selection.is_ranged() => {
                let chosen = Chosen {
                    span,
                    function,
                    slow: durations,
                    fast: None,
                };
                samples::of_calls_once(connection, chosen)
            }
            function => samples::of_function(connection, span, function, weight),
        })
    }

    /// Stacks, brought up to date.
    pub(super) fn with_stacks<T>(
        &self,
        answer: impl FnOnce(&Stacks) -> T,
    ) -> Result<T, QueryError> {
        let mut stacks = lock(&self.stacks);
        stacks.refresh(&self.reader, self.session, None)?;
        Ok(answer(&stacks))
    }

    /// Stacks, brought up to date, and what the calls of the selection weigh.
    fn with_weights<T>(
        &self,
        selection: &Selection,
        durations: Durations,
        answer: impl FnOnce(&Stacks, &Weights) -> T,
    ) -> Result<T, QueryError> {
        if selection.window == Window::default() && durations == Durations::ALL {
            let upto_ns = self.with_totals(|totals| totals.upto_ns)?;
            let mut stacks = lock(&self.stacks);
            stacks.refresh(&self.reader, self.session, upto_ns)?;
            return Ok(answer(&stacks, &stacks.weights));
        }
        let span = self.span(selection.window);
        let weights = self
            .reader
            .with(|connection| stacks::weigh(connection, span, selection.function, durations))?;
        self.with_stacks(|stacks| answer(stacks, &weights))
    }
}

fn root_at<'a>(functions: &'a Functions, selection: &Selection) -> Option<RootAt<'a>> {
    let function = selection
        .function
        .filter(|_| selection.root == Root::Function)?;
    functions.root_at(function)
}

impl Functions {
    /// What the frames of a function are called.
    pub fn root_at(&self, function: u32) -> Option<RootAt<'_>> {
        let meta = self.metas.get(function as usize)?;
        Some(RootAt {
            name: &meta.name,
            image: &meta.image,
        })
    }
}

/// Adds a sample to a flame graph; `weights` puts its time in place.
pub(super) fn add_sample<'a>(
    tree: &mut Tree<'a>,
    stacks: &'a Stacks,
    sum: &SampleSum,
    weight: Weight,
    weights: impl Fn(f64) -> [f64; 2],
) {
    if weight != Weight::Time {
        tree.add(sum.function, sum.stack, None, weights(sum.weight_ns));
        return;
    }
    for (activity, wait, ns) in sum.parts(stacks.frames_iter(sum.stack)) {
        let leaf = samples::leaf(activity, wait);
        tree.add(sum.function, sum.stack, leaf, weights(ns));
    }
}

/// A row of `calls`, in the order of the columns that are asked for above.
pub(super) fn read_call(row: &duckdb::Row<'_>) -> Result<Call, duckdb::Error> {
    Ok(Call {
        function: row.get(0)?,
        start_ns: row.get(1)?,
        duration_ns: row.get(2)?,
        pid: row.get(3)?,
        tid: row.get(4)?,
        goid: row.get(5)?,
        cpu: row.get(6)?,
        weight: row.get(7)?,
        stack: row.get(8)?,
        probes_ns: row.get(9)?,
    })
}
