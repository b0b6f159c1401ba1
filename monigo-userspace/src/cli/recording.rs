//! What `report`, `flamegraph`, `query` and `serve` share: opening the recording, naming a
//! function in it, and how wide the terminal is.

use std::{io::IsTerminal as _, path::Path};

use anyhow::{Result, anyhow};

use super::{Failure, args::DbArgs, exit::say};
use crate::{
    export::{self, OutputError},
    query::{FunctionRow, Lasting, OpenError, QueryError, Selection, Source, open_source},
    store::StoreError,
};

/// Opens what `--db` and `--session` name.
pub fn open(args: &DbArgs) -> Result<Box<dyn Source>> {
    open_source(&args.db, args.session).map_err(failure)
}

/// As [`open`], of a recording that is opened anew when reading it fails.
pub fn open_lasting(args: &DbArgs) -> Result<Lasting> {
    Lasting::open(&args.db, args.session).map_err(failure)
}

fn failure(error: OpenError) -> anyhow::Error {
    if is_usage(&error) {
        Failure::usage(error)
    } else {
        error.into()
    }
}

/// The exit status that a store which does not open deserves.
pub fn store_failure(error: StoreError) -> anyhow::Error {
    if names_wrong_file(&error) {
        Failure::usage(error)
    } else {
        error.into()
    }
}

/// Whether another argument would have helped.
fn is_usage(error: &OpenError) -> bool {
    match error {
        OpenError::NoSession | OpenError::UnknownSession { .. } => true,
        OpenError::Store(error) => names_wrong_file(error),
        OpenError::Query(_) | OpenError::HeldElsewhere { .. } => false,
    }
}

fn names_wrong_file(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotADatabase { .. }
            | StoreError::NotMonigo { .. }
            | StoreError::IsDirectory { .. }
            | StoreError::NoDirectory { .. }
            | StoreError::NotFound { .. }
    )
}

/// The function that `name` means: its full name, or the end of one at `::`, `.` or `/`.
pub fn find_function(functions: &[FunctionRow], name: &str) -> Result<u32> {
    if let Some(row) = functions.iter().find(|row| row.name == name) {
        return Ok(row.id);
    }
    let ends: Vec<&FunctionRow> = functions
        .iter()
        .filter(|row| {
            let head = row.name.strip_suffix(name);
            !name.is_empty() && head.is_some_and(|head| head.ends_with([':', '.', '/']))
        })
        .collect();
    let list = |rows: &[&FunctionRow]| {
        let names: Vec<&str> = rows.iter().take(5).map(|row| row.name.as_str()).collect();
        names.join(", ")
    };
    match ends.as_slice() {
        [row] => Ok(row.id),
        [] => {
            let near = similar(functions, name);
            let hint = if near.is_empty() {
                "`monigo report` lists the recorded functions".to_owned()
            } else {
                format!("did you mean {}?", list(&near))
            };
            Err(Failure::usage(anyhow!(
                "no function '{name}' in this recording; {hint}"
            )))
        }
        several => Err(Failure::usage(anyhow!(
            "'{name}' means several functions; give one in full: {}",
            list(several)
        ))),
    }
}

/// The function of a recording of a single one.
pub fn only_function(functions: &[FunctionRow]) -> Result<u32> {
    match functions {
        [row] => Ok(row.id),
        _ => Err(Failure::usage(anyhow!(
            "this is about one function, and {} were traced; name it with --fn: {}",
            functions.len(),
            first_names(functions)
        ))),
    }
}

/// The function that takes most time. Of an async function that is mostly polled, its polls: they have
/// samples.
pub fn busiest(functions: &[FunctionRow]) -> Result<u32> {
    let called = functions.iter().find(|row| row.calls > 0);
    let polls = called
        .filter(|row| row.counts_executions())
        .and_then(|executions| {
            let mut rows = functions.iter();
            let polls = rows.find(|row| row.id + 1 == executions.id)?;
            (polls.latency_ns.total >= executions.latency_ns.total / 2).then_some(polls)
        });
    let row = polls.or(called).or(functions.first());
    row.map(|row| row.id)
        .ok_or_else(|| Failure::usage(anyhow!("no function was traced in this recording")))
}

fn first_names(functions: &[FunctionRow]) -> String {
    let names: Vec<&str> = functions
        .iter()
        .take(5)
        .map(|row| row.name.as_str())
        .collect();
    let more = if functions.len() > names.len() {
        ", …"
    } else {
        ""
    };
    format!("{}{more}", names.join(", "))
}

/// The exit status that a question without an answer deserves.
pub fn query_failure(error: QueryError) -> anyhow::Error {
    match error {
        QueryError::Selection(_) => Failure::usage(error),
        _ => error.into(),
    }
}

/// As [`query_failure`], of a file that was not written.
pub fn output_failure(error: OutputError) -> anyhow::Error {
    match error {
        OutputError::Query(error) => query_failure(error),
        _ => error.into(),
    }
}

/// Writes a file, and says so; of a table of a part of the calls, that it is one.
pub fn write(path: &Path, source: &dyn Source, selection: &Selection) -> Result<(), OutputError> {
    export::write_output(path, source, selection)?;
    say!("wrote {}", path.display());
    if export::is_table(path)
        && selection.is_ranged()
        && let Some(found) = source.selected(selection)?.figures
    {
        say!("{}", found.remark(selection));
    }
    Ok(())
}

/// Recorded functions with names like `name`, nearest first.
fn similar<'a>(functions: &'a [FunctionRow], name: &str) -> Vec<&'a FunctionRow> {
    let name = name.to_lowercase();
    let mut scored: Vec<(f64, &FunctionRow)> = functions
        .iter()
        .map(|row| {
            let full = row.name.to_lowercase();
            let last = full.rsplit([':', '.', '/']).next().unwrap_or(&full);
            let near = strsim::jaro_winkler(&full, &name).max(strsim::jaro_winkler(last, &name));
            let inside = if full.contains(&name) { 0.95 } else { 0.0 };
            (near.max(inside), row)
        })
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().map(|(_, row)| row).collect()
}

/// Columns of the terminal on stdout; `None` when stdout is something else.
pub fn terminal_width() -> Option<u16> {
    std::io::stdout()
        .is_terminal()
        .then(|| crossterm::terminal::size().ok())
        .flatten()
        .map(|(columns, _)| columns)
}
