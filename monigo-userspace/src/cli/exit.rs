//! Exit status and how an error reaches the user.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing_subscriber::{
    EnvFilter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::config::{LogFormat, LogLevel, LogSettings};

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
    /// The exit status that it deserves.
    pub const fn status(&self) -> Status {
        self.status
    }

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

/// Lines for people are objects, too.
static JSON: AtomicBool = AtomicBool::new(false);
/// Changes the level of the log while it is written.
static LEVEL: OnceLock<Box<dyn Fn(&'static str) + Send + Sync>> = OnceLock::new();

/// Logs go to stderr as `settings` say; `MONIGO_LOG` takes a filter instead of their level.
pub fn init_logging(settings: LogSettings) {
    let own = EnvFilter::try_from_env("MONIGO_LOG").ok();
    let fixed = own.is_some();
    let filter = own.unwrap_or_else(|| EnvFilter::new(settings.level.filter()));
    let (filter, handle) = reload::Layer::new(filter);
    let json = settings.format == LogFormat::Json;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(LogWriter::default)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let registry = tracing_subscriber::registry().with(filter);
    let begun = if json {
        registry
            .with(lines.json().flatten_event(true).with_target(false))
            .try_init()
    } else {
        let lines = lines.without_time().with_target(false);
        registry.with(lines).try_init()
    };
    if begun.is_err() {
        return;
    }
    JSON.store(json, Ordering::Relaxed);
    let set = move |filter: &'static str| {
        if !fixed && let Err(error) = handle.reload(EnvFilter::new(filter)) {
            tracing::warn!("the level of the log stays: {error}");
        }
    };
    let _ = LEVEL.set(Box::new(set));
}

/// Logs at this level from now on, unless `MONIGO_LOG` says otherwise.
pub fn set_log_level(level: LogLevel) {
    if let Some(set) = LEVEL.get() {
        set(level.filter());
    }
}

/// Tells the user on stderr: a line that begins with `monigo:`, or an object if the log is made of those.
pub fn tell(text: &str) {
    if JSON.load(Ordering::Relaxed) {
        let time = format!("{:.6}", jiff::Timestamp::now());
        let line = serde_json::json!({"timestamp": time, "level": "INFO", "message": text});
        eprintln!("{line}");
    } else {
        eprintln!("monigo: {text}");
    }
}

/// [`tell`] with arguments as of `format!`.
macro_rules! say {
    ($($arguments:tt)*) => {
        $crate::cli::exit::tell(&format!($($arguments)*))
    };
}
pub(crate) use say;

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
    say!("{error:#}");
    let status = error
        .downcast_ref::<Failure>()
        .map_or(Status::Failed, |failure| failure.status);
    ExitCode::from(status as u8)
}
