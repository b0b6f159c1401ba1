//! `monigo report`.

use anyhow::Result;

use super::args::ReportArgs;

/// Runs the subcommand.
pub fn run(_args: &ReportArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
