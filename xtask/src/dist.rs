//! `cargo xtask dist`: a tarball that runs without any toolchain, and a Debian package.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    process,
    progress::Step,
    setup::{self, Scope},
    workspace::Workspace,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where the binary looks for DuckDB, seen from itself.
const LIBRARY_PATH: &str = "$ORIGIN/../lib/monigo";
/// The unit for systemd.
const UNIT: &str = "lib/systemd/system/monigo.service";
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "LICENSE-MIT",
    "LICENSE-GPL-2.0",
];

/// Sets up, builds with a cargo profile, and writes both packages to `dist/`.
pub fn run(workspace: &Workspace, profile: &str) -> Result<()> {
    setup::run(workspace, Scope::Build)?;
    eprintln!("==> cargo build --profile {profile}");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--bin", "monigo", "--profile", profile]);
    // Other flags would compile the dev profile a second time.
    if profile != "dev" {
        cargo.env("RUSTFLAGS", without_own_paths(workspace));
    }
    process::run(&mut cargo)?;
    let directory = match profile {
        "dev" => "debug",
        other => other,
    };
    let built = workspace.target.join(directory).join("monigo");
    let out = workspace.root.join("dist");
    for package in package(workspace, &built, &out)? {
        println!("{}", package.display());
    }
    Ok(())
}

/// Panic messages name source files; those of the package should not name this machine's
/// directories.
fn without_own_paths(workspace: &Workspace) -> String {
    let home = process::cargo_home().unwrap_or_default();
    format!(
        "--remap-path-prefix={}=/monigo --remap-path-prefix={}=/cargo",
        workspace.root.display(),
        home.display()
    )
}

/// Packages the dev build and runs what is inside, as on a machine without toolchain.
pub fn check(workspace: &Workspace) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let packages = package(workspace, &workspace.monigo(), scratch.path())?;
    let [tarball, deb] = packages
        .each_ref()
        .map(|package| scratch.path().join(package.file_stem().unwrap_or_default()));
    for (package, place) in packages.iter().zip([&tarball, &deb]) {
        fs::create_dir_all(place)?;
        if package
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            process::run(Command::new("dpkg-deb").arg("-x").args([package, place]))?;
            try_out(&place.join("usr"))?;
        } else {
            process::run(
                Command::new("tar")
                    .arg("-xzf")
                    .arg(package)
                    .arg("-C")
                    .arg(place),
            )?;
            try_out(&place.join(tarball_name()))?;
        }
    }
    Ok(())
}

/// Starts the binary below `prefix` with nothing in its environment.
fn try_out(prefix: &Path) -> Result<()> {
    let binary = prefix.join("bin/monigo");
    let bare = |program: &Path| {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/");
        command
    };
    let version = process::output(bare(&binary).arg("--version"))?;
    if version.trim() != format!("monigo {VERSION}") {
        bail!("{} --version says {version:?}", binary.display());
    }
    let libraries = process::output(bare(Path::new("ldd")).arg(&binary))?;
    let own = fs::canonicalize(prefix.join("lib/monigo").join(setup::DUCKDB))?;
    let used = libraries
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix(setup::DUCKDB)?
                .strip_prefix(" => ")
        })
        .and_then(|rest| rest.rsplit_once(" ("))
        .context("monigo is not linked to DuckDB")?
        .0;
    if fs::canonicalize(used)? != own {
        bail!("monigo uses {used}, not {}", own.display());
    }
    if !prefix.join(UNIT).exists() {
        bail!("no {UNIT} in {}", prefix.display());
    }
    let man = fs::read_dir(prefix.join("share/man/man1"))?.count();
    if man < 9 {
        bail!("only {man} man pages in {}", prefix.display());
    }
    Ok(())
}

fn tarball_name() -> String {
    format!("monigo-{VERSION}-{}-linux", std::env::consts::ARCH)
}

