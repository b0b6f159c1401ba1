//! `monigo attach`.

use anyhow::Result;

use super::{
    args::AttachArgs,
    list::target_failure,
    operation::Operation,
    trace::{TraceOptions, trace},
};
use crate::target;

/// Runs the subcommand.
pub fn run(args: &AttachArgs, verbose: u8) -> Result<()> {
    let common = args.trace.common.config.as_deref();
    let operation = Operation::begin(common, args.trace.given(verbose))?;
    let options = TraceOptions::new(&args.trace, &operation.config());
    args.trace.symbols.install()?;
    let target = target::resolve(&args.target, args.pid).map_err(target_failure)?;
    trace(&target, &options, &operation, None)
}
