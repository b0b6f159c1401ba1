//! Stacks as gdb sees them.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{package, program::die_with_test};

/// Frames, innermost first: the image and the ELF virtual address in hexadecimal.
pub type Stack = Vec<String>;

/// Stacks of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacks {
    /// At the first instruction of the function `waits`.
    pub calls: BTreeSet<Stack>,
    /// At the system calls that it makes.
    pub waits: BTreeSet<Stack>,
}

/// Runs a target to its end under gdb.
pub fn stacks(program: &Path, arguments: &[&str]) -> Result<Stacks> {
    stacks_of(program, arguments, &[])
}

/// The same of a Go program: the function is `main.waits`.
pub fn go_stacks(program: &Path) -> Result<Stacks> {
    stacks_of(
        program,
        &[],
        &[("FUNCTION", "main.waits"), ("SYSTEM_CALLS", "nanosleep")],
    )
}

fn stacks_of(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Stacks> {
    let mut command = Command::new("gdb");
    command
        .args(["-nx", "-batch", "-x"])
        .arg(package().join("src/backtrace.py"))
        .arg("--args")
        .arg(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    die_with_test(&mut command);
    let mut child = command
        .spawn()
        .context("starting gdb; `cargo xtask setup` installs it")?;
    let mut input = child.stdin.take().context("stdin of gdb")?;
    input.write_all(b"go\nexit\n")?;
    drop(input);
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found = Stacks::default();
    for line in text.lines() {
        let mut words = line.split(' ').map(str::to_owned);
        match words.next().as_deref() {
            Some("CALL") => found.calls.insert(words.collect()),
            Some("WAIT") => found.waits.insert(words.collect()),
            _ => continue,
        };
    }
    ensure!(
        output.status.success() && !found.calls.is_empty() && !found.waits.is_empty(),
        "gdb ended with {}:\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(found)
}
