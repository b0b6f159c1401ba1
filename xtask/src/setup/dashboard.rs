//! The dashboard's front end, built when its sources changed.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{progress::Step, workspace::Workspace};

/// What is made from the sources, and so is not one.
const PRODUCTS: [&str; 3] = ["node_modules", "dist", "test-results"];

/// Installs the front end's packages and builds it.
pub fn ensure(workspace: &Workspace) -> Result<()> {
    let source = workspace.root.join("dashboard");
    if !source.join("package.json").exists() {
        return Ok(());
    }
    let deps = workspace.root.join(".deps");
    fs::create_dir_all(&deps)?;
    let installed = Stamp {
        file: deps.join("dashboard-packages.stamp"),
        value: digest(
            [
                source.join("package.json"),
                source.join("package-lock.json"),
            ]
            .iter(),
        )?,
    };
    if !source.join("node_modules").exists() || !installed.is_current() {
        let step = Step::start("dashboard: npm ci");
        step.run(npm(&source).args(["ci", "--no-audit", "--no-fund"]))?;
        installed.write()?;
        step.done();
    }
    let mut files = Vec::new();
    collect(&source, &mut files)?;
    files.sort();
    let built = Stamp {
        file: deps.join("dashboard-build.stamp"),
        value: digest(files.iter())?,
    };
    if !source.join("dist/index.html").exists() || !built.is_current() {
        let step = Step::start("dashboard: npm run build");
        step.run(npm(&source).args(["run", "build"]))?;
        built.write()?;
        step.done();
    }
    Ok(())
}

/// npm in the dashboard's directory.
pub fn npm(source: &Path) -> Command {
    let mut command = Command::new("npm");
    command
        .current_dir(source)
        .env("npm_config_update_notifier", "false");
    command
}

struct Stamp {
    file: std::path::PathBuf,
    value: String,
}

impl Stamp {
    fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text == self.value)
    }

    fn write(&self) -> Result<()> {
        fs::write(&self.file, &self.value)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if PRODUCTS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Digest over names and contents.
fn digest<'a>(files: impl Iterator<Item = &'a std::path::PathBuf>) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in files {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        hasher.update(file.as_os_str().as_encoded_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    Ok(super::hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_do_not_count_as_sources() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let root = directory.path();
        fs::create_dir_all(root.join("src"))?;
        fs::create_dir_all(root.join("node_modules/x"))?;
        fs::write(root.join("src/main.ts"), "1")?;
        fs::write(root.join("node_modules/x/index.js"), "2")?;
        let mut files = Vec::new();
        collect(root, &mut files)?;
        assert_eq!(files, [root.join("src/main.ts")]);
        let before = digest(files.iter())?;
        fs::write(root.join("src/main.ts"), "3")?;
        assert_ne!(digest(files.iter())?, before);
        Ok(())
    }
}
