//! `monigo attach`.

use anyhow::Result;

use super::{args::AttachArgs, list::target_failure, trace::trace};
use crate::target;

/// Runs the subcommand.
pub fn run(args: &AttachArgs) -> Result<()> {
    args.trace.symbols.install()?;
    let target = target::resolve(&args.target, args.pid).map_err(target_failure)?;
    trace(&target, &args.trace, None)
}
