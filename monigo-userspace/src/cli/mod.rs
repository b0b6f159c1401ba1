//! The command line: one file a subcommand.

pub(crate) mod agent;
pub mod args;
mod attach;
mod config;
mod diff;
mod discover;
mod doctor;
pub mod exit;
mod flamegraph;
mod generate;
mod hash_password;
mod interrupts;
mod list;
mod operation;
mod query;
mod recording;
mod report;
mod run;
mod select;
pub(crate) mod serve;
mod story;
pub mod symbols;
pub(crate) mod trace;
mod why;

use std::process::ExitCode;

use clap::Parser as _;

pub use self::args::{Cli, Command};
pub use self::exit::{Failure, Status};
use crate::config::{LogLevel, LogSettings};

/// Parses the arguments, runs the subcommand, prints errors to stderr.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if !is_configured(&cli.command) {
        restore_sigpipe();
    }
    let verbose = cli.verbose;
    if !is_configured(&cli.command) {
        // The first -v is for the listing itself.
        let listing = matches!(cli.command, Command::List(_));
        let level = LogLevel::of_verbosity(verbose.saturating_sub(u8::from(listing)));
        exit::init_logging(LogSettings {
            level: level.unwrap_or_default(),
            ..LogSettings::default()
        });
    }
    let result = match cli.command {
        Command::Attach(args) => attach::run(&args, verbose),
        Command::Run(args) => run::run(&args, verbose),
        Command::Agent(args) => agent::run(&args, verbose),
        Command::Config(args) => config::run(&args),
        Command::Discover(args) => discover::run(&args),
        Command::List(args) => list::run(&args, verbose > 0),
        Command::Report(args) => report::run(&args),
        Command::Flamegraph(args) => flamegraph::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Story(args) => story::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Serve(args) => serve::run(&args, verbose),
        Command::Query(args) => query::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::HashPassword => hash_password::run(),
        Command::Generate(args) => generate::run(&args),
    };
    // Threads that are taking probes out must not be killed.
    crate::probe::settle();
    exit::report(result)
}

/// Whether a subcommand reads the configuration and goes on until it is told to end.
const fn is_configured(command: &Command) -> bool {
    matches!(
        command,
        Command::Attach(_) | Command::Run(_) | Command::Serve(_) | Command::Agent(_)
    )
}

/// `monigo query … | head` should end quietly: Rust ignores SIGPIPE by default. Whatever serves
/// others must outlive a client that leaves.
fn restore_sigpipe() {
    // SAFETY: sets a default disposition before any thread starts.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
