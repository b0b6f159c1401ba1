//! Compiles the targets on demand, once per source and flags.

mod go;
mod native;

use std::{
    env, fs,
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{build_directory, package};

pub use self::{
    go::{
        Go, GoVersion, go_http, go_parked, go_scenarios, go_scenarios_for, go_tail, go_unwinding,
    },
    native::{
        Native, c_clones, c_library, c_program, c_scenarios, clock, cpp_exceptions, cpp_generators,
        cpp_left, cpp_program, cpp_tail, cpp_times, exits_program, library_and_user,
    },
};

/// A copy that only this test runs. Probes belong to a file, so tests that run the same one at
/// the same time would count each other's calls.
#[derive(Debug)]
pub struct PrivateCopy {
    directory: TempDir,
    name: std::ffi::OsString,
}

impl PrivateCopy {
    /// Copies `program`.
    pub fn of(program: &Path) -> Result<Self> {
        let copy = Self {
            directory: tempfile::tempdir()?,
            name: program.file_name().context("file name")?.to_owned(),
        };
        fs::copy(program, copy.path())?;
        Ok(copy)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }
}

/// Sources of the targets.
pub fn sources() -> PathBuf {
    package().join("targets")
}

/// The Rust target.
pub fn rust_panics(flags: &[&str]) -> Result<PathBuf> {
    rust_program("panics", flags)
}

/// A Rust target of one file.
pub fn rust_program(name: &str, flags: &[&str]) -> Result<PathBuf> {
    let source = sources().join(format!("rust/{name}.rs"));
    cached(name, &[&source], &("rustc", flags), |output| {
        let mut command = Command::new("rustc");
        command
            .args(["--edition", "2024", "--crate-name", name])
            .args(flags)
            .arg("-o")
            .arg(output)
            .arg(&source);
        run(&mut command)
    })
}

/// A Rust target that cargo has built, since it needs crates.
pub fn rust_example(name: &str) -> Result<PathBuf> {
    let program = build_directory()?.join("examples").join(name);
    ensure!(
        program.exists(),
        "{} does not exist; `cargo build -p monigo-tests --example {name}` makes it",
        program.display()
    );
    Ok(program)
}

/// Builds `name` unless it is there already. Tests run in processes of their own, so the first
/// takes a lock and the others wait for it.
fn cached(
    name: &str,
    inputs: &[&Path],
    how: &impl std::hash::Hash,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut key = DefaultHasher::new();
    how.hash(&mut key);
    for input in inputs {
        fs::read(input)
            .with_context(|| format!("reading {}", input.display()))?
            .hash(&mut key);
    }
    let root = match env::var_os("MONIGO_TEST_TARGETS") {
        Some(root) => PathBuf::from(root),
        None => build_directory()?
            .parent()
            .context("target directory")?
            .join("test-targets"),
    };
    let directory = root.join(format!("{name}-{:016x}", key.finish()));
    let output = directory.join(name);
    fs::create_dir_all(&directory)?;
    let lock = File::create(directory.join("lock"))?;
    lock.lock()?;
    if !output.exists() {
        let unfinished = directory.join(format!("{name}.unfinished"));
        build(&unfinished)?;
        fs::rename(&unfinished, &output)?;
    }
    Ok(output)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("running {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
