//! `monigo attach`.

use anyhow::Result;

use super::{args::AttachArgs, exit::Failure, trace::trace};
use crate::target;

/// Runs the subcommand.
pub fn run(args: &AttachArgs) -> Result<()> {
    let target = target::resolve(&args.target, args.pid).map_err(Failure::usage)?;
    trace(&target, &args.trace, None)
}
