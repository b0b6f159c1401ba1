//! `monigo list`.

use anyhow::Result;

use super::args::ListArgs;

/// Runs the subcommand.
pub fn run(_args: &ListArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
