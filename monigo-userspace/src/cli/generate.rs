//! `monigo generate`: completions and man pages from the definition of the command line.

use std::{fs, io};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::args::{Cli, Generate, GenerateArgs};

/// Runs the subcommand.
pub fn run(args: &GenerateArgs) -> Result<()> {
    match &args.what {
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "monigo", &mut io::stdout());
            Ok(())
        }
        Generate::Man { directory } => {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
            clap_mangen::generate_to(Cli::command(), directory)
                .with_context(|| format!("cannot write man pages to {}", directory.display()))
        }
    }
}
