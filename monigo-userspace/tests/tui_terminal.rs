//! The terminal view in a pseudo-terminal: what is on the screen, and that the terminal is left
//! as it was found, however the view ends.

use std::{
    io::{Read as _, Write},
    num::NonZero,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The demo, running in a terminal of its own.
struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    modes: libc::termios,
}

impl Session {
    fn start(scene: &str, rows: u16, columns: u16) -> Self {
        let size = PtySize {
            rows,
            cols: columns,
            ..PtySize::default()
        };
        let pair = native_pty_system().openpty(size).expect("no pty");
        let modes = modes(pair.master.as_ref());
        let mut command = CommandBuilder::new(demo());
        command.arg(scene);
        command.env("LC_ALL", "C.UTF-8");
        command.env("TERM", "xterm-256color");
        command.env("RUST_BACKTRACE", "0");
        let child = pair.slave.spawn_command(command).expect("no demo");
        // With the slave open here, reading would not end with the child.
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("no reader");
        let keyboard = pair.master.take_writer().expect("no writer");
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            master: pair.master,
            keyboard,
            output,
            screen: vt100::Parser::new(cells(rows), cells(columns), 0),
            modes,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| self.keyboard.flush())
            .expect("the terminal is gone");
    }

    /// Reads until `found` holds.
    fn wait_for(&mut self, what: &str, mut found: impl FnMut(&vt100::Screen) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !found(self.screen.screen()) {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(error) => panic!(
                    "no {what} ({error}) on:\n{}",
                    self.screen.screen().contents()
                ),
            }
        }
    }

    /// Waits for the next output, or the end.
    fn wait_until_drawn(&mut self) {
        if let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.screen.process(&bytes);
        }
    }

    fn wait_for_text(&mut self, text: &str) {
        self.wait_for(text, |screen| screen.contents().contains(text));
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        let size = PtySize {
            rows,
            cols: columns,
            ..PtySize::default()
        };
        self.screen
            .screen_mut()
            .set_size(cells(rows), cells(columns));
        self.master.resize(size).expect("no resize");
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.process_id().expect("no pid");
        kill(Pid::from_raw(pid as i32), signal).expect("no signal");
    }

    /// Waits for the end; checks that the terminal is as it was; returns what is on it.
    fn finish(mut self) -> (ExitStatus, String) {
        // Reading on while waiting: a full terminal would keep the child from ending.
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!(
                    "the view does not end:\n{}",
                    self.screen.screen().contents()
                ),
            }
        }
        let status = self.child.wait().expect("no exit status");
        let screen = self.screen.screen();
        let contents = screen.contents();
        assert!(!screen.alternate_screen(), "{contents}");
        assert!(!screen.hide_cursor(), "{contents}");
        let modes = modes(self.master.as_ref());
        assert_eq!(modes.c_iflag, self.modes.c_iflag);
        assert_eq!(modes.c_oflag, self.modes.c_oflag);
        assert_eq!(modes.c_cflag, self.modes.c_cflag);
        assert_eq!(modes.c_lflag, self.modes.c_lflag);
        (status, contents)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal without cells")
}

fn modes(master: &dyn MasterPty) -> libc::termios {
    master.get_termios().expect("no terminal modes").into()
}

/// Cargo builds examples beside the tests.
fn demo() -> PathBuf {
    let test = std::env::current_exe().expect("no path of the test");
    let target = test.ancestors().nth(2).expect("no target directory");
    let demo = target.join("examples/tui_demo");
    assert!(
        demo.exists(),
        "{} is missing: cargo build --examples",
        demo.display()
    );
    demo
}

#[test]
fn it_shows_figures_and_leaves_on_q() {
    let mut session = Session::start("few", 24, 80);
    session.wait_for_text("LIVE");
    session.wait_for_text("main.processOrder");
    assert!(session.screen.screen().alternate_screen());
    session.press("3");
    session.wait_for_text("← callers");
    session.press("p");
    session.wait_for_text("PAUSED");
    session.press("?");
    session.wait_for_text("further");
    session.press("\x1b");
    session.wait_for("closed help", |it| !it.contents().contains("further"));
    session.press("q");
    let (status, contents) = session.finish();
    assert!(status.success(), "{contents}");
    assert!(contents.contains("left: Quit"), "{contents}");
}

#[test]
fn it_follows_the_size_of_the_terminal() {
    let mut session = Session::start("many", 45, 150);
    session.wait_for_text("Handler9");
    session.resize(10, 40);
    session.wait_for_text("too small");
    session.resize(24, 80);
    session.wait_for_text("LIVE");
    // crossterm reads a key that comes together with the signal of a new size only when the next
    // one comes.
    session.press("\x03");
    session.wait_until_drawn();
    // It may be gone already.
    let _ = session.keyboard.write_all(b"\x03");
    let (status, contents) = session.finish();
    assert!(status.success(), "{contents}");
}

#[test]
fn signals_end_it_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut session = Session::start("few", 24, 80);
        session.wait_for_text("LIVE");
        session.signal(signal);
        let (status, contents) = session.finish();
        assert!(status.success(), "{signal}: {contents}");
        assert!(contents.contains("left: Signalled"), "{signal}: {contents}");
    }
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was() {
    let session = Session::start("panic", 24, 80);
    let (status, contents) = session.finish();
    assert!(!status.success());
    // Readable: at the left margin, on the normal screen.
    let message = contents
        .lines()
        .find(|line| line.contains("the drawing thread failed on purpose"));
    assert!(
        message.is_some_and(|line| line.starts_with("the drawing")),
        "{contents}"
    );
}

#[test]
fn panics_of_other_threads_are_kept_until_the_end() {
    let mut session = Session::start("panic-elsewhere", 24, 80);
    session.wait_for_text("2 warnings");
    session.press("w");
    session.wait_for_text("a part of monigo failed");
    session.press("qq");
    let (status, contents) = session.finish();
    assert!(status.success(), "{contents}");
    assert!(
        contents.contains("a background thread failed on purpose"),
        "{contents}"
    );
}

#[test]
fn slow_answers_do_not_hold_up_the_keys() {
    // Each answer takes 5 s; the help must not.
    let mut session = Session::start("slow", 24, 80);
    session.wait_for_text("starting");
    session.press("?");
    session.wait_for_text("further");
    assert!(session.screen.screen().contents().contains("starting"));
    session.press("\x03");
    let (status, contents) = session.finish();
    assert!(status.success(), "{contents}");
}
