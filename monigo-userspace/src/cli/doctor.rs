//! `monigo doctor`.

use anyhow::Result;

use super::args::DoctorArgs;

/// Runs the subcommand.
pub fn run(_args: &DoctorArgs) -> Result<()> {
    anyhow::bail!("not built yet")
}
