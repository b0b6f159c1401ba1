//! Compiles the targets on demand, once per source and flags.

use std::{
    env, fs,
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{build_directory, package};

/// How a C or C++ target is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Native {
    /// Further compiler flags.
    pub flags: &'static [&'static str],
    /// Whether symbols and debug information are removed, except what the loader needs.
    pub stripped: bool,
}

impl Native {
    /// No optimisation.
    pub const O0: Self = Self::with(&["-O0", "-g"]);
    /// Optimised, no frame pointers, position-independent: the usual release build.
    pub const O2: Self = Self::with(&["-O2", "-g", "-fomit-frame-pointer", "-pie", "-fPIE"]);
    /// A library.
    pub const O2_LIBRARY: Self = Self::with(&["-O2", "-g", "-fPIC"]);
    /// Optimised for size.
    pub const OS: Self = Self::with(&["-Os", "-g"]);
    /// Not position-independent.
    pub const NO_PIE: Self = Self::with(&["-O2", "-g", "-no-pie", "-fno-pie"]);
    /// With frame pointers.
    pub const FRAME_POINTERS: Self = Self::with(&["-O2", "-g", "-fno-omit-frame-pointer"]);
    /// With landing pads for indirect branches, as distributions build.
    pub const LANDING_PADS: Self = Self::with(&["-O2", "-g", "-fcf-protection=full"]);
    /// With a 5-byte nop at each entry.
    pub const NOP5: Self = Self::with(&[
        "-O2",
        "-g",
        "-no-pie",
        "-fno-pie",
        "-pg",
        "-mfentry",
        "-mnop-mcount",
    ]);
    /// Without symbols beyond the dynamic ones.
    pub const STRIPPED: Self = Self {
        flags: &["-O2", "-rdynamic"],
        stripped: true,
    };

    /// Optimised for size, not position-independent, without symbols beyond the dynamic ones.
    pub const SMALL_FIXED_STRIPPED: Self = Self {
        flags: &["-Os", "-no-pie", "-fno-pie", "-rdynamic"],
        stripped: true,
    };
    /// Aggressively optimised, with frame pointers, without symbols beyond the dynamic ones.
    pub const FAST_FRAME_POINTERS_STRIPPED: Self = Self {
        flags: &["-O3", "-fno-omit-frame-pointer", "-rdynamic"],
        stripped: true,
    };
    /// Not optimised, without frame pointers, not position-independent.
    pub const O0_NO_FRAME_POINTERS: Self =
        Self::with(&["-O0", "-g", "-fomit-frame-pointer", "-no-pie", "-fno-pie"]);

    /// With further flags beside these.
    pub const fn with(flags: &'static [&'static str]) -> Self {
        Self {
            flags,
            stripped: false,
        }
    }
}

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

/// A copy that only this test runs. Probes belong to a file, so tests that run the same one at
/// the same time would count each other's calls.
#[derive(Debug)]
pub struct PrivateCopy {
    directory: TempDir,
    name: std::ffi::OsString,
}

impl PrivateCopy {
    /// Copies `program`.
    pub fn of(program: &Path) -> Result<Self> {
        let copy = Self {
            directory: tempfile::tempdir()?,
            name: program.file_name().context("file name")?.to_owned(),
        };
        fs::copy(program, copy.path())?;
        Ok(copy)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }
}

/// Sources of the targets.
pub fn sources() -> PathBuf {
    package().join("targets")
}

/// The C target with all its scenarios.
pub fn c_scenarios(how: Native) -> Result<PathBuf> {
    let files = ["harness.c", "main.c", "calls.c", "endings.c"];
    native(
        "gcc",
        "scenarios",
        &files.map(|file| format!("c/{file}")),
        how,
        &["-pthread"],
    )
}

/// The C target of functions of which the compiler makes several.
pub fn c_clones(how: Native) -> Result<PathBuf> {
    let files = ["harness.c", "clones.c", "twin.c"];
    native(
        "gcc",
        "clones",
        &files.map(|file| format!("c/{file}")),
        how,
        &["-pthread"],
    )
}

/// A C target of one file beside the harness.
pub fn c_program(name: &str, how: Native) -> Result<PathBuf> {
    let files = ["c/harness.c".to_owned(), format!("c/{name}.c")];
    native("gcc", name, &files, how, &["-pthread"])
}

