//! `cargo xtask demo`: the sample service, watched by the real monigo.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build,
    process::{self, Guard},
    setup::{self, Scope},
    workspace::Workspace,
};

/// What the demo watches: the order, and its two slow parts.
pub const FUNCTIONS: [&str; 4] = [
    "main.(*Service).ProcessOrder",
    "main.reserveStock",
    "main.chargeCard",
    "main.writeReceipt",
];

/// Sets up, builds and runs the demo.
pub fn run(workspace: &Workspace, seconds: u64, out: &Path) -> Result<()> {
    setup::run(workspace, Scope::Demo)?;
    let monigo = build::compile(workspace)?;
    let orders = build::orders(workspace)?;
    watch(&monigo, &orders, seconds, out)
}

/// Runs the demo with everything built.
pub fn watch(monigo: &Path, orders: &Path, seconds: u64, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let database = out.join("demo.duckdb");
    let flamegraph = out.join("flamegraph.svg");
    // One recording a demo: an older monigo may have written the file.
    for file in [&database, &out.join("demo.duckdb.wal"), &flamegraph] {
        if file.exists() {
            fs::remove_file(file).with_context(|| format!("cannot replace {}", file.display()))?;
        }
    }

    let service = Service::start(orders)?;
    let mut attach = as_root(monigo)?;
    attach
        .arg("attach")
        .arg(orders)
        .arg("--pid")
        .arg(service.pid().to_string());
    for function in FUNCTIONS {
        attach.args(["--fn", function]);
    }
    attach
        .arg("--duration")
        .arg(format!("{seconds}s"))
        .arg("--headless")
        .arg("--db")
        .arg(&database)
        .arg("-o")
        .arg(&flamegraph);
    eprintln!("==> {}", process::describe(&attach));
    let status = process::status(&mut attach)?;
    eprint!("{}", service.stop());
    if !status.success() {
        bail!("monigo ended with {status}");
    }
    for file in [&database, &flamegraph] {
        if fs::metadata(file).map_or(0, |metadata| metadata.len()) == 0 {
            bail!("monigo did not write {}", file.display());
        }
    }
    explain(monigo, orders, &database, &flamegraph);
    Ok(())
}

fn explain(monigo: &Path, orders: &Path, database: &Path, flamegraph: &Path) {
    let sudo = if nix::unistd::geteuid().is_root() {
        ""
    } else {
        "sudo "
    };
    let show = |path: &Path| process::quote(&shorten(path).to_string_lossy());
    let (monigo, orders, database) = (show(monigo), show(orders), show(database));
    println!();
    println!("flame graph:        {}", show(flamegraph));
    println!("recording:          {database}");
    println!("web dashboard:      {monigo} serve --db {database}    (then http://127.0.0.1:8080)");
    // `run` would leave the terminal to the service.
    println!(
        "terminal interface: {orders} > /dev/null & \
         {sudo}{monigo} attach {orders} --fn ProcessOrder; kill $!"
    );
    println!(
        "SQL:                {monigo} query --db {database} \"SHOW TABLES\"; \
         {monigo} report --db {database}"
    );
}

/// The path from the current directory, if it is below.
fn shorten(path: &Path) -> PathBuf {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned))
        .unwrap_or_else(|| path.to_owned())
}

/// The sample service while it runs.
pub struct Service(Guard);

impl Service {
    /// Starts it and waits until it works on orders.
    pub fn start(orders: &Path) -> Result<Self> {
        let mut guard = Guard::spawn(
            Command::new(orders)
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        )?;
        guard.expect_line("orders: pid")?;
        Ok(Self(guard))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Ends it; returns what it says about itself.
    pub fn stop(self) -> String {
        self.0.stop()
    }
}

/// A monigo that may attach: through sudo for an ordinary user.
pub fn as_root(monigo: &Path) -> Result<Command> {
    if nix::unistd::geteuid().is_root() {
        return Ok(Command::new(monigo));
    }
    let Some(sudo) = process::which("sudo") else {
        bail!("attaching needs root, and there is no sudo; run this as root");
    };
    let mut command = Command::new(sudo);
    command.arg(monigo);
    Ok(command)
}
