//! Stacks and what they weigh, kept up to date by reading only what is new.

use std::collections::HashMap;

use duckdb::{Connection, params};

use super::{Frame, QueryError, StackRow, Weight, totals::Span};
use crate::store::Reader;

/// A stack as stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    /// Innermost first.
    pub frames: Vec<u64>,
    pub truncated: bool,
}

/// Estimates from recorded calls that ended with the same stack, or samples that have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weighed {
    /// Calls that the recorded ones stand for.
    pub calls: f64,
    /// Their summed duration, ns.
    pub wall_ns: f64,
    /// Time running, ns.
    pub cpu_ns: f64,
    /// Time off CPU, ns.
    pub off_cpu_ns: f64,
}

impl Weighed {
    pub fn weight(self, weight: Weight) -> u64 {
        match weight {
            Weight::Wall => self.wall_ns as u64,
            Weight::Calls => self.calls as u64,
            Weight::Cpu => self.cpu_ns as u64,
            Weight::OffCpu => self.off_cpu_ns as u64,
        }
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.wall_ns += other.wall_ns;
        self.cpu_ns += other.cpu_ns;
        self.off_cpu_ns += other.off_cpu_ns;
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
            self.weights.clear();
            self.upto_ns = None;
            self.epoch = epoch;
        }
        reader.with(|connection| {
            if let Some(upto_ns) = upto_ns.filter(|at| self.upto_ns.is_none_or(|upto| *at > upto)) {
                let span = Span {
                    session,
                    after_ns: self.upto_ns.unwrap_or(i64::MIN),
                    upto_ns,
                };
                for (key, weighed) in weigh(connection, span, None)? {
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
        let frames = self.by_id.get(&id).into_iter().flat_map(|s| &s.frames);
        frames
            .filter_map(|frame| self.frames.get(frame).cloned())
            .collect()
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
        let mut sums: Vec<_> = sums
            .into_iter()
            .filter(|(_, weighed)| weighed.weight(weight) > 0)
            .collect();
        sums.sort_by_key(|&(id, weighed)| (std::cmp::Reverse(weighed.weight(weight)), id));
        sums.truncate(limit as usize);
        let sampled = matches!(weight, Weight::Cpu | Weight::OffCpu);
        let row = |(id, weighed): (u64, Weighed)| StackRow {
            id,
            weight: weighed.weight(weight),
            calls: if sampled {
                0
            } else {
                weighed.weight(Weight::Calls)
            },
            mean_ns: if sampled {
                0
            } else {
                (weighed.wall_ns / weighed.calls.max(1.0)) as u64
            },
            frames: self.frames_of(id),
            truncated: self.by_id.get(&id).is_some_and(|stack| stack.truncated),
        };
        sums.into_iter().map(row).collect()
    }
}

/// Sums the recorded calls and the samples in `span` by function and stack.
pub(super) fn weigh(
    connection: &Connection,
    span: Span,
    function: Option<u32>,
) -> Result<Weights, QueryError> {
    // The product can exceed 64 bits for a long call that stands for many.
    let mut statement = connection.prepare_cached(
        "SELECT function_id, stack_id, sum(weight)::DOUBLE, sum(weight::DOUBLE * duration_ns), 0, 0
         FROM calls
         WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3
               AND function_id = coalesce($4, function_id)
         GROUP BY function_id, stack_id
         UNION ALL
         SELECT function_id, stack_id, 0, 0,
                coalesce(sum(weight_ns::DOUBLE) FILTER (kind = 'cpu'), 0),
                coalesce(sum(weight_ns::DOUBLE) FILTER (kind = 'offcpu'), 0)
         FROM samples
         WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3
               AND function_id = coalesce($4, function_id)
         GROUP BY function_id, stack_id",
    )?;
    let mut rows = statement.query(params![
        span.session,
        span.after_ns,
        span.upto_ns,
        function.map(|id| id as i32)
    ])?;
    // A function's calls without a stack and its samples without one share a key.
    let mut weights = Weights::new();
    while let Some(row) = rows.next()? {
        let weighed = Weighed {
            calls: row.get(2)?,
            wall_ns: row.get(3)?,
            cpu_ns: row.get(4)?,
            off_cpu_ns: row.get(5)?,
        };
        weights
            .entry((row.get(0)?, row.get(1)?))
            .or_default()
            .add(weighed);
    }
    Ok(weights)
}
