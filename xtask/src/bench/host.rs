//! The machine that the figures belong to.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::process;

/// What a reader has to know to compare figures.
pub struct Host {
    /// `uname -r`.
    pub kernel: String,
    /// Model of the first CPU.
    pub cpu: String,
    /// CPUs that may be used.
    pub cpus: usize,
    /// Memory, in GiB.
    pub memory_gib: f64,
    /// Load of the last minute when the bench began.
    pub load: f64,
    /// First line that each tool says about its version, or that it is missing.
    pub tools: Vec<(&'static str, String)>,
}

impl Host {
    /// Looks around.
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let line = |text: &str, name: &str| {
            text.lines().find_map(|line| {
                Some(
                    line.strip_prefix(name)?
                        .split_once(':')?
                        .1
                        .trim()
                        .to_owned(),
                )
            })
        };
        let memory = line(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: line(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory.unwrap_or_default() / f64::from(1 << 20),
            load: read("/proc/loadavg")
                .split_whitespace()
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
            tools: ["bpftrace", "uftrace", "gcc", "rustc"]
                .map(|tool| (tool, version(tool)))
                .into(),
        }
    }

    /// For the JSON report.
    pub fn to_json(&self) -> Value {
        json!({
            "kernel": self.kernel,
            "cpu": self.cpu,
            "cpus": self.cpus,
            "memory_gib": self.memory_gib,
            "load_at_start": self.load,
            "tools": self.tools.iter().map(|(tool, version)| (*tool, version.as_str())).collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}

fn version(tool: &str) -> String {
    process::output(Command::new(tool).arg("--version"))
        .ok()
        .and_then(|text| Some(text.lines().next()?.trim().to_owned()))
        .unwrap_or_else(|| "not installed".to_owned())
}
