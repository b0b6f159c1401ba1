//! Writing sessions and batches.

use duckdb::{Connection, params};

use super::{
    Batch, Database, ExitProbe, Forgotten, FunctionDelta, NewFunction, NewSession, Reading,
    SampleKind, StorageSettings, Store, StoreError, Wait, blocks, database::Progress, functions,
    table::Table,
};
use crate::plan::CostClass;

impl Store for Database {
    fn begin_session(&mut self, session: &NewSession) -> Result<i64, StoreError> {
        let id = self.transaction("beginning a session", |connection| {
            insert_session(connection, session)
        })?;
        let progress = Progress {
            at_ns: session.started_ns,
            flush: 0,
            certain: true,
        };
        self.progress.insert(id, progress);
        Ok(id)
    }

    fn append(&mut self, session: i64, batch: &Batch) -> Result<(), StoreError> {
        self.revive()?;
        self.make_room(session, batch)?;
        let last = self.progress(session)?;
        // Flush times order what readers have summed up, so they always grow, whatever the clock
        // does.
        let next = Progress {
            at_ns: batch.at_ns.max(last.at_ns + 1),
            flush: last.flush + 1,
            certain: true,
        };
        let from_ns = last.at_ns.saturating_add_unsigned(batch.skipped_ns);
        let from_ns = from_ns.min(next.at_ns - 1);
        self.transaction("writing a batch", |connection| {
            connection.execute(
                "INSERT INTO flushes VALUES (?, ?, ?, ?, ?)",
                params![session, next.flush, from_ns, next.at_ns, batch.beside_ns],
            )?;
            append_counters(connection, session, next, batch)?;
            blocks::append(connection, session, next)?;
            append_calls(connection, session, next.at_ns, batch)?;
            append_samples(connection, session, next.at_ns, batch)?;
            append_stacks(connection, session, batch)?;
            append_rest(connection, session, next.at_ns, batch)
        })?;
        self.progress.insert(session, next);
        self.attend(next.at_ns);
        if let Err(error) = self.sweep_before(session, &held(batch)) {
            tracing::warn!("stacks that nothing refers to could not be deleted: {error}");
        }
        Ok(())
    }

    fn add_functions(
        &mut self,
        session: i64,
        first: u32,
        functions: &[NewFunction],
    ) -> Result<(), StoreError> {
        self.revive()?;
        self.transaction("adding functions", |connection| {
            functions::append(connection, session, first, functions)
        })
    }

    fn remove_functions(&mut self, session: i64, first: u32) -> Result<(), StoreError> {
        self.transaction("removing functions", |connection| {
            functions::remove(connection, session, first)
        })
    }

    fn end_session(&mut self, session: i64, ended_ns: i64) -> Result<(), StoreError> {
        self.revive()?;
        let last = self.progress(session)?;
        self.transaction("ending the session", |connection| {
            connection.execute(
                "UPDATE sessions SET ended_ns = ? WHERE session_id = ?",
                params![ended_ns.max(last.at_ns), session],
            )
        })?;
        self.progress.remove(&session);
        self.forgotten.remove(&session);
        if self.unswept.remove(&session) {
            self.leave_stacks(vec![session])?;
        }
        self.checkpoint();
        Ok(())
    }

    fn take_forgotten(&mut self, session: i64) -> Forgotten {
        self.forgotten.remove(&session).unwrap_or_default()
    }

    fn apply(&mut self, settings: &StorageSettings) -> Result<(), StoreError> {
        self.revive()?;
        self.keep(settings, crate::collect::unix_ns())?;
        Ok(())
    }
}

impl Database {
    /// Runs `work` in a transaction: all of it happens, or nothing.
    pub(super) fn transaction<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, duckdb::Error>,
    ) -> Result<T, StoreError> {
        let connection = &self.connection;
        let result = connection
            .execute_batch("BEGIN")
            .and_then(|()| work(connection))
            .and_then(|value| connection.execute_batch("COMMIT").map(|()| value));
        result.map_err(|error| {
            // A failed commit has rolled back already, and then this one fails.
            let _ = connection.execute_batch("ROLLBACK");
            self.error(&error, doing)
        })
    }

    /// Where a session stands, from memory or, for one that another run began, from the tables.
    fn progress(&mut self, session: i64) -> Result<Progress, StoreError> {
        if let Some(progress) = self
            .progress
            .get(&session)
            .filter(|progress| progress.certain)
        {
            return Ok(*progress);
        }
        let found = self.connection.query_row(
            "SELECT greatest(started_ns, coalesce(max(at_ns), 0)), coalesce(max(flush_id), 0)
             FROM sessions LEFT JOIN flushes USING (session_id)
             WHERE session_id = ? GROUP BY started_ns",
            [session],
            |row| {
                Ok(Progress {
                    at_ns: row.get(0)?,
                    flush: row.get(1)?,
                    certain: true,
                })
            },
        );
        match found {
            Ok(progress) => {
                self.progress.insert(session, progress);
                Ok(progress)
            }
            Err(duckdb::Error::QueryReturnedNoRows) => Err(StoreError::UnknownSession(session)),
            Err(error) => Err(self.error(&error, "looking up the session")),
        }
    }
}

