//! `cargo xtask test`: every check, one after the other, and the totals.

mod api;
mod browser;
mod failures;
mod old_kernel;
mod tally;

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use self::tally::{Reader, Tally, counted};
use crate::{
    build, demo, dist, fuzz, process,
    setup::{self, Scope},
    workspace::Workspace,
};

/// Target of the kernel programs, for rustc.
const BPF_TARGET: &str = "bpfel-unknown-none";

/// Stages that the others build on: `--only` does not leave them out.
const PREPARATIONS: [&str; 4] = ["set-up", "build", "sample service", "this host can attach"];

/// Runs the suite. The last line on stdout is the totals.
pub fn run(workspace: &Workspace, quick: bool, only: Option<String>) -> ExitCode {
    let mut suite = Suite {
        workspace,
        only,
        stages: Vec::new(),
    };
    if quick {
        suite.quick();
    } else {
        suite.full();
    }
    suite.summary()
}

struct Suite<'a> {
    workspace: &'a Workspace,
    /// Part of the names of the stages to run.
    only: Option<String>,
    stages: Vec<Stage>,
}

struct Stage {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

impl Suite<'_> {
    fn quick(&mut self) {
        let workspace = self.workspace;
        if !self.check("set-up", || setup::run(workspace, Scope::Build)) {
            return;
        }
        self.lints();
        self.stage("unit tests", || {
            nextest(
                workspace,
                &[
                    "-p",
                    "monigo-common",
                    "-p",
                    "monigo-userspace",
                    "-p",
                    "xtask",
                ],
            )
        });
    }

    fn full(&mut self) {
        let workspace = self.workspace;
        let prepared = self.check("set-up", || setup::run(workspace, Scope::Test))
            && self.check("build", || build::compile(workspace).map(drop))
            && self.check("sample service", || build::orders(workspace).map(drop));
        if !prepared {
            return;
        }
        // Without it half of what follows would fail for one reason: say that reason instead.
        if !self.check("this host can attach", || host_can_attach(workspace)) {
            return;
        }
        self.lints();
        self.check("kernel programs lint", || lint_kernel_programs(workspace));
        self.check("fuzz targets compile", || fuzz::check(workspace));
        self.check("sample service vet", || vet_orders(workspace));
        self.stage("dashboard unit tests", || {
            counted(
                setup::npm(&workspace.root.join("dashboard")).args(["run", "--silent", "test"]),
                Reader::Vitest,
            )
        });
        self.stage("unit, property and end-to-end tests", || {
            let versions = setup::go_versions(workspace);
            eprintln!("Go targets are built with {versions}");
            nextest(workspace, &[])
        });
        self.stage("an old kernel in an emulator", || {
            old_kernel::run(workspace)
        });
        self.stage("API as its description promises", || api::run(workspace));
        self.stage("dashboard in Chromium", || browser::run(workspace));
        self.check("demo", || smoke(workspace));
        self.check("packages", || dist::check(workspace));
    }

    fn lints(&mut self) {
        let workspace = self.workspace;
        self.check("format", || {
            // Names of files, not pages of differences.
            process::run(
                workspace
                    .cargo()
                    .args(["fmt", "--all", "--check", "--", "-l"]),
            )
            .context("`cargo fmt --all` formats these files")
        });
        self.check("clippy", || {
            process::run(
                workspace
                    .cargo()
                    .args([
                        "clippy",
                        "--quiet",
                        "--workspace",
                        "--exclude",
                        "monigo-ebpf",
                    ])
                    .args(["--all-targets", "--", "-D", "warnings"]),
            )
        });
    }

    /// A stage that counts as one test; says whether it passed.
    fn check(&mut self, name: &'static str, body: impl FnOnce() -> Result<()>) -> bool {
        self.stage(name, || body().map(|()| Tally::passed()))
    }

