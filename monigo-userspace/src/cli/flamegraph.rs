//! `monigo flamegraph`.

use anyhow::Result;

use super::{args::FlamegraphArgs, recording};
use crate::query::{Root, Selection, Source, Window};

/// Runs the subcommand.
pub fn run(args: &FlamegraphArgs) -> Result<()> {
    let source = recording::open(&args.db)?;
    let selection = selection(source.as_ref(), args)?;
    recording::write(&args.output, source.as_ref(), &selection).map_err(recording::output_failure)
}

fn selection(source: &dyn Source, args: &FlamegraphArgs) -> Result<Selection> {
    let rows = source.functions(Window::default())?;
    let root = Root::from(args.root);
    let one = args.slow.any() || root == Root::Function;
    let function = match args.function.as_deref() {
        Some(name) => Some(recording::find_function(&rows, name)?),
        None if one => Some(recording::only_function(&rows)?),
        None => None,
    };
    Ok(Selection {
        slower_than_ns: args.slow.slower_than_ns(),
        percentile: args.slow.percentile,
        root,
        ..Selection::of(function, Window::default(), args.flame.into())
    })
}
