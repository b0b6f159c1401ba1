//! Programs and libraries from the distribution.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};

use super::{Scope, bpf};
use crate::{process, progress::Step};

/// How a package shows that it is there. Asking dpkg would be slower, and wrong where the
/// program comes from elsewhere.
enum Sign {
    Program(&'static str),
    Path(&'static str),
}

struct Package {
    name: &'static str,
    sign: Sign,
    scope: Scope,
}

const fn program(name: &'static str, program: &'static str, scope: Scope) -> Package {
    Package {
        name,
        sign: Sign::Program(program),
        scope,
    }
}

const fn path(name: &'static str, path: &'static str, scope: Scope) -> Package {
    Package {
        name,
        sign: Sign::Path(path),
        scope,
    }
}

const PACKAGES: [Package; 20] = [
    program("gcc", "gcc", Scope::Build),
    path("libc6-dev", "/usr/include/stdlib.h", Scope::Build),
    program("nodejs", "node", Scope::Build),
    program("npm", "npm", Scope::Build),
    program("tar", "tar", Scope::Build),
    program("python3", "python3", Scope::Demo),
    program("python3-pip", "pip3", Scope::Demo),
    program("g++", "g++", Scope::Test),
    program("binutils", "objdump", Scope::Test),
    // Python without what makes virtual environments is Debian's idea.
    path("python3-venv", "/usr/share/doc/python3-venv", Scope::Test),
    program("gdb", "gdb", Scope::Test),
    program("tmux", "tmux", Scope::Test),
    program("chromium", "chromium", Scope::Test),
    program("prometheus", "prometheus", Scope::Test),
    // For the unit; nothing of it is started on the host.
    program("systemd", "systemctl", Scope::Test),
    // Chromium only recommends fonts, and pictures without text say little.
    path(
        "fonts-dejavu-core",
        "/usr/share/fonts/truetype/dejavu",
        Scope::Test,
    ),
    // An old Go on purpose: its programs look different from those of the newest.
    path("golang-go", "/usr/bin/go", Scope::Test),
    program("bpftrace", "bpftrace", Scope::Bench),
    program("uftrace", "uftrace", Scope::Bench),
    program("linux-perf", "perf", Scope::Bench),
];

/// Names of the packages that are missing for `scope`.
pub fn needed(scope: Scope, toolchain: &bpf::Toolchain) -> Vec<String> {
    let mut missing: Vec<String> = PACKAGES
        .iter()
        .filter(|package| package.scope <= scope)
        .filter(|package| match package.sign {
            Sign::Program(program) => process::which(program).is_none(),
            Sign::Path(path) => !Path::new(path).exists(),
        })
        .map(|package| package.name.to_owned())
        .collect();
    missing.extend(toolchain.missing_packages(scope));
    missing
}

/// Installs packages, or says how.
pub fn ensure(packages: &[String]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let debian = process::which("apt-get").is_some();
    if !debian || !nix::unistd::geteuid().is_root() {
        bail!(by_hand(packages, debian));
    }
    let step = Step::start(format!("Debian packages: {}", packages.join(" ")));
    let fresh = lists_are_fresh();
    if !fresh {
        step.run(apt().arg("update"))?;
    }
    if let Err(error) = step.run(&mut install(packages)) {
        if !fresh {
            return Err(error);
        }
        // Lists of this morning may name files that the mirror no longer has.
        step.run(apt().arg("update"))?;
        step.run(&mut install(packages))?;
    }
    step.done();
    Ok(())
}

/// What to type where set-up may not install.
fn by_hand(packages: &[String], debian: bool) -> String {
    let list = packages.join(" ");
    let install = if debian {
        format!(
            "set-up may not install packages as this user; run:\n  \
             sudo apt-get update\n  \
             sudo apt-get install --yes --no-install-recommends {list}\n"
        )
    } else {
        format!("install these Debian packages, or what your distribution calls them: {list}\n")
    };
    format!(
        "{install}{}Then run `cargo xtask setup` again.",
        bpf::instructions(packages)
    )
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn install(packages: &[String]) -> Command {
    let mut command = apt();
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    command
}

/// Whether `apt-get update` ran within a day.
fn lists_are_fresh() -> bool {
    let Ok(lists) = fs::read_dir("/var/lib/apt/lists") else {
        return false;
    };
    lists
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().ends_with("Packages"))
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max()
        .is_some_and(|newest| {
            SystemTime::now()
                .duration_since(newest)
                .is_ok_and(|age| age < Duration::from_hours(24))
        })
}

#[cfg(test)]
mod tests {
    use super::by_hand;

    #[test]
    fn all_commands_are_told_at_once() {
        let packages = ["gcc".to_owned(), "rust-web-src".to_owned()];
        let text = by_hand(&packages, true);
        assert!(
            text.contains("sudo apt-get install --yes --no-install-recommends gcc rust-web-src\n")
        );
        assert!(text.contains("rustup toolchain install 1.95.0 --component rust-src\n"));
        assert!(text.ends_with("Then run `cargo xtask setup` again."));
        let text = by_hand(&packages[..1], false);
        assert!(text.contains("what your distribution calls them: gcc\n"));
        assert!(
            !text.contains("apt-get") && !text.contains("rustup"),
            "{text}"
        );
    }
}
