//! What compiles the kernel programs: a rustc with `rust-src` beside it, and bpf-linker.
//!
//! The linker reads what its own LLVM or an older one wrote, so a toolchain that is too new is of
//! no use. rustup's toolchain of the version that monigo is developed with fits; where rustup cannot fetch
//! `rust-src` for it, Debian has a matching pair of packages, which become a rustup toolchain by a
//! link. The build script of monigo-userspace knows the same list.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::Scope;
use crate::{process, progress::Step};

const BPF_LINKER: &str = "0.13.0";
/// LLVM that bpf-linker is built with; also that of Debian's rustc-web.
const LLVM: u32 = 22;
/// rustup's toolchains, the best first.
const RUSTUP: [&str; 3] = [PINNED, "stable", "nightly"];
/// What is installed when none fits.
const PINNED: &str = "1.95.0";
/// Name of the linked toolchain.
const DISTRIBUTION: &str = "monigo-bpf";
const CORE_SOURCE: &str = "lib/rustlib/src/rust/library/core";

/// What to build the kernel programs with.
pub enum Toolchain {
    /// One of rustup's, which has rust-src.
    Rustup(&'static str),
    /// Debian's packages, to be linked as a toolchain.
    Distribution,
}

impl Toolchain {
    /// Prefers what is there, then what rustup can add, then the distribution.
    pub fn choose() -> Self {
        if let Some(name) = usable() {
            return Self::Rustup(name);
        }
        if distribution_is_linked() {
            return Self::Distribution;
        }
        let step = Step::start("rust-src for the kernel programs");
        let added = process::succeeds_within(&mut add_rust_src(), Duration::from_mins(5));
        if added && let Some(name) = usable() {
            step.done();
            return Self::Rustup(name);
        }
        step.say("rustup cannot add it; falling back to the distribution's rustc");
        Self::Distribution
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Rustup(name) => name,
            Self::Distribution => DISTRIBUTION,
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
        if process::which("bpf-linker").is_none() && llvm_prefix().is_none() {
            packages.push(format!("llvm-{LLVM}-dev"));
        }
        packages
    }
}

/// The first of rustup's toolchains that has rust-src and an LLVM that the linker reads.
fn usable() -> Option<&'static str> {
    RUSTUP.into_iter().find(|toolchain| {
        let rustc = |argument: &str| {
            process::output(Command::new("rustup").args(["run", toolchain, "rustc", argument])).ok()
        };
        let source = rustc("--print=sysroot")
            .is_some_and(|sysroot| Path::new(sysroot.trim()).join(CORE_SOURCE).exists());
        source
            && rustc("-vV").is_some_and(|text| llvm_major(&text).is_some_and(|llvm| llvm <= LLVM))
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
    let installed = process::output(Command::new("rustup").args(["run", PINNED, "rustc", "-vV"]));
    if installed.is_ok() {
        command.args(["component", "add", "rust-src", "--toolchain", PINNED]);
    } else {
        command.args(["toolchain", "install", PINNED, "--profile", "minimal"]);
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
    usable().unwrap_or(DISTRIBUTION)
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
    let name = toolchain.name();
    if matches!(toolchain, Toolchain::Rustup(_)) && scope >= Scope::Test && !has_clippy(name) {
        let step = Step::start(format!("clippy for the {name} toolchain"));
        step.run(Command::new("rustup").args(["component", "add", "clippy", "--toolchain", name]))?;
        step.done();
    }
    if process::which("bpf-linker").is_none() {
        bpf_linker()?;
    }
    Ok(())
}

fn has_clippy(toolchain: &str) -> bool {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo", "clippy", "--version"]);
    process::output(&mut command).is_ok()
}

fn bpf_linker() -> Result<()> {
    let step = Step::start(format!(
        "bpf-linker {BPF_LINKER} (compiles for some minutes)"
    ));
    let Some(prefix) = llvm_prefix() else {
        // Where the distribution has no such LLVM: take the prebuilt one.
        if process::which("cargo-binstall").is_some() {
            step.run(Command::new("cargo").args(["binstall", "--no-confirm", "bpf-linker"]))?;
            step.done();
            return Ok(());
        }
        bail!(
            "bpf-linker needs LLVM {LLVM}, and it is not in /usr/lib/llvm-{LLVM}. Install a prebuilt \
             one:\n  \
             cargo install cargo-binstall && cargo binstall bpf-linker\n\
             or LLVM {LLVM} (https://apt.llvm.org) and then:\n  \
             LLVM_PREFIX=/usr/lib/llvm-{LLVM} cargo install bpf-linker --locked \
             --no-default-features --features llvm-{LLVM}"
        );
    };
    step.run(
        Command::new("cargo")
            .env("LLVM_PREFIX", prefix)
            .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked"])
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{LLVM}")),
    )?;
    process::which("bpf-linker").context("cargo installed bpf-linker, but not on PATH")?;
    step.done();
    Ok(())
}

/// Where LLVM's development files are.
fn llvm_prefix() -> Option<PathBuf> {
    if let Some(prefix) = std::env::var_os("LLVM_PREFIX") {
        return Some(prefix.into());
    }
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{LLVM}"));
    prefix
        .join("include/llvm-c/Core.h")
        .exists()
        .then_some(prefix)
}

/// The alternative to Debian's compiler packages, if those are in the list.
pub fn instructions(packages: &[String]) -> &'static str {
    if packages.iter().any(|name| name == "rust-web-src") {
        "Where rustup can reach its server, this replaces rustc-web, cargo-web and rust-web-src:\n  \
         rustup toolchain install 1.95.0 --component rust-src\n"
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
