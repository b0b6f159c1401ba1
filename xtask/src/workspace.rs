//! Where things are.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process;

/// Paths that the tasks share.
pub struct Workspace {
    /// The checkout.
    pub root: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
    /// Downloads that survive `cargo clean` and are shared by checkouts.
    pub cache: PathBuf,
}

impl Workspace {
    /// Finds them; `manifest` is the directory of this package.
    pub fn find(manifest: &Path) -> Result<Self> {
        let root = manifest.parent().context("workspace root")?.to_owned();
        let metadata = process::output(
            Command::new("cargo")
                .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
                .current_dir(&root),
        )?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let target = metadata["target_directory"]
            .as_str()
            .context("cargo metadata names no target directory")?
            .into();
        let cache = match env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"),
        };
        Ok(Self {
            root,
            target,
            cache: cache.join("monigo"),
        })
    }

    /// A cargo call in the workspace.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.root);
        command
    }

    /// The built binary of the dev profile.
    pub fn monigo(&self) -> PathBuf {
        self.target.join("debug/monigo")
    }

    /// The Go toolchain that [`crate::setup`] unpacks.
    pub fn go(&self) -> PathBuf {
        self.cache
            .join("go")
            .join(crate::setup::GO_VERSION)
            .join("go/bin/go")
    }
}

/// Makes this process look as if it had been started from a shell, for its children's sake.
///
/// `cargo run` sets variables that would make build scripts of an inner cargo run again, and a
/// library path that belongs to one toolchain.
pub fn clean_environment() {
    let path = process::search_path();
    let inherited = |name: &OsString| {
        let Some(name) = name.to_str() else {
            return false;
        };
        ["CARGO_PKG_", "CARGO_BIN_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || [
                "CARGO",
                "CARGO_CRATE_NAME",
                "CARGO_PRIMARY_PACKAGE",
                "LD_LIBRARY_PATH",
            ]
            .contains(&name)
    };
    let names: Vec<OsString> = env::vars_os()
        .map(|(name, _)| name)
        .filter(inherited)
        .collect();
    // SAFETY: called first thing in `main`, before any thread is started.
    unsafe {
        for name in names {
            env::remove_var(name);
        }
        env::set_var("PATH", path);
    }
}
