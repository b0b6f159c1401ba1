//! Reading what the comparison is made of.

use duckdb::params;

use super::{
    CallGroup, Code, Tail, TailQuestion,
    explain::{Input, explain},
};
use crate::{
    export::format,
    query::{
        DuckSource, Percentile, QueryError, Weight,
        flame::Tree,
        samples::{self, Chosen, SampleSum},
        select::Durations,
        selected::add_sample,
        stacks::Stacks,
        totals::Span,
    },
};

/// Time of a call that no sample explains.
const NOT_SAMPLED: &str = "[not sampled]";

impl DuckSource {
    /// Compares slow calls with fast ones.
    pub(in crate::query) fn tail_of(&self, question: &TailQuestion) -> Result<Tail, QueryError> {
        let (slow, fast) = self.sides(question)?;
        let function = question.function;
        let chosen = Chosen {
            span: self.span(question.window),
            function,
            slow,
            fast: Some(fast),
        };
        let groups = self.groups(chosen)?;
        let name = self.name_of(function)?;
        check(&groups, &name, slow, fast)?;
        let sums = self
            .reader
            .with(|connection| samples::of_calls(connection, chosen))?;
        let overview = self.session_row()?.overview;
        let functions = self.table()?;
        let root_at = functions.root_at(function);
        let root_at = root_at.ok_or(QueryError::UnknownFunction(function))?;
        self.with_stacks(|stacks| {
            let code = Code::of(&overview, root_at);
            let found = explain(&input(code, groups, &sums, stacks));
            let mut tree = Tree::new(stacks, &functions.names, Some(root_at));
            add_samples(&mut tree, stacks, &sums, [found.fast, found.slow]);
            let notes = match functions.polls_of(function) {
                Some(polls) => notes_on_executions(polls, !sums.is_empty(), found.notes),
                None => found.notes,
            };
            Tail {
                function,
                name,
                slower_than_ns: slow.low,
                faster_than_ns: fast.high,
                slow: found.slow,
                fast: found.fast,
                extra_ns: found.extra_ns,
                unattributed_ns: found.unattributed_ns,
                causes: found.causes,
                notes,
                tree: tree.difference(Weight::Time),
            }
        })
    }

    /// Durations of the slow calls, and of those to compare them with.
    fn sides(&self, question: &TailQuestion) -> Result<(Durations, Durations), QueryError> {
        self.check(Some(question.function))?;
        let sides = |low, high| {
            let slow = Durations {
                low,
                high: u64::MAX,
            };
            (slow, Durations { low: 0, high })
        };
        match (question.slower_than_ns, question.percentile) {
            (Some(_), Some(_)) => Err(QueryError::Selection(
                "calls are slow by a duration or by a percentile, not by both".to_owned(),
            )),
            (Some(ns), None) => Ok(sides(ns, ns)),
            (None, percentile) => {
                let percentile = percentile.unwrap_or(Percentile::P99);
                let histogram = self.histogram_of(question.function, question.window)?;
                let slow = histogram.slower_than(percentile.share());
                let median = Percentile::MEDIAN.min(percentile);
                let fast = histogram.faster_than(median.share());
                let (Some(slow), Some(fast)) = (slow, fast) else {
                    return Err(QueryError::NoSuchCalls(
                        "no call was timed, so there are no percentiles".to_owned(),
                    ));
                };
                if slow < fast {
                    return Err(QueryError::NoSuchCalls(format!(
                        "the slowest calls are not slower than others: the median and the {percentile}th percentile are both about {}",
                        format::duration_ns(slow)
                    )));
                }
                // Below the floor, no duration can be told from another.
                let functions = self.table()?;
                let meta = functions.metas.get(question.function as usize);
                let floor_ns = meta.map_or(0, |meta| meta.probe.floor_ns.into());
                Ok(sides(slow, fast.max(floor_ns).min(slow)))
            }
        }
    }

