//! Set-up: every step looks first whether it is done, and can be repeated.

mod bpf;
mod dashboard;
mod duckdb;
mod go;
mod packages;
mod schemathesis;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

pub use self::bpf::name as bpf_toolchain;
pub use self::dashboard::npm;
pub use self::duckdb::LIBRARY as DUCKDB;
pub use self::go::{VERSION as GO_VERSION, versions as go_versions};
pub use self::schemathesis::program as schemathesis;
use crate::{process, progress::Step, workspace::Workspace};

/// What to prepare for; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scope {
    /// Building monigo
    Build,
    /// `cargo xtask demo`
    Demo,
    /// `cargo xtask test`
    Test,
    /// `cargo xtask bench`
    Bench,
}

/// Prepares for `scope`. Errors name the exact commands where a step may not install.
pub fn run(workspace: &Workspace, scope: Scope) -> Result<()> {
    let started = Instant::now();
    require_platform()?;
    let toolchain = bpf::Toolchain::choose();
    packages::ensure(&packages::needed(scope, &toolchain))?;
    bpf::ensure(&toolchain, scope)?;
    duckdb::ensure(workspace)?;
    dashboard::ensure(workspace)?;
    if scope >= Scope::Demo {
        go::ensure(workspace)?;
    }
    if scope >= Scope::Test {
        go::ensure_older(workspace)?;
        nextest()?;
        schemathesis::ensure(workspace)?;
    }
    eprintln!(
        "set-up: all in place ({:.1} s)",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn require_platform() -> Result<()> {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        bail!("monigo builds and runs on x86-64 Linux only");
    }
    if process::which("rustup").is_none() {
        bail!("rustup is missing; install it: https://rustup.rs");
    }
    Ok(())
}

fn nextest() -> Result<()> {
    if process::which("cargo-nextest").is_some() {
        return Ok(());
    }
    let step = Step::start("cargo-nextest (compiles for some minutes)");
    step.run(Command::new("cargo").args(["install", "cargo-nextest", "--locked"]))?;
    step.done();
    Ok(())
}

/// The one file with this extension in a directory.
fn only_file(directory: &Path, extension: &str) -> Result<PathBuf> {
    fs::read_dir(directory)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .with_context(|| format!("no .{extension} file in {}", directory.display()))
}

/// Renames a directory to its final name, unless another process was faster.
fn move_into_place(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Err(_) if to.exists() => Ok(()),
        result => result.with_context(|| format!("cannot move to {}", to.display())),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
