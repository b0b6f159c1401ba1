//! Exit status and how an error reaches the user.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

/// The contract's exit status, beside success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Failed while running.
    Failed = 1,
    /// Wrong usage, or nothing to attach to.
    Usage = 2,
    /// The host does not allow it.
    NotAllowed = 77,
}

/// An error with the exit status it deserves. Attach one to an `anyhow` chain with
/// [`Failure::usage`] or [`Failure::not_allowed`]; errors without one exit with 1.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    source: anyhow::Error,
}

impl Failure {
    /// Wrong usage, or nothing to attach to: exit status 2.
    pub fn usage(source: impl Into<anyhow::Error>) -> anyhow::Error {
        Self {
            status: Status::Usage,
            source: source.into(),
        }
        .into()
    }

    /// The host does not allow it: exit status 77.
    pub fn not_allowed(source: impl Into<anyhow::Error>) -> anyhow::Error {
        Self {
            status: Status::NotAllowed,
            source: source.into(),
        }
        .into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.source)
    }
}

impl std::error::Error for Failure {}

/// Logs go to stderr; `-v` shows more, `MONIGO_LOG` takes a filter.
pub fn init_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "monigo=info,warn",
        2 => "monigo=debug,info",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("MONIGO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(LogWriter::default)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .without_time()
        .with_target(false)
        .try_init();
}

/// Whether the terminal shows something that a log line would garble.
static LOGS_HELD: AtomicBool = AtomicBool::new(false);

/// Keeps log lines off the terminal while the terminal interface owns it. Redirected logs go on.
pub fn hold_logs(hold: bool) {
    let terminal = io::IsTerminal::is_terminal(&io::stderr());
    LOGS_HELD.store(hold && terminal, Ordering::Relaxed);
}

/// Stderr, unless it is held.
#[derive(Default)]
struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if LOGS_HELD.load(Ordering::Relaxed) {
            return Ok(bytes.len());
        }
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Turns a subcommand's result into an exit code, printing the error if there is one.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    eprintln!("monigo: {error:#}");
    let status = error
        .downcast_ref::<Failure>()
        .map_or(Status::Failed, |failure| failure.status);
    ExitCode::from(status as u8)
}
