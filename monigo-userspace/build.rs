//! Compiles the kernel programs and tells the linker where the DuckDB library is.

use std::{env, path::Path, process::Command};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain};

/// Name that `cargo xtask setup` links a distribution's rustc and rust-src under.
const DISTRIBUTION_TOOLCHAIN: &str = "monigo-bpf";

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("workspace root")?;
    for input in ["monigo-common/src", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    link_duckdb();
    watch_dashboard(&root.join("dashboard/dist"))?;
    build_kernel_programs(&root.join("monigo-ebpf"))
}

/// Embeds the front end again when it was built again. A path that is missing counts as changed on
/// each build, so there is always a folder; without files in it the server says what to run.
fn watch_dashboard(dist: &Path) -> Result<()> {
    std::fs::create_dir_all(dist).with_context(|| format!("creating {}", dist.display()))?;
    println!("cargo:rerun-if-changed={}", dist.display());
    Ok(())
}

/// Finds the library beside an installed binary, or where the build found it.
fn link_duckdb() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/monigo");
    if let Ok(dir) = env::var("DUCKDB_LIB_DIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{dir}");
    }
}

fn build_kernel_programs(root: &Path) -> Result<()> {
    let toolchain = if has_rust_src("nightly") {
        Toolchain::Nightly
    } else {
        Toolchain::Custom(DISTRIBUTION_TOOLCHAIN)
    };
    // SAFETY: the build script has one thread.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let package = Package {
        name: "monigo-ebpf",
        root_dir: root
            .to_str()
            .context("path of the workspace is not UTF-8")?,
        ..Package::default()
    };
    aya_build::build_ebpf([package], toolchain)
        .context("building the kernel programs failed; `cargo xtask setup` installs what they need")
}

fn has_rust_src(toolchain: &str) -> bool {
    Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .is_some_and(|sysroot| {
            Path::new(sysroot.trim())
                .join("lib/rustlib/src/rust/library/core")
                .exists()
        })
}
