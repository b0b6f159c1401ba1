//! The command line: one file a subcommand.

pub mod args;
mod attach;
mod doctor;
pub mod exit;
mod flamegraph;
mod list;
mod query;
mod recording;
mod report;
mod run;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

pub use self::args::{Cli, Command};
pub use self::exit::{Failure, Status};

/// Parses the arguments, runs the subcommand, prints errors to stderr.
pub fn main() -> ExitCode {
    restore_sigpipe();
    let cli = Cli::parse();
    exit::init_logging(cli.verbose);
    let result = match cli.command {
        Command::Attach(args) => attach::run(&args),
        Command::Run(args) => run::run(&args),
        Command::List(args) => list::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Flamegraph(args) => flamegraph::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    exit::report(result)
}

/// `monigo query … | head` should end quietly: Rust ignores SIGPIPE by default.
fn restore_sigpipe() {
    // SAFETY: sets a default disposition before any thread starts.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
