//! Schemathesis, which asks an API everything that its description allows, and much that it does not.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{progress::Step, workspace::Workspace};

const VERSION: &str = "4.32.5";

/// The program.
pub fn program(workspace: &Workspace) -> PathBuf {
    directory(workspace).join("bin/schemathesis")
}

fn directory(workspace: &Workspace) -> PathBuf {
    workspace.cache.join(format!("schemathesis-{VERSION}"))
}

/// Installs it into a virtual environment of its own in the cache.
pub fn ensure(workspace: &Workspace) -> Result<()> {
    let (directory, program) = (directory(workspace), program(workspace));
    if program.exists() {
        return Ok(());
    }
    let step = Step::start(format!("schemathesis {VERSION}"));
    // What an earlier attempt left is no use: environments hold their path.
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    step.run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    step.run(
        Command::new(directory.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
            ])
            .arg(format!("schemathesis=={VERSION}")),
    )?;
    step.done();
    Ok(())
}
