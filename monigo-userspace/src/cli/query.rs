//! `monigo query`.

use anyhow::Result;

use super::{
    Failure,
    args::{Format, QueryArgs},
    recording,
};
use crate::{
    export::{sql_csv, sql_table},
    query::QueryError,
};

/// Runs the subcommand.
pub fn run(args: &QueryArgs) -> Result<()> {
    let source = recording::open(&args.db)?;
    // One row more than asked for tells whether there are more.
    let answer = source.sql(&args.sql, args.limit.saturating_add(1));
    let mut table = answer.map_err(|error| match error {
        QueryError::Sql(_) => Failure::usage(error),
        other => other.into(),
    })?;
    let cut = table.rows.len() > args.limit as usize;
    table.rows.truncate(args.limit as usize);
    match args.format {
        Format::Table => print!("{}", sql_table(&table, recording::terminal_width())),
        Format::Json => println!("{}", serde_json::to_string_pretty(&table)?),
        Format::Csv => print!("{}", sql_csv(&table)),
    }
    if cut {
        eprintln!(
            "monigo: only the first {} rows; --limit shows more",
            args.limit
        );
    }
    Ok(())
}
