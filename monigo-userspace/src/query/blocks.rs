//! Reading histograms by blocks of flush intervals where there are any.

use duckdb::{Connection, params};

use super::totals::Span;
use crate::store::BLOCK;

/// Blocks that lie within a span, without a gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    span: Span,
    /// Start of the first and end of the last; `None` for none.
    covered: Option<(i64, i64)>,
}

impl Blocks {
    /// None.
    pub fn none(span: Span) -> Self {
        let covered = None;
        Self { span, covered }
    }

    /// Those within `span`.
    pub fn within(connection: &Connection, span: Span) -> Result<Self, duckdb::Error> {
        let mut statement = connection.prepare_cached(
            "SELECT count(*), min(flush_id), max(flush_id), min(from_ns), max(at_ns) FROM blocks
             WHERE session_id = ? AND from_ns >= ? AND at_ns <= ?",
        )?;
        let (count, first, last, from_ns, to_ns) =
            statement.query_row(params![span.session, span.after_ns, span.upto_ns], |row| {
                let optional = |i| row.get::<_, Option<i64>>(i);
                Ok((
                    row.get::<_, i64>(0)?,
                    optional(1)?,
                    optional(2)?,
                    optional(3)?,
                    optional(4)?,
                ))
            })?;
        let whole = first
            .zip(last)
            .filter(|(first, last)| last - first == (count - 1) * BLOCK);
        let covered = whole.and_then(|_| from_ns.zip(to_ns));
        Ok(Self { span, covered })
    }

    /// A subquery of histogram rows in the span: `flush_id`, `interval_ns` (its end), `function_id`,
    /// `bucket` and `count`. A block's have the id and the time of its last flush.
    pub fn histograms(&self) -> String {
        let Span {
            session,
            after_ns,
            upto_ns,
        } = self.span;
        let part = |table: &str, after: i64, upto: i64| {
            format!(
                "SELECT flush_id, at_ns AS interval_ns, function_id, bucket, count FROM {table}
                 WHERE session_id = {session} AND at_ns > {after} AND at_ns <= {upto}"
            )
        };
        match self.covered {
            None => format!("({})", part("histogram_deltas", after_ns, upto_ns)),
            Some((from_ns, to_ns)) => format!(
                "({} UNION ALL {} UNION ALL {})",
                part("histogram_deltas", after_ns, from_ns),
                part("histogram_blocks", from_ns, to_ns),
                part("histogram_deltas", to_ns, upto_ns),
            ),
        }
    }

    /// A subquery of rows of `table` in the span: `flush_id`, `interval_ns` and `columns`. Rows that lie in
    /// a block have the end of that as `interval_ns`.
    /// Only needed where rows are grouped by time.
    pub fn timed(&self, by_time: bool, table: &str, columns: &str) -> String {
        let Span {
            session,
            after_ns,
            upto_ns,
        } = self.span;
        let rows = format!(
            "FROM {table} WHERE session_id = {session} AND at_ns > {after_ns} AND at_ns <= {upto_ns}"
        );
        match self.covered.filter(|_| by_time) {
            None => format!("(SELECT flush_id, at_ns AS interval_ns, {columns} {rows})"),
            Some((from_ns, to_ns)) => format!(
                "(SELECT flush_id, coalesce(block_ns, at_ns) AS interval_ns, {columns} FROM ({rows})
                  LEFT JOIN (SELECT flush_id // {BLOCK} AS block, at_ns AS block_ns FROM blocks
                             WHERE session_id = {session} AND from_ns >= {from_ns} AND at_ns <= {to_ns})
                  ON flush_id // {BLOCK} = block)"
            ),
        }
    }
}
