//! Patterns that name a library or a source line, and what `monigo list` says about sites.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, Report,
    monigo::run,
    monigo_path, require_root,
    targets::{self, Native, PrivateCopy},
};

const USAGE: i32 = 2;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

fn calls(report: &Report, name: &str) -> Result<u64> {
    let row = report.functions.iter().find(|row| row.name == name);
    Ok(row
        .with_context(|| format!("{name} is not in {:?}", report.functions))?
        .calls)
}

/// The library is shared by two processes; only the calls of the named one count.
#[test]
fn library_functions_of_one_target() -> Result<()> {
    require_root()?;
    let (library, user) = targets::library_and_user(Native::O2)?;
    let (ours, others) = (PrivateCopy::of(&user)?, PrivateCopy::of(&user)?);
    for links in [&[][..], &["--perf-links"]] {
        let mut target = Program::start(&ours.path(), &["700"])?;
        let mut other = Program::start(&others.path(), &["300"])?;
        let path = format!("{}:library_inner", text(&library)?);
        let pid = target.pid().to_string();
        // By path: every process of the target. By PID: one.
        for named in [text(&ours.path())?, pid.as_str()] {
            let patterns = ["libwork:library_w*", &path, "use_library"];
            let monigo = Monigo::attach(named, &patterns, links)?;
            let report = if named == pid {
                other.go()?;
                let truth = target.go()?;
                let report = monigo.stop()?;
                for function in ["library_work", "library_inner"] {
                    let expected = truth.functions[function].calls;
                    ensure!(calls(&report, function)? == expected, "{report:?}");
                }
                ensure!(calls(&report, "use_library")? == 700, "{report:?}");
                report
            } else {
                let report = monigo.stop()?;
                ensure!(
                    report
                        .warnings
                        .iter()
                        .any(|text| text.contains("started later")),
                    "{:?}",
                    report.warnings
                );
                report
            };
            ensure!(report.functions.len() == 3, "{report:?}");
        }
        target.finish()?;
        other.finish()?;
    }
    Ok(())
}

/// By path, with both users running: only the target's processes are listed.
#[test]
fn library_functions_of_every_process_of_a_path() -> Result<()> {
    require_root()?;
    let (_, user) = targets::library_and_user(Native::O2)?;
    let (ours, others) = (PrivateCopy::of(&user)?, PrivateCopy::of(&user)?);
    let mut first = Program::start(&ours.path(), &["100"])?;
    let mut second = Program::start(&ours.path(), &["20"])?;
    let mut other = Program::start(&others.path(), &["3000"])?;
    let monigo = Monigo::attach(text(&ours.path())?, &["libwork.so:library_work"], &[])?;
    for program in [&mut first, &mut second, &mut other] {
        program.go()?;
    }
    let report = monigo.stop()?;
    ensure!(calls(&report, "library_work")? == 120, "{report:?}");
    for program in [first, second, other] {
        program.finish()?;
    }
    Ok(())
}

/// Before the command runs, its libraries are found as the loader will find them.
#[test]
fn library_functions_of_a_command() -> Result<()> {
    require_root()?;
    let (_, user) = targets::library_and_user(Native::O2)?;
    let program = text(&user)?;
    let start = |pattern: &str| {
        let mut command = Command::new(monigo_path()?);
        command
            .args(["run", "--headless", "--format", "json", "--fn", pattern])
            .args(["--fn", "use_library", "--", program, "50"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().context("stdin")?;
        // A monigo that refuses its arguments does not read.
        let _ = input.write_all(b"go\nexit\n");
        drop(input);
        anyhow::Ok(child.wait_with_output()?)
    };
    let output = start("libwork:library_work")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout)?;
    // What the command prints comes first.
    let json = printed
        .find("{\n")
        .or_else(|| printed.rfind("{\"target\""))
        .context("no report")?;
    let report: Report = serde_json::from_str(&printed[json..])?;
    for function in ["library_work", "use_library"] {
        ensure!(calls(&report, function)? == 50, "{report:?}");
    }
    let output = start("libother:library_work")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(USAGE), "{errors}");
    for part in [
        "'libother:library_work'",
        "no library 'libother'",
        "libwork.so",
        "libc.so.6",
    ] {
        ensure!(errors.contains(part), "{part}: {errors}");
    }
    Ok(())
}

