//! The dashboard of a real monigo on the sample service, driven in headless Chromium.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::tally::{Reader, Tally, counted};
use crate::{
    demo::{FUNCTIONS, Service},
    live::Live,
    setup,
    workspace::Workspace,
};

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
    tally += sessions(workspace, scratch.path())?;
    Ok(tally)
}

/// An agent with two targets, each traced for two functions; `e2e/sessions` knows which.
fn sessions(workspace: &Workspace, scratch: &Path) -> Result<Tally> {
    let orders = workspace.target.join("demo/orders");
    let services = [Service::start(&orders)?, Service::start(&orders)?];
    let mut configuration = "[listen]\nport = 0\n[trace]\nmax_overhead = \"off\"\n".to_owned();
    for ((service, label), functions) in services
        .iter()
        .zip(["shop", "mail"])
        .zip(FUNCTIONS.chunks(2))
    {
        let pid = service.pid();
        write!(
            configuration,
            "[[agent.targets]]\nlabel = \"{label}\"\npid = {pid}\nfunctions = {functions:?}\n"
        )?;
    }
    let file = scratch.join("agent.toml");
    fs::write(&file, configuration)?;
    let tally = drive(workspace, "e2e:sessions", Live::agent(workspace, &file)?)?;
    for service in services {
        service.stop();
    }
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
        Ok(()) => Tally::passed(),
        Err(error) => {
            eprintln!("{error:#}");
            Tally::failed(format!("{script}: {error:#}"))
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