/// Makes both packages of a built binary.
fn package(workspace: &Workspace, built: &Path, out: &Path) -> Result<[PathBuf; 2]> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let scratch = tempfile::tempdir_in(out)?;
    let step = Step::start("packages");
    let name = tarball_name();
    let tree = scratch.path().join(&name);
    stage(workspace, built, &tree, &step)?;

    step.say("tarball");
    let tarball = out.join(format!("{name}.tar.gz"));
    process::run(
        Command::new("tar")
            .args(["--owner=0", "--group=0", "--numeric-owner", "--sort=name"])
            .arg("-C")
            .arg(scratch.path())
            .arg("-czf")
            .arg(&tarball)
            .arg(&name),
    )?;

    step.say("Debian package");
    let deb = out.join(format!("monigo_{VERSION}_amd64.deb"));
    let root = scratch.path().join("deb");
    debian_tree(&tree, &root)?;
    process::output(
        Command::new("dpkg-deb")
            .args(["--build", "--root-owner-group", "-Zxz", "-z1"])
            .args([&root, &deb]),
    )?;
    step.done();
    Ok([tarball, deb])
}

/// Lays out `bin`, `lib` and `share`.
fn stage(workspace: &Workspace, built: &Path, tree: &Path, step: &Step) -> Result<()> {
    let binary = tree.join("bin/monigo");
    copy(built, &binary, 0o755)?;
    process::run(Command::new("strip").arg("--strip-debug").arg(&binary))?;
    forget_build_directory(&binary)?;
    let duckdb = workspace.root.join(".deps/duckdb");
    copy(
        &duckdb.join(setup::DUCKDB),
        &tree.join("lib/monigo").join(setup::DUCKDB),
        0o644,
    )?;

    step.say("completions and man pages");
    let share = tree.join("share");
    for (shell, place) in [
        ("bash", "bash-completion/completions/monigo"),
        ("zsh", "zsh/site-functions/_monigo"),
        ("fish", "fish/vendor_completions.d/monigo.fish"),
    ] {
        let script =
            process::output(Command::new(&binary).args(["generate", "completions", shell]))?;
        write(&share.join(place), script.as_bytes())?;
    }
    process::run(
        Command::new(&binary)
            .args(["generate", "man"])
            .arg(share.join("man/man1")),
    )?;
    copy(
        &workspace.root.join("packaging/monigo.service"),
        &tree.join(UNIT),
        0o644,
    )?;
    let documents = share.join("doc/monigo");
    for name in DOCUMENTS {
        copy(&workspace.root.join(name), &documents.join(name), 0o644)?;
    }
    copy(
        &duckdb.join("LICENSE"),
        &documents.join("LICENSE-DuckDB"),
        0o644,
    )
}

/// Cuts the build machine's directory out of the library search path: a program that runs as
/// root must not load a library from somebody's cache.
fn forget_build_directory(binary: &Path) -> Result<()> {
    let mut bytes = fs::read(binary)?;
    cut_search_path(&mut bytes);
    fs::write(binary, bytes)?;
    Ok(())
}

/// Ends the search path, a string in the dynamic string table, after its first entry.
fn cut_search_path(bytes: &mut [u8]) {
    let marker = format!("{LIBRARY_PATH}:");
    let Some(start) = bytes
        .windows(marker.len())
        .position(|window| window == marker.as_bytes())
    else {
        return;
    };
    bytes[start + LIBRARY_PATH.len()..]
        .iter_mut()
        .take_while(|byte| **byte != 0)
        .for_each(|byte| *byte = 0);
}

