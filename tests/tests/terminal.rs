//! The terminal interface of the real monigo, in a real terminal.

use std::{
    io::{Read as _, Write as _},
    num::NonZero,
    path::Path,
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

/// monigo in a terminal of its own.
struct Terminal {
    screen: Screen,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    // Closing it hangs up.
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    /// `monigo attach PATH --fn FUNCTION` at 80×24.
    fn attach(path: &Path, function: &str) -> Result<Self> {
        const SIZE: PtySize = PtySize {
            rows: ROWS.get(),
            cols: COLUMNS.get(),
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(SIZE)?;
        let mut command = CommandBuilder::new(monigo_path()?);
        command.arg("attach");
        command.arg(path);
        command.args(["--fn", function, "--port", "0", "--flush", "100ms"]);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        let child = pair.slave.spawn_command(command)?;
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
            screen.alternate_screen() && screen.contents().contains(function)
        })?;
        Ok(Self {
            screen,
            child,
            keys: pair.master.take_writer()?,
            _master: pair.master,
        })
    }

    fn press(&mut self, keys: &[u8]) -> Result<()> {
        self.keys.write_all(keys).context("pressing keys")
    }

    /// Presses q; the terminal is as before, with the summary on it.
    fn quit(mut self) -> Result<()> {
        self.press(b"q")?;
        self.screen.wait_for("summary", |screen| {
            !screen.alternate_screen() && screen.contents().contains("Counts are exact")
        })?;
        ensure!(
            !self.screen.parser.screen().hide_cursor(),
            "the cursor stayed hidden"
        );
        ensure!(self.child.wait()?.success(), "monigo failed");
        Ok(())
    }
}

/// Table and detail at 80×24, quit by a key: the terminal is as before, with the summary on it.
#[test]
fn live_view_and_summary() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let mut target = Program::start(&copy.path(), &["recursion", "50", "2"])?;
    let mut terminal = Terminal::attach(&copy.path(), "recurse")?;
    let truth = target.go()?;
    let calls = truth.functions["recurse"].calls.to_string();
    terminal.screen.wait_for("number of calls", |screen| {
        screen.contents().lines().any(|line| {
            line.contains("recurse") && line.split_whitespace().any(|word| word == calls)
        })
    })?;
    terminal.screen.wait_for("what the probes cost", |screen| {
        let text = screen.contents();
        let mut lines = text.lines().take(2);
        lines.any(|line| line.contains("probes cost about") && line.contains("% of one CPU"))
    })?;
    terminal.quit()?;
    target.finish()
}

/// A key looks for what else is called, another traces it: it appears in the table.
#[test]
fn discovered_and_traced() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("busy", Native::O2)?)?;
    let mut target = Program::start(&copy.path(), &[])?;
    let mut terminal = Terminal::attach(&copy.path(), "rarely")?;
    terminal.press(b"d")?;
    terminal.screen.wait_for("ranking", |screen| {
        let text = screen.contents();
        text.contains("functions were called in") && text.contains("slow")
    })?;
    // The slow function is at the top.
    terminal.press(b"\r")?;
    terminal
        .screen
        .wait_for("mark of the traced function", |screen| {
            let text = screen.contents();
            text.lines()
                .any(|line| line.contains("slow") && line.contains("traced"))
        })?;
    terminal.press(b"\x1b")?;
    terminal
        .screen
        .wait_for("slow function in the table", |screen| {
            let text = screen.contents();
            !text.contains("functions were called in")
                && text.lines().any(|line| line.contains("slow"))
                && text.lines().any(|line| line.contains("rarely"))
        })?;
    terminal.quit()?;
    let truth = target.go()?;
    ensure!(truth.values["sum"] == truth.values["expected"], "{truth:?}");
    target.finish()
}

/// The flame graph of what runs and waits in a function, and what makes slow calls slow.
#[test]
fn flame_graph_and_tail_difference() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_program("tail", Native::FRAME_POINTERS)?)?;
    let mut target = Program::start(&copy.path(), &["lock", "1000"])?;
    let mut terminal = Terminal::attach(&copy.path(), "handle")?;
    target.go()?;
    terminal.press(b"6")?;
    terminal.screen.wait_for("planted cause", |screen| {
        let text = screen.contents();
        text.contains("waiting for a lock") && text.contains("reserve_stock")
    })?;

    // From the function on, and with its callers.
    terminal.press(b"5\r")?;
    let row = |screen: &vt100::Screen, name: &str| {
        let text = screen.contents();
        let lines = text.lines().enumerate();
        // A narrow frame on the left, where a sample fell elsewhere, shows only its edge.
        let found = lines.filter(|(_, line)| line.trim_start_matches([' ', '│']).starts_with(name));
        found.last().map(|(row, _)| row)
    };
    terminal.screen.wait_for("flame graph", |screen| {
        let (handle, lock) = (
            row(screen, "handle"),
            screen.contents().find("reserve_stock"),
        );
        handle.is_some() && lock.is_some() && row(screen, "main").is_none()
    })?;
    terminal.press(b"c")?;
    terminal.screen.wait_for("callers", |screen| {
        row(screen, "main").is_some() && row(screen, "main") < row(screen, "handle")
    })?;
    terminal.press(b"f")?;
    terminal.screen.wait_for("root at the bottom", |screen| {
        row(screen, "handle").is_some() && row(screen, "handle") < row(screen, "main")
    })?;
    terminal.press(b"fc")?;

    terminal.press(b"sreserve_st\r")?;
    terminal.screen.wait_for("number of matches", |screen| {
        screen.contents().contains("reserve_st: 1 frame")
    })?;
    // To the match, which then fills the width.
    terminal.press(b"n\r")?;
    terminal.screen.wait_for("zoomed frame", |screen| {
        row(screen, "reserve_stock").is_some()
    })?;
    terminal.press(b"\x1b\x1b\x1b")?;
    terminal.quit()?;
    target.finish()
}
