//! `monigo query`.

use anyhow::Result;

use super::args::QueryArgs;

/// Runs the subcommand.
pub fn run(_args: &QueryArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
