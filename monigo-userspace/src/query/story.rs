//! What happened during one recorded call.

mod axis;

use std::{fmt, str::FromStr};

use duckdb::params;
use serde::{Deserialize, Serialize};

use self::axis::Axis;
use super::{
    Activity, Call, DuckSource, QueryError, Wait,
    samples::{self, SampleSum},
    selected::read_call,
    tail::Code,
};
use crate::export::format::duration_ns;

/// Most nested calls, and most samples, in one answer.
const MOST: u32 = 20_000;
/// Probes that took more than one in this many parts of the time are worth a word.
const NOTABLE: u64 = 20;

/// Names a recorded call. Written as `FUNCTION-PID-START`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallKey {
    /// Index of the function.
    pub function: u32,
    /// Process id.
    pub pid: u32,
    /// Start, Unix time in ns.
    pub start_ns: i64,
}

impl From<&Call> for CallKey {
    fn from(call: &Call) -> Self {
        Self {
            function: call.function,
            pid: call.pid,
            start_ns: call.start_ns,
        }
    }
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.function, self.pid, self.start_ns)
    }
}

impl FromStr for CallKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next();
        let key = (|| {
            Some(Self {
                function: part()?.parse().ok()?,
                pid: part()?.parse().ok()?,
                start_ns: part()?.parse().ok()?,
            })
        })();
        key.ok_or_else(|| {
            "a call is named FUNCTION-PID-START, as `monigo story` prints it".to_owned()
        })
    }
}

/// What happened during one recorded call. Times are ns since its start, on the wall clock: what probes
/// took passes there, too. Everything lies within the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The call.
    pub call: Call,
    /// Name of its function.
    pub function: String,
    /// Time from entry to return, ns.
    pub span_ns: u64,
    /// Recorded calls of traced functions inside it, by start.
    pub nested: Vec<NestedCall>,
    /// Samples inside it, by time.
    pub events: Vec<StoryEvent>,
    /// Time that the samples explain, ns.
    pub sampled_ns: u64,
    /// Sentences for the user: what is not shown.
    pub notes: Vec<String>,
}

/// A recorded call inside another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NestedCall {
    /// The call.
    pub call: Call,
    /// Name of its function.
    pub function: String,
    /// Start, ns since that of the outermost call.
    pub from_ns: u64,
    /// Time from entry to return, ns.
    pub span_ns: u64,
    /// 1 directly inside, and so on.
    pub depth: u32,
}

/// A sample inside a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoryEvent {
    /// When it was taken, or when the time off CPU began; ns since the call's start.
    pub at_ns: u64,
    /// Length of the time off CPU, ns; 0 of a sample while it ran, and where it is not known.
    pub duration_ns: u64,
    /// Time that it stands for, ns.
    pub weight_ns: u64,
    /// Off CPU: the part at the end of `duration_ns` in which a CPU was waited for, ns.
    pub runnable_ns: u64,
    /// The time off CPU was short, and stands for others like it, too.
    pub drawn: bool,
    /// What was done; runnable only if nothing was waited for.
    pub activity: Activity,
    /// What was waited for.
    pub wait: Option<Wait>,
    /// The reason for the wait that the language's runtime gives.
    pub reason: Option<String>,
    /// The thread that ended the wait.
    pub waker: Option<String>,
    /// Where it was: the innermost function of the target's own code, and what it called.
    pub place: String,
    /// Stack id for [`super::Source::stack`].
    pub stack: Option<u64>,
}

