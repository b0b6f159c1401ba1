//! How long it takes from starting monigo until there is a number to look at.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{
    Bench, big,
    figure::{Figures, Metric},
    targets::Running,
    tool::Tool,
};

/// Name of the case.
pub const NAME: &str = "start";
/// From the start until the number.
pub const FIRST: Metric = Metric {
    name: "start to first number",
    unit: "ms",
};
/// How long calls are counted before that.
pub const WINDOW: Duration = Duration::from_millis(100);

const LIMIT: Duration = Duration::from_mins(1);

/// Measures with small and large binaries.
pub fn run(bench: &Bench) -> Result<Figures> {
    fs::create_dir_all(&bench.directory)?;
    let mut figures = Figures::new(NAME);
    let mut targets: Vec<(&str, Result<PathBuf>)> = vec![
        ("C, 2 MB", big::c(&bench.directory, 2)),
        ("C, 20 MB", big::c(&bench.directory, 18)),
        ("Go, 20 MB", big::go(bench.workspace, &bench.directory)),
    ];
    targets.push(("C, 200 MB", big::c(&bench.directory, 180)));
    let rounds = if bench.quick { 1 } else { 5 };
    for (name, binary) in targets {
        eprintln!("    {name}");
        let measured = binary.and_then(|binary| {
            let target = Running::start(&mut Command::new(&binary))?;
            let pattern = if name.starts_with("Go") {
                "main.work"
            } else {
                "work"
            };
            let mut monigo = Vec::new();
            let mut peer = Vec::new();
            for _ in 0..rounds {
                monigo.push(with_monigo(bench, &binary, target.pid(), pattern)?);
                peer.push(with_bpftrace(&binary, target.pid(), pattern));
            }
            let bytes = fs::metadata(&binary)?.len();
            let note = format!(
                "{:.1} MB; includes {} ms in which calls are counted",
                bytes as f64 / 1e6,
                WINDOW.as_millis()
            );
            figures.add(name, "monigo", FIRST, &monigo).note = Some(note);
            match peer.into_iter().collect::<Result<Vec<f64>>>() {
                Ok(times) => {
                    figures.add(name, "bpftrace, count on entry", FIRST, &times);
                }
                Err(error) => figures.miss(name, "bpftrace, count on entry", FIRST, &error),
            }
            Ok(())
        });
        if let Err(error) = measured {
            figures.miss(name, "monigo", FIRST, &error);
        }
    }
    Ok(figures)
}

fn with_monigo(bench: &Bench, binary: &Path, pid: u32, pattern: &str) -> Result<f64> {
    let window = format!("{}ms", WINDOW.as_millis());
    let tool = Tool::start(
        bench
            .monigo
            .attach(binary, pid)
            .args(["--fn", pattern, "--duration", &window])
            .stdin(Stdio::null()),
    )?;
    let end = tool.finish(LIMIT)?;
    let summary: Value = serde_json::from_str(&end.output)?;
    let calls = summary["functions"][0]["calls"]
        .as_u64()
        .unwrap_or_default();
    ensure!(calls > 0, "monigo counted no calls");
    // The summary is the last thing it prints.
    Ok(end.took.as_secs_f64() * 1e3)
}

fn with_bpftrace(binary: &Path, pid: u32, pattern: &str) -> Result<f64> {
    let program = format!(
        "uprobe:{}:\"{pattern}\" {{ @calls = count(); }} interval:ms:{} {{ exit(); }}",
        binary.display(),
        WINDOW.as_millis()
    );
    let tool =
        Tool::start(Command::new("bpftrace").args(["-p", &pid.to_string(), "-e", &program]))?;
    let end = tool.finish(LIMIT)?;
    ensure!(
        end.output
            .lines()
            .any(|line| line.starts_with("@calls: ") && line != "@calls: 0"),
        "bpftrace counted no calls"
    );
    Ok(end.took.as_secs_f64() * 1e3)
}
