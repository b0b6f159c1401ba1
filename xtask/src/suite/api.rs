//! The API of a real monigo on the sample service, as its own description promises it.

use std::process::Command;

use anyhow::Result;

use super::tally::Tally;
use crate::{demo::Service, live::Live, process, setup, workspace::Workspace};

/// Slower than the server's limit, or most answers would be 429.
const RATE: &str = "80/s";
/// Requests that are made up for each operation and phase.
const EXAMPLES: &str = "60";

pub fn run(workspace: &Workspace) -> Result<Tally> {
    let scratch = tempfile::tempdir()?;
    let service = Service::start(&workspace.target.join("demo/orders"))?;
    let live = Live::attach(workspace, &service, &scratch.path().join("api.duckdb"))?;
    let base = live.url().trim_end_matches('/');
    let result = process::run(
        Command::new(setup::schemathesis(workspace))
            .arg("run")
            .arg(format!("{base}/monigo/api/v1/openapi.json"))
            .args(["--url", base])
            .args(["--rate-limit", RATE, "--max-examples", EXAMPLES])
            // A stream does not end.
            .args(["--exclude-path-regex", "/events$"])
            // The document cannot say that the start comes before the end.
            .args(["--exclude-checks", "positive_data_acceptance"])
            .args(["--seed", "1", "--no-color"])
            .current_dir(scratch.path()),
    );
    drop(live);
    service.stop();
    result.map(|()| Tally::PASSED)
}