impl DuckSource {
    /// What happened during a recorded call.
    pub(super) fn story_of(&self, key: CallKey) -> Result<Story, QueryError> {
        self.check(Some(key.function))?;
        let call = self.find_call(key)?;
        let nested = self.nested(&call)?;
        let (events, outside) = self.events(&call)?;
        let sampled_ns = events.iter().map(|event| event.weight_ns).sum();
        let mut notes = Vec::new();
        if nested.len() == MOST as usize || events.len() == MOST as usize {
            notes.push(format!("only the first {MOST} calls and samples are shown"));
        }
        if events.is_empty() {
            notes.push("no sample was taken during this call".to_owned());
        }
        if self.table()?.counts_executions(call.function) {
            notes.push(
                "of an async function, what its polls did on the thread that finished it is shown, polls of other calls of it in between included; what it waited at between polls was looked at from time to time"
                    .to_owned(),
            );
        }
        if outside > 0 {
            notes.push(match outside {
                1 => "the end of one wait was not seen; it is shown until the end of the call".to_owned(),
                _ => format!(
                    "the ends of {outside} waits were not seen; they are shown until the end of the call"
                ),
            });
        }
        if call.probes_ns > call.duration_ns / NOTABLE {
            notes.push(format!(
                "probes took {} of it beside the {} that are measured",
                duration_ns(call.probes_ns),
                duration_ns(call.duration_ns)
            ));
        }
        Ok(Story {
            function: self.name_of(call.function)?,
            span_ns: call.span_ns(),
            nested,
            events,
            sampled_ns,
            notes,
            call,
        })
    }

