//! The terminal interface of the real monigo, in a real terminal.

use std::{
    io::{Read as _, Write as _},
    num::NonZero,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use monigo_tests::{
    Program, monigo_path, require_root,
    targets::{self, Native, PrivateCopy},
};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(80).unwrap();
const PATIENCE: Duration = Duration::from_mins(1);

/// A screen fed by a terminal's output.
struct Screen {
    parser: vt100::Parser,
    bytes: Receiver<Vec<u8>>,
}

impl Screen {
    /// Reads until `is_there` holds for what is on the screen.
    fn wait_for(&mut self, what: &str, is_there: impl Fn(&vt100::Screen) -> bool) -> Result<()> {
        let given_up = Instant::now() + PATIENCE;
        while !is_there(self.parser.screen()) {
            let left = given_up.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(_) => bail!(
                    "no {what} on the screen:\n{}",
                    self.parser.screen().contents()
                ),
            }
        }
        Ok(())
    }
}

/// Table and detail at 80×24, quit by a key: the terminal is as before, with the summary on it.
#[test]
fn live_view_and_summary() -> Result<()> {
    const SIZE: PtySize = PtySize {
        rows: ROWS.get(),
        cols: COLUMNS.get(),
        pixel_width: 0,
        pixel_height: 0,
    };
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let mut target = Program::start(&copy.path(), &["recursion", "50", "2"])?;
    let pair = native_pty_system().openpty(SIZE)?;
    let mut command = CommandBuilder::new(monigo_path()?);
    command.arg("attach");
    command.arg(copy.path());
    command.args(["--fn", "recurse", "--port", "0", "--flush", "100ms"]);
    command.env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8");
    let mut child = pair.slave.spawn_command(command)?;
    drop(pair.slave);
    let mut output = pair.master.try_clone_reader()?;
    let (send, bytes) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut screen = Screen {
        parser: vt100::Parser::new(ROWS, COLUMNS, 1000),
        bytes,
    };
    screen.wait_for("table", |screen| {
        screen.alternate_screen() && screen.contents().contains("recurse")
    })?;
    let truth = target.go()?;
    let calls = truth.functions["recurse"].calls.to_string();
    screen.wait_for("number of calls", |screen| {
        screen.contents().lines().any(|line| {
            line.contains("recurse") && line.split_whitespace().any(|word| word == calls)
        })
    })?;
    pair.master
        .take_writer()?
        .write_all(b"q")
        .context("pressing q")?;
    screen.wait_for("summary", |screen| {
        !screen.alternate_screen() && screen.contents().contains("Counts are exact")
    })?;
    ensure!(
        !screen.parser.screen().hide_cursor(),
        "the cursor stayed hidden"
    );
    ensure!(child.wait()?.success(), "monigo failed");
    target.finish()
}
