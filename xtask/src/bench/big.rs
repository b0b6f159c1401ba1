//! Large targets: a Go program with most of the standard library, and C programs with as much code
//! and DWARF as is asked for. They are made once and kept.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::targets;
use crate::{process, progress::Step, workspace::Workspace};

/// Functions that `main.bench*` matches in the large Go program.
pub const BATCH: usize = 100;
/// Changes with what is generated, so that what an older bench has left is not taken.
const EDITION: &str = "1";
/// Functions in a unit of a large C program; one unit is about 1.2 MB.
const UNIT_FUNCTIONS: usize = 2500;
/// What a unit's functions call, and what runs all the time.
const BUSY: &str = r"#include <stdint.h>
#include <unistd.h>
static volatile uint64_t sink;
__attribute__((noinline)) uint64_t work(uint64_t value) { sink = value; return sink ^ value; }
int main(void) { for (;;) { work(1); usleep(100); } }
";
const GO_MAIN: &str = "
func main() {
	// A method that is looked up by name keeps all exported methods in the program.
	for index, value := range keep {
		if len(os.Args) > index+2 {
			reflect.ValueOf(value).MethodByName(os.Args[1])
		}
	}
	for {
		work(1)
		time.Sleep(100 * time.Microsecond)
	}
}
";

/// A C program of `units` units, about 1.2 MB each.
pub fn c(directory: &Path, units: usize) -> Result<PathBuf> {
    let place = directory.join(format!("big-{EDITION}"));
    let binary = place.join(format!("c-{units}"));
    if binary.exists() {
        return Ok(binary);
    }
    let step = Step::start(format!("a C program of {units} units"));
    fs::create_dir_all(&place)?;
    let unit = place.join("unit.o");
    let busy = place.join("busy.o");
    compile(&unit, &unit_source())?;
    compile(&busy, BUSY)?;
    let scratch = tempfile::tempdir_in(&place)?;
    let mut objects = Vec::new();
    for index in 0..units {
        let object = scratch.path().join(format!("unit{index}.o"));
        process::output(
            Command::new("objcopy")
                .arg(format!("--prefix-symbols=u{index}_"))
                .args([&unit, &object]),
        )?;
        objects.push(object);
    }
    let partial = scratch.path().join("program");
    process::output(
        Command::new("gcc")
            .arg("-o")
            .args([&partial, &busy])
            .args(&objects),
    )?;
    fs::rename(&partial, &binary)?;
    step.done();
    Ok(binary)
}

fn compile(object: &Path, text: &str) -> Result<()> {
    if object.exists() {
        return Ok(());
    }
    let source = object.with_extension("c");
    fs::write(&source, text)?;
    process::output(
        Command::new("gcc")
            .args(["-O0", "-g", "-fno-pic", "-c", "-o"])
            .args([object, &source]),
    )
    .map(drop)
}

fn unit_source() -> String {
    let mut text = "typedef unsigned long u64;\n".to_owned();
    for index in 0..UNIT_FUNCTIONS {
        let _ = writeln!(
            text,
            "struct s{index} {{ u64 a, b; struct s{index} *next; char name[{}]; }};\n\
             u64 f{index}(struct s{index} *list, u64 limit) {{ u64 sum = limit; \
             for (struct s{index} *item = list; item; item = item->next) {{ \
             if (item->a > limit) sum += item->b * {index}; else sum ^= item->a; \
             item->name[0] = (char)sum; }} return sum; }}",
            index % 61 + 1
        );
    }
    text
}

/// A Go program with what the standard library exports, and 100 functions `main.bench*`.
pub fn go(workspace: &Workspace, directory: &Path) -> Result<PathBuf> {
    let place = directory.join(format!("big-{EDITION}"));
    let binary = place.join("go");
    if binary.exists() {
        return Ok(binary);
    }
    let step = Step::start("a Go program with the standard library");
    let source = place.join("go-source");
    fs::create_dir_all(&source)?;
    fs::write(source.join("go.mod"), "module big\n\ngo 1.21\n")?;
    let mut exported = exported(workspace)?;
    let partial = place.join("go.partial");
    // What stands in comments or belongs to experiments is found out by the compiler.
    for _ in 0..5 {
        fs::write(source.join("main.go"), go_source(&exported))?;
        let built = targets::go(workspace, &source, &partial);
        let Err(error) = built else {
            fs::rename(&partial, &binary)?;
            step.done();
            return Ok(binary);
        };
        let message = format!("{error:#}");
        let before = exported.len();
        exported
            .retain(|(package, name)| !message.contains(&format!("p{}.{name}", package.number)));
        if exported.len() == before {
            return Err(error);
        }
    }
    bail!("the Go program does not compile");
}

