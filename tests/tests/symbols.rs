//! Names for code beyond the binary's own symbol table: separate debug files, code made at run time,
//! the kernel's code in user space, and files that no path leads to any more.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, monigo,
    targets::{self, Native, PrivateCopy},
};

const USAGE: i32 = 2;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

fn tool(name: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(name).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} {arguments:?}: {errors}");
    Ok(())
}

/// Moves symbols and DWARF of `program` to `debug`.
fn split(program: &Path, debug: &Path) -> Result<()> {
    let (program, debug) = (text(program)?, text(debug)?);
    tool("objcopy", &["--only-keep-debug", program, debug])?;
    tool("strip", &[program])
}

/// As [`split`], with a link from the one to the other.
fn split_with_link(program: &Path, debug: &Path) -> Result<()> {
    split(program, debug)?;
    let link = format!("--add-gnu-debuglink={}", text(debug)?);
    tool("objcopy", &[&link, text(program)?])
}

/// Where a folder of debug files has that of `program`.
fn by_build_id(folder: &Path, program: &Path) -> Result<PathBuf> {
    let output = Command::new("readelf").arg("-n").arg(program).output()?;
    let notes = String::from_utf8(output.stdout)?;
    let id = notes.split("Build ID: ").nth(1).context("a build id")?;
    let id = id.split_whitespace().next().context("a build id")?;
    let (first, rest) = id.split_at(2);
    let directory = folder.join(".build-id").join(first);
    fs::create_dir_all(&directory)?;
    Ok(directory.join(format!("{rest}.debug")))
}

/// A frame as recorded.
#[derive(Debug)]
struct Frame {
    function: String,
    image: String,
    file: String,
    line: String,
}

fn frames(db: &str) -> Result<Vec<Frame>> {
    let sql =
        "SELECT function, image, coalesce(file, '') AS file, coalesce(line, 0) AS line FROM frames";
    let outcome = monigo::run(["query", "--db", db, sql, "--format", "csv"])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    let rows = outcome.stdout.lines().skip(1).map(|row| {
        let mut fields = row.split(',').map(str::to_owned);
        let mut next = || fields.next().context("a field");
        Ok(Frame {
            function: next()?,
            image: next()?,
            file: next()?,
            line: next()?,
        })
    });
    rows.collect()
}

/// Traces `functions` of a program that waits to be told to go, to its end, and returns the frames.
fn record(mut program: Program, functions: &[&str], more: &[&str]) -> Result<Vec<Frame>> {
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("symbols.duckdb");
    let db = text(&db)?;
    let pid = program.pid().to_string();
    let mut options = vec!["--db", db, "--sample-rate", "1"];
    options.extend(more);
    let monigo = Monigo::attach(&pid, functions, &options)?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    for function in functions {
        let calls = report.function(function)?.calls;
        ensure!(calls == truth.functions[*function].calls, "{report:?}");
    }
    frames(db)
}

fn expect(frames: &[Frame], function: &str, image: &str, file: &str) -> Result<()> {
    let found = frames.iter().any(|frame| {
        let place = file.is_empty() || frame.file.ends_with(file) && frame.line != "0";
        frame.function == function && frame.image.ends_with(image) && place
    });
    ensure!(found, "no {function} of {image} in {file}: {frames:#?}");
    Ok(())
}

#[test]
fn a_stripped_program_with_a_link_to_its_debug_file() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::FRAME_POINTERS)?)?;
    let path = copy.path();
    split_with_link(&path, &path.with_extension("dbg"))?;
    let program = Program::start(&path, &["calls", "2", "50"])?;
    let frames = record(program, &["leaf", "caller"], &[])?;
    expect(&frames, "leaf", "scenarios", "calls.c")?;
    expect(&frames, "caller", "scenarios", "calls.c")?;
    expect(&frames, "call_many", "scenarios", "calls.c")
}