/// A shared library of one C file.
pub fn c_library(name: &str, how: Native) -> Result<PathBuf> {
    let files = [format!("lib/{name}.c")];
    native(
        "gcc",
        &format!("lib{name}.so"),
        &files,
        how,
        &["-shared", "-fPIC"],
    )
}

/// The C target of how calls end, with one of its variants compiled in (`-DNAME`) and the library
/// that the variant `LIBRARY` wants.
pub fn exits_program(variant: &str) -> Result<PathBuf> {
    let how = Native::O2;
    let library = native(
        "gcc",
        "libleaves.so",
        &["lib/leaves.c".to_owned()],
        how,
        &["-shared", "-fPIC"],
    )?;
    let directory = library.parent().context("library directory")?;
    let directory = directory.to_str().context("path is not UTF-8")?;
    let (define, search, path) = (
        format!("-D{variant}"),
        format!("-L{directory}"),
        format!("-Wl,-rpath,{directory}"),
    );
    let mut more = vec![define.as_str()];
    if variant == "LIBRARY" {
        more.extend([search.as_str(), "-l:libleaves.so", path.as_str()]);
    }
    let files = ["c/harness.c", "c/exits.c"].map(str::to_owned);
    native("gcc", "exits", &files, how, &more)
}

/// A C target of one file, which is valid C++, too, compiled as that.
pub fn cpp_program(name: &str, how: Native) -> Result<PathBuf> {
    let files = ["c/harness.c".to_owned(), format!("c/{name}.c")];
    native("g++", name, &files, how, &["-pthread", "-x", "c++"])
}

/// The C++ target with a known time budget.
pub fn cpp_times(how: Native) -> Result<PathBuf> {
    let flags = ["-std=c++20", "-pthread", "-x", "c++"];
    let files = ["c/harness.c", "cpp/times.cpp"].map(str::to_owned);
    native("g++", "times-cpp", &files, how, &flags)
}

/// The C++ target that goes on after calls that exceptions have left.
pub fn cpp_left(how: Native) -> Result<PathBuf> {
    let files = ["c/harness.c", "cpp/left.cpp"].map(str::to_owned);
    native("g++", "left", &files, how, &["-x", "c++"])
}

/// The C++ target with slow calls.
pub fn cpp_tail(how: Native) -> Result<PathBuf> {
    let flags = ["-std=c++20", "-pthread", "-x", "c++"];
    let files = ["c/harness.c", "cpp/tail.cpp"].map(str::to_owned);
    native("g++", "tail-cpp", &files, how, &flags)
}

/// The C++ target with C++20 coroutines.
pub fn cpp_generators(how: Native) -> Result<PathBuf> {
    let flags = ["-std=c++20", "-pthread", "-x", "c++"];
    let files = ["c/harness.c", "cpp/generators.cpp"].map(str::to_owned);
    native("g++", "generators", &files, how, &flags)
}

/// The C++ target.
pub fn cpp_exceptions(how: Native) -> Result<PathBuf> {
    let flags = ["-pthread", "-x", "c++"];
    // The harness is valid C++ too; its functions keep their C names.
    let files = ["c/harness.c", "cpp/exceptions.cpp"].map(str::to_owned);
    native("g++", "exceptions", &files, how, &flags)
}

/// The shared library, and the program that uses it.
pub fn library_and_user(how: Native) -> Result<(PathBuf, PathBuf)> {
    let library = native(
        "gcc",
        "libwork.so",
        &["lib/work.c".to_owned()],
        how,
        &["-shared", "-fPIC"],
    )?;
    let directory = library.parent().context("library directory")?;
    let directory = directory.to_str().context("path is not UTF-8")?;
    let link = [
        "-pthread",
        &format!("-L{directory}"),
        "-l:libwork.so",
        &format!("-Wl,-rpath,{directory}"),
    ];
    let files = ["c/harness.c", "lib/user.c"].map(str::to_owned);
    let user = native("gcc", "user", &files, how, &link)?;
    Ok((library, user))
}

/// To be preloaded: a time of day that a test sets.
pub fn clock() -> Result<PathBuf> {
    let files = ["lib/clock.c".to_owned()];
    native(
        "gcc",
        "libclock.so",
        &files,
        Native::O2_LIBRARY,
        &["-shared"],
    )
}