struct Package {
    path: String,
    number: usize,
}

/// Exported functions without type parameters.
fn exported(workspace: &Workspace) -> Result<Vec<(std::rc::Rc<Package>, String)>> {
    let list = process::output(
        Command::new(workspace.go())
            .args(["list", "-f"])
            .arg("{{.ImportPath}}\t{{.Dir}}\t{{range .GoFiles}}{{.}},{{end}}")
            .arg("std")
            .envs([
                ("GOTOOLCHAIN", "local"),
                ("GOPROXY", "off"),
                ("CGO_ENABLED", "0"),
            ])
            .env_remove("GOROOT"),
    )?;
    let hidden = |path: &str| {
        path.split('/')
            .any(|part| ["internal", "vendor", "cgo", "race", "simd"].contains(&part))
            || ["unsafe", "plugin", "syscall", "runtime/secret"].contains(&path)
    };
    let mut found = Vec::new();
    for (number, line) in list.lines().enumerate() {
        let mut fields = line.split('\t');
        let (Some(path), Some(directory), Some(files)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if hidden(path) {
            continue;
        }
        let package = std::rc::Rc::new(Package {
            path: path.to_owned(),
            number,
        });
        let mut names = Vec::new();
        for file in files.split(',').filter(|file| !file.is_empty()) {
            let text = fs::read(Path::new(directory).join(file))
                .with_context(|| format!("cannot read {directory}/{file}"))?;
            names.extend(
                String::from_utf8_lossy(&text)
                    .lines()
                    .filter_map(function_name),
            );
        }
        names.sort();
        names.dedup();
        found.extend(
            names
                .into_iter()
                .map(|name| (std::rc::Rc::clone(&package), name)),
        );
    }
    Ok(found)
}

/// `Name` of a line `func Name(`.
fn function_name(line: &str) -> Option<String> {
    let (name, _) = line.strip_prefix("func ")?.split_once('(')?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (plain && name.starts_with(|c: char| c.is_ascii_uppercase())).then(|| name.to_owned())
}

fn go_source(exported: &[(std::rc::Rc<Package>, String)]) -> String {
    let mut text = "package main\n\nimport (\n\t\"os\"\n\t\"reflect\"\n\t\"time\"\n".to_owned();
    let mut last = usize::MAX;
    for (package, _) in exported {
        if package.number != last {
            let _ = writeln!(text, "\tp{} \"{}\"", package.number, package.path);
            last = package.number;
        }
    }
    text.push_str(")\n\nvar sink uint64\n\n//go:noinline\nfunc work(value uint64) uint64 { sink = value; return sink ^ value }\n\nvar keep = []any{\n");
    for (package, name) in exported {
        let _ = writeln!(text, "\tp{}.{name},", package.number);
    }
    for index in 0..BATCH {
        let _ = writeln!(text, "\tbench{index:03},");
    }
    text.push_str("}\n\n");
    for index in 0..BATCH {
        let _ = writeln!(
            text,
            "//go:noinline\nfunc bench{index:03}(value uint64) uint64 {{ return work(value) + {index} }}\n"
        );
    }
    text.push_str(GO_MAIN);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_functions_are_found_by_their_line() {
        assert_eq!(
            function_name("func Open(name string) (*File, error) {").as_deref(),
            Some("Open")
        );
        assert_eq!(function_name("func open(name string) {"), None);
        assert_eq!(function_name("func (f *File) Read(b []byte) {"), None);
        assert_eq!(function_name("func Max[T any](a, b T) T {"), None);
    }
}
