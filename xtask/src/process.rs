//! Running other programs.

use std::{
    env,
    ffi::OsString,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// `PATH` with cargo's directory of installed programs first: bpf-linker is there.
pub fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = cargo_home()
        .map(|home| home.join("bin"))
        .into_iter()
        .chain(env::split_paths(&path));
    env::join_paths(directories).unwrap_or(path)
}

/// Cargo's own directory.
pub fn cargo_home() -> Option<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Some(PathBuf::from(home)),
        None => Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")),
    }
}

/// Finds a program as a shell would.
pub fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path())
        .map(|directory| directory.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs a program whose output goes where ours goes. Fails if it does.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} ended with {status}", describe(command));
    }
    Ok(())
}

/// Like [`run`], but the exit status is the caller's business.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("cannot run {}", describe(command)))
}

/// Runs a program and returns its stdout. The error holds its stderr.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", describe(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            describe(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something else than text", describe(command)))
}

/// Runs a program quietly, kills it after `limit`; says whether it succeeded.
pub fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(child) = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
    else {
        return false;
    };
    let mut guard = Guard(child);
    guard.wait(limit).is_some_and(|status| status.success())
}

/// The command as one would type it.
pub fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Quotes a word for a POSIX shell if it needs it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A child that does not outlive this value.
pub struct Guard(pub Child);

impl Guard {
    /// Starts a program.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        command
            .spawn()
            .map(Self)
            .with_context(|| format!("cannot start {}", describe(command)))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal; a child that has ended already is fine.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), signal);
    }

    /// Waits for the end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => return None,
            }
        }
    }

    /// Reads a piped stdout up to the line that starts with `start`.
    pub fn expect_line(&mut self, start: &str) -> Result<String> {
        let stdout = self.0.stdout.as_mut().context("stdout is not piped")?;
        let mut line = Vec::new();
        let mut byte = [0];
        // Byte by byte, so that what follows stays in the pipe for others.
        while stdout.read(&mut byte)? == 1 {
            if byte != *b"\n" {
                line.extend(byte);
            } else if line.starts_with(start.as_bytes()) {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            } else {
                line.clear();
            }
        }
        bail!("it ended before it printed {start:?}")
    }

    /// Asks it to end, waits, and returns what it printed to a piped stdout.
    pub fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let _ = self.wait(Duration::from_secs(5));
        let mut text = String::new();
        if let Some(mut stdout) = self.0.stdout.take() {
            let _ = stdout.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_when_a_shell_needs_it() {
        assert_eq!(quote("--fn=main.run"), "--fn=main.run");
        assert_eq!(quote("main.(*S).Run"), "'main.(*S).Run'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let start = Instant::now();
        assert!(!succeeds_within(
            Command::new("sleep").arg("60"),
            Duration::from_millis(50)
        ));
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn failures_name_the_command_and_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo no >&2; exit 3"]))
            .expect_err("it exits with 3")
            .to_string();
        assert!(error.contains("sh -c") && error.contains("no"), "{error}");
    }
}
