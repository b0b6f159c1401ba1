//! `cargo xtask bench`: what a probe adds to a call, as ratios measured side by side.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::{
    build,
    demo::as_root,
    process::{self, Guard},
    setup::{self, Scope},
    workspace::Workspace,
};

const FUNCTION: &str = "work";
/// Calls of the rounds that wait for a probe to be in place.
const TRIAL_CALLS: u64 = 1000;
/// A probed call is slower than this many plain ones.
const PROBED_FACTOR: u64 = 20;
const ATTACH_LIMIT: Duration = Duration::from_mins(1);
/// Measurements of each case; the fastest counts, since noise only adds.
const ROUNDS: usize = 3;

/// Measures and prints a table.
pub fn run(workspace: &Workspace, calls: u64) -> Result<()> {
    setup::run(workspace, Scope::Bench)?;
    let monigo = build::compile(workspace)?;
    let binary = compile_target(workspace)?;
    let mut target = Target::start(&binary)?;
    let plain = target.best(calls)?;

    let program = |actions: &[(&str, &str)]| {
        actions
            .iter()
            .map(|(kind, action)| format!("{kind}:{}:{FUNCTION} {action}", binary.display()))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let bpftrace = |script: String| {
        let mut command = Command::new("bpftrace");
        command
            .arg("-p")
            .arg(target.pid.to_string())
            .args(["-e", &script]);
        command
    };
    let mut attach = as_root(&monigo)?;
    attach
        .arg("attach")
        .arg(&binary)
        .args(["--pid", &target.pid.to_string(), "--fn", FUNCTION])
        .arg("--headless");
    let cases = [
        ("empty entry probe", bpftrace(program(&[("uprobe", "{ }")]))),
        (
            "empty entry and return probes",
            bpftrace(program(&[("uprobe", "{ }"), ("uretprobe", "{ }")])),
        ),
        ("monigo (count, histogram, samples)", attach),
        (
            "bpftrace histogram of latency",
            bpftrace(program(&[
                ("uprobe", "{ @start[tid] = nsecs; }"),
                (
                    "uretprobe",
                    "/@start[tid]/ { @ns = hist(nsecs - @start[tid]); delete(@start[tid]); }",
                ),
            ])),
        ),
    ];

    println!("{calls} calls of a {plain:.1} ns function; the fastest of {ROUNDS} rounds");
    println!("{:<38} {:>14} {:>8}", "probe", "added ns/call", "ratio");
    let mut reference = None;
    for (name, mut command) in cases {
        let added = target.best_under(&mut command, calls, plain)? - plain;
        let base = *reference.get_or_insert(added);
        println!("{name:<38} {added:>14.0} {:>8.2}", added / base);
    }
    Ok(())
}

fn compile_target(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target.join("bench");
    std::fs::create_dir_all(&directory)?;
    let binary = directory.join("target");
    process::run(
        Command::new("gcc")
            .args(["-O1", "-g", "-fno-omit-frame-pointer", "-o"])
            .arg(&binary)
            .arg(workspace.root.join("xtask/bench/target.c")),
    )?;
    Ok(binary)
}

/// The measured program; it works when told to.
struct Target {
    _process: Guard,
    pid: u32,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Target {
    fn start(binary: &Path) -> Result<Self> {
        let mut process = Guard::spawn(
            Command::new(binary)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        Ok(Self {
            pid: process.pid(),
            stdin: process.0.stdin.take().context("stdin is piped")?,
            stdout: BufReader::new(process.0.stdout.take().context("stdout is piped")?),
            _process: process,
        })
    }

    /// Nanoseconds a call, over `calls` calls.
    fn measure(&mut self, calls: u64) -> Result<f64> {
        writeln!(self.stdin, "{calls}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let total_ns: u64 = line.trim().parse().context("the target ended")?;
        Ok(total_ns as f64 / calls as f64)
    }

    fn best(&mut self, calls: u64) -> Result<f64> {
        self.measure(calls)?;
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            best = best.min(self.measure(calls)?);
        }
        Ok(best)
    }

    /// The same while a tool is attached, which the speed of calls itself shows.
    fn best_under(&mut self, tool: &mut Command, calls: u64, plain: f64) -> Result<f64> {
        let what = process::describe(tool);
        let mut tool = Guard::spawn(
            tool.stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        let deadline = Instant::now() + ATTACH_LIMIT;
        while self.measure(TRIAL_CALLS)? < plain * PROBED_FACTOR as f64 {
            if let Ok(Some(status)) = tool.0.try_wait() {
                bail!("{what} ended with {status} before it had attached");
            }
            if Instant::now() > deadline {
                bail!("{what} did not attach within {ATTACH_LIMIT:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        // Several probes are not in place at one moment.
        thread::sleep(Duration::from_secs(1));
        let best = self.best(calls)?;
        tool.signal(Signal::SIGINT);
        tool.wait(ATTACH_LIMIT)
            .with_context(|| format!("{what} did not end"))?;
        Ok(best)
    }
}
