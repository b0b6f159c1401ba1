//! The API of a real monigo on the sample service, as its own description promises it.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::tally::Tally;
use crate::{demo::Service, live::Live, process, setup, workspace::Workspace};

/// Slower than the server's limit, or most answers would be 429.
const RATE: &str = "80/s";
/// Requests that are made up for each operation and phase.
const EXAMPLES: &str = "60";

pub fn run(workspace: &Workspace) -> Result<Tally> {
    let scratch = tempfile::tempdir()?;
    let database = scratch.path().join("api.duckdb");
    let service = Service::start(&workspace.target.join("demo/orders"))?;
    let live = Live::attach(workspace, &service, &database)?;
    let open = ask(workspace, scratch.path(), live.url(), None);
    drop(live);
    service.stop();
    open.context("without authentication")?;

    // The recording of that, for those only who have a key.
    let key = "key-of-the-suite-0123456789";
    let keys = scratch.path().join("keys");
    std::fs::write(&keys, key)?;
    let guarded = Live::serve_with_keys(workspace, &database, Some(&keys))?;
    let asked = ask(workspace, scratch.path(), guarded.url(), Some(key));
    drop(guarded);
    asked.context("with an API key")?;
    Ok(Tally {
        passed: 2,
        failed: 0,
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
        // The document cannot say that the start comes before the end.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--seed", "1", "--no-color"])
        .current_dir(scratch);
    if let Some(key) = key {
        command.args(["--header", &format!("X-API-Key: {key}")]);
    }
    process::run(&mut command)
}
