//! The dashboard of a real monigo on the sample service, driven in headless Chromium.

use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::tally::{Reader, Tally, counted};
use crate::{demo::Service, live::Live, setup, workspace::Workspace};

/// Time for the last flush and the detaching.
const END_LIMIT: Duration = Duration::from_secs(30);

pub fn run(workspace: &Workspace) -> Result<Tally> {
    let scratch = tempfile::tempdir()?;
    let service = Service::start(&workspace.target.join("demo/orders"))?;
    let database = scratch.path().join("e2e.duckdb");
    let mut tally = drive(
        workspace,
        "e2e",
        Live::attach(workspace, &service, &database)?,
    )?;
    service.stop();
    // The same recording, now that it is over.
    tally += drive(workspace, "e2e:past", Live::serve(workspace, &database)?)?;
    Ok(tally)
}

/// Runs a script of the dashboard against a monigo, and ends that.
fn drive(workspace: &Workspace, script: &str, mut live: Live) -> Result<Tally> {
    let mut tally = counted(
        setup::npm(&workspace.root.join("dashboard"))
            .args(["run", "--silent", script])
            .env("MONIGO_URL", live.url()),
        Reader::Node,
    )?;
    tally += match end(&mut live) {
        Ok(()) => Tally::PASSED,
        Err(error) => {
            eprintln!("{error:#}");
            Tally::FAILED
        }
    };
    Ok(tally)
}

/// Ctrl-C must end it cleanly, with browsers connected or not.
fn end(live: &mut Live) -> Result<()> {
    live.process.signal(Signal::SIGINT);
    match live.process.wait(END_LIMIT) {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("monigo ended with {status} after Ctrl-C"),
        None => bail!("monigo did not end within {END_LIMIT:?} of Ctrl-C"),
    }
}