#[test]
fn a_stripped_cpp_program_with_a_folder_of_debug_files() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::cpp_exceptions(Native::O2)?)?;
    let path = copy.path();
    let folder = tempfile::tempdir()?;
    split(&path, &by_build_id(folder.path(), &path)?)?;
    let alone = monigo_tests::compare::run_alone(&path, &["10", "100", "3"])?;
    let functions: Vec<&str> = alone.functions.keys().map(String::as_str).collect();
    let image = text(&path)?;

    // Without the folder, the functions have no names.
    let outcome = monigo::run(["list", image, functions[0]])?;
    outcome.expect_error(USAGE, &[functions[0]])?;

    let mut program = Program::start(&path, &["10", "100", "3"])?;
    let monigo = Monigo::attach(image, &functions, &["--debug-dir", text(folder.path())?])?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    monigo_tests::compare::compare(&truth, &report)
}

/// An address of one build means nothing in another.
#[test]
fn a_debug_file_of_another_build_is_refused() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let folder = tempfile::tempdir()?;
    let other = by_build_id(folder.path(), &path)?;
    let debug = path.with_extension("dbg");
    split_with_link(&path, &debug)?;
    let unoptimised = targets::c_scenarios(Native::O0)?;
    for place in [&debug, &other] {
        tool(
            "objcopy",
            &["--only-keep-debug", text(&unoptimised)?, text(place)?],
        )?;
    }
    let folder = text(folder.path())?;
    let image = text(&path)?;
    let outcome = monigo::run(["list", image, "leaf", "--debug-dir", folder])?;
    outcome.expect_error(
        USAGE,
        &["leaf", "another build", text(&debug)?, text(&other)?],
    )?;
    let arguments = [
        "attach",
        image,
        "--fn",
        "leaf",
        "--debug-dir",
        folder,
        "--headless",
    ];
    monigo::run(arguments)?.expect_error(USAGE, &["leaf", "another build"])?;
    let arguments = ["list", image, "leaf", "--debug-dir", "/no/such/folder"];
    monigo::run(arguments)?.expect_error(USAGE, &["/no/such/folder"])
}

/// The program that is called back by a library, and the library, stripped, with its debug file
/// beside it.
fn loading() -> Result<(PathBuf, PrivateCopy)> {
    monigo_tests::require_root()?;
    let library = PrivateCopy::of(&targets::c_library("back", Native::FRAME_POINTERS)?)?;
    let debug = library.path().with_extension("dbg");
    split_with_link(&library.path(), &debug)?;
    let program = targets::c_program("loads", Native::FRAME_POINTERS)?;
    Ok((program, library))
}

fn expect_library(frames: &[Frame]) -> Result<()> {
    expect(frames, "hidden_step", "libback.so", "back.c")?;
    expect(frames, "call_back", "libback.so", "back.c")?;
    expect(frames, "main", "loads", "loads.c")
}

#[test]
fn frames_of_a_library_with_a_debug_file() -> Result<()> {
    let (program, library) = loading()?;
    let program = PrivateCopy::of(&program)?;
    let running = Program::start(&program.path(), &[text(&library.path())?])?;
    expect_library(&record(running, &["called_back"], &[])?)
}

/// As after an update of a package.
#[test]
fn frames_of_a_library_and_a_program_that_were_deleted() -> Result<()> {
    let (program, library) = loading()?;
    let program = PrivateCopy::of(&program)?;
    let running = Program::start(&program.path(), &[text(&library.path())?])?;
    fs::remove_file(library.path())?;
    fs::remove_file(program.path())?;
    expect_library(&record(running, &["called_back"], &[])?)
}

