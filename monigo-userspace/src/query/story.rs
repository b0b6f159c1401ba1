//! What happened during one recorded call.

use std::{fmt, str::FromStr};

use duckdb::params;
use serde::{Deserialize, Serialize};

use super::{
    Activity, Call, DuckSource, QueryError, Wait,
    samples::{self, SampleSum},
    selected::read_call,
    tail::Code,
};

/// Most nested calls, and most samples, in one answer.
const MOST: u32 = 20_000;
/// An interval off CPU that stands for shorter ones, ns.
const DRAWN_NS: u64 = 1_000_000;

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

/// What happened during one recorded call. Times are ns since its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The call.
    pub call: Call,
    /// Name of its function.
    pub function: String,
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
    /// 1 directly inside, and so on.
    pub depth: u32,
}

/// A sample inside a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoryEvent {
    /// When it was taken, or when the time off CPU began; ns since the call's start.
    pub at_ns: u64,
    /// Length of the time off CPU, ns; 0 of a sample while it ran.
    pub duration_ns: u64,
    /// Time that it stands for, ns.
    pub weight_ns: u64,
    /// Off CPU: the part at its end in which a CPU was waited for, ns.
    pub runnable_ns: u64,
    /// The time off CPU was shorter than `duration_ns`, and stands for others, too.
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
        let events = self.events(&call)?;
        let sampled_ns = events.iter().map(|event| event.weight_ns).sum();
        let mut notes = Vec::new();
        if nested.len() == MOST as usize || events.len() == MOST as usize {
            notes.push(format!("only the first {MOST} calls and samples are shown"));
        }
        if events.is_empty() {
            notes.push("no sample was taken during this call".to_owned());
        }
        Ok(Story {
            function: self.name_of(call.function)?,
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
                "SELECT function_id, start_ns, duration_ns, pid, tid, goid, cpu, weight, stack_id
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
        let end_ns = end_of(call);
        let calls: Vec<Call> = self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT function_id, start_ns, duration_ns, pid, tid, goid, cpu, weight, stack_id
                 FROM calls
                 WHERE session_id = ? AND pid = ? AND coalesce(goid, -tid::BIGINT) = ?
                       AND start_ns >= ? AND start_ns + duration_ns <= ?
                       AND NOT (start_ns = ? AND function_id = ?)
                 ORDER BY start_ns, duration_ns DESC LIMIT ?",
            )?;
            let parameters = params![
                self.session,
                i64::from(call.pid),
                owner(call),
                call.start_ns,
                end_ns,
                call.start_ns,
                call.function as i32,
                MOST
            ];
            let calls = statement.query_map(parameters, read_call)?;
            Ok::<_, QueryError>(calls.collect::<Result<_, _>>()?)
        })?;
        let functions = self.table()?;
        let mut open: Vec<i64> = Vec::new();
        let nest = |inner: Call| {
            while open.last().is_some_and(|end| *end < end_of(&inner)) {
                open.pop();
            }
            open.push(end_of(&inner));
            let name = functions.names.get(inner.function as usize);
            NestedCall {
                function: name.cloned().unwrap_or_default(),
                from_ns: since(call, inner.start_ns),
                depth: open.len() as u32,
                call: inner,
            }
        };
        Ok(calls.into_iter().map(nest).collect())
    }

    /// Samples of the same thread or goroutine while it was open.
    fn events(&self, call: &Call) -> Result<Vec<StoryEvent>, QueryError> {
        let overview = self.session_row()?.overview;
        let functions = self.table()?;
        let rows: Vec<(SampleSum, i64)> = self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT function_id, stack_id, kind, wait, reason, waker_name, waker_stack_id, false,
                        weight_ns::DOUBLE, coalesce(runnable_ns, 0)::DOUBLE, 1::BIGINT, taken_ns
                 FROM samples
                 WHERE session_id = ? AND pid = ? AND coalesce(goid, -tid::BIGINT) = ?
                       AND taken_ns >= ? AND taken_ns < ?
                 ORDER BY taken_ns, kind LIMIT ?",
            )?;
            let parameters = params![
                self.session,
                i64::from(call.pid),
                owner(call),
                call.start_ns,
                end_of(call),
                MOST
            ];
            let rows = statement.query_map(parameters, |row| Ok((samples::row(row)?, row.get(11)?)))?;
            let rows = rows.collect::<Result<Vec<(SampleSum, i64)>, _>>()?;
            let (sums, times): (Vec<SampleSum>, Vec<i64>) = rows.into_iter().unzip();
            let sums = samples::told(connection, self.session, sums)?;
            Ok::<_, QueryError>(sums.into_iter().zip(times).collect())
        })?;
        self.with_stacks(|stacks| {
            let event = |(sum, taken_ns): (SampleSum, i64)| {
                let frames: Vec<_> = stacks.frames_iter(sum.stack).collect();
                let first = sum.parts(frames.iter().copied()).next();
                let (activity, wait, _) = first.unwrap_or((Activity::Running, None, 0.0));
                let root_at = functions.root_at(sum.function);
                let place = root_at.map_or_else(String::new, |root_at| {
                    let code = Code {
                        language: overview.language,
                        target: &overview.target,
                        name: root_at.name,
                        image: root_at.image,
                    };
                    let waiting = activity == Activity::Waiting;
                    super::tail::place(&frames, &code, waiting).to_string()
                });
                let weight_ns = sum.weight_ns as u64;
                StoryEvent {
                    at_ns: since(call, taken_ns),
                    duration_ns: if sum.off_cpu { weight_ns } else { 0 },
                    weight_ns,
                    runnable_ns: sum.runnable_ns as u64,
                    drawn: sum.off_cpu && weight_ns == DRAWN_NS,
                    activity,
                    wait,
                    reason: sum.reason,
                    waker: sum.waker,
                    place,
                    stack: sum.stack,
                }
            };
            rows.into_iter().map(event).collect()
        })
    }
}

/// What a call's samples share with it: its goroutine, or else its thread.
fn owner(call: &Call) -> i64 {
    match call.goid {
        Some(goid) => i64::try_from(goid).unwrap_or(i64::MAX),
        None => -i64::from(call.tid),
    }
}

fn end_of(call: &Call) -> i64 {
    call.start_ns.saturating_add_unsigned(call.duration_ns)
}

fn since(call: &Call, at_ns: i64) -> u64 {
    u64::try_from(at_ns.saturating_sub(call.start_ns)).unwrap_or(0)
}
