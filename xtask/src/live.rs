//! A monigo that watches the sample service and serves its dashboard.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    demo::{FUNCTIONS, Service, as_root},
    process::Guard,
    workspace::Workspace,
};

/// Time from the start to the line with the address.
const START_LIMIT: Duration = Duration::from_mins(1);

/// The process and where its dashboard is.
pub struct Live {
    /// monigo.
    pub process: Guard,
    url: String,
}

impl Live {
    /// Attaches and waits until the dashboard has an address.
    pub fn attach(workspace: &Workspace, service: &Service, database: &Path) -> Result<Self> {
        Self::attach_with_keys(workspace, service, database, None)
    }

    /// The same for those only who have one of the keys in a file.
    pub fn attach_with_keys(
        workspace: &Workspace,
        service: &Service,
        database: &Path,
        keys: Option<&Path>,
    ) -> Result<Self> {
        let mut command = as_root(&workspace.monigo())?;
        command.arg("attach").arg(service.pid().to_string());
        for function in FUNCTIONS {
            command.args(["--fn", function]);
        }
        // Pages are compared while it runs; the budget would change what is recorded meanwhile.
        command
            .args(["--max-overhead", "off"])
            .args(["--no-tui", "--port", "0", "--db"])
            .arg(database);
        if let Some(keys) = keys {
            command.arg("--api-keys-file").arg(keys);
        }
        Self::start(&mut command)
    }

    /// Serves a recording that is over.
    pub fn serve(workspace: &Workspace, database: &Path) -> Result<Self> {
        let mut command = as_root(&workspace.monigo())?;
        command.args(["serve", "--port", "0", "--db"]).arg(database);
        Self::start(&mut command)
    }

    /// An agent that traces what this configuration file says.
    pub fn agent(workspace: &Workspace, configuration: &Path) -> Result<Self> {
        let mut command = as_root(&workspace.monigo())?;
        command.arg("agent").arg("--config").arg(configuration);
        Self::start(&mut command)
    }

    fn start(command: &mut Command) -> Result<Self> {
        let mut process = Guard::spawn(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )?;
        let stdout = process.0.stdout.take().context("stdout is piped")?;
        let stderr = process.0.stderr.take().context("stderr is piped")?;
        let (sender, receiver) = mpsc::channel();
        // `attach` tells the address among its messages, `serve` as its output.
        watch(stdout, sender.clone());
        watch(stderr, sender);
        let url = receiver
            .recv_timeout(START_LIMIT)
            .context("monigo printed no address of its dashboard")?;
        Ok(Self { process, url })
    }

    /// Address of the dashboard.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Passes lines on and sends each address in them. Reads to the end, so that monigo never waits for
/// a full pipe.
fn watch(pipe: impl Read + Send + 'static, addresses: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            eprintln!("monigo| {line}");
            if let Some(url) = find_url(&line) {
                let _ = addresses.send(url.to_owned());
            }
        }
    });
}

/// The first http address in a line.
fn find_url(line: &str) -> Option<&str> {
    let start = line.find("http://")?;
    let url = line[start..].split(char::is_whitespace).next()?;
    Some(url.trim_end_matches(['.', ',', ')', ';']))
}

#[cfg(test)]
mod tests {
    use super::find_url;

    #[test]
    fn address_in_a_sentence() {
        assert_eq!(
            find_url("dashboard: http://127.0.0.1:41234/ (Ctrl-C ends)"),
            Some("http://127.0.0.1:41234/")
        );
        assert_eq!(
            find_url("see http://127.0.0.1:8080."),
            Some("http://127.0.0.1:8080")
        );
        assert_eq!(find_url("attached"), None);
    }
}
