//! Every mistake has its message and its exit status: 1 failed while running, 2 wrong usage or
//! nothing to attach to, 77 the host does not allow it.

use std::{
    fs,
    io::Read as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program,
    monigo::{Outcome, run},
    monigo_path, require_root,
    targets::{self, Native},
};

const USAGE: i32 = 2;
const FAILED: i32 = 1;
const NOT_ALLOWED: i32 = 77;

fn attach(target: &str, more: &[&str]) -> Result<Outcome> {
    let mut arguments = vec!["attach", target, "--headless", "--duration", "1s"];
    arguments.extend(more);
    run(arguments)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

/// A program with functions of every awkward kind.
fn hidden() -> Result<PathBuf> {
    targets::c_program("hidden", Native::O2)
}

fn temporary(name: &str, content: &[u8]) -> Result<(tempfile::TempDir, PathBuf)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join(name);
    fs::write(&path, content)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok((directory, path))
}

#[test]
fn no_such_file() -> Result<()> {
    attach("/no/such/file", &["--fn", "f"])?.expect_error(USAGE, &["/no/such/file", "no such file"])
}

#[test]
fn no_such_process_name() -> Result<()> {
    attach("no-process-has-this-name", &["--fn", "f"])?
        .expect_error(USAGE, &["no-process-has-this-name"])
}

#[test]
fn a_directory() -> Result<()> {
    attach("/usr", &["--fn", "f"])?.expect_error(USAGE, &["/usr", "directory"])
}

#[test]
fn not_an_elf() -> Result<()> {
    let (_keep, path) = temporary(
        "notes.txt",
        b"just some text, long enough to have a header\n",
    )?;
    attach(text(&path)?, &["--fn", "f"])?.expect_error(USAGE, &["notes.txt", "ELF"])
}

#[test]
fn an_empty_file() -> Result<()> {
    let (_keep, path) = temporary("empty", b"")?;
    attach(text(&path)?, &["--fn", "f"])?.expect_error(USAGE, &["empty", "executable or library"])
}

#[test]
fn half_an_elf() -> Result<()> {
    let whole = fs::read(hidden()?)?;
    let (_keep, path) = temporary("half", &whole[..whole.len() / 2])?;
    attach(text(&path)?, &["--fn", "first_user"])?.expect_error(USAGE, &["half"])
}

#[test]
fn another_architecture() -> Result<()> {
    let mut whole = fs::read(hidden()?)?;
    // `e_machine`: 183 is AArch64.
    whole[18..20].copy_from_slice(&183u16.to_le_bytes());
    let (_keep, path) = temporary("foreign", &whole)?;
    attach(text(&path)?, &["--fn", "first_user"])?
        .expect_error(USAGE, &["foreign", "arm64", "x86-64"])
}

#[test]
fn a_script() -> Result<()> {
    let (_keep, path) = temporary("script.py", b"#!/usr/bin/env python3\nprint(1)\n")?;
    attach(text(&path)?, &["--fn", "f"])?.expect_error(USAGE, &["script", "python3"])
}

#[test]
fn no_symbols() -> Result<()> {
    let plain = Native {
        flags: &["-O2"],
        stripped: true,
    };
    let path = targets::c_program("latency", plain)?;
    attach(text(&path)?, &["--fn", "spins"])?.expect_error(USAGE, &["symbol"])
}

#[test]
fn pattern_matches_nothing() -> Result<()> {
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "handle_requset"])?
        .expect_error(USAGE, &["handle_requset", "handle_request"])
}

#[test]
fn several_functions_without_all() -> Result<()> {
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "handle_*"])?
        .expect_error(USAGE, &["handle_request", "handle_response", "--all"])
}

#[test]
fn a_broken_regular_expression() -> Result<()> {
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "/handle_(/"])?.expect_error(USAGE, &["/handle_(/"])
}

#[test]
fn a_resolver() -> Result<()> {
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "chosen_at_load"])?
        .expect_error(USAGE, &["chosen_at_load", "IFUNC"])
}

#[test]
fn an_inlined_function() -> Result<()> {
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "inlined_everywhere"])?
        .expect_error(USAGE, &["inlined_everywhere", "inlined", "2 callers"])
}

