//! `monigo serve`.

use anyhow::Result;

use super::args::ServeArgs;

/// Runs the subcommand.
pub fn run(_args: &ServeArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