/// What the collector still has in hand when `batch` is written.
fn held(batch: &Batch) -> Batch {
    Batch {
        held_stacks: batch.held_stacks.clone(),
        ..Batch::default()
    }
}

fn insert_session(connection: &Connection, session: &NewSession) -> Result<i64, duckdb::Error> {
    let id: i64 = connection.query_row(
        "SELECT coalesce(max(session_id), 0) + 1 FROM sessions",
        [],
        |row| row.get(0),
    )?;
    connection.execute(
        "INSERT INTO sessions (session_id, started_ns, monigo_version, host, kernel, command_line,
                               flush_ns, target_path, build_id, language, runtime_version, retention, label)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            id,
            session.started_ns,
            session.monigo_version,
            session.host,
            session.kernel,
            session.command_line,
            session.flush_ns,
            session.target_path,
            session.build_id,
            session.language.name(),
            session.runtime_version,
            session.retention,
            session.label,
        ],
    )?;
    for sentence in &session.warnings {
        connection.execute(
            "INSERT INTO session_warnings VALUES (?, ?)",
            params![id, sentence],
        )?;
    }
    functions::append(connection, id, 0, &session.functions)?;
    Ok(id)
}

fn append_counters(
    connection: &Connection,
    session: i64,
    now: Progress,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    // Without a timed call the extremes mean nothing.
    let extreme = |delta: &FunctionDelta, ns| (delta.timed > 0).then(|| signed(ns));
    Table::of(&batch.functions)
        .with(|_| session)
        .with(|delta| delta.function as i32)
        .with(|_| now.flush)
        .with(|_| now.at_ns)
        .with(|delta| signed(delta.entered))
        .with(|delta| signed(delta.calls))
        .with(|delta| signed(delta.unwound))
        .with(|delta| signed(delta.unmatched))
        .with(|delta| signed(delta.total_ns))
        .with(|delta| extreme(delta, delta.min_ns))
        .with(|delta| extreme(delta, delta.max_ns))
        .with(|delta| signed(delta.self_ns))
        .with(|delta| signed(delta.timed))
        .with(|delta| signed(delta.variance))
        .append(connection, "function_deltas")?;
    let buckets: Vec<(i32, i16, i64)> = batch
        .functions
        .iter()
        .flat_map(|delta| {
            let function = delta.function as i32;
            let buckets = delta.buckets.iter();
            buckets.map(move |&(bucket, count)| (function, bucket as i16, signed(count)))
        })
        .collect();
    Table::of(&buckets)
        .with(|_| session)
        .with(|&(function, _, _)| function)
        .with(|_| now.flush)
        .with(|_| now.at_ns)
        .with(|&(_, bucket, _)| bucket)
        .with(|&(_, _, count)| count)
        .append(connection, "histogram_deltas")
}

fn append_calls(
    connection: &Connection,
    session: i64,
    at_ns: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    Table::of(&batch.calls)
        .with(|_| session)
        .with(|call| call.function as i32)
        .with(|_| at_ns)
        .with(|call| call.start_ns)
        .with(|call| signed(call.duration_ns))
        .with(|call| signed32(call.pid))
        .with(|call| signed32(call.tid))
        .with(|call| call.goid.map(signed))
        .with(|call| signed32(call.cpu))
        .with(|call| i64::from(call.weight))
        .with(|call| call.stack.map(signed))
        .with(|call| signed(call.probes_ns))
        .append(connection, "calls")
}

