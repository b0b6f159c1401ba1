//! Targets in Go.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{cached, run, sources};

/// How the Go target is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Go {
    /// Which compiler.
    pub version: GoVersion,
    /// Further flags of `go build`.
    pub flags: &'static [&'static str],
}

/// Go compilers of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GoVersion {
    /// The distribution's (1.19 on Debian 12): no `push %rbp`, other `runtime.g`.
    Distribution,
    /// 1.21.13 as set-up installs it: the first with `push %rbp` behind the stack check.
    V1_21,
    /// 1.24.11 as set-up installs it: `goid` is elsewhere in `runtime.g` than before and after.
    V1_24,
    /// 1.27.3 as set-up installs it.
    Current,
}

impl GoVersion {
    /// Its `go` command.
    pub fn compiler(self) -> Result<PathBuf> {
        let version = match self {
            Self::Distribution => return existing(PathBuf::from("/usr/bin/go")),
            Self::V1_21 => "1.21.13",
            Self::V1_24 => "1.24.11",
            Self::Current => "1.27.3",
        };
        let cache = match env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
            Some(cache) => PathBuf::from(cache),
            None => Path::new(&env::var_os("HOME").context("HOME is not set")?).join(".cache"),
        };
        existing(cache.join("monigo/go").join(version).join("go/bin/go"))
    }
}

fn existing(compiler: PathBuf) -> Result<PathBuf> {
    ensure!(
        compiler.exists(),
        "no Go compiler at {}; `cargo xtask setup` installs it",
        compiler.display()
    );
    Ok(compiler)
}

/// The Go target.
pub fn go_scenarios(how: Go) -> Result<PathBuf> {
    go_program(
        "go",
        &["go.mod", "main.go", "scenarios.go", "times.go"],
        how,
        "amd64",
    )
}

/// The Go target for another machine, which is named as Go does: `arm64`.
pub fn go_scenarios_for(architecture: &str, how: Go) -> Result<PathBuf> {
    go_program(
        "go",
        &["go.mod", "main.go", "scenarios.go", "times.go"],
        how,
        architecture,
    )
}

/// The Go target that serves HTTP to itself.
pub fn go_http(how: Go) -> Result<PathBuf> {
    go_program("gohttp", &["go.mod", "main.go"], how, "amd64")
}

/// The Go target with slow calls.
pub fn go_tail(how: Go) -> Result<PathBuf> {
    go_program("gotail", &["go.mod", "main.go"], how, "amd64")
}

/// The Go target whose stacks are compared.
pub fn go_unwinding(how: Go) -> Result<PathBuf> {
    go_program("gounwind", &["go.mod", "main.go"], how, "amd64")
}

/// The Go target that parks known numbers of goroutines.
pub fn go_parked(how: Go) -> Result<PathBuf> {
    go_program("goparked", &["go.mod", "main.go"], how, "amd64")
}

fn go_program(name: &str, files: &[&str], how: Go, architecture: &str) -> Result<PathBuf> {
    let directory = sources().join(name);
    let compiler = how.version.compiler()?;
    let files: Vec<PathBuf> = files.iter().map(|file| directory.join(file)).collect();
    let inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let name = format!("{name}-scenarios");
    cached(&name, &inputs, &(&compiler, how, architecture), |output| {
        let mut command = Command::new(&compiler);
        command
            .arg("build")
            .args(how.flags)
            .arg("-o")
            .arg(output)
            .arg(".")
            .current_dir(&directory)
            .env("GOFLAGS", "-mod=mod")
            .env("GOTOOLCHAIN", "local")
            .env("CGO_ENABLED", "0")
            .env("GOARCH", architecture)
            .env_remove("GOROOT");
        run(&mut command)
    })
}