/// The Rust target.
pub fn rust_panics(flags: &[&str]) -> Result<PathBuf> {
    rust_program("panics", flags)
}

/// A Rust target of one file.
pub fn rust_program(name: &str, flags: &[&str]) -> Result<PathBuf> {
    let source = sources().join(format!("rust/{name}.rs"));
    cached(name, &[&source], &("rustc", flags), |output| {
        let mut command = Command::new("rustc");
        command
            .args(["--edition", "2024", "--crate-name", name])
            .args(flags)
            .arg("-o")
            .arg(output)
            .arg(&source);
        run(&mut command)
    })
}

/// A Rust target that cargo has built, since it needs crates.
pub fn rust_example(name: &str) -> Result<PathBuf> {
    let program = build_directory()?.join("examples").join(name);
    ensure!(
        program.exists(),
        "{} does not exist; `cargo build -p monigo-tests --example {name}` makes it",
        program.display()
    );
    Ok(program)
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

fn native(
    compiler: &str,
    name: &str,
    files: &[String],
    how: Native,
    more: &[&str],
) -> Result<PathBuf> {
    let root = sources();
    let files: Vec<PathBuf> = files.iter().map(|file| root.join(file)).collect();
    let headers = ["c/harness.h", "c/scenarios.h", "c/clones.h"].map(|file| root.join(file));
    let inputs: Vec<&Path> = files.iter().chain(&headers).map(PathBuf::as_path).collect();
    // A shared library takes no part in the choice between executable kinds.
    let flags: Vec<&str> = how
        .flags
        .iter()
        .copied()
        .filter(|flag| !more.contains(&"-shared") || !flag.contains("pie") && !flag.contains("PIE"))
        .collect();
    cached(
        name,
        &inputs,
        &(compiler, &flags, how.stripped, more),
        |output| {
            compile_and_link(compiler, &files, &flags, more, output)?;
            if how.stripped {
                run(Command::new("strip").arg(output))?;
            }
            Ok(())
        },
    )
}

/// In two steps, since `-pg` is wanted in the code and not in the start-up files, which would
/// write a profile.
fn compile_and_link(
    compiler: &str,
    files: &[PathBuf],
    flags: &[&str],
    more: &[&str],
    output: &Path,
) -> Result<()> {
    let (libraries, options): (Vec<&str>, Vec<&str>) =
        more.iter().partition(|flag| flag.starts_with("-l"));
    let mut objects = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let object = output.with_extension(format!("{index}.o"));
        let mut command = Command::new(compiler);
        command.arg("-c").args(flags).args(&options).arg(file);
        run(command.arg("-o").arg(&object))?;
        objects.push(object);
    }
    let mut command = Command::new(compiler);
    command.args(
        flags
            .iter()
            .filter(|flag| **flag != "-pg" && **flag != "-mnop-mcount"),
    );
    // `-x c++` is about sources.
    command.args(
        options
            .iter()
            .filter(|option| !matches!(**option, "-x" | "c++")),
    );
    run(command.args(&objects).args(libraries).arg("-o").arg(output))
}

/// Builds `name` unless it is there already. Tests run in processes of their own, so the first
/// takes a lock and the others wait for it.
fn cached(
    name: &str,
    inputs: &[&Path],
    how: &impl std::hash::Hash,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut key = DefaultHasher::new();
    how.hash(&mut key);
    for input in inputs {
        fs::read(input)
            .with_context(|| format!("reading {}", input.display()))?
            .hash(&mut key);
    }
    let root = match env::var_os("MONIGO_TEST_TARGETS") {
        Some(root) => PathBuf::from(root),
        None => build_directory()?
            .parent()
            .context("target directory")?
            .join("test-targets"),
    };
    let directory = root.join(format!("{name}-{:016x}", key.finish()));
    let output = directory.join(name);
    fs::create_dir_all(&directory)?;
    let lock = File::create(directory.join("lock"))?;
    lock.lock()?;
    if !output.exists() {
        let unfinished = directory.join(format!("{name}.unfinished"));
        build(&unfinished)?;
        fs::rename(&unfinished, &output)?;
    }
    Ok(output)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("running {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
