//! `monigo flamegraph`.

use anyhow::Result;

use super::args::FlamegraphArgs;

/// Runs the subcommand.
pub fn run(_args: &FlamegraphArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
