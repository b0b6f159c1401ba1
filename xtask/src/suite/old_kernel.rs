//! The stage that boots an old kernel in an emulator: nothing else tells what its verifier thinks of
//! the kernel programs, and whether links as they were before Linux 6.6 count exactly.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::tally::{Reader, Tally, counted};
use crate::{process, workspace::Workspace};

/// Depends on the distribution's newest kernel without drivers for real hardware.
const KERNEL: &str = "linux-image-cloud-amd64";
/// From here on kernels are like the one that the other tests run on: they have `uprobe_multi`.
const TOO_NEW: (u32, u32) = (6, 6);
const PROGRAMS: [(&str, &str); 2] = [
    ("qemu-system-x86", "qemu-system-x86_64"),
    ("busybox-static", "busybox"),
];

/// Runs the test, or says why it cannot be run here.
pub fn run(workspace: &Workspace) -> Result<Tally> {
    let kernel = match prepare(workspace) {
        Ok(kernel) => kernel,
        Err(reason) => {
            eprintln!("skipped: {reason:#}");
            return Ok(Tally::default());
        }
    };
    eprintln!("booting {}", kernel.display());
    counted(
        workspace
            .cargo()
            .args(["nextest", "run", "--color", "never"])
            .args(["--test", "old_kernel"])
            .args(["--run-ignored", "only"])
            .env("MONIGO_BIN", workspace.monigo())
            .env("MONIGO_OLD_KERNEL", kernel),
        Reader::Nextest,
    )
}

/// The kernel, once it and the emulator are there.
fn prepare(workspace: &Workspace) -> Result<PathBuf> {
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(_, program)| process::which(program).is_none())
        .map(|(package, _)| package)
        .collect();
    if !missing.is_empty() {
        process::output(
            Command::new("apt-get")
                .args(["install", "-y", "-q", "--no-install-recommends"])
                .args(&missing)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
        .with_context(|| format!("installing {}", missing.join(" and ")))?;
    }
    let package = package()?;
    let directory = workspace.cache.join("kernel").join(&package);
    if image(&directory).is_none() {
        download(&package, &directory).with_context(|| format!("fetching {package}"))?;
    }
    image(&directory).with_context(|| format!("{package} has no kernel"))
}

/// The package with the kernel itself.
fn package() -> Result<String> {
    let depends = process::output(Command::new("apt-cache").args(["depends", KERNEL]))
        .with_context(|| format!("looking for {KERNEL}"))?;
    let mut words = depends.split_whitespace();
    let package = words.find(|word| word.starts_with("linux-image-") && *word != KERNEL);
    let package = package.with_context(|| format!("{KERNEL} depends on no kernel"))?;
    match version(package) {
        Some(version) if version < TOO_NEW => Ok(package.to_owned()),
        _ => bail!("{package}, the distribution's kernel, is not older than Linux 6.6"),
    }
}

/// `linux-image-6.1.0-56-cloud-amd64` is of Linux 6.1.
fn version(package: &str) -> Option<(u32, u32)> {
    let mut parts = package.strip_prefix("linux-image-")?.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn download(package: &str, directory: &Path) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    process::output(
        Command::new("apt-get")
            .args(["download", "-q", package])
            .current_dir(&temporary),
    )?;
    let mut files = fs::read_dir(&temporary)?.filter_map(Result::ok);
    let archive = files.find(|file| file.path().extension().is_some_and(|end| end == "deb"));
    let archive = archive.context("no package came")?.path();
    let content = temporary.path().join("content");
    process::output(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(archive)
            .arg(&content),
    )?;
    let kernel = image(&content.join("boot")).context("no kernel in it")?;
    fs::create_dir_all(directory)?;
    // Its name last, so that half a file is not taken for a kernel.
    let unfinished = directory.join("unfinished");
    fs::copy(&kernel, &unfinished)?;
    fs::rename(
        unfinished,
        directory.join(kernel.file_name().context("name")?),
    )?;
    Ok(())
}

fn image(directory: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let mut names = files.map(|file| file.path());
    names.find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("vmlinuz-"))
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_of_kernel_packages() {
        assert_eq!(version("linux-image-6.1.0-56-cloud-amd64"), Some((6, 1)));
        assert_eq!(
            version("linux-image-6.12.107+deb12-cloud-amd64"),
            Some((6, 12))
        );
        assert_eq!(version("linux-image-cloud-amd64"), None);
    }
}
