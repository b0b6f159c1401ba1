//! Who is measured, and how each is told to count calls of one function and to keep a histogram
//! of their latency.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    image,
    kernel::{Empty, Ends, Programs, Usage},
    targets::{Program, Running},
    tool::Tool,
};
use crate::process;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// monigo as it comes: records with stacks of some calls, samples inside calls.
    Monigo,
    /// monigo with nothing but the count and the histogram, which is what the others do.
    MonigoLean,
    /// A program that does nothing on the sites that monigo chose.
    Empty,
    /// bpftrace with its return probe.
    Bpftrace,
    /// bpftrace with probes on the first instruction and on the returns.
    BpftraceSites,
    /// uftrace, which rewrites the function when the program starts.
    Uftrace,
}

impl Peer {
    /// In the order of the tables.
    pub const ALL: [Self; 6] = [
        Self::MonigoLean,
        Self::Monigo,
        Self::Empty,
        Self::BpftraceSites,
        Self::Bpftrace,
        Self::Uftrace,
    ];

    /// As the report calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monigo => "monigo, defaults",
            Self::MonigoLean => "monigo, count and histogram only",
            Self::Empty => "empty program, monigo's sites",
            Self::Bpftrace => "bpftrace, uprobe and uretprobe",
            Self::BpftraceSites => "bpftrace, uprobes on first instruction and returns",
            Self::Uftrace => "uftrace (cannot attach; starts the program)",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Monigo => "monigo",
            Self::MonigoLean => "lean",
            Self::Empty => "empty",
            Self::Bpftrace => "bpftrace",
            Self::BpftraceSites => "sites",
            Self::Uftrace => "uftrace",
        }
    }
}

/// The monigo that is measured, and what it can be told.
pub struct Monigo {
    binary: PathBuf,
    budget: bool,
}

impl Monigo {
    /// Asks it for its options.
    pub fn new(binary: PathBuf) -> Result<Self> {
        let help = process::output(Command::new(&binary).args(["attach", "--help"]))?;
        Ok(Self {
            binary,
            budget: help.contains("--max-overhead"),
        })
    }

    /// What `--version` says.
    pub fn version(&self) -> Result<String> {
        process::output(Command::new(&self.binary).arg("--version"))
            .map(|text| text.trim().to_owned())
    }

    /// The file.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// `monigo attach TARGET --pid PID`, without a view, at full cost, with JSON at the end.
    pub fn attach(&self, target: &Path, pid: u32) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("-v").arg("attach").arg(target);
        command.args(["--pid", &pid.to_string()]);
        command.args(["--headless", "--format", "json"]);
        if self.budget {
            command.args(["--max-overhead", "off"]);
        }
        command
    }

    /// The same for one function and without samples and stacks.
    pub fn attach_lean(&self, target: &Path, pid: u32) -> Command {
        let mut command = self.attach(target, pid);
        command.args(["--stacks", "off", "--cpu-hz", "0", "--no-off-cpu"]);
        command
    }

    /// What monigo does with a program's function on this host, by attaching for a moment.
    pub fn plan(&self, program: &Program) -> Result<Plan> {
        let running = Running::start(&mut Command::new(&program.binary))?;
        let text = process::output(self.attach_lean(&program.binary, running.pid()).args([
            "--fn",
            program.pattern,
            "--duration",
            "100ms",
        ]))?;
        let summary: Value = serde_json::from_str(&text)?;
        let probe = &summary["functions"][0]["probe"];
        let entry = address(&probe["entry"]).context("monigo names no entry site")?;
        let exit = probe["exit"].as_str().unwrap_or("ret").to_owned();
        let listed = process::output(Command::new(&self.binary).arg("list").args([
            program.binary.as_os_str(),
            program.pattern.as_ref(),
            "--format".as_ref(),
            "json".as_ref(),
        ]))?;
        let listed: Value = serde_json::from_str(&listed)?;
        let exits = exits(&listed["functions"][0]["sites"], entry)
            .unwrap_or_else(|| program.function.returns.clone());
        Ok(Plan {
            entry,
            ends: if exit == "ret" {
                Ends::Sites
            } else {
                Ends::Returns
            },
            exit,
            exits,
            cost_class: probe["cost_class"].as_str().unwrap_or("?").to_owned(),
        })
    }
}

/// Which sites monigo chose.
pub struct Plan {
    /// Address of the entry site.
    pub entry: u64,
    /// How it sees the end of a call, in monigo's words.
    pub exit: String,
    /// The same, for the empty program.
    pub ends: Ends,
    /// Addresses of the exit sites; unused with a return probe.
    pub exits: Vec<u64>,
    /// Of the dearest site.
    pub cost_class: String,
}

/// Exit sites, if the list has sites and not only their number.
fn exits(sites: &Value, entry: u64) -> Option<Vec<u64>> {
    let sites = sites.as_array()?;
    let exits: Vec<u64> = sites
        .iter()
        .filter_map(|site| address(site).or_else(|| address(&site["address"])))
        .filter(|site| *site != entry)
        .collect();
    (!exits.is_empty()).then_some(exits)
}

