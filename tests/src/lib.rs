//! End-to-end test support: builds small targets, runs them under the real monigo, compares what
//! monigo reports with what the target counted itself.

pub mod agent;
pub mod booted;
pub mod compare;
pub mod emulated;
pub mod gdb;
pub mod lines;
pub mod monigo;
pub mod otlp;
pub mod program;
pub mod serving;
pub mod standstill;
pub mod systemd;
pub mod targets;

pub use self::{
    compare::{Moment, check_counts, check_counts_after_end, observe},
    monigo::{Function, Monigo, Outcome, Report},
    program::{Program, Truth},
    serving::Serving,
};

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

/// The monigo under test: `MONIGO_BIN`, or the one in the same target directory.
pub fn monigo_path() -> Result<PathBuf> {
    let path = match std::env::var_os("MONIGO_BIN") {
        Some(path) => PathBuf::from(path),
        None => build_directory()?.join("monigo"),
    };
    ensure!(
        path.exists(),
        "{} does not exist; `cargo build -p monigo-userspace` makes it",
        path.display()
    );
    Ok(path)
}

/// `target/debug`, where the test binary lies in `deps`.
fn build_directory() -> Result<PathBuf> {
    let test = std::env::current_exe().context("path of the test")?;
    let deps = test.parent().context("directory of the test")?;
    Ok(deps.parent().context("build directory")?.to_owned())
}

/// This package's directory, asked when run: a checkout elsewhere may use the same compiled tests.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Lets a process go before others whenever it can run.
pub fn prefer(pid: u32) -> Result<()> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread: u32 = task?.file_name().to_string_lossy().parse()?;
        // SAFETY: takes three integers.
        let status = unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, -20) };
        ensure!(
            status == 0,
            "setpriority: {}",
            std::io::Error::last_os_error()
        );
    }
    Ok(())
}

/// Probes need privileges; fails with a sentence instead of a puzzle.
pub fn require_root() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "end-to-end tests attach probes and need root"
    );
    Ok(())
}
