//! Stacks and what they weigh, kept up to date by reading only what is new.

use std::collections::HashMap;

use duckdb::{Connection, params};

use super::{Frame, QueryError, StackRow, Weight, select::Durations, totals::Span};
use crate::store::Reader;

/// A stack as stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    /// Innermost first.
    pub frames: Vec<u64>,
    pub truncated: bool,
}

/// Estimates from recorded calls that ended with the same stack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weighed {
    /// Calls that the recorded ones stand for.
    pub calls: f64,
    /// Their summed duration, ns.
    pub wall_ns: f64,
}

impl Weighed {
    pub fn weight(self, weight: Weight) -> f64 {
        match weight {
            Weight::Calls => self.calls,
            Weight::Wall | Weight::Cpu | Weight::OffCpu | Weight::Time => self.wall_ns,
        }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.wall_ns += other.wall_ns;
    }
}

/// Function id and stack id, `None` for calls without a stack, with their weights.
pub(super) type Weights = HashMap<(u32, Option<u64>), Weighed>;

/// Frames and stacks of the session, and the weights since its start.
#[derive(Clone, Debug, Default)]
pub(super) struct Stacks {
    epoch: u64,
    upto_ns: Option<i64>,
    pub frames: HashMap<u64, Frame>,
    pub by_id: HashMap<u64, Stack>,
    pub weights: Weights,
    last_frame: u64,
    last_stack: u64,
}

impl Stacks {
    /// Reads the stacks and frames that are new, and with `upto_ns` adds what calls until that
    /// flush weigh.
    pub fn refresh(
        &mut self,
        reader: &Reader,
        session: i64,
        upto_ns: Option<i64>,
    ) -> Result<(), QueryError> {
        let epoch = reader.epoch();
        if epoch != self.epoch {
            // Stacks that nothing refers to any more may be gone, too.
            *self = Self {
                epoch,
                ..Self::default()
            };
        }
        reader.with(|connection| {
            if let Some(upto_ns) = upto_ns.filter(|at| self.upto_ns.is_none_or(|upto| *at > upto)) {
                let span = Span {
                    session,
                    after_ns: self.upto_ns.unwrap_or(i64::MIN),
                    upto_ns,
                };
                for (key, weighed) in weigh(connection, span, None, Durations::ALL)? {
                    self.weights.entry(key).or_default().add(weighed);
                }
                self.upto_ns = Some(upto_ns);
            }
            // After the weights, so that every stack they name is there.
            self.read_frames(connection, session)?;
            self.read_stacks(connection, session)
        })
    }

    fn read_frames(&mut self, connection: &Connection, session: i64) -> Result<(), QueryError> {
        let mut statement = connection.prepare_cached(
            "SELECT frame_id, function, image, address, file, line, inlined, kernel
             FROM frames WHERE session_id = ? AND frame_id > ?",
        )?;
        let mut rows = statement.query(params![session, self.last_frame])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let frame = Frame {
                function: row.get(1)?,
                image: row.get(2)?,
                address: row.get(3)?,
                file: row.get(4)?,
                line: row.get(5)?,
                inlined: row.get(6)?,
                kernel: row.get(7)?,
            };
            self.frames.insert(id, frame);
        }
        self.last_frame = self.frames.keys().copied().max().unwrap_or(0);
        Ok(())
    }

    fn read_stacks(&mut self, connection: &Connection, session: i64) -> Result<(), QueryError> {
        let mut statement = connection.prepare_cached(
            "SELECT stack_id, truncated, frame_id
             FROM stacks LEFT JOIN stack_frames USING (session_id, stack_id)
             WHERE session_id = ? AND stack_id > ? ORDER BY stack_id, depth",
        )?;
        let mut rows = statement.query(params![session, self.last_stack])?;
        let mut last = self.last_stack;
        while let Some(row) = rows.next()? {
            let id: u64 = row.get(0)?;
            let stack = self.by_id.entry(id).or_default();
            stack.truncated = row.get(1)?;
            stack.frames.extend(row.get::<_, Option<u64>>(2)?);
            last = last.max(id);
        }
        self.last_stack = last;
        Ok(())
    }

    /// Frames of a stack, innermost first; empty when the id is unknown.
    pub fn frames_of(&self, id: u64) -> Vec<Frame> {
        self.frames_iter(Some(id)).cloned().collect()
    }

    /// As [`Stacks::frames_of`].
    pub fn frames_iter(&self, id: Option<u64>) -> impl Iterator<Item = &Frame> + Clone {
        let stack = id.and_then(|id| self.by_id.get(&id));
        let frames = stack.map_or(&[][..], |stack| &stack.frames);
        frames.iter().filter_map(|frame| self.frames.get(frame))
    }

    /// The heaviest stacks of `weights`, of one function or all.
    pub fn heaviest(
        &self,
        weights: &Weights,
        function: Option<u32>,
        weight: Weight,
        limit: u32,
    ) -> Vec<StackRow> {
        let mut sums: HashMap<u64, Weighed> = HashMap::new();
        for (&(id, stack), weighed) in weights {
            if let Some(stack) = stack
                && function.is_none_or(|function| function == id)
            {
                sums.entry(stack).or_default().add(*weighed);
            }
        }
        let rows = sums.into_iter().map(|(id, weighed)| StackRow {
            id,
            weight: weighed.weight(weight) as u64,
            calls: weighed.calls as u64,
            mean_ns: (weighed.wall_ns / weighed.calls.max(1.0)) as u64,
            ..StackRow::default()
        });
        self.first(rows.collect(), limit)
    }

    /// The heaviest stacks of samples.
    pub fn heaviest_sampled(&self, sums: Vec<(u64, f64)>, limit: u32) -> Vec<StackRow> {
        let rows = sums.into_iter().map(|(id, weight)| StackRow {
            id,
            weight: weight as u64,
            ..StackRow::default()
        });
        self.first(rows.collect(), limit)
    }

    fn first(&self, mut rows: Vec<StackRow>, limit: u32) -> Vec<StackRow> {
        rows.retain(|row| row.weight > 0);
        rows.sort_by_key(|row| (std::cmp::Reverse(row.weight), row.id));
        rows.truncate(limit as usize);
        for row in &mut rows {
            row.frames = self.frames_of(row.id);
            row.truncated = self.by_id.get(&row.id).is_some_and(|stack| stack.truncated);
        }
        rows
    }
}

/// Sums the recorded calls in `span` that took `durations`, by function and stack.
pub(super) fn weigh(
    connection: &Connection,
    span: Span,
    function: Option<u32>,
    durations: Durations,
) -> Result<Weights, QueryError> {
    // The product can exceed 64 bits for a long call that stands for many.
    let mut statement = connection.prepare_cached(
        "SELECT function_id, stack_id, sum(weight)::DOUBLE, sum(weight::DOUBLE * duration_ns)
         FROM calls
         WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3
               AND function_id = coalesce($4, function_id)
               AND duration_ns >= $5 AND duration_ns < $6
         GROUP BY function_id, stack_id",
    )?;
    let (low, high) = durations.signed();
    let mut rows = statement.query(params![
        span.session,
        span.after_ns,
        span.upto_ns,
        function.map(|id| id as i32),
        low,
        high,
    ])?;
    let mut weights = Weights::new();
    while let Some(row) = rows.next()? {
        let weighed = Weighed {
            calls: row.get(2)?,
            wall_ns: row.get(3)?,
        };
        weights.insert((row.get(0)?, row.get(1)?), weighed);
    }
    Ok(weights)
}