fn append_samples(
    connection: &Connection,
    session: i64,
    at_ns: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    Table::of(&batch.samples)
        .with(|_| session)
        .with(|sample| sample.function as i32)
        .with(|sample| sample_name(sample.kind))
        .with(|_| at_ns)
        .with(|sample| sample.taken_ns)
        .with(|sample| signed(sample.weight_ns))
        .with(|sample| signed32(sample.pid))
        .with(|sample| signed32(sample.tid))
        .with(|sample| sample.goid.map(signed))
        .with(|sample| sample.stack.map(signed))
        .with(|sample| signed(sample.id))
        .with(|sample| sample.call_start_ns)
        .with(|sample| signed(sample.runnable_ns))
        .with(|sample| sample.wait.map(Wait::name))
        .with(|sample| sample.reason.as_deref())
        .with(|sample| sample.waker.as_ref().map(|waker| signed32(waker.tid)))
        .with(|sample| sample.waker.as_ref().map(|waker| waker.name.as_str()))
        .with(|sample| sample.waker.as_ref()?.stack.map(signed))
        .with(|sample| signed(sample.away_ns))
        .append(connection, "samples")?;
    let callers: Vec<(i64, i32, i64)> = batch
        .samples
        .iter()
        .flat_map(|sample| {
            let id = signed(sample.id);
            let callers = sample.callers.iter();
            callers.map(move |&(function, start_ns)| (id, function as i32, start_ns))
        })
        .collect();
    Table::of(&callers)
        .with(|_| session)
        .with(|_| at_ns)
        .with(|&(id, _, _)| id)
        .with(|&(_, function, _)| function)
        .with(|&(_, _, start_ns)| start_ns)
        .append(connection, "sample_callers")
}

fn append_stacks(
    connection: &Connection,
    session: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    Table::of(&batch.frames)
        .with(|_| session)
        .with(|new| signed(new.id))
        .with(|new| new.frame.function.as_str())
        .with(|new| new.frame.image.as_str())
        .with(|new| new.frame.address)
        .with(|new| new.frame.file.as_deref())
        .with(|new| new.frame.line.map(signed32))
        .with(|new| new.frame.inlined)
        .with(|new| new.frame.kernel)
        .append(connection, "frames")?;
    Table::of(&batch.stacks)
        .with(|_| session)
        .with(|stack| signed(stack.id))
        .with(|stack| stack.truncated)
        .append(connection, "stacks")?;
    let links: Vec<(i64, i32, i64)> = batch
        .stacks
        .iter()
        .flat_map(|stack| {
            let (id, frames) = (signed(stack.id), stack.frames.iter());
            (0..)
                .zip(frames)
                .map(move |(depth, frame)| (id, depth, signed(*frame)))
        })
        .collect();
    Table::of(&links)
        .with(|_| session)
        .with(|&(id, _, _)| id)
        .with(|&(_, depth, _)| depth)
        .with(|&(_, _, frame)| frame)
        .append(connection, "stack_frames")
}

fn append_rest(
    connection: &Connection,
    session: i64,
    at_ns: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    Table::of(&batch.processes)
        .with(|_| session)
        .with(|process| signed32(process.pid))
        .with(|process| process.name.as_str())
        .with(|process| process.seen_ns)
        .append(connection, "processes")?;
    Table::of(&batch.losses)
        .with(|_| session)
        .with(|_| at_ns)
        .with(|loss| loss.cause.as_str())
        .with(|loss| signed(loss.count))
        .append(connection, "losses")?;
    Table::of(&batch.notices)
        .with(|_| session)
        .with(|_| at_ns)
        .with(String::as_str)
        .append(connection, "notices")?;
    // One that is not a number would make every mean over it none.
    let readings: Vec<&Reading> = batch
        .readings
        .iter()
        .filter(|reading| reading.value.is_finite())
        .collect();
    Table::of(&readings)
        .with(|_| session)
        .with(|reading| reading.at_ns)
        .with(|reading| reading.name.as_str())
        .with(|reading| reading.value)
        .with(|reading| reading.value)
        .with(|reading| reading.value)
        .with(|_| 1_i64)
        .append(connection, "readings")
}

/// Counts and durations fit in 63 bits for centuries; a corrupt one must not abort a batch.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn signed32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// What was not measured is NULL.
pub(super) fn measured(ns: u32) -> Option<i64> {
    (ns > 0).then_some(ns.into())
}

/// As in the `samples` table.
fn sample_name(kind: SampleKind) -> &'static str {
    match kind {
        SampleKind::Cpu => "cpu",
        SampleKind::OffCpu => "offcpu",
    }
}

/// As in the `functions` table.
pub(crate) fn exit_name(exit: ExitProbe) -> &'static str {
    match exit {
        ExitProbe::Ret => "ret",
        ExitProbe::Uretprobe => "uretprobe",
    }
}

/// As in the `functions` table.
pub(crate) fn cost_name(cost: CostClass) -> &'static str {
    match cost {
        CostClass::Nop5 => "nop5",
        CostClass::Emulated => "emulated",
        CostClass::SingleStep => "single-step",
    }
}
