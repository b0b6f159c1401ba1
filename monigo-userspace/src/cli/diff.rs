//! `monigo diff`.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::{
    Failure,
    args::{DbArgs, DiffArgs, Format},
    recording,
};
use crate::{
    export::{comparison_csv, comparison_svg, comparison_table, write_file},
    query::{Source, Window, compare},
};

/// Runs the subcommand.
pub fn run(args: &DiffArgs) -> Result<()> {
    let after = recording::open(&DbArgs {
        db: args.db.clone(),
        session: args.session,
    })?;
    let parts = args.against_from.is_some() || args.against_to.is_some();
    let before = recording::open(&DbArgs {
        db: args.with.clone().unwrap_or_else(|| args.db.clone()),
        session: match (args.against, &args.with) {
            (None, None) if parts => Some(after.overview()?.session),
            (None, None) => Some(session_before(after.as_ref())?),
            (session, _) => session,
        },
    })?;
    let function = match args.function.as_deref() {
        Some(name) => {
            let rows = after.functions(Window::default())?;
            let id = recording::find_function(&rows, name)?;
            rows.into_iter()
                .find(|row| row.id == id)
                .map(|row| row.name)
        }
        None => None,
    };
    let comparison = compare(
        (
            before.as_ref(),
            window(before.as_ref(), args.against_from, args.against_to)?,
        ),
        (after.as_ref(), window(after.as_ref(), args.from, args.to)?),
        function.as_deref(),
        args.flame.into(),
    )
    .map_err(recording::query_failure)?;
    if let Some(path) = &args.output {
        write_file(path, comparison_svg(&comparison)?.as_bytes())?;
        eprintln!("monigo: wrote {}", path.display());
    }
    match args.format {
        Format::Table => print!(
            "{}",
            comparison_table(&comparison, recording::terminal_width())
        ),
        Format::Json => println!("{}", serde_json::to_string_pretty(&comparison)?),
        Format::Csv => print!("{}", comparison_csv(&comparison)),
    }
    Ok(())
}

/// The session before the one that `source` answers for.
fn session_before(source: &dyn Source) -> Result<i64> {
    let session = source.overview()?.session;
    let query = format!("SELECT max(session_id) FROM sessions WHERE session_id < {session}");
    let table = source.sql(&query, 1)?;
    let found = table.rows.first().and_then(|row| row.first()?.as_i64());
    found.ok_or_else(|| {
        Failure::usage(anyhow!(
            "there is no session before {session} in this file; name what to compare with by --with FILE, --against ID, or --against-from and --against-to"
        ))
    })
}

/// Times after the start of a recording as a window.
fn window(source: &dyn Source, from: Option<Duration>, to: Option<Duration>) -> Result<Window> {
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(Failure::usage(anyhow!(
            "a part of a recording must begin before it ends"
        )));
    }
    let started_ns = source.overview()?.started_ns;
    let at = |offset: Duration| {
        let ns = i64::try_from(offset.as_nanos()).unwrap_or(i64::MAX);
        started_ns.saturating_add(ns)
    };
    Ok(Window {
        from_ns: from.map(at),
        to_ns: to.map(at),
    })
}
