//! `monigo flamegraph`.

use anyhow::Result;

use super::{args::FlamegraphArgs, recording};
use crate::{export::write_output_of, query::Window};

/// Runs the subcommand.
pub fn run(args: &FlamegraphArgs) -> Result<()> {
    let source = recording::open(&args.db)?;
    let function = args
        .function
        .as_deref()
        .map(|name| recording::find_function(&source.functions(Window::default())?, name))
        .transpose()?;
    write_output_of(&args.output, source.as_ref(), function, args.flame.into())?;
    eprintln!("monigo: wrote {}", args.output.display());
    Ok(())
}
