//! What compiles the kernel programs: a rustc with `rust-src` beside it, and bpf-linker.
//!
//! With the internet, that is rustup's nightly plus its `rust-src` component. Where rustup cannot
//! fetch that, Debian has a matching pair of packages, which become a rustup toolchain by a link.
//! The build script of monigo-userspace looks for exactly these two, in this order.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::Scope;
use crate::{process, progress::Step};

const BPF_LINKER: &str = "0.13.0";
/// Name of the linked toolchain, as the build script knows it.
const DISTRIBUTION: &str = "monigo-bpf";
/// LLVM of Debian's rustc-web.
const DISTRIBUTION_LLVM: u32 = 22;
const CORE_SOURCE: &str = "lib/rustlib/src/rust/library/core";

/// What to build the kernel programs with.
pub enum Toolchain {
    /// rustup's nightly, which has rust-src.
    Nightly {
        /// Major version of its LLVM.
        llvm: u32,
    },
    /// Debian's packages, to be linked as a toolchain.
    Distribution,
}

impl Toolchain {
    /// Prefers what is there, then what rustup can add, then the distribution.
    pub fn choose() -> Self {
        if let Some(nightly) = nightly() {
            return nightly;
        }
        if distribution_is_linked() {
            return Self::Distribution;
        }
        let step = Step::start("rust-src for the nightly toolchain");
        let added = process::succeeds_within(&mut add_rust_src(), Duration::from_mins(5));
        if added && let Some(nightly) = nightly() {
            step.done();
            return nightly;
        }
        step.say("rustup cannot add it; falling back to the distribution's rustc");
        Self::Distribution
    }

    fn llvm(&self) -> u32 {
        match self {
            Self::Nightly { llvm } => *llvm,
            Self::Distribution => DISTRIBUTION_LLVM,
        }
    }

    /// Debian packages that this choice lacks.
    pub fn missing_packages(&self, scope: Scope) -> Vec<String> {
        let mut packages = Vec::new();
        if matches!(self, Self::Distribution) {
            for (name, sign, wanted_by) in [
                ("rustc-web", "/usr/bin/rustc", Scope::Build),
                ("cargo-web", "/usr/bin/cargo", Scope::Build),
                (
                    "rust-web-src",
                    "/usr/lib/rustlib/src/rust/library/core",
                    Scope::Build,
                ),
                ("rust-web-clippy", "/usr/bin/cargo-clippy", Scope::Test),
            ] {
                if wanted_by <= scope && !Path::new(sign).exists() {
                    packages.push(name.to_owned());
                }
            }
        }
        // Only to compile bpf-linker, which then runs with the shared library.
        let llvm = self.llvm();
        if process::which("bpf-linker").is_none()
            && llvm_prefix(llvm).is_none()
            && llvm == DISTRIBUTION_LLVM
        {
            packages.push(format!("llvm-{llvm}-dev"));
        }
        packages
    }
}

fn nightly() -> Option<Toolchain> {
    let rustc = |arguments: &[&str]| {
        process::output(
            Command::new("rustup")
                .args(["run", "nightly", "rustc"])
                .args(arguments),
        )
        .ok()
    };
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
    if !sysroot.join(CORE_SOURCE).exists() {
        return None;
    }
    Some(Toolchain::Nightly {
        llvm: llvm_major(&rustc(&["-vV"])?)?,
    })
}

/// Major version in the `LLVM version:` line of `rustc -vV`.
fn llvm_major(version: &str) -> Option<u32> {
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn add_rust_src() -> Command {
    let mut command = Command::new("rustup");
    let installed = process::output(Command::new("rustup").args(["toolchain", "list"]))
        .is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly-")));
    if installed {
        command.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
    } else {
        command.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        command.args(["--component", "rust-src", "--no-self-update"]);
    }
    command
}

fn distribution_is_linked() -> bool {
    process::output(Command::new("rustup").args([
        "run",
        DISTRIBUTION,
        "rustc",
        "--print",
        "sysroot",
    ]))
    .is_ok_and(|sysroot| Path::new(sysroot.trim()).join(CORE_SOURCE).exists())
}

/// Name of the toolchain that the build script takes, for `rustup run`.
pub fn name() -> &'static str {
    if nightly().is_some() {
        "nightly"
    } else {
        DISTRIBUTION
    }
}