#[test]
fn a_function_that_cannot_be_planned() -> Result<()> {
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "mixed_function"])?
        .expect_error(USAGE, &["mixed_function", "data among the instructions"])
}

/// What is left out of a session is in its report.
#[test]
fn one_of_two_that_cannot_be_planned() -> Result<()> {
    require_root()?;
    let path = hidden()?;
    let report = Monigo::attach(text(&path)?, &["first_user", "mixed_function"], &[])?.stop()?;
    ensure!(report.functions.len() == 1, "{:?}", report.functions);
    let said = report.warnings.iter().any(|line| {
        line.contains("mixed_function") && line.contains("data among the instructions")
    });
    ensure!(said, "not in the warnings: {:?}", report.warnings);
    Ok(())
}

#[test]
fn list_says_why() -> Result<()> {
    let path = hidden()?;
    let outcome = run(["list", text(&path)?])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    for part in [
        "first_user",
        "IFUNC",
        "inlined into 2",
        "data among the instructions",
    ] {
        ensure!(outcome.stdout.contains(part), "{part}:\n{}", outcome.stdout);
    }
    Ok(())
}

#[test]
fn an_imported_function() -> Result<()> {
    let (_, user) = targets::library_and_user(Native::O2)?;
    attach(text(&user)?, &["--fn", "library_work"])?
        .expect_error(USAGE, &["library_work", "libwork.so"])
}

#[test]
fn pid_that_is_gone() -> Result<()> {
    let mut child = Command::new("true").spawn()?;
    let pid = child.id().to_string();
    child.wait()?;
    attach(&pid, &["--fn", "f"])?.expect_error(USAGE, &[&pid, "no such process"])?;
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "first_user", "--pid", &pid])?
        .expect_error(USAGE, &[&pid, "no such process"])
}

#[test]
fn a_zombie() -> Result<()> {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn()?;
    // The end of its output is not yet its end: wait for the exit without reaping it.
    let mut rest = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut rest)?;
    }
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let mut information = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: `information` is large enough; WNOWAIT leaves the zombie alone.
    let waited = unsafe {
        libc::waitid(
            libc::P_PID,
            pid.as_raw() as libc::id_t,
            information.as_mut_ptr(),
            libc::WEXITED | libc::WNOWAIT,
        )
    };
    ensure!(waited == 0, "waitid failed");
    let outcome = attach(&pid.to_string(), &["--fn", "main"])?;
    child.wait()?;
    outcome.expect_error(USAGE, &[&pid.to_string(), "zombie"])
}

#[test]
fn not_root() -> Result<()> {
    require_root()?;
    let path = hidden()?;
    // A copy that anybody may execute, in a place that anybody may reach.
    let directory = tempfile::Builder::new()
        .prefix("monigo-")
        .tempdir_in("/tmp")?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let program = directory.path().join("monigo");
    let target = directory.path().join("target");
    fs::copy(monigo_path()?, &program)?;
    fs::copy(&path, &target)?;
    let libraries = needed_libraries(&monigo_path()?, directory.path())?;
    let output = Command::new(&program)
        .args(["attach", text(&target)?, "--headless", "--fn", "first_user"])
        .env("LD_LIBRARY_PATH", libraries)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .uid(65534)
        .gid(65534)
        .output()?;
    let outcome = Outcome {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    outcome.expect_error(NOT_ALLOWED, &["CAP_BPF", "sudo"])
}

/// Copies the libraries that are not in a place of the system to where anybody may read them.
fn needed_libraries(program: &Path, directory: &Path) -> Result<PathBuf> {
    let output = Command::new("ldd").arg(program).output()?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) else {
            continue;
        };
        let library = Path::new(library);
        if !library.starts_with("/lib") && !library.starts_with("/usr/lib") {
            let name = library.file_name().context("library name")?;
            fs::copy(library, directory.join(name))?;
        }
    }
    Ok(directory.to_owned())
}

