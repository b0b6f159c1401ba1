//! `monigo run`.

use anyhow::Result;

use super::args::RunArgs;

/// Runs the subcommand.
pub fn run(_args: &RunArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
