//! What is written at the end: the summary and files.

use std::path::Path;

use anyhow::Result;

use super::{TraceOptions, slow};
use crate::{
    cli::{exit::Failure, recording::write, report, why},
    query::Source,
};

/// Prints the summary and writes the files.
pub fn summarize(source: &dyn Source, args: &TraceOptions) -> Result<()> {
    let selection = slow::selection(source, args)?;
    for output in &args.output {
        write(output, source, &selection)?;
    }
    if args.slow.any() {
        why::explain(source, &args.slow)?;
    }
    report::print_summary(source, args.format)
}

/// Finds out before recording `functions` what cannot be written after it.
pub fn check_outputs(args: &TraceOptions, functions: usize) -> Result<()> {
    slow::check(args, functions)?;
    args.output
        .iter()
        .try_for_each(|output| check_output(output))
}

/// Finds out before recording that a file cannot be written after it.
fn check_output(path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let problem = if !directory.is_dir() {
        Some("its directory does not exist")
    } else if path.is_dir() {
        Some("it is a directory")
    } else if nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK).is_err() {
        Some("its directory is not writable")
    } else {
        None
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Failure::usage(anyhow::anyhow!(
            "cannot write {}: {problem}",
            path.display()
        ))),
    }
}
