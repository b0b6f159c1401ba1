//! Targets in C and C++.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{cached, run, sources};

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