/// As in a container: the path leads to the library, and to its debug file, for the process only.
#[test]
fn frames_of_a_library_in_another_mount_namespace() -> Result<()> {
    let (program, library) = loading()?;
    let program = PrivateCopy::of(&program)?;
    let private = tempfile::tempdir()?;
    let debug = library.path().with_extension("dbg");
    let script =
        "mount -t tmpfs none \"$1\" && cp \"$2\" \"$3\" \"$1\" && exec \"$4\" \"$1/libback.so\"";
    let (folder, library, program) = (private.path(), library.path(), program.path());
    let words = [folder, &library, &debug, &program].map(text);
    let mut arguments = vec!["-m", "sh", "-c", script, "sh"];
    for word in words {
        arguments.push(word?);
    }
    let running = Program::start(Path::new("/usr/bin/unshare"), &arguments)?;
    ensure!(
        !folder.join("libback.so").exists(),
        "it is visible here, too"
    );
    expect_library(&record(running, &["called_back"], &[])?)
}

/// JavaScript functions between C++ and C ones, named by the map that Node writes.
#[test]
fn node_names_its_functions() -> Result<()> {
    monigo_tests::require_root()?;
    let node = Path::new("/usr/bin/node");
    let script = targets::sources().join("node/shop.js");
    // The map is all that is wanted of it.
    let options = [
        "--perf-basic-prof",
        "--no-logfile-per-isolate",
        "--logfile=/dev/null",
    ];
    let mut program = Program::start(node, &[&options[..], &[text(&script)?, "200"]].concat())?;
    let pid = program.pid().to_string();
    // Part of the program, or of a library of its own.
    let own = monigo::run(["list", &pid, "uv_fs_stat"])?.status == Some(0);
    let function = if own {
        "uv_fs_stat"
    } else {
        "libuv:uv_fs_stat"
    };
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("node.duckdb");
    let db = text(&db)?;
    let monigo = Monigo::attach(&pid, &[function], &["--db", db, "--sample-rate", "1"])?;
    let truth = program.go()?;
    let report = monigo.stop()?;
    program.finish()?;
    let calls = report.function("uv_fs_stat")?.calls;
    ensure!(
        i64::try_from(calls)? >= truth.values["reads"],
        "{calls} of {truth:?}"
    );
    let sql = "SELECT string_agg(f.function, '<' ORDER BY sf.depth)
               FROM (SELECT DISTINCT stack_id FROM calls) s
               JOIN stack_frames sf USING (stack_id) JOIN frames f USING (frame_id) GROUP BY s.stack_id";
    let outcome = monigo::run(["query", "--format", "csv", "--db", db, sql])?;
    // Names have a mark for how the code was compiled, and the place behind them.
    let whole = |stack: &&str| {
        let of = |name: &str| stack.find(name);
        let chain = [
            of("uv_fs_stat"),
            of("node::fs::"),
            of("readStock "),
            of("handleOrder "),
        ];
        chain.iter().all(Option::is_some) && chain.is_sorted() && stack.contains("shop.js:")
    };
    ensure!(
        outcome.stdout.lines().any(|stack| whole(&stack)),
        "{}",
        outcome.stdout
    );
    Ok(())
}

#[cfg(target_arch = "x86_64")]
#[test]
fn code_made_while_running_and_code_of_the_kernel() -> Result<()> {
    monigo_tests::require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("jit", Native::FRAME_POINTERS)?)?;
    // Its callers are beyond the code that was made.
    for exit in ["ret", "uretprobe"] {
        let program = Program::start(&copy.path(), &["200"])?;
        let frames = record(program, &["from_jit"], &["--exit-probe", exit])?;
        let of_exit = || format!("ends seen by {exit}");
        expect(&frames, "JS:*made_while_running shop.js:12", "[jit]", "").with_context(of_exit)?;
        expect(&frames, "main", "jit", "jit.c").with_context(of_exit)?;
    }
    let program = Program::start(&copy.path(), &["200"])?;
    let frames = record(program, &["reads_clock"], &["--cpu-hz", "499"])?;
    let clock = |frame: &Frame| frame.image == "[vdso]" && frame.function.contains("clock_gettime");
    ensure!(frames.iter().any(clock), "{frames:#?}");
    Ok(())
}
