//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz`, on seeds made of the tests' own targets.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use crate::{process, progress::Step, workspace::Workspace};

/// Inputs longer than this are slow and find nothing that shorter ones do not.
const LONGEST_INPUT_BYTES: u32 = 64_000;
/// Memory of one fuzzing process; more is a bug of the reader.
const MOST_MEMORY_MB: u32 = 1024;
/// Time for one input; more is a bug of the reader.
const MOST_SECONDS_EACH: u32 = 10;

/// What can be fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Images of any bytes
    Elf,
    /// Images with damaged debug information
    Dwarf,
    /// Go's function table
    Pclntab,
    /// The planner of probe sites, on any code
    Plan,
    /// Patterns for functions
    Pattern,
    /// Names of code made at run time
    PerfMap,
    /// Stored lists of functions
    Cache,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            Self::Dwarf => "dwarf",
            Self::Pclntab => "pclntab",
            Self::Plan => "plan",
            Self::Pattern => "pattern",
            Self::PerfMap => "perf_map",
            Self::Cache => "cache",
        }
    }
}

/// Checks that the targets compile, which takes nothing but the crates.
pub fn check(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.root.join("tests/fuzz/Cargo.toml");
    process::run(
        workspace
            .cargo()
            .args(["fmt", "--check", "--manifest-path"])
            .arg(&manifest)
            .args(["--", "-l"]),
    )?;
    process::run(
        workspace
            .cargo()
            .args([
                "check",
                "--quiet",
                "--bins",
                "--examples",
                "--manifest-path",
            ])
            .arg(&manifest)
            .env("CARGO_TARGET_DIR", workspace.target.join("fuzz")),
    )
}

/// Runs one target, or each in turn, for `seconds`. New corpus entries stay in the target directory.
pub fn run(workspace: &Workspace, seconds: u64, only: Option<Target>) -> Result<()> {
    require_tools()?;
    let fuzz = workspace.target.join("fuzz");
    let seeds = fuzz.join("seeds");
    make_seeds(workspace, &fuzz, &seeds)?;
    let targets = match only {
        Some(target) => vec![target],
        None => Target::value_variants().to_vec(),
    };
    let mut failed = Vec::new();
    for target in targets {
        let name = target.name();
        let corpus = fuzz.join("corpus").join(name);
        let artifacts = fuzz.join("artifacts").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        fs::create_dir_all(seeds.join(name))?;
        let status = process::status(
            cargo_fuzz(workspace, "run", &fuzz)
                .arg(name)
                .arg(&corpus)
                .arg(seeds.join(name))
                .arg("--")
                .arg(format!("-artifact_prefix={}/", artifacts.display()))
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-max_len={LONGEST_INPUT_BYTES}"))
                .arg(format!("-rss_limit_mb={MOST_MEMORY_MB}"))
                .arg(format!("-timeout={MOST_SECONDS_EACH}"))
                .args(["-print_final_stats=1", "-verbosity=1"]),
        )?;
        if !status.success() {
            failed.push(name);
        }
    }
    ensure!(
        failed.is_empty(),
        "found something: {}; the inputs are in {}",
        failed.join(", "),
        fuzz.join("artifacts").display()
    );
    Ok(())
}

fn require_tools() -> Result<()> {
    if process::which("cargo-fuzz").is_none() {
        bail!("cargo-fuzz is missing; install it: cargo install cargo-fuzz --locked");
    }
    if process::which("g++").is_none() {
        bail!("g++, which libFuzzer is compiled with, is missing; install it: apt-get install g++");
    }
    Ok(())
}

/// Without a sanitizer: the code under test has no `unsafe` of its own but the mapping of files, and
/// runs several times as fast. Stable Rust suffices for that.
fn cargo_fuzz(workspace: &Workspace, verb: &str, target_directory: &Path) -> Command {
    let mut command = workspace.cargo();
    command
        .args(["fuzz", verb, "--sanitizer", "none", "--fuzz-dir"])
        .arg(workspace.root.join("tests/fuzz"))
        .arg("--target-dir")
        .arg(target_directory);
    command
}

/// Compiles some of the tests' targets and takes them apart.
fn make_seeds(workspace: &Workspace, fuzz: &Path, seeds: &Path) -> Result<()> {
    let step = Step::start("seeds");
    let programs = fuzz.join("programs");
    fs::create_dir_all(&programs)?;
    let sources = workspace.root.join("tests/targets");
    let mut made = Vec::new();
    let native: [(&str, &str, &[&str]); 5] = [
        ("optimised", "gcc", &["-O2", "-g"]),
        ("unoptimised", "gcc", &["-O0", "-g", "-no-pie"]),
        ("compressed", "gcc", &["-O2", "-g", "-gz"]),
        ("stripped", "gcc", &["-Os", "-s", "-rdynamic"]),
        (
            "dwarf4",
            "gcc",
            &["-O2", "-gdwarf-4", "-fcf-protection=full"],
        ),
    ];
    for (name, compiler, flags) in native {
        let program = programs.join(name);
        step.run(
            Command::new(compiler)
                .args(flags)
                .arg("-pthread")
                .args(
                    ["harness.c", "main.c", "calls.c", "endings.c"].map(|file| format!("c/{file}")),
                )
                .arg("-o")
                .arg(&program)
                .current_dir(&sources),
        )?;
        made.push(program);
    }
    let program = programs.join("hidden");
    step.run(
        Command::new("gcc")
            .args(["-O1", "-g", "c/harness.c", "c/hidden.c", "-o"])
            .arg(&program)
            .current_dir(&sources),
    )?;
    made.push(program);
    let program = programs.join("exceptions");
    step.run(
        Command::new("g++")
            .args([
                "-O1",
                "-g",
                "-pthread",
                "-x",
                "c++",
                "c/harness.c",
                "cpp/exceptions.cpp",
            ])
            .arg("-o")
            .arg(&program)
            .current_dir(&sources),
    )?;
    made.push(program);
    for (index, compiler) in go_compilers(workspace)?.iter().enumerate() {
        let program = programs.join(format!("go-{index}"));
        step.run(
            Command::new(compiler)
                .args(["build", "-ldflags=-s -w", "-o"])
                .arg(&program)
                .arg(".")
                .current_dir(sources.join("go"))
                .env("GOFLAGS", "-mod=mod")
                .env("GOTOOLCHAIN", "local")
                .env("CGO_ENABLED", "0")
                .env_remove("GOROOT"),
        )?;
        made.push(program);
    }
    step.run(
        workspace
            .cargo()
            .args(["run", "--quiet", "--example", "seeds", "--manifest-path"])
            .arg(workspace.root.join("tests/fuzz/Cargo.toml"))
            .env("CARGO_TARGET_DIR", fuzz)
            .arg("--")
            .arg(seeds)
            .args(made),
    )?;
    step.done();
    Ok(())
}

/// Those that set-up installed; each version has its own table.
fn go_compilers(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut compilers = Vec::new();
    let system = PathBuf::from("/usr/bin/go");
    if system.exists() {
        compilers.push(system);
    }
    let cache = workspace.cache.join("go");
    if cache.exists() {
        for version in fs::read_dir(cache)? {
            let compiler = version?.path().join("go/bin/go");
            if compiler.exists() {
                compilers.push(compiler);
            }
        }
    }
    Ok(compilers)
}