#[test]
fn target_replaced_while_running() -> Result<()> {
    require_root()?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("target");
    fs::copy(targets::c_scenarios(Native::O2)?, &path)?;
    let mut target = Program::start(&path, &["calls", "2", "100"])?;
    fs::remove_file(&path)?;
    fs::copy(hidden()?, &path)?;
    // The process still runs the deleted file: a PID means what it runs.
    let monigo = Monigo::attach(&target.pid().to_string(), &["leaf"], &[])?;
    let truth = target.go()?;
    let report = monigo.stop()?;
    let calls = truth.functions["leaf"].calls;
    ensure!(report.functions[0].calls == calls, "{:?}", report.functions);
    ensure!(
        report
            .warnings
            .iter()
            .any(|line| line.contains("deleted") || line.contains("replaced")),
        "no warning: {:?}",
        report.warnings
    );
    target.finish()
}

#[test]
fn database_that_is_a_device() -> Result<()> {
    require_root()?;
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "first_user", "--db", "/dev/full"])?
        .expect_error(USAGE, &["/dev/full"])
}

#[test]
fn database_in_a_missing_directory() -> Result<()> {
    let path = hidden()?;
    attach(
        text(&path)?,
        &["--fn", "first_user", "--db", "/no/such/dir/file.duckdb"],
    )?
    .expect_error(USAGE, &["/no/such/dir"])
}

#[test]
fn database_that_is_none() -> Result<()> {
    let noise = vec![0x5a; 20_000];
    let (_keep, file) = temporary("broken.duckdb", &noise)?;
    let path = hidden()?;
    attach(text(&path)?, &["--fn", "first_user", "--db", text(&file)?])?
        .expect_error(USAGE, &["broken.duckdb", "not a DuckDB database"])?;
    ensure!(fs::read(&file)? == noise, "the file was changed");
    run(["report", "--db", text(&file)?])?
        .expect_error(USAGE, &["broken.duckdb", "not a DuckDB database"])
}

#[test]
fn database_in_use() -> Result<()> {
    require_root()?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("busy.duckdb");
    let path = hidden()?;
    let first = Monigo::attach(text(&path)?, &["first_user"], &["--db", text(&file)?])?;
    let pid = first.pid().to_string();
    attach(text(&path)?, &["--fn", "second_user", "--db", text(&file)?])?
        .expect_error(FAILED, &["busy.duckdb", &pid])?;
    first.stop()?;
    Ok(())
}

#[test]
fn database_that_is_missing() -> Result<()> {
    for command in ["report", "query"] {
        let mut arguments = vec![command, "--db", "/no/such/file.duckdb"];
        if command == "query" {
            arguments.push("SELECT 1");
        }
        run(arguments)?.expect_error(USAGE, &["/no/such/file.duckdb"])?;
    }
    Ok(())
}

#[test]
fn port_in_use() -> Result<()> {
    require_root()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let path = hidden()?;
    run([
        "attach",
        text(&path)?,
        "--fn",
        "first_user",
        "--no-tui",
        "--duration",
        "1s",
        "--port",
        &port,
    ])?
    .expect_error(USAGE, &[&port, "in use", "--port"])
}

#[test]
fn invalid_options() -> Result<()> {
    for (option, value) in [
        ("--duration", "30"),
        ("--duration", "0s"),
        ("--duration", "5 parsecs"),
        ("--flush", "1ms"),
        ("--flush", "11m"),
        ("--retention", "-7d"),
        ("--sample-rate", "0"),
        ("--sample-rate", "many"),
        ("--max-calls", "0"),
        ("--port", "65536"),
        ("--port", "http"),
        ("--listen", "localhost:80"),
        ("--pid", "0"),
        ("--output", "picture.bmp"),
        ("--stacks", "magic"),
    ] {
        let argument = format!("{option}={value}");
        run(["attach", "/bin/true", "--fn", "main", &argument])?
            .expect_error(USAGE, &[option, value])
            .with_context(|| argument.clone())?;
    }
    Ok(())
}

#[test]
fn nothing_asked_for() -> Result<()> {
    run(["attach", "/bin/true"])?.expect_error(USAGE, &["--fn"])?;
    run(["run", "--fn", "main", "--"])?.expect_error(USAGE, &["CMD"])?;
    run([
        "run",
        "--headless",
        "--fn",
        "main",
        "--",
        "/no/such/command",
    ])?
    .expect_error(USAGE, &["/no/such/command"])
}
