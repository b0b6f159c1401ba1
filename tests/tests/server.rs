//! The server of the real binary.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::monigo_path;

/// Status and both outputs of `monigo hash-password` with this on stdin.
fn hash_password(typed: &str) -> Result<(Option<i32>, String, String)> {
    let mut child = Command::new(monigo_path()?)
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    stdin.write_all(typed.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let text = |bytes| String::from_utf8(bytes).context("output is not UTF-8");
    Ok((
        output.status.code(),
        text(output.stdout)?,
        text(output.stderr)?,
    ))
}

#[test]
fn passwords_are_hashed_with_salt() -> Result<()> {
    let (status, first, _) = hash_password("correct horse\n")?;
    let (_, second, _) = hash_password("correct horse")?;
    ensure!(status == Some(0) && first.lines().count() == 1, "{first}");
    ensure!(first.starts_with("$argon2id$v=19$m="), "{first}");
    ensure!(first != second, "the salt is always the same");
    ensure!(!first.contains("horse"));
    Ok(())
}

#[test]
fn no_password_is_a_mistake() -> Result<()> {
    let (status, stdout, stderr) = hash_password("\n")?;
    ensure!(
        status == Some(2) && stdout.is_empty(),
        "{status:?} {stdout}"
    );
    ensure!(stderr.contains("there is no password on stdin"), "{stderr}");
    Ok(())
}
