//! Reading histograms by blocks of flush intervals where there are any.

use std::fmt::Write as _;

use duckdb::Connection;

use super::{columns::each_row, totals::Span};

/// Most stretches that are read by blocks: each makes the statement longer. There are two where old
/// intervals were merged.
const MOST_STRETCHES: usize = 8;

/// Blocks that lie within a span.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    span: Span,
    /// Where blocks follow each other without a gap: start of the first and end of the last. In order.
    covered: Vec<(i64, i64)>,
}

impl Blocks {
    /// None.
    pub fn none(span: Span) -> Self {
        let covered = Vec::new();
        Self { span, covered }
    }

    /// Those within `span` that are no longer than `longest_ns`.
    pub fn within(
        connection: &Connection,
        span: Span,
        longest_ns: i64,
    ) -> Result<Self, duckdb::Error> {
        let Span {
            session,
            after_ns,
            upto_ns,
        } = span;
        let sql = format!(
            "SELECT from_ns, at_ns FROM blocks
             WHERE session_id = {session} AND from_ns >= {after_ns} AND at_ns <= {upto_ns}
                   AND at_ns - from_ns <= {longest_ns} ORDER BY at_ns"
        );
        let mut covered = Vec::new();
        each_row(connection, &sql, |[from_ns, to_ns]| {
            extend(&mut covered, (from_ns, to_ns));
        })?;
        let covered = longest(covered, MOST_STRETCHES);
        Ok(Self { span, covered })
    }

    /// A subquery of histogram rows in the span: `flush_id`, `interval_ns` (its end), `function_id`,
    /// `bucket` and `count`. A block's have the id and the time of its last flush.
    pub fn histograms(&self) -> String {
        let session = self.span.session;
        let part = |table: &str, after: i64, upto: i64| {
            format!(
                "SELECT flush_id, at_ns AS interval_ns, function_id, bucket, count FROM {table}
                 WHERE session_id = {session} AND at_ns > {after} AND at_ns <= {upto}"
            )
        };
        let mut sql = String::from("(");
        let mut after_ns = self.span.after_ns;
        for &(from_ns, to_ns) in &self.covered {
            let gap = part("histogram_deltas", after_ns, from_ns);
            let blocks = part("histogram_blocks", from_ns, to_ns);
            let _ = write!(sql, "{gap} UNION ALL {blocks} UNION ALL ");
            after_ns = to_ns;
        }
        sql + &part("histogram_deltas", after_ns, self.span.upto_ns) + ")"
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
        if !by_time || self.covered.is_empty() {
            return format!("(SELECT flush_id, at_ns AS interval_ns, {columns} {rows})");
        }
        let covered: Vec<String> = self
            .covered
            .iter()
            .map(|(from_ns, to_ns)| format!("(at_ns > {from_ns} AND at_ns <= {to_ns})"))
            .collect();
        let covered = format!(
            "WHERE session_id = {session} AND ({})",
            covered.join(" OR ")
        );
        format!(
            "(SELECT flush_id, coalesce(block_ns, at_ns) AS interval_ns, {columns} FROM ({rows})
              LEFT JOIN (SELECT within.flush_id, block.at_ns AS block_ns
                         FROM (FROM flushes {covered}) within
                         ASOF JOIN (FROM blocks {covered}) block ON within.at_ns <= block.at_ns)
              USING (flush_id))"
        )
    }
}

/// Adds a block that ends behind all others.
fn extend(covered: &mut Vec<(i64, i64)>, (from_ns, to_ns): (i64, i64)) {
    match covered.last_mut() {
        Some(last) if last.1 == from_ns => last.1 = to_ns,
        _ => covered.push((from_ns, to_ns)),
    }
}

/// So many of the stretches at most, in order.
fn longest(mut covered: Vec<(i64, i64)>, most: usize) -> Vec<(i64, i64)> {
    covered.sort_by_key(|(from_ns, to_ns)| from_ns - to_ns);
    covered.truncate(most);
    covered.sort_unstable();
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_touch_are_one_stretch() {
        let mut covered = Vec::new();
        for block in [(0, 10), (10, 30), (31, 40), (40, 50), (60, 70)] {
            extend(&mut covered, block);
        }
        assert_eq!(covered, [(0, 30), (31, 50), (60, 70)]);
        assert_eq!(longest(covered, 2), [(0, 30), (31, 50)]);
    }
}
