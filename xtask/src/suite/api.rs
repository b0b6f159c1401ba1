//! The API of a real monigo on the sample service, as its own description promises it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};

use super::tally::Tally;
use crate::{demo::Service, live::Live, process, setup, workspace::Workspace};

/// Slower than the server's limit, or most answers would be 429.
const RATE: &str = "80/s";
/// Requests that are made up for each operation and phase.
const EXAMPLES: &str = "60";

/// The document cannot say that the start comes before the end. Wrong keys are guesses, and after ten of them the
/// answer is another one; the server's own tests try them on every route.
const LEFT_OUT: &str = "positive_data_acceptance,ignored_auth";

pub fn run(workspace: &Workspace) -> Result<Tally> {
    let scratch = tempfile::tempdir()?;
    let (keys, key) = (scratch.path().join("keys"), "key-of-the-suite-0123456789");
    fs::write(&keys, key)?;
    fs::set_permissions(&keys, Permissions::from_mode(0o600))?;
    let service = Service::start(&workspace.target.join("demo/orders"))?;
    let passes = [("open.duckdb", None), ("guarded.duckdb", Some(key))];
    let asked = passes.iter().try_for_each(|&(name, key)| {
        let database = scratch.path().join(name);
        let keys = key.map(|_| keys.as_path());
        let live = Live::attach_with_keys(workspace, &service, &database, keys)?;
        ask(workspace, scratch.path(), live.url(), key).context(name)
    });
    service.stop();
    asked?;
    Ok(Tally {
        passed: 2,
        ..Tally::default()
    })
}

/// Has Schemathesis ask everything.
fn ask(workspace: &Workspace, scratch: &Path, url: &str, key: Option<&str>) -> Result<()> {
    let base = url.trim_end_matches('/');
    let mut command = Command::new(setup::schemathesis(workspace));
    command
        .arg("run")
        .arg(format!("{base}/monigo/api/v1/openapi.json"))
        .args(["--url", base])
        .args(["--rate-limit", RATE, "--max-examples", EXAMPLES])
        // A stream does not end.
        .args(["--exclude-path-regex", "/events$"])
        .args(["--exclude-checks", LEFT_OUT])
        .args(["--seed", "1", "--no-color"])
        .current_dir(scratch);
    if let Some(key) = key {
        command.args(["--header", &format!("X-API-Key: {key}")]);
    }
    process::run(&mut command)
}