    /// The recorded calls: fast ones, then slow ones.
    fn groups(&self, chosen: Chosen) -> Result<[CallGroup; 2], QueryError> {
        let Span {
            session,
            after_ns,
            upto_ns,
        } = chosen.span;
        let (slow_low, _) = chosen.slow.signed();
        let (_, fast_high) = chosen.fast.unwrap_or(Durations::NONE).signed();
        let mut groups = [CallGroup::default(); 2];
        self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT duration_ns >= $5, count(*)::BIGINT, sum(weight)::BIGINT,
                        sum(weight * duration_ns::DOUBLE) / sum(weight)
                 FROM calls
                 WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3 AND function_id = $4
                       AND (duration_ns >= $5 OR duration_ns < $6)
                 GROUP BY 1",
            )?;
            let function = chosen.function as i32;
            let parameters = params![session, after_ns, upto_ns, function, slow_low, fast_high];
            let mut rows = statement.query(parameters)?;
            while let Some(row) = rows.next()? {
                let slow: bool = row.get(0)?;
                let mean_ns: f64 = row.get(3)?;
                groups[usize::from(slow)] = CallGroup {
                    recorded: row.get(1)?,
                    calls: row.get(2)?,
                    mean_ns: mean_ns as u64,
                    ..CallGroup::default()
                };
            }
            Ok::<_, QueryError>(())
        })?;
        Ok(groups)
    }
}

/// The groups, fast and slow, and their samples with the frames of their stacks.
fn input<'a>(
    code: Code<'a>,
    [fast, slow]: [CallGroup; 2],
    sums: &'a [SampleSum],
    stacks: &'a Stacks,
) -> Input<'a> {
    let frames = |stack| stacks.frames_iter(stack).collect::<Vec<_>>();
    let wakers = sums.iter().filter_map(|sum| sum.waker_stack);
    Input {
        code,
        slow,
        fast,
        samples: sums.iter().map(|sum| (sum, frames(sum.stack))).collect(),
        wakers: wakers.map(|stack| (stack, frames(Some(stack)))).collect(),
    }
}

/// Adds what a mean call of each group, fast and slow, spent, and what of it no sample explains.
fn add_samples<'a>(
    tree: &mut Tree<'a>,
    stacks: &'a Stacks,
    sums: &[SampleSum],
    [fast, slow]: [CallGroup; 2],
) {
    for sum in sums {
        let group = if sum.slow { slow } else { fast };
        let calls = group.calls.max(1) as f64;
        add_sample(tree, stacks, sum, Weight::Time, |ns| {
            if sum.slow {
                [0.0, ns / calls]
            } else {
                [ns / calls, 0.0]
            }
        });
    }
    let unexplained = |group: CallGroup| {
        let ns = group.mean_ns.saturating_sub(group.sampled_ns);
        // Sampling is no better than that.
        if ns > group.mean_ns / 50 {
            ns as f64
        } else {
            0.0
        }
    };
    tree.add_unexplained(NOT_SAMPLED, [unexplained(fast), unexplained(slow)]);
}

/// What is to be said of executions of an async function, whose polls count as `polls`.
fn notes_on_executions(polls: &str, sampled: bool, notes: Vec<String>) -> Vec<String> {
    // Without samples, the others would be about something else.
    let mut notes = if sampled {
        notes
    } else {
        vec![
            "what it awaits was not seen; it is looked at where DWARF describes the future, without --no-off-cpu"
                .to_owned(),
        ]
    };
    notes.push(format!(
        "what the polls of an async function do is told of `{polls}`, see --fn"
    ));
    notes
}

/// Refuses to compare with nothing.
fn check(
    [fast, slow]: &[CallGroup; 2],
    name: &str,
    slow_range: Durations,
    fast_range: Durations,
) -> Result<(), QueryError> {
    let problem = if slow.recorded == 0 && fast.recorded == 0 {
        format!(
            "no call of {name} was recorded in full; let it run longer, or record more with --sample-rate 1"
        )
    } else if slow.recorded == 0 {
        format!(
            "none of the recorded calls of {name} took {} or longer",
            format::duration_ns(slow_range.low)
        )
    } else if fast.recorded == 0 {
        format!(
            "all recorded calls of {name} took {} or longer, so there is nothing to compare slow calls with",
            format::duration_ns(fast_range.high)
        )
    } else {
        return Ok(());
    };
    Err(QueryError::NoSuchCalls(problem))
}