/// Turns the tarball's layout into Debian's.
fn debian_tree(tree: &Path, root: &Path) -> Result<()> {
    let usr = root.join("usr");
    fs::create_dir_all(root)?;
    process::run(Command::new("cp").arg("-a").arg("--").args([tree, &usr]))?;
    let share = usr.join("share");
    let zsh = share.join("zsh/vendor-completions");
    fs::rename(share.join("zsh/site-functions"), &zsh)?;
    for page in fs::read_dir(share.join("man/man1"))? {
        process::run(Command::new("gzip").arg("-9n").arg(page?.path()))?;
    }
    let documents = share.join("doc/monigo");
    process::run(
        Command::new("gzip")
            .arg("-9n")
            .arg(documents.join("CHANGELOG.md")),
    )?;
    write(&documents.join("copyright"), COPYRIGHT.as_bytes())?;

    let glibc = newest_glibc(&[
        usr.join("bin/monigo"),
        usr.join("lib/monigo").join(setup::DUCKDB),
    ])?;
    let size_kib = directory_size(&usr)? / 1024;
    write(
        &root.join("DEBIAN/control"),
        format!(
            "Package: monigo\n\
             Version: {VERSION}\n\
             Architecture: amd64\n\
             Maintainer: monigo developers <monigo@localhost>\n\
             Section: devel\n\
             Priority: optional\n\
             Installed-Size: {size_kib}\n\
             Depends: libc6 (>= {glibc}), libgcc-s1, libstdc++6\n\
             Description: eBPF profiler for running Go, Rust, C and C++ programs\n \
             Attaches to functions of running programs and shows exact call counts,\n \
             true latency percentiles and the stacks behind them, in a terminal\n \
             interface, a web dashboard, flame graphs and SQL.\n"
        )
        .as_bytes(),
    )
}

const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: monigo

Files: *
Copyright: monigo developers
License: Apache-2.0
 The full text is in /usr/share/common-licenses/Apache-2.0.

Files: usr/lib/monigo/libduckdb.so
Copyright: DuckDB Foundation
License: MIT
 The full text is in /usr/share/doc/monigo/LICENSE-DuckDB.
Comment:
 The kernel programs inside usr/bin/monigo are licensed under MIT or GPL-2.0;
 see LICENSE-MIT and LICENSE-GPL-2.0 in /usr/share/doc/monigo.
";

/// The newest `GLIBC_2.x` that the files ask for.
fn newest_glibc(files: &[PathBuf]) -> Result<String> {
    let mut newest = 0;
    for file in files {
        newest = newest.max(newest_glibc_minor(&fs::read(file)?));
    }
    Ok(format!("2.{newest}"))
}

fn newest_glibc_minor(bytes: &[u8]) -> u32 {
    const MARK: &[u8] = b"\0GLIBC_2.";
    bytes
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .filter_map(|(position, _)| {
            let digits: Vec<u8> = bytes[position + MARK.len()..]
                .iter()
                .copied()
                .take_while(u8::is_ascii_digit)
                .collect();
            std::str::from_utf8(&digits).ok()?.parse().ok()
        })
        .max()
        .unwrap_or(0)
}

fn directory_size(directory: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() {
            directory_size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(size)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_path_keeps_its_first_entry_only() {
        let mut bytes = b"x\0$ORIGIN/../lib/monigo:/home/me/.deps/duckdb\0next\0".to_vec();
        let length = bytes.len();
        cut_search_path(&mut bytes);
        assert_eq!(bytes.len(), length);
        assert!(bytes.starts_with(b"x\0$ORIGIN/../lib/monigo\0\0\0"));
        assert!(bytes.ends_with(b"\0next\0"));
        assert!(!bytes.windows(5).any(|window| window == b"/home"));
        let mut untouched = b"$ORIGIN/../lib/monigo\0next\0".to_vec();
        cut_search_path(&mut untouched);
        assert_eq!(untouched, b"$ORIGIN/../lib/monigo\0next\0");
    }

    #[test]
    fn newest_glibc_is_by_number() {
        assert_eq!(
            newest_glibc_minor(b"\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.3.4\0"),
            34
        );
        assert_eq!(newest_glibc_minor(b"nothing"), 0);
    }
}