fn address(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

/// A target with a profiler at work on it.
pub struct Watched {
    /// The target.
    pub target: Running,
    watcher: Watcher,
}

enum Watcher {
    Tool(Tool),
    Kernel(Empty),
    /// The target runs under it.
    Around,
}

impl Watched {
    /// Starts a target of its own for this peer, from a copy of the file: probes belong to files.
    /// Also returns how long a call takes there without the peer.
    pub fn start(
        peer: Peer,
        monigo: &Monigo,
        program: &Program,
        plan: &Plan,
        directory: &Path,
        time_alone: impl Fn(&mut Running) -> Result<f64>,
    ) -> Result<(Self, f64)> {
        let stem = program.binary.file_name().context("a file name")?;
        let file = directory.join(format!("{}.{}", stem.display(), peer.file()));
        if peer == Peer::BpftraceSites {
            // bpftrace takes offsets only in files without symbols.
            process::output(
                Command::new("strip")
                    .arg("-o")
                    .args([&file, &program.binary]),
            )?;
        } else {
            fs::copy(&program.binary, &file)?;
        }
        let mut target = Running::start(&mut Command::new(&file))?;
        let plain_ns = time_alone(&mut target)?;
        let pid = target.pid();
        let offsets = |addresses: &[u64]| image::offsets(&program.binary, addresses);
        let watcher = match peer {
            Peer::Monigo => Watcher::Tool(Tool::start(
                monigo.attach(&file, pid).args(["--fn", program.pattern]),
            )?),
            Peer::MonigoLean => Watcher::Tool(Tool::start(
                monigo
                    .attach_lean(&file, pid)
                    .args(["--fn", program.pattern]),
            )?),
            Peer::Empty => {
                let mut sites = vec![plan.entry];
                if plan.ends == Ends::Sites {
                    sites.extend(&plan.exits);
                }
                Watcher::Kernel(Empty::attach(&file, &offsets(&sites)?, plan.ends, pid)?)
            }
            Peer::Bpftrace => {
                let place = format!("{}:\"{}\"", file.display(), program.function.symbol);
                Watcher::Tool(Tool::start(&mut bpftrace(
                    pid,
                    &[format!("uprobe:{place}")],
                    &[format!("uretprobe:{place}")],
                ))?)
            }
            Peer::BpftraceSites => {
                let place = |offset: &u64| format!("uprobe:{}:{offset:#x}", file.display());
                let entry: Vec<String> = offsets(&[program.function.address])?
                    .iter()
                    .map(place)
                    .collect();
                let exits: Vec<String> = offsets(&program.function.returns)?
                    .iter()
                    .map(place)
                    .collect();
                Watcher::Tool(Tool::start(&mut bpftrace(pid, &entry, &exits))?)
            }
            Peer::Uftrace => {
                target.finish();
                target = Running::start(
                    Command::new("uftrace")
                        .args(["record", "--no-libcall", "--no-event", "-P", "work", "-d"])
                        .arg(directory.join(format!("{}.data", stem.display())))
                        .arg(&file),
                )?;
                Watcher::Around
            }
        };
        Ok((Self { target, watcher }, plain_ns))
    }

    /// Fails if the tool has ended.
    pub fn check(&mut self) -> Result<()> {
        match &mut self.watcher {
            Watcher::Tool(tool) => tool.check(),
            Watcher::Kernel(_) | Watcher::Around => Ok(()),
        }
    }

    /// Whether the probes are there from the target's first instruction on, or never.
    pub fn is_in_place_at_start(&self) -> bool {
        matches!(self.watcher, Watcher::Around)
    }

    /// Whether the target has died under the tool.
    pub fn is_dead(&mut self) -> bool {
        !self.is_in_place_at_start() && self.target.has_ended()
    }

    /// What the peer's kernel programs have used up; `None` for one without any.
    pub fn usage(&self) -> Result<Option<Usage>> {
        match &self.watcher {
            Watcher::Tool(tool) => Programs::of(tool.pid())?.usage().map(Some),
            Watcher::Kernel(empty) => empty.usage().map(Some),
            Watcher::Around => Ok(None),
        }
    }

    /// Detaches and ends the target.
    pub fn finish(self) {
        if let Watcher::Tool(tool) = self.watcher {
            let _ = tool.interrupt(Duration::from_mins(1));
        }
        self.target.finish();
    }
}

/// bpftrace with a count and a histogram of latency.
fn bpftrace(pid: u32, entry: &[String], exits: &[String]) -> Command {
    let mut command = Command::new("bpftrace");
    command.arg("--unsafe").args(["-p", &pid.to_string(), "-e"]);
    command.arg(histogram(entry, exits));
    command
}

/// The program: `hist` counts, too.
pub fn histogram(entry: &[String], exits: &[String]) -> String {
    format!(
        "{} {{ @start[tid] = nsecs; }} {} /@start[tid]/ {{ @ns = hist(nsecs - @start[tid]); delete(@start[tid]); }}",
        entry.join(", "),
        exits.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sites_in_either_shape() {
        assert_eq!(exits(&json!(2), 16), None);
        assert_eq!(exits(&json!(["0x10", "0x20"]), 16), Some(vec![32]));
        assert_eq!(
            exits(&json!([{"address": "0x10"}, {"address": "0x20"}]), 16),
            Some(vec![32])
        );
    }
}
