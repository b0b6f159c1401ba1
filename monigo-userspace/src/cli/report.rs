//! `monigo report`.

use anyhow::Result;

use super::{
    args::{Format, ReportArgs},
    recording,
};
use crate::{
    export::{Summary, functions_csv, summary_table},
    query::{Source, Window},
};

/// Runs the subcommand.
pub fn run(args: &ReportArgs) -> Result<()> {
    let source = recording::open(&args.db)?;
    print_summary(source.as_ref(), args.format)
}

/// Prints the summary of a session to stdout, and nothing else. Also for the end of a recording.
pub fn print_summary(source: &dyn Source, format: Format) -> Result<()> {
    let overview = source.overview()?;
    let functions = source.functions(Window::default())?;
    let breakdowns = source.breakdown(Window::default())?;
    match format {
        Format::Table => {
            let width = recording::terminal_width();
            print!(
                "{}",
                summary_table(&overview, &functions, &breakdowns, width)
            );
        }
        Format::Json => {
            let summary = Summary::new(overview, functions, breakdowns);
            println!("{}", serde_json::to_string_pretty(&summary)?);
        }
        Format::Csv => print!("{}", functions_csv(&functions)),
    }
    Ok(())
}
