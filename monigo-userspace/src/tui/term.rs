//! Takes the terminal, and gives it back whatever happens.

use std::{
    io::{self, IsTerminal as _, Stdout, Write as _},
    panic,
    sync::{Mutex, Once},
    thread::{self, ThreadId},
};

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

use super::TuiError;
use crate::sync::lock;

/// The thread that holds the terminal, if one does.
static HOLDER: Mutex<Option<ThreadId>> = Mutex::new(None);
/// Panic messages of other threads since then.
static DEFERRED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// The terminal in raw mode, showing the alternate screen. Dropping it restores the terminal.
pub struct Screen {
    /// To draw on.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal for the current thread.
    pub fn take() -> Result<Self, TuiError> {
        if !io::stdin().is_terminal() {
            return Err(TuiError::NotATerminal("input"));
        }
        if !io::stdout().is_terminal() {
            return Err(TuiError::NotATerminal("output"));
        }
        install_hook();
        let failed = |operation| move |source| TuiError::Terminal { operation, source };
        enable_raw_mode().map_err(failed("enter raw mode"))?;
        // From here on a failure has something to undo.
        *lock(&HOLDER) = Some(thread::current().id());
        let guard = Restore;
        execute!(io::stdout(), EnterAlternateScreen).map_err(failed("switch screens"))?;
        let terminal =
            Terminal::new(CrosstermBackend::new(io::stdout())).map_err(failed("tell its size"))?;
        std::mem::forget(guard);
        Ok(Self { terminal })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(Restore);
    }
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        restore();
    }
}

/// Panic messages that are kept back until the terminal is free.
pub fn deferred_panics() -> Vec<String> {
    lock(&DEFERRED).clone()
}

/// Gives the terminal back, once. Failures are ignored: there is no place left to report them.
fn restore() {
    if lock(&HOLDER).take().is_none() {
        return;
    }
    let mut out = io::stdout();
    let _ = execute!(out, LeaveAlternateScreen, Show);
    let _ = out.flush();
    let _ = disable_raw_mode();
    for message in lock(&DEFERRED).drain(..) {
        let _ = writeln!(io::stderr(), "{message}");
    }
}

/// Makes panics of the holding thread restore the terminal before their message is printed, and
/// keeps messages of other threads from tearing the screen.
fn install_hook() {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let holder = *lock(&HOLDER);
            match holder {
                Some(holder) if holder != thread::current().id() => {
                    lock(&DEFERRED).push(info.to_string());
                }
                Some(_) => {
                    restore();
                    previous(info);
                }
                None => previous(info),
            }
        }));
    });
}
