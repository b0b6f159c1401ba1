//! `cargo xtask`: everything around the code. Each task does the set-up it needs first.

mod bench;
mod build;
mod demo;
mod dist;
mod fuzz;
mod live;
mod pictures;
mod process;
mod progress;
mod setup;
mod suite;
mod workspace;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{setup::Scope, workspace::Workspace};

/// Tasks of the monigo workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building, the demo and the tests need; quick when it is all there
    Setup {
        /// What to prepare for
        #[arg(long, value_enum, default_value_t = Scope::Test)]
        scope: Scope,
    },
    /// Build monigo (target/debug/monigo)
    Build,
    /// Profile a sample order-processing service for some seconds
    Demo {
        /// How long to watch the service
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: u64,
        /// Where flamegraph.svg and demo.duckdb go
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Run every check and test; the last line says how many passed and failed
    Test {
        /// Only formatting, lints and unit tests: no root, no browser
        #[arg(long)]
        quick: bool,
        /// Only the stages whose name contains this, as the summary names them
        #[arg(long, value_name = "TEXT", conflicts_with = "quick")]
        only: Option<String>,
    },
    /// Measure what monigo costs and how fast it is, beside its peers
    Bench(bench::Options),
    /// Feed damaged files, code and patterns to what reads them; needs cargo-fuzz
    Fuzz {
        /// How long to run each target
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Only this one
        target: Option<fuzz::Target>,
    },
    /// Make the tarball and the Debian package in dist/
    Dist {
        /// Cargo profile of the packaged binary
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// Make the pictures in docs/ from a real run
    Pictures,
}

fn main() -> ExitCode {
    // A target directory may move between checkouts: what cargo says now counts.
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    workspace::clean_environment();
    match run(Cli::parse().task, &manifest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task, manifest: &Path) -> Result<ExitCode> {
    let workspace = Workspace::find(manifest)?;
    match task {
        Task::Setup { scope } => setup::run(&workspace, scope)?,
        Task::Build => {
            build::monigo(&workspace)?;
        }
        Task::Demo { seconds, out } => demo::run(&workspace, seconds, &out)?,
        Task::Test { quick, only } => return Ok(suite::run(&workspace, quick, only)),
        Task::Bench(options) => bench::run(&workspace, &options)?,
        Task::Fuzz { seconds, target } => fuzz::run(&workspace, seconds, target)?,
        Task::Dist { profile } => dist::run(&workspace, &profile)?,
        Task::Pictures => pictures::run(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}
