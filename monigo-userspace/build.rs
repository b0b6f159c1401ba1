//! Compiles the kernel programs and tells the linker where the DuckDB library is.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// What may build the kernel programs, the best first; `cargo xtask setup` knows the same list. The
/// last is the name under which it links a distribution's rustc.
const TOOLCHAINS: [&str; 4] = ["1.95.0", "stable", "nightly", "monigo-bpf"];
/// LLVM of the linker, which reads the output of this version and older ones.
const LINKER_LLVM: u32 = 22;

fn main() -> Result<()> {
    // Asked when run: a checkout elsewhere may use the same compiled script.
    let package = env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set")?;
    let root = Path::new(&package).parent().context("workspace root")?;
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
    fs::create_dir_all(dist).with_context(|| format!("creating {}", dist.display()))?;
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

/// Compiles `monigo-ebpf` into `OUT_DIR/monigo` and, for older kernels, `OUT_DIR/monigo-portable`.
///
/// The compiler's output lives in one place per target directory, not in `OUT_DIR`: cargo makes a
/// new one of those for each combination of command and features, and `core` takes minutes.
fn build_kernel_programs(root: &Path) -> Result<()> {
    const TARGET: &str = "bpfel-unknown-none";
    println!("cargo:rerun-if-changed={}", root.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    // OUT_DIR is <target directory>/<profile>/build/<package>/out.
    let target_dir = out
        .ancestors()
        .nth(4)
        .context("OUT_DIR is too short")?
        .join("bpf");
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").context("no target architecture")?;
    let toolchain = TOOLCHAINS
        .into_iter()
        .find(|toolchain| is_usable(toolchain))
        .context("no toolchain can build the kernel programs; run `cargo xtask setup`")?;
    let flags = [
        format!("--cfg=bpf_target_arch=\"{architecture}\""),
        "-Cdebuginfo=2".to_owned(),
        "-Clinker=bpf-linker".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    for (name, features) in [("monigo", ""), ("monigo-portable", "portable")] {
        let status = Command::new("rustup")
            .args(["run", toolchain, "cargo", "build"])
            .args(["--package", "monigo-ebpf", "--bins", "--release"])
            .args(["--features", features])
            .args(["-Zbuild-std=core", "--target", TARGET, "--target-dir"])
            .arg(&target_dir)
            .current_dir(root)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            // Meant for the compiler and the commands of the outer build.
            .env_remove("RUSTC")
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .status();
        ensure!(
            status.context("running rustup")?.success(),
            "building the kernel programs failed; `cargo xtask setup` installs what they need"
        );
        let built = target_dir.join(TARGET).join("release/monigo");
        fs::copy(&built, out.join(name)).with_context(|| format!("copying {}", built.display()))?;
    }
    Ok(())
}

/// Whether a toolchain has the source of `core`, and an LLVM that the linker can read.
fn is_usable(toolchain: &str) -> bool {
    let rustc = |argument: &str| {
        Command::new("rustup")
            .args(["run", toolchain, "rustc", argument])
            .output()
            .ok()
            .filter(|output| output.status.success())
            .and_then(|output| String::from_utf8(output.stdout).ok())
    };
    let llvm = rustc("-vV").and_then(|version| {
        let line = version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))?;
        line.split('.').next()?.parse::<u32>().ok()
    });
    let source = rustc("--print=sysroot").is_some_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core")
            .exists()
    });
    source && llvm.is_some_and(|llvm| llvm <= LINKER_LLVM)
}
