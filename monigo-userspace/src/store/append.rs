//! Writing sessions and batches.

use duckdb::{Appender, Connection, params};

use super::{
    Batch, Database, ExitProbe, Forgotten, NewFunction, NewSession, SampleKind, StorageSettings,
    Store, StoreError, Wait, blocks, database::Progress, functions,
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
    if batch.functions.is_empty() {
        return Ok(());
    }
    let mut deltas = connection.appender("function_deltas")?;
    for delta in &batch.functions {
        // Without a timed call the extremes mean nothing.
        let extreme = |ns| (delta.timed > 0).then(|| signed(ns));
        deltas.append_row(params![
            session,
            delta.function as i32,
            now.flush,
            now.at_ns,
            signed(delta.entered),
            signed(delta.calls),
            signed(delta.unwound),
            signed(delta.unmatched),
            signed(delta.total_ns),
            extreme(delta.min_ns),
            extreme(delta.max_ns),
            signed(delta.self_ns),
            signed(delta.timed),
            signed(delta.variance),
        ])?;
    }
    deltas.flush()?;
    let mut histograms = connection.appender("histogram_deltas")?;
    for delta in &batch.functions {
        for &(bucket, count) in &delta.buckets {
            let function = delta.function as i32;
            let (bucket, count) = (bucket as i16, signed(count));
            histograms.append_row((session, function, now.flush, now.at_ns, bucket, count))?;
        }
    }
    histograms.flush()
}

fn append_calls(
    connection: &Connection,
    session: i64,
    at_ns: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    let mut calls = Rows::new(connection, "calls", batch.calls.is_empty())?;
    for call in &batch.calls {
        calls.append(params![
            session,
            call.function as i32,
            at_ns,
            call.start_ns,
            signed(call.duration_ns),
            signed32(call.pid),
            signed32(call.tid),
            call.goid.map(signed),
            signed32(call.cpu),
            i64::from(call.weight),
            call.stack.map(signed),
            signed(call.probes_ns),
        ])?;
    }
    calls.flush()
}

fn append_samples(
    connection: &Connection,
    session: i64,
    at_ns: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    let mut samples = Rows::new(connection, "samples", batch.samples.is_empty())?;
    for sample in &batch.samples {
        let waker = sample.waker.as_ref();
        samples.append(params![
            session,
            sample.function as i32,
            sample_name(sample.kind),
            at_ns,
            sample.taken_ns,
            signed(sample.weight_ns),
            signed32(sample.pid),
            signed32(sample.tid),
            sample.goid.map(signed),
            sample.stack.map(signed),
            signed(sample.id),
            sample.call_start_ns,
            signed(sample.runnable_ns),
            sample.wait.map(Wait::name),
            sample.reason,
            waker.map(|waker| signed32(waker.tid)),
            waker.map(|waker| &waker.name),
            waker.and_then(|waker| waker.stack).map(signed),
            signed(sample.away_ns),
        ])?;
    }
    samples.flush()?;
    let nested = batch
        .samples
        .iter()
        .any(|sample| !sample.callers.is_empty());
    let mut callers = Rows::new(connection, "sample_callers", !nested)?;
    for sample in &batch.samples {
        for &(function, start_ns) in &sample.callers {
            callers.append(params![
                session,
                at_ns,
                signed(sample.id),
                function as i32,
                start_ns
            ])?;
        }
    }
    callers.flush()
}

fn append_stacks(
    connection: &Connection,
    session: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    let mut frames = Rows::new(connection, "frames", batch.frames.is_empty())?;
    for new in &batch.frames {
        let frame = &new.frame;
        frames.append(params![
            session,
            signed(new.id),
            frame.function,
            frame.image,
            frame.address,
            frame.file,
            frame.line.map(signed32),
            frame.inlined,
            frame.kernel,
        ])?;
    }
    frames.flush()?;
    let none = batch.stacks.is_empty();
    let mut stacks = Rows::new(connection, "stacks", none)?;
    let mut links = Rows::new(connection, "stack_frames", none)?;
    for stack in &batch.stacks {
        stacks.append(params![session, signed(stack.id), stack.truncated])?;
        for (depth, frame) in stack.frames.iter().enumerate() {
            links.append(params![
                session,
                signed(stack.id),
                depth as i32,
                signed(*frame)
            ])?;
        }
    }
    stacks.flush()?;
    links.flush()
}

fn append_rest(
    connection: &Connection,
    session: i64,
    at_ns: i64,
    batch: &Batch,
) -> Result<(), duckdb::Error> {
    let mut processes = Rows::new(connection, "processes", batch.processes.is_empty())?;
    for process in &batch.processes {
        let pid = signed32(process.pid);
        processes.append(params![session, pid, process.name, process.seen_ns])?;
    }
    processes.flush()?;
    let mut losses = Rows::new(connection, "losses", batch.losses.is_empty())?;
    for loss in &batch.losses {
        losses.append(params![session, at_ns, loss.cause, signed(loss.count)])?;
    }
    losses.flush()?;
    let mut notices = Rows::new(connection, "notices", batch.notices.is_empty())?;
    for sentence in &batch.notices {
        notices.append(params![session, at_ns, sentence])?;
    }
    notices.flush()?;
    let mut readings = Rows::new(connection, "readings", batch.readings.is_empty())?;
    // One that is not a number would make every mean over it none.
    for reading in batch.readings.iter().filter(|r| r.value.is_finite()) {
        let value = reading.value;
        readings.append(params![
            session,
            reading.at_ns,
            reading.name,
            value,
            value,
            value,
            1
        ])?;
    }
    readings.flush()
}

/// An appender that is only made when there are rows.
struct Rows<'a>(Option<Appender<'a>>);

impl<'a> Rows<'a> {
    fn new(connection: &'a Connection, table: &str, none: bool) -> Result<Self, duckdb::Error> {
        let appender = (!none).then(|| connection.appender(table)).transpose()?;
        Ok(Self(appender))
    }

    fn append(&mut self, row: &[&dyn duckdb::ToSql]) -> Result<(), duckdb::Error> {
        self.0
            .as_mut()
            .map_or(Ok(()), |appender| appender.append_row(row))
    }

    fn flush(&mut self) -> Result<(), duckdb::Error> {
        self.0.as_mut().map_or(Ok(()), Appender::flush)
    }
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
