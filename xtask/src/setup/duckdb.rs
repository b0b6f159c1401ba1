//! DuckDB's shared library, prebuilt: DuckDB publishes it inside its npm package. Compiling it
//! (feature `bundled`) takes over 45 minutes on two cores.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha512};

use crate::{progress::Step, workspace::Workspace};

/// The package whose library the crate `duckdb` =1.10506.0 is made for.
const PACKAGE: &str = "@duckdb/node-bindings-linux-x64";
const VERSION: &str = "1.5.6-r.1";
const INTEGRITY: &str = "sha512-IXcrZJE6kEqM0Z4wwdVnGBHX/frOS33VPNAwDXQ/Q+Fs84b058Qe94chrCCIcNJlG8Y3UHIUU4eBeCQxW5mN1Q==";
pub const LIBRARY: &str = "libduckdb.so";

/// Fetches the library into the cache and links it where the build expects it.
pub fn ensure(workspace: &Workspace) -> Result<()> {
    let place = workspace.cache.join("duckdb").join(VERSION);
    if !place.join(LIBRARY).exists() {
        fetch(&place)?;
    }
    link(workspace, &place)
}

fn fetch(place: &Path) -> Result<()> {
    let step = Step::start(format!("DuckDB {VERSION}"));
    let parent = place.parent().context("cache directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(parent)?;
    step.run(
        Command::new("npm")
            .args(["pack", "--silent", "--pack-destination"])
            .arg(scratch.path())
            .arg(format!("{PACKAGE}@{VERSION}"))
            .current_dir(scratch.path()),
    )?;
    let archive = super::only_file(scratch.path(), "tgz")?;
    let bytes = fs::read(&archive)?;
    let integrity = format!("sha512-{}", STANDARD.encode(Sha512::digest(&bytes)));
    if integrity != INTEGRITY {
        bail!(
            "{PACKAGE}@{VERSION} is not the package that was reviewed: {integrity}, expected {INTEGRITY}"
        );
    }
    let unpacked = scratch.path().join("package");
    step.run(
        Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(scratch.path())
            .arg(format!("package/{LIBRARY}"))
            .arg("package/LICENSE"),
    )?;
    super::move_into_place(&unpacked, place)?;
    step.done();
    Ok(())
}

/// Points `.deps/duckdb` (see `.cargo/config.toml`) at the library.
fn link(workspace: &Workspace, place: &Path) -> Result<()> {
    let link = workspace.root.join(".deps/duckdb");
    if fs::read_link(&link).is_ok_and(|target| target == place) {
        return Ok(());
    }
    let directory = workspace.root.join(".deps");
    fs::create_dir_all(&directory)?;
    let scratch = directory.join(".duckdb.new");
    let _ = fs::remove_file(&scratch);
    symlink(place, &scratch)?;
    fs::rename(&scratch, &link).with_context(|| format!("cannot replace {}", link.display()))
}
