//! `monigo why`.

use anyhow::Result;

use super::{
    args::{SlowArgs, TextFormat, WhyArgs},
    recording,
};
use crate::{
    export::{tail_svg, tail_text, write_file},
    query::{Source, TailQuestion, Window},
};

/// Runs the subcommand.
pub fn run(args: &WhyArgs) -> Result<()> {
    let source = recording::open(&args.db)?;
    let rows = source.functions(Window::default())?;
    let function = match args.function.as_deref() {
        Some(name) => recording::find_function(&rows, name)?,
        None => recording::busiest(&rows)?,
    };
    let question = question(function, &args.slow);
    let tail = source.tail(&question).map_err(recording::query_failure)?;
    if let Some(path) = &args.output {
        write_file(path, tail_svg(&tail)?.as_bytes())?;
        eprintln!("monigo: wrote {}", path.display());
    }
    match args.format {
        TextFormat::Text => {
            print!("{}", tail_text(&tail, args.top));
            if args.function.is_none() && rows.len() > 1 {
                eprintln!(
                    "monigo: of {} functions this one takes most time; --fn names another",
                    rows.len()
                );
            }
        }
        TextFormat::Json => println!("{}", serde_json::to_string_pretty(&tail)?),
    }
    Ok(())
}

fn question(function: u32, slow: &SlowArgs) -> TailQuestion {
    TailQuestion {
        function,
        slower_than_ns: slow.slower_than_ns(),
        percentile: slow.percentile,
        ..TailQuestion::default()
    }
}

/// Causes that the summary of a recording names for each function.
const IN_SUMMARY: usize = 3;

/// Says on stderr, at the end of a recording, why slow calls were slow.
pub fn explain(source: &dyn Source, slow: &SlowArgs) -> Result<()> {
    for row in source.functions(Window::default())? {
        if row.calls == 0 {
            continue;
        }
        match source.tail(&question(row.id, slow)) {
            Ok(tail) => eprint!("{}", tail_text(&tail, IN_SUMMARY)),
            Err(error) => eprintln!("monigo: {error}"),
        }
    }
    Ok(())
}
