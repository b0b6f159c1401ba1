//! Options about where symbols come from.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use clap::Args;

use super::exit::Failure;
use crate::symbols::{
    cache::Cache,
    debug::{
        SYSTEM_FOLDER, Sources,
        remote::{Limits, Remote},
    },
};

/// Folders of debug files, separated by colons.
const FOLDERS_VARIABLE: &str = "MONIGO_DEBUG_DIRS";
/// Servers, separated by spaces; shared with other tools.
const SERVERS_VARIABLE: &str = "DEBUGINFOD_URLS";

/// Where symbols come from, beside the program.
#[derive(Clone, Debug, Args)]
pub struct SymbolArgs {
    /// Folder with debug files of stripped programs and libraries, laid out as /usr/lib/debug;
    /// repeatable (also `MONIGO_DEBUG_DIRS=DIR:DIR`)
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_dirs: Vec<PathBuf>,
    /// Fetch debug files that are not here from this server, or those in `DEBUGINFOD_URLS`; tells
    /// them which builds run here
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub debuginfod: Option<String>,
    /// Trust debuginfod servers whose certificates are signed by one in this PEM file, and no others
    #[arg(long, value_name = "FILE", requires = "debuginfod")]
    pub debuginfod_ca: Option<PathBuf>,
    /// Read the symbols of large programs anew each time, and keep nothing of them on the disk
    #[arg(long)]
    pub no_symbol_cache: bool,
}

/// Why symbols cannot be looked for as asked.
#[derive(Debug, thiserror::Error)]
enum SymbolsError {
    #[error("--debug-dir {}: no such folder", .0.display())]
    Folder(PathBuf),
    #[error("--debuginfod: no server is known; write --debuginfod=URL or set {SERVERS_VARIABLE}")]
    NoServer,
    #[error("--debuginfod: there is no place for downloads; set XDG_CACHE_HOME or HOME")]
    NoCache,
}

impl SymbolArgs {
    /// Makes them hold for every image that is opened from now on.
    pub fn install(&self) -> Result<()> {
        let mut folders = self.debug_dirs.clone();
        if let Some(missing) = folders.iter().find(|folder| !folder.is_dir()) {
            return Err(Failure::usage(SymbolsError::Folder(missing.clone())));
        }
        let more = env::var_os(FOLDERS_VARIABLE).unwrap_or_default();
        folders.extend(env::split_paths(&more).filter(|path| path.is_absolute()));
        folders.push(PathBuf::from(SYSTEM_FOLDER));
        let remote = self.remote()?.map(Arc::new);
        let place = cache_folder().filter(|_| !self.no_symbol_cache);
        let cache = place.map(|folder| Cache::new(folder.join("symbols")));
        let sources = Sources {
            folders,
            remote,
            cache,
        };
        sources.install();
        Ok(())
    }

    fn remote(&self) -> Result<Option<Remote>> {
        let Some(server) = &self.debuginfod else {
            return Ok(None);
        };
        let configured = env::var(SERVERS_VARIABLE).unwrap_or_default();
        let servers: Vec<&str> = match server.as_str() {
            "" => configured.split_ascii_whitespace().collect(),
            one => vec![one],
        };
        if servers.is_empty() {
            return Err(Failure::usage(SymbolsError::NoServer));
        }
        let cache = cache_folder().ok_or_else(|| Failure::usage(SymbolsError::NoCache))?;
        let authorities = self.debuginfod_ca.as_deref();
        let place = cache.join("debuginfod");
        let remote = Remote::new(&servers, place, Limits::default(), authorities);
        remote.map(Some).map_err(Failure::usage)
    }
}

/// Where monigo keeps what it can make or fetch again: root's in the system's place, so that it does
/// not depend on whose environment `sudo` passes on.
fn cache_folder() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache/monigo"));
    }
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join(Path::new("monigo")))
}
