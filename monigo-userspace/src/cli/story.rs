//! `monigo story`.

use anyhow::{Result, anyhow};

use super::{
    Failure,
    args::{StoryArgs, TextFormat},
    recording,
};
use crate::{
    export::{story_text, trace_of, write_file},
    query::{CallKey, Selection, Source, Weight, Window},
};

/// Runs the subcommand.
pub fn run(args: &StoryArgs) -> Result<()> {
    let source = recording::open(&args.db)?;
    let key = match args.call {
        Some(key) => key,
        None => nth_slowest(source.as_ref(), args)?,
    };
    let story = source.story(key).map_err(recording::query_failure)?;
    if let Some(path) = &args.output {
        write_file(path, trace_of(source.as_ref(), &story)?.as_bytes())?;
        eprintln!("monigo: wrote {}", path.display());
    }
    match args.format {
        TextFormat::Text => print!("{}", story_text(&story, recording::terminal_width())),
        TextFormat::Json => println!("{}", serde_json::to_string_pretty(&story)?),
    }
    Ok(())
}

fn nth_slowest(source: &dyn Source, args: &StoryArgs) -> Result<CallKey> {
    let rows = source.functions(Window::default())?;
    let function = match args.function.as_deref() {
        Some(name) => recording::find_function(&rows, name)?,
        None => recording::busiest(&rows)?,
    };
    let selection = Selection::of(Some(function), Window::default(), Weight::Wall);
    let calls = source.slowest(&selection, args.slowest)?;
    match calls
        .last()
        .filter(|_| calls.len() == args.slowest as usize)
    {
        Some(call) => Ok(CallKey::from(call)),
        None => Err(Failure::usage(anyhow!(
            "{} calls of this function were recorded in full",
            calls.len()
        ))),
    }
}
