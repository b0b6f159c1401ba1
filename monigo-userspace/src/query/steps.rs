//! The steps of a window that questions over time are answered in.
//!
//! Steps are groups of whole flush intervals, never parts of one, so that every count is exact
//! and no step is empty or doubled only because its edges do not fall on a flush. Groups are
//! aligned to flush ids: as the window slides, finished steps keep their content. Where old intervals
//! were merged to coarser ones, groups are aligned to the time instead.

use std::collections::BTreeMap;

use duckdb::{Connection, params};

use super::{QueryError, blocks::Blocks, totals::Span};
use crate::store::BLOCK;

/// As many steps are fine enough for reading sums over blocks instead of many more rows.
const ENOUGH: i64 = 100;
/// Functions times intervals whose rows are read as they are; ten million rows are some 400,000.
const FEW: i64 = 15_000;
/// Functions times steps in an answer, if that leaves enough steps.
const CELLS: i64 = 5_000;
/// Steps of so many blocks lose little by being whole blocks.
const BLOCKS: i64 = 4;

/// A group of consecutive flush intervals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub from_ns: i64,
    pub to_ns: i64,
}

/// The steps of a window, by group number.
pub(super) struct Steps {
    /// How intervals are grouped.
    pub by: GroupBy,
    /// Blocks that can be taken as a whole.
    pub blocks: Blocks,
    pub found: BTreeMap<i64, Step>,
}

/// The group of an interval is a column of it divided by a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupBy {
    column: &'static str,
    each: i64,
}

impl GroupBy {
    /// For `flushes` intervals with rows of `functions`, at most `most` groups.
    fn flushes(flushes: i64, functions: i64, most: i64) -> Self {
        let fine = if flushes <= most {
            1
        } else {
            share(flushes, most)
        };
        let many = flushes.saturating_mul(functions) > FEW;
        let enough = flushes >= BLOCK * (most - 1).min(ENOUGH);
        let whole = most > 1 && (fine >= BLOCK * BLOCKS || (many && enough));
        let each = if whole {
            // Blocks are sums already.
            (fine as u64).next_multiple_of(BLOCK as u64) as i64
        } else {
            fine
        };
        Self {
            column: "flush_id",
            each,
        }
    }

    /// For intervals that end within `length_ns`, at most `most` groups.
    fn time(length_ns: i64, most: i64) -> Self {
        Self {
            column: "interval_ns",
            each: share(length_ns, most),
        }
    }
}

impl GroupBy {
    /// The expression.
    pub fn key(self) -> String {
        format!("{} // {}", self.column, self.each)
    }

    pub fn is_time(self) -> bool {
        self.column == "interval_ns"
    }

    /// The length of the longest blocks that are as good as the intervals in them, ns; `None` if none is.
    fn longest_block_ns(self) -> Option<i64> {
        if self.is_time() {
            return Some(self.each);
        }
        (self.each % BLOCK == 0 || self.each == i64::MAX).then_some(i64::MAX)
    }
}

/// Steps in an answer about so many functions, at most.
pub(super) fn fair_steps(functions: usize) -> u32 {
    (CELLS / functions.max(1) as i64).max(ENOUGH) as u32
}

/// Size of a part, so that aligned parts of it are at most `most`: alignment can split one part in
/// two, at both ends.
fn share(length: i64, most: i64) -> i64 {
    match most {
        ..=1 => i64::MAX,
        _ => (length as u64).div_ceil(most as u64 - 1) as i64,
    }
}

/// Steps for reading rows of so many functions; `None` is all.
pub(super) fn steps(
    connection: &Connection,
    span: Span,
    functions: Option<usize>,
    most: u32,
) -> Result<Steps, QueryError> {
    let window = params![span.session, span.after_ns, span.upto_ns];
    let (flushes, length_ns, merged, all): (i64, i64, bool, i64) = connection.query_row(
        "SELECT count(*), coalesce(max(at_ns) - min(at_ns) + 1, 0),
                coalesce(min(at_ns) < max(merged_before_ns), false),
                (SELECT count(*) FROM functions WHERE session_id = $1)
         FROM flushes JOIN sessions USING (session_id)
         WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3",
        window,
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let functions = functions.map_or(all, |count| count as i64);
    let most = i64::from(most.max(1));
    // Ids of merged intervals do not count up by one.
    let by = if flushes <= most || !merged {
        GroupBy::flushes(flushes, functions, most)
    } else {
        GroupBy::time(length_ns, most)
    };
    let blocks = match by.longest_block_ns() {
        Some(longest_ns) => Blocks::within(connection, span, longest_ns)?,
        None => Blocks::none(span),
    };
    let mut statement = connection.prepare(&format!(
        "SELECT {}, min(from_ns), max(ended_ns) FROM {} GROUP BY 1",
        by.key(),
        blocks.timed(by.is_time(), "flushes", "from_ns, at_ns AS ended_ns"),
    ))?;
    let steps = statement
        .query_map([], |row| {
            let (from_ns, to_ns) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, Step { from_ns, to_ns }))
        })?
        .collect::<Result<_, _>>()?;
    Ok(Steps {
        by,
        blocks,
        found: steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_read_by_blocks_and_few_as_they_are() {
        let each = |flushes, functions, most| GroupBy::flushes(flushes, functions, most).each;
        assert_eq!((each(2000, 1, 200), each(2000, 200, 200)), (11, 16));
        assert_eq!((each(2000, 1, 2000), each(2000, 20, 500)), (1, 8));
        assert_eq!((each(1000, 1, 240), each(1000, 20, 240)), (5, 8));
        assert_eq!((each(20_000, 1, 200), each(20_000, 20, 500)), (104, 48));
        // Too few intervals for steps of blocks.
        assert_eq!((each(700, 500, 200), each(50, 10_000, 200)), (4, 1));
        assert_eq!(each(2000, 200, 1), i64::MAX);
        for (flushes, functions, most) in [(900, 30, 200), (20_000, 20, 3), (1601, 20, 150)] {
            let each = each(flushes, functions, most);
            // Groups are aligned, so both ends can be parts of one.
            assert!((flushes - 2) / each + 2 <= most, "{flushes} {most}: {each}");
        }
    }

    #[test]
    fn a_report_of_many_functions_has_fewer_steps() {
        assert_eq!([1, 20, 1000].map(fair_steps), [5000, 250, 100]);
    }
}
