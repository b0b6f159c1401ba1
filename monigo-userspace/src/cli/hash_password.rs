//! `monigo hash-password`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use nix::sys::termios::{self, LocalFlags, SetArg};

use super::Failure;
use crate::api::{Secret, guard::hash_password};

/// Reads a password from stdin, so that no list of processes and no history of a shell shows it, and
/// prints its hash.
pub fn run() -> Result<()> {
    let terminal = io::stdin().is_terminal();
    let password = if terminal {
        unseen(read_line).context("reading the password")?
    } else {
        read_line()?
    };
    if password.expose().is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "there is no password on stdin; write `monigo hash-password < FILE`, or type it"
        )));
    }
    println!("{}", hash_password(&password)?);
    if terminal {
        eprintln!("put it into the file of auth.users_file as NAME:HASH");
    }
    Ok(())
}

fn read_line() -> io::Result<Secret> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// Asks on the terminal, which does not show what is typed.
fn unseen(read: impl FnOnce() -> io::Result<Secret>) -> io::Result<Secret> {
    eprint!("password: ");
    io::stderr().flush()?;
    let stdin = io::stdin();
    let before = termios::tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden)?;
    let line = read();
    termios::tcsetattr(&stdin, SetArg::TCSAFLUSH, &before)?;
    eprintln!();
    line
}
