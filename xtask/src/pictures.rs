//! `cargo xtask pictures`: the README's pictures, made from a real run.

mod screen;

use std::{fs, num::NonZero, path::Path, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    build,
    demo::{FUNCTIONS, Service},
    live::Live,
    process,
    setup::{self, Scope},
    workspace::Workspace,
};

const COLUMNS: NonZero<u16> = NonZero::new(120).unwrap();
const ROWS: NonZero<u16> = NonZero::new(34).unwrap();
/// How long the service is watched before the picture is taken.
const WATCH: Duration = Duration::from_secs(20);

/// Makes all pictures in `docs/`.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, Scope::Test)?;
    build::compile(workspace)?;
    let scratch = tempfile::Builder::new().prefix("shop-").tempdir()?;
    // From a place that says nothing about the machine.
    let orders = scratch.path().join("orders");
    fs::copy(build::orders(workspace)?, &orders).context("copying the service")?;
    let docs = workspace.root.join("docs");
    fs::create_dir_all(&docs)?;
    let service = Service::start(&orders)?;

    let text = terminal(workspace, &service, scratch.path())?;
    let svg = docs.join("tui.svg");
    fs::write(&svg, screen::to_svg(&text, ROWS, COLUMNS))?;

    let live = Live::attach(workspace, &service, &scratch.path().join("pictures.duckdb"))?;
    thread::sleep(WATCH);
    process::run(
        Command::new("node")
            .arg(workspace.root.join("xtask/pictures.mjs"))
            .arg(workspace.root.join("dashboard/package.json"))
            .arg(live.url())
            .arg(&svg)
            .arg(&docs),
    )?;
    service.stop();
    Ok(())
}

/// The terminal interface's screen with its colours, as tmux saw it.
fn terminal(workspace: &Workspace, service: &Service, scratch: &Path) -> Result<String> {
    let socket = scratch.join("tmux");
    let tmux = || {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&socket).args(["-f", "/dev/null"]);
        command
    };
    let mut attach = Command::new(workspace.monigo());
    attach.args(["attach", &service.pid().to_string()]);
    for function in FUNCTIONS {
        attach.args(["--fn", function]);
    }
    attach.args(["--port", "0", "--max-overhead", "off"]);
    process::run(
        tmux()
            .env("TERM", "xterm-256color")
            .env("COLORTERM", "truecolor")
            .env_remove("TMUX")
            .args(["new-session", "-d", "-s", "monigo", "-x"])
            .arg(COLUMNS.to_string())
            .arg("-y")
            .arg(ROWS.to_string())
            .arg(process::describe(&attach)),
    )?;
    thread::sleep(WATCH);
    let text = process::output(tmux().args(["capture-pane", "-e", "-p", "-t", "monigo"]))
        .context("the terminal interface ended early");
    let _ = process::output(tmux().args(["send-keys", "-t", "monigo", "q"]));
    thread::sleep(Duration::from_secs(2));
    let _ = process::output(tmux().arg("kill-server"));
    text
}