/// Links the toolchain, compiles bpf-linker and, for tests, adds clippy, if they are missing.
pub fn ensure(toolchain: &Toolchain, scope: Scope) -> Result<()> {
    if matches!(toolchain, Toolchain::Distribution) && !distribution_is_linked() {
        let step = Step::start(format!("rustup toolchain {DISTRIBUTION}"));
        step.run(Command::new("rustup").args(["toolchain", "link", DISTRIBUTION, "/usr"]))?;
        if !distribution_is_linked() {
            bail!("/usr/bin/rustc has no rust-src beside it: {CORE_SOURCE} is missing in /usr");
        }
        step.done();
    }
    if matches!(toolchain, Toolchain::Nightly { .. }) && scope >= Scope::Test && !nightly_clippy() {
        let step = Step::start("clippy for the nightly toolchain");
        step.run(Command::new("rustup").args([
            "component",
            "add",
            "clippy",
            "--toolchain",
            "nightly",
        ]))?;
        step.done();
    }
    if process::which("bpf-linker").is_none() {
        bpf_linker(toolchain.llvm())?;
    }
    Ok(())
}

fn nightly_clippy() -> bool {
    process::output(Command::new("rustup").args(["run", "nightly", "cargo", "clippy", "--version"]))
        .is_ok()
}

fn bpf_linker(llvm: u32) -> Result<()> {
    let step = Step::start(format!(
        "bpf-linker {BPF_LINKER} (compiles for some minutes)"
    ));
    let Some(prefix) = llvm_prefix(llvm) else {
        // A nightly newer than the distribution's LLVM: take the prebuilt one.
        if process::which("cargo-binstall").is_some() {
            step.run(Command::new("cargo").args(["binstall", "--no-confirm", "bpf-linker"]))?;
            step.done();
            return Ok(());
        }
        bail!(
            "bpf-linker needs LLVM {llvm}, which the nightly toolchain was built with, and it is \
             not in /usr/lib/llvm-{llvm}. Install a prebuilt one:\n  \
             cargo install cargo-binstall && cargo binstall bpf-linker\n\
             or LLVM {llvm} (https://apt.llvm.org) and then:\n  \
             LLVM_PREFIX=/usr/lib/llvm-{llvm} cargo install bpf-linker --locked \
             --no-default-features --features llvm-{llvm}"
        );
    };
    step.run(
        Command::new("cargo")
            .env("LLVM_PREFIX", prefix)
            .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked"])
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{llvm}")),
    )?;
    process::which("bpf-linker").context("cargo installed bpf-linker, but not on PATH")?;
    step.done();
    Ok(())
}

/// Where LLVM's development files are.
fn llvm_prefix(major: u32) -> Option<PathBuf> {
    if let Some(prefix) = std::env::var_os("LLVM_PREFIX") {
        return Some(prefix.into());
    }
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{major}"));
    prefix
        .join("include/llvm-c/Core.h")
        .exists()
        .then_some(prefix)
}

/// The alternative to Debian's compiler packages, if those are in the list.
pub fn instructions(packages: &[String]) -> &'static str {
    if packages.iter().any(|name| name == "rust-web-src") {
        "Where rustup can reach its server, this replaces rustc-web, cargo-web and rust-web-src:\n  \
         rustup toolchain install nightly --component rust-src\n"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_version_of_rustc() {
        let text = "rustc 1.97.0-nightly\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.4\n";
        assert_eq!(llvm_major(text), Some(22));
        assert_eq!(llvm_major("rustc 1.0"), None);
    }
}