/// Without a process, nobody can tell whose calls of a library are meant.
#[test]
fn library_functions_of_nobody() -> Result<()> {
    let (_, user) = targets::library_and_user(Native::O2)?;
    let copy = PrivateCopy::of(&user)?;
    let path = copy.path();
    run([
        "attach",
        text(&path)?,
        "--headless",
        "--fn",
        "libwork:library_work",
    ])?
    .expect_error(USAGE, &["no process runs", "libwork.so", "monigo run"])?;
    run([
        "attach",
        text(&path)?,
        "--headless",
        "--fn",
        "/no/such.so:f",
    ])?
    .expect_error(USAGE, &["/no/such.so", "no such file"])?;
    run(["list", text(&path)?, "libwork:library_*"])?;
    Ok(())
}

/// Number of the line of a target's source that holds `marker`.
fn line_of(source: &str, marker: &str) -> Result<usize> {
    let text = std::fs::read_to_string(targets::sources().join(source))?;
    let at = text.lines().position(|line| line.contains(marker));
    Ok(at.with_context(|| format!("{marker} is not in {source}"))? + 1)
}

/// A line names the function that has its code, in the target and in a library.
#[test]
fn source_lines() -> Result<()> {
    require_root()?;
    let (_, user) = targets::library_and_user(Native::O2)?;
    let copy = PrivateCopy::of(&user)?;
    let own = format!("lib/user.c:{}", line_of("lib/user.c", "library_work(x);")?);
    let library = format!("libwork:work.c:{}", line_of("lib/work.c", "return x + 2;")?);
    let mut target = Program::start(&copy.path(), &["40"])?;
    let monigo = Monigo::attach(text(&copy.path())?, &[&own, &library], &[])?;
    target.go()?;
    let report = monigo.stop()?;
    for function in ["use_library", "library_inner"] {
        ensure!(calls(&report, function)? == 40, "{report:?}");
    }
    ensure!(report.functions.len() == 2, "{report:?}");
    target.finish()
}

#[test]
fn source_lines_without_code() -> Result<()> {
    let (_, user) = targets::library_and_user(Native::O2)?;
    let path = text(&user)?;
    let attach = |path: &str, line: &str| run(["attach", path, "--headless", "--fn", line]);
    attach(path, "user.c:1")?.expect_error(USAGE, &["user.c:1", "no code", "nearest"])?;
    attach(path, "other.c:1")?.expect_error(USAGE, &["other.c:1", "file of that name"])?;
    let (_, stripped) = targets::library_and_user(Native::STRIPPED)?;
    attach(text(&stripped)?, "user.c:9")?
        .expect_error(USAGE, &["user.c:9", "no line information", "-g"])
}

/// Every site with its instruction, in the table and in JSON.
#[test]
fn sites_are_listed() -> Result<()> {
    let program = targets::c_program("instant", Native::O2)?;
    let path = text(&program)?;
    let plain = run(["list", path, "jumps_if_zero"])?.stdout;
    ensure!(!plain.contains("conditional"), "{plain}");
    let table = run(["list", "-v", path, "jumps_if_zero"])?;
    for part in [
        path,
        "entry-and-conditional-exit",
        "je ",
        "return",
        "ret",
        "single-step",
    ] {
        ensure!(table.stdout.contains(part), "{part}: {}", table.stdout);
    }
    ensure!(!table.stderr.contains("INFO"), "{}", table.stderr);
    let json: serde_json::Value =
        serde_json::from_str(&run(["list", path, "jumps_if_zero", "--format", "json"])?.stdout)?;
    ensure!(json["image"] == path, "{json}");
    let function = &json["functions"][0];
    let kinds: Vec<_> = function["sites"]
        .as_array()
        .context("sites")?
        .iter()
        .map(|site| (site["kind"].as_str(), site["cost_class"].as_str()))
        .collect();
    ensure!(
        kinds
            == [
                (Some("entry-and-conditional-exit"), Some("emulated")),
                (Some("return"), Some("single-step")),
            ],
        "{json}"
    );
    ensure!(
        function["sites"][0]["address"] == function["address"],
        "{json}"
    );
    Ok(())
}
