//! What the tables get of batches.

use std::borrow::Cow;

use duckdb::Connection;
use serde::{Deserialize, Serialize};

use super::{
    Batch, CallRow, FunctionDelta, Reading, SampleKind, SampleRow, Wait, blocks,
    table::{Table, signed, signed32},
};

/// A batch and its place in a session.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Flush<'a> {
    pub session: i64,
    /// Counts up from 1 within the session.
    pub id: i64,
    /// Begin of the interval, Unix time in ns.
    pub from_ns: i64,
    /// Its end.
    pub at_ns: i64,
    pub batch: Cow<'a, Batch>,
}

impl Flush<'_> {
    /// With a batch of its own.
    pub fn owned(&self) -> Flush<'static> {
        Flush {
            session: self.session,
            id: self.id,
            from_ns: self.from_ns,
            at_ns: self.at_ns,
            batch: Cow::Owned(self.batch.as_ref().clone()),
        }
    }
}

/// Appends all of them.
pub(super) fn write(connection: &Connection, flushes: &[&Flush<'_>]) -> Result<(), duckdb::Error> {
    Table::of(flushes)
        .with(|flush| flush.session)
        .with(|flush| flush.id)
        .with(|flush| flush.from_ns)
        .with(|flush| flush.at_ns)
        .with(|flush| signed(flush.batch.beside_ns))
        .append(connection, "flushes")?;
    append_counters(connection, flushes)?;
    for flush in flushes {
        blocks::append(connection, flush)?;
    }
    append_calls(connection, flushes)?;
    append_samples(connection, flushes)?;
    append_stacks(connection, flushes)?;
    append_rest(connection, flushes)
}

/// Rows of all batches, each with what it belongs to.
fn rows<'f, 'b: 'f, T>(
    flushes: &[&'f Flush<'b>],
    of: impl Fn(&'f Batch) -> &'f [T],
) -> Vec<(&'f Flush<'b>, &'f T)> {
    flushes
        .iter()
        .flat_map(|&flush| of(&flush.batch).iter().map(move |row| (flush, row)))
        .collect()
}

fn append_counters(connection: &Connection, flushes: &[&Flush<'_>]) -> Result<(), duckdb::Error> {
    // Without a timed call the extremes mean nothing.
    let extreme = |delta: &FunctionDelta, ns| (delta.timed > 0).then(|| signed(ns));
    let deltas = rows(flushes, |batch| &batch.functions);
    Table::of(&deltas)
        .with(|(flush, _)| flush.session)
        .with(|(_, delta)| delta.function as i32)
        .with(|(flush, _)| flush.id)
        .with(|(flush, _)| flush.at_ns)
        .with(|(_, delta)| signed(delta.entered))
        .with(|(_, delta)| signed(delta.calls))
        .with(|(_, delta)| signed(delta.unwound))
        .with(|(_, delta)| signed(delta.unmatched))
        .with(|(_, delta)| signed(delta.total_ns))
        .with(|(_, delta)| extreme(delta, delta.min_ns))
        .with(|(_, delta)| extreme(delta, delta.max_ns))
        .with(|(_, delta)| signed(delta.self_ns))
        .with(|(_, delta)| signed(delta.timed))
        .with(|(_, delta)| signed(delta.variance))
        .append(connection, "function_deltas")?;
    let buckets: Vec<(&Flush<'_>, i32, i16, i64)> = deltas
        .iter()
        .flat_map(|&(flush, delta)| {
            let function = delta.function as i32;
            let buckets = delta.buckets.iter();
            buckets.map(move |&(bucket, count)| (flush, function, bucket as i16, signed(count)))
        })
        .collect();
    Table::of(&buckets)
        .with(|(flush, ..)| flush.session)
        .with(|&(_, function, _, _)| function)
        .with(|(flush, ..)| flush.id)
        .with(|(flush, ..)| flush.at_ns)
        .with(|&(_, _, bucket, _)| bucket)
        .with(|&(_, _, _, count)| count)
        .append(connection, "histogram_deltas")
}

fn append_calls(connection: &Connection, flushes: &[&Flush<'_>]) -> Result<(), duckdb::Error> {
    let calls: Vec<(&Flush<'_>, &CallRow)> = rows(flushes, |batch| &batch.calls);
    Table::of(&calls)
        .with(|(flush, _)| flush.session)
        .with(|(_, call)| call.function as i32)
        .with(|(flush, _)| flush.at_ns)
        .with(|(_, call)| call.start_ns)
        .with(|(_, call)| signed(call.duration_ns))
        .with(|(_, call)| signed32(call.pid))
        .with(|(_, call)| signed32(call.tid))
        .with(|(_, call)| call.goid.map(signed))
        .with(|(_, call)| signed32(call.cpu))
        .with(|(_, call)| i64::from(call.weight))
        .with(|(_, call)| call.stack.map(signed))
        .with(|(_, call)| signed(call.probes_ns))
        .append(connection, "calls")
}

fn append_samples(connection: &Connection, flushes: &[&Flush<'_>]) -> Result<(), duckdb::Error> {
    let samples: Vec<(&Flush<'_>, &SampleRow)> = rows(flushes, |batch| &batch.samples);
    Table::of(&samples)
        .with(|(flush, _)| flush.session)
        .with(|(_, sample)| sample.function as i32)
        .with(|(_, sample)| sample_name(sample.kind))
        .with(|(flush, _)| flush.at_ns)
        .with(|(_, sample)| sample.taken_ns)
        .with(|(_, sample)| signed(sample.weight_ns))
        .with(|(_, sample)| signed32(sample.pid))
        .with(|(_, sample)| signed32(sample.tid))
        .with(|(_, sample)| sample.goid.map(signed))
        .with(|(_, sample)| sample.stack.map(signed))
        .with(|(_, sample)| signed(sample.id))
        .with(|(_, sample)| sample.call_start_ns)
        .with(|(_, sample)| signed(sample.runnable_ns))
        .with(|(_, sample)| sample.wait.map(Wait::name))
        .with(|(_, sample)| sample.reason.as_deref())
        .with(|(_, sample)| sample.waker.as_ref().map(|waker| signed32(waker.tid)))
        .with(|(_, sample)| sample.waker.as_ref().map(|waker| waker.name.as_str()))
        .with(|(_, sample)| sample.waker.as_ref()?.stack.map(signed))
        .with(|(_, sample)| signed(sample.away_ns))
        .append(connection, "samples")?;
    let callers: Vec<(&Flush<'_>, i64, i32, i64)> = samples
        .iter()
        .flat_map(|&(flush, sample)| {
            let id = signed(sample.id);
            let callers = sample.callers.iter();
            callers.map(move |&(function, start_ns)| (flush, id, function as i32, start_ns))
        })
        .collect();
    Table::of(&callers)
        .with(|(flush, ..)| flush.session)
        .with(|(flush, ..)| flush.at_ns)
        .with(|&(_, id, _, _)| id)
        .with(|&(_, _, function, _)| function)
        .with(|&(_, _, _, start_ns)| start_ns)
        .append(connection, "sample_callers")
}

fn append_stacks(connection: &Connection, flushes: &[&Flush<'_>]) -> Result<(), duckdb::Error> {
    Table::of(&rows(flushes, |batch| &batch.frames))
        .with(|(flush, _)| flush.session)
        .with(|(_, new)| signed(new.id))
        .with(|(_, new)| new.frame.function.as_str())
        .with(|(_, new)| new.frame.image.as_str())
        .with(|(_, new)| new.frame.address)
        .with(|(_, new)| new.frame.file.as_deref())
        .with(|(_, new)| new.frame.line.map(signed32))
        .with(|(_, new)| new.frame.inlined)
        .with(|(_, new)| new.frame.kernel)
        .append(connection, "frames")?;
    let stacks = rows(flushes, |batch| &batch.stacks);
    Table::of(&stacks)
        .with(|(flush, _)| flush.session)
        .with(|(_, stack)| signed(stack.id))
        .with(|(_, stack)| stack.truncated)
        .append(connection, "stacks")?;
    let links: Vec<(i64, i64, i32, i64)> = stacks
        .iter()
        .flat_map(|(flush, stack)| {
            let (session, id) = (flush.session, signed(stack.id));
            (0..)
                .zip(&stack.frames)
                .map(move |(depth, frame)| (session, id, depth, signed(*frame)))
        })
        .collect();
    Table::of(&links)
        .with(|&(session, _, _, _)| session)
        .with(|&(_, id, _, _)| id)
        .with(|&(_, _, depth, _)| depth)
        .with(|&(_, _, _, frame)| frame)
        .append(connection, "stack_frames")
}

fn append_rest(connection: &Connection, flushes: &[&Flush<'_>]) -> Result<(), duckdb::Error> {
    Table::of(&rows(flushes, |batch| &batch.processes))
        .with(|(flush, _)| flush.session)
        .with(|(_, process)| signed32(process.pid))
        .with(|(_, process)| process.name.as_str())
        .with(|(_, process)| process.seen_ns)
        .append(connection, "processes")?;
    Table::of(&rows(flushes, |batch| &batch.losses))
        .with(|(flush, _)| flush.session)
        .with(|(flush, _)| flush.at_ns)
        .with(|(_, loss)| loss.cause.as_str())
        .with(|(_, loss)| signed(loss.count))
        .append(connection, "losses")?;
    Table::of(&rows(flushes, |batch| &batch.notices))
        .with(|(flush, _)| flush.session)
        .with(|(flush, _)| flush.at_ns)
        .with(|(_, notice)| notice.as_str())
        .append(connection, "notices")?;
    // One that is not a number would make every mean over it none.
    let readings: Vec<(&Flush<'_>, &Reading)> = rows(flushes, |batch| &batch.readings)
        .into_iter()
        .filter(|(_, reading)| reading.value.is_finite())
        .collect();
    Table::of(&readings)
        .with(|(flush, _)| flush.session)
        .with(|(_, reading)| reading.at_ns)
        .with(|(_, reading)| reading.name.as_str())
        .with(|(_, reading)| reading.value)
        .with(|(_, reading)| reading.value)
        .with(|(_, reading)| reading.value)
        .with(|_| 1_i64)
        .append(connection, "readings")
}

/// As in the `samples` table.
fn sample_name(kind: SampleKind) -> &'static str {
    match kind {
        SampleKind::Cpu => "cpu",
        SampleKind::OffCpu => "offcpu",
    }
}