    fn find_call(&self, key: CallKey) -> Result<Call, QueryError> {
        let found = self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT function_id, start_ns, duration_ns, pid, tid, goid, cpu, weight, stack_id,
                        coalesce(probes_ns, 0)
                 FROM calls
                 WHERE session_id = ? AND function_id = ? AND pid = ? AND start_ns = ?
                 ORDER BY duration_ns DESC LIMIT 1",
            )?;
            let parameters = params![
                self.session,
                key.function as i32,
                i64::from(key.pid),
                key.start_ns
            ];
            let mut rows = statement.query(parameters)?;
            Ok::<_, QueryError>(rows.next()?.map(read_call).transpose()?)
        })?;
        found.ok_or_else(|| QueryError::NoSuchCalls(format!("no recorded call is named {key}")))
    }

    /// Calls of the same thread or goroutine inside it.
    fn nested(&self, call: &Call) -> Result<Vec<NestedCall>, QueryError> {
        let calls: Vec<Call> = self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT function_id, start_ns, duration_ns, pid, tid, goid, cpu, weight, stack_id,
                        coalesce(probes_ns, 0)
                 FROM calls
                 WHERE session_id = ? AND pid = ? AND coalesce(goid, -tid::BIGINT) = ?
                       AND start_ns >= ? AND start_ns + duration_ns + coalesce(probes_ns, 0) <= ?
                       AND NOT (start_ns = ? AND function_id = ?)
                 ORDER BY start_ns, duration_ns DESC LIMIT ?",
            )?;
            let parameters = params![
                self.session,
                i64::from(call.pid),
                owner(call),
                call.start_ns,
                call.end_ns(),
                call.start_ns,
                call.function as i32,
                MOST
            ];
            let calls = statement.query_map(parameters, read_call)?;
            Ok::<_, QueryError>(calls.collect::<Result<_, _>>()?)
        })?;
        let functions = self.table()?;
        let axis = Axis::of(call);
        let mut open: Vec<i64> = Vec::new();
        let nest = |inner: Call| {
            while open.last().is_some_and(|end| *end < inner.end_ns()) {
                open.pop();
            }
            open.push(inner.end_ns());
            let name = functions.names.get(inner.function as usize);
            NestedCall {
                function: name.cloned().unwrap_or_default(),
                from_ns: axis.fit(inner.start_ns, 0).from_ns,
                span_ns: inner.span_ns(),
                depth: open.len() as u32,
                call: inner,
            }
        };
        Ok(calls.into_iter().map(nest).collect())
    }

    /// Samples of the same thread or goroutine while it was open, and how many of them went on after its
    /// end, as they say.
    fn events(&self, call: &Call) -> Result<(Vec<StoryEvent>, usize), QueryError> {
        let overview = self.session_row()?.overview;
        let functions = self.table()?;
        let axis = Axis::of(call);
        let samples = self.samples_in(call, functions.counts_executions(call.function))?;
        self.with_stacks(|stacks| {
            let mut outside = 0;
            let event = |Taken {
                             sum,
                             at_ns,
                             away_ns,
                         }: Taken| {
                let frames: Vec<_> = stacks.frames_iter(sum.stack).collect();
                let first = sum.parts(frames.iter().copied()).next();
                let (activity, wait, _) = first.unwrap_or((Activity::Running, None, 0.0));
                let root_at = functions.root_at(sum.function);
                let place = root_at.map_or_else(String::new, |root_at| {
                    let code = Code::of(&overview, root_at);
                    let waiting = activity == Activity::Waiting;
                    super::tail::place(&frames, &code, waiting).to_string()
                });
                let weight_ns = sum.weight_ns as u64;
                let (drawn, away_ns) = axis::length(sum.off_cpu, weight_ns, away_ns);
                let fitted = axis.fit(at_ns, away_ns);
                outside += usize::from(fitted.outside_ns > 0);
                let runnable = sum.runnable_ns / sum.weight_ns.max(1.0);
                StoryEvent {
                    at_ns: fitted.from_ns,
                    duration_ns: fitted.length_ns,
                    weight_ns,
                    runnable_ns: (runnable * fitted.length_ns as f64) as u64,
                    drawn,
                    activity,
                    wait,
                    reason: sum.reason,
                    waker: sum.waker,
                    place,
                    stack: sum.stack,
                }
            };
            let events = samples.into_iter().map(event).collect();
            (events, outside)
        })
    }

    /// Samples of the same thread or goroutine while `call` was open, by time. Between the polls of an
    /// `execution` of an async function its thread polls others, so then only those inside its own polls,
    /// and looks at the execution itself.
    fn samples_in(&self, call: &Call, execution: bool) -> Result<Vec<Taken>, QueryError> {
        let polled = execution.then(|| call.function as i32 - 1);
        self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT function_id, stack_id, kind, wait, reason, waker_name, waker_stack_id, false,
                        weight_ns::DOUBLE, coalesce(runnable_ns, 0)::DOUBLE, 1::BIGINT, taken_ns, away_ns
                 FROM samples
                 WHERE session_id = $1 AND pid = $2 AND taken_ns >= $4 AND taken_ns < $5
                       AND (coalesce(goid, -tid::BIGINT) = $3
                            AND ($6::INTEGER IS NULL OR function_id = $6 OR sample_id IN (
                                SELECT sample_id FROM sample_callers WHERE session_id = $1 AND function_id = $6))
                            OR $6::INTEGER IS NOT NULL AND (function_id = $7 AND call_start_ns = $4
                                OR sample_id IN (SELECT sample_id FROM sample_callers
                                    WHERE session_id = $1 AND function_id = $7 AND call_start_ns = $4)))
                 ORDER BY taken_ns, kind LIMIT $8",
            )?;
            let parameters = params![
                self.session,
                i64::from(call.pid),
                owner(call),
                call.start_ns,
                call.end_ns(),
                polled,
                call.function as i32,
                MOST
            ];
            let rows = statement.query_map(parameters, |row| {
                Ok((samples::row(row)?, (row.get(11)?, row.get(12)?)))
            })?;
            let rows = rows.collect::<Result<Vec<_>, duckdb::Error>>()?;
            let (sums, times): (Vec<SampleSum>, Vec<_>) = rows.into_iter().unzip();
            let sums = samples::told(connection, self.session, sums)?.into_iter();
            let taken = sums.zip(times).map(|(sum, (at_ns, away_ns))| Taken {
                sum,
                at_ns,
                away_ns,
            });
            Ok(taken.collect())
        })
    }
}

/// One sample.
struct Taken {
    sum: SampleSum,
    /// When it was taken, or when the time off CPU began; Unix time in ns.
    at_ns: i64,
    /// How long the time off CPU was, ns, 0 of one that ran; `None` in recordings of a monigo that did not
    /// store it.
    away_ns: Option<u64>,
}

/// What a call's samples share with it: its goroutine, or else its thread.
fn owner(call: &Call) -> i64 {
    match call.goid {
        Some(goid) => i64::try_from(goid).unwrap_or(i64::MAX),
        None => -i64::from(call.tid),
    }
}
