//! How long it takes from starting monigo in a terminal until a function's name is on the screen.

use std::{
    fs,
    io::Read as _,
    num::NonZero,
    path::Path,
    process::Command,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::{
    Bench, big,
    figure::{Figures, Metric},
    targets::Running,
};

/// Name of the case.
pub const NAME: &str = "screen";
/// How the report calls the large program.
pub const LARGE: &str = "C, 200 MB";
/// From the start until the name.
pub const FIRST_NAME: Metric = Metric {
    name: "start to first name on screen",
    unit: "ms",
};
/// What is traced.
const FUNCTION: &str = "work";
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;
const LIMIT: Duration = Duration::from_secs(30);

/// Measures with a small and a large binary, without and with what monigo keeps of symbols.
pub fn run(bench: &Bench) -> Result<Figures> {
    fs::create_dir_all(&bench.directory)?;
    let mut figures = Figures::new(NAME);
    let rounds = if bench.quick { 3 } else { 7 };
    for (name, units) in [("C, 2 MB", 2), (LARGE, 180)] {
        eprintln!("    {name}");
        let binary = big::c(&bench.directory, units)?;
        let target = Running::start(&mut Command::new(&binary))?;
        for (tool, more) in [
            ("monigo, nothing kept", &["--no-symbol-cache"][..]),
            ("monigo", &[]),
        ] {
            let times: Result<Vec<f64>> = (0..rounds)
                .map(|_| first_name(bench, &binary, target.pid(), more))
                .collect();
            match times {
                Ok(times) => {
                    let bytes = fs::metadata(&binary)?.len();
                    let note = format!("{:.1} MB, {COLUMNS}x{ROWS}", bytes as f64 / 1e6);
                    figures.add(name, tool, FIRST_NAME, &times).note = Some(note);
                }
                Err(error) => figures.miss(name, tool, FIRST_NAME, &error),
            }
        }
    }
    Ok(figures)
}

/// Starts monigo in a terminal of its own, ms until the function's name is on its screen.
fn first_name(bench: &Bench, binary: &Path, pid: u32, more: &[&str]) -> Result<f64> {
    let size = PtySize {
        rows: ROWS,
        cols: COLUMNS,
        ..PtySize::default()
    };
    let pair = native_pty_system().openpty(size)?;
    let mut reader = pair.master.try_clone_reader()?;
    let mut command = CommandBuilder::new(bench.monigo.binary());
    command.arg("attach");
    command.arg(binary);
    let pid = pid.to_string();
    command.args(["--pid", &pid, "--fn", FUNCTION, "--port", "0"]);
    command.args(more);
    command.env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8");
    let started = Instant::now();
    let mut child = pair.slave.spawn_command(command)?;
    // With the other end open here, reading would not end with the child.
    drop(pair.slave);
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            if sender
                .send((started.elapsed(), buffer[..length].to_vec()))
                .is_err()
            {
                break;
            }
        }
    });
    let [Some(rows), Some(columns)] = [NonZero::new(ROWS), NonZero::new(COLUMNS)] else {
        bail!("the screen has no size");
    };
    let mut parser = vt100::Parser::new(rows, columns, 0);
    let shown = loop {
        match output.recv_timeout(LIMIT.saturating_sub(started.elapsed())) {
            Ok((at, bytes)) => {
                parser.process(&bytes);
                let screen = parser.screen();
                // What is said before the screen is taken does not count.
                let named = |line: String| line.split_whitespace().any(|word| word == FUNCTION);
                if screen.alternate_screen() && screen.rows(0, COLUMNS).any(named) {
                    break Ok(at);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                break Err(parser.screen().contents());
            }
        }
    };
    if let Some(pid) = child.process_id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended already.
        let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGINT);
    }
    // What is still drawn must be read, or it would wait for that.
    while output.recv_timeout(LIMIT).is_ok() {}
    child.wait()?;
    match shown {
        Ok(after) => Ok(after.as_secs_f64() * 1e3),
        Err(screen) => bail!("no name came up on the screen:\n{screen}"),
    }
}
