//! The `monigo` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    monigo::cli::main()
}
