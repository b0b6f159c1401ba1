//! `monigo attach`.

use anyhow::Result;

use super::args::AttachArgs;

/// Runs the subcommand.
pub fn run(_args: &AttachArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