    fn stage(&mut self, name: &'static str, body: impl FnOnce() -> Result<Tally>) -> bool {
        let wanted = |only: &String| name.contains(only.as_str()) || PREPARATIONS.contains(&name);
        if !self.only.as_ref().is_none_or(wanted) {
            return true;
        }
        eprintln!("\n===== {name}");
        let started = Instant::now();
        let tally = body().unwrap_or_else(|error| {
            let reason = format!("{name}: {error:#}");
            eprintln!("{reason}");
            Tally::failed(reason)
        });
        let passed = tally.failed == 0;
        self.stages.push(Stage {
            name,
            tally,
            took: started.elapsed(),
        });
        passed
    }

    fn summary(self) -> ExitCode {
        eprintln!("\n===== summary");
        let mut total = Tally::default();
        for stage in self.stages {
            eprintln!(
                "{:4} {:<38} {:>5} passed {:>3} failed {:>7.1} s{}",
                if stage.tally.failed == 0 {
                    "ok"
                } else {
                    "FAIL"
                },
                stage.name,
                stage.tally.passed,
                stage.tally.failed,
                stage.took.as_secs_f64(),
                at_second_attempt(&stage.tally)
            );
            total += stage.tally;
        }
        // Last, where somebody who sees only the end of a long output finds them.
        for failure in &total.failures {
            eprintln!("\nfailed: {failure}");
        }
        println!(
            "{} passed, {} failed{}",
            total.passed,
            total.failed,
            at_second_attempt(&total)
        );
        if total.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// What a summary says of tests that had to be repeated.
fn at_second_attempt(tally: &Tally) -> String {
    match tally.flaky {
        0 => String::new(),
        flaky => format!("; {flaky} of them only at the second attempt: see FLAKY above"),
    }
}

fn nextest(workspace: &Workspace, packages: &[&str]) -> Result<Tally> {
    counted(
        workspace
            .cargo()
            .args(["nextest", "run", "--no-fail-fast", "--color", "never"])
            .args(packages)
            .env("MONIGO_BIN", workspace.monigo())
            .env("MONIGO_GO", workspace.go()),
        Reader::Nextest,
    )
}

fn host_can_attach(workspace: &Workspace) -> Result<()> {
    let status = process::status(Command::new(workspace.monigo()).arg("doctor"))?;
    if !status.success() {
        bail!(
            "the tests attach probes, which this host or user may not: run `cargo xtask test` as \
             root on a host where `monigo doctor` ends with 0, or `cargo xtask test --quick`"
        );
    }
    Ok(())
}

/// With the clippy of the toolchain that compiles them. Which one that is depends on the machine,
/// and `pedantic` changes with each, so it is left out here.
fn lint_kernel_programs(workspace: &Workspace) -> Result<()> {
    process::run(
        Command::new("rustup")
            .args(["run", setup::bpf_toolchain(), "cargo", "clippy", "--quiet"])
            .args(["--package", "monigo-ebpf", "--target", BPF_TARGET])
            .args(["-Zbuild-std=core", "--", "-D", "warnings"])
            .args(["-A", "clippy::pedantic"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", workspace.target.join("kernel-lint"))
            .current_dir(&workspace.root),
    )
}

fn vet_orders(workspace: &Workspace) -> Result<()> {
    let directory = workspace.root.join("xtask/demo");
    process::run(
        Command::new(workspace.go())
            .args(["vet", "./..."])
            .env("GOTOOLCHAIN", "local")
            .env("GOPROXY", "off")
            .current_dir(&directory),
    )?;
    let unformatted = process::output(
        Command::new(workspace.go().with_file_name("gofmt"))
            .args(["-l", "."])
            .current_dir(&directory),
    )?;
    if !unformatted.is_empty() {
        bail!("gofmt would change {unformatted}");
    }
    Ok(())
}

fn smoke(workspace: &Workspace) -> Result<()> {
    let out = tempfile::tempdir()?;
    process::run(
        Command::new(std::env::current_exe()?)
            .args(["demo", "--seconds", "3", "--out"])
            .arg(out.path())
            .env("CARGO_MANIFEST_DIR", workspace.root.join("xtask"))
            .current_dir(&workspace.root),
    )?;
    let flamegraph = std::fs::read_to_string(out.path().join("flamegraph.svg"))?;
    if !flamegraph.contains(demo::FUNCTIONS[0]) {
        bail!("the flame graph does not show {}", demo::FUNCTIONS[0]);
    }
    Ok(())
}
