//! Building monigo and the sample service, in the one profile that demo and tests share.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    process,
    progress::Step,
    setup::{self, Scope},
    workspace::Workspace,
};

// Always among all default members: by itself the package would have its dependencies compiled with
// other features, once more.

/// Sets up and builds; returns the binary.
pub fn monigo(workspace: &Workspace) -> Result<PathBuf> {
    setup::run(workspace, Scope::Build)?;
    compile(workspace)
}

/// Builds, with the set-up done already.
pub fn compile(workspace: &Workspace) -> Result<PathBuf> {
    eprintln!("==> cargo build (the first time takes some minutes)");
    process::run(workspace.cargo().args(["build", "--bin", "monigo"]))?;
    Ok(workspace.monigo())
}

/// Builds monigo in a cargo profile; returns the binary.
pub fn profile(workspace: &Workspace, profile: &str) -> Result<PathBuf> {
    built(workspace, profile, &["--bin", "monigo"], "monigo")
}

/// Builds an example of monigo's library; returns the binary.
pub fn example(workspace: &Workspace, profile: &str, name: &str) -> Result<PathBuf> {
    built(
        workspace,
        profile,
        &["--example", name],
        &format!("examples/{name}"),
    )
}

fn built(workspace: &Workspace, profile: &str, what: &[&str], file: &str) -> Result<PathBuf> {
    eprintln!("==> cargo build, profile {profile} (takes some minutes the first time)");
    process::run(
        workspace
            .cargo()
            .args(["build", "--profile", profile])
            .args(what),
    )?;
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(workspace.target.join(directory).join(file))
}

/// Builds the sample order-processing service with the unpacked Go.
pub fn orders(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target.join("demo");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let binary = directory.join("orders");
    let step = Step::start("sample service");
    step.run(&mut go(
        workspace,
        &workspace.root.join("xtask/demo"),
        &binary,
    ))?;
    step.done();
    Ok(binary)
}

/// Builds a Go package. Nothing is fetched, and the Go of the set-up is the one that builds.
pub fn go(workspace: &Workspace, package: &Path, binary: &Path) -> Command {
    let mut command = Command::new(workspace.go());
    command
        .args(["build", "-trimpath", "-o"])
        .arg(binary)
        .arg(".")
        .current_dir(package)
        .envs([
            ("GOTOOLCHAIN", "local"),
            ("GOPROXY", "off"),
            ("GOFLAGS", "-mod=mod"),
            ("CGO_ENABLED", "0"),
            ("GOWORK", "off"),
        ])
        .env_remove("GOROOT");
    command
}
