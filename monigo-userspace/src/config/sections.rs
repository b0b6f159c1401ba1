//! The sections that belong to no other module.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{ExitMode, LatencyMode, Share, Span, StackMode, TraceSettings};

/// Section `[service]`: what views call the service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    /// Name; the target's file name without one.
    pub name: Option<String>,
    /// Zone that views show times in; the viewer's own without one. Stored times are UTC.
    pub time_zone: Option<ZoneName>,
    /// No terminal interface and no dashboard.
    pub headless: bool,
}

/// Name of a time zone that this host knows, for example `Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneName(String);

/// Why a text is no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this host knows no time zone '{0}'; write a name such as UTC or Europe/Berlin (`ls /usr/share/zoneinfo` lists them)"
)]
pub struct ZoneError(String);

impl ZoneName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ZoneName {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        match jiff::tz::TimeZone::get(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(ZoneError(text.to_owned())),
        }
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for ZoneName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Section `[log]`: what monigo says of itself on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Least level that is written.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures
    Error,
    /// And what may need attention
    #[default]
    Warn,
    /// And what monigo does
    Info,
    /// And how
    Debug,
    /// Everything
    Trace,
}

impl LogLevel {
    /// The filter of the log that means this level.
    pub const fn filter(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "monigo=info,warn",
            Self::Debug => "monigo=debug,info",
            Self::Trace => "trace",
        }
    }

    /// The level that `-v` this many times means.
    pub const fn of_verbosity(count: u8) -> Option<Self> {
        match count {
            0 => None,
            1 => Some(Self::Info),
            2 => Some(Self::Debug),
            _ => Some(Self::Trace),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One object a line
    Json,
}

/// Section `[agent]`: what `monigo agent` traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Time between looks for processes that started, ended or were replaced; 200 ms to 1 min.
    pub watch: Span,
    /// What is traced, each in sessions of its own.
    pub targets: Vec<AgentTarget>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            watch: Span::from_secs(1),
            targets: Vec::new(),
        }
    }
}

/// One of `[[agent.targets]]`. Exactly one of `path`, `name`, `pid`, `cgroup` and `container` says which
/// processes are meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentTarget {
    /// What events and logs call it; else whatever names its processes.
    pub label: Option<String>,
    /// Every process that runs the executable, or maps the library, at this path.
    pub path: Option<PathBuf>,
    /// Every process of this name.
    pub name: Option<String>,
    /// One process; when it has ended, the target is over.
    pub pid: Option<u32>,
    /// The processes of a control group and those below it, for example `/system.slice/app.service`.
    pub cgroup: Option<String>,
    /// The processes of a container: its id, or the first 12 digits of it at least, or its name.
    pub container: Option<String>,
    /// Of a control group or container, only processes whose executable has this file name.
    pub executable: Option<String>,
    /// Patterns as for `--fn`.
    pub functions: Vec<String>,
    /// Trace every function that the patterns match.
    pub all: bool,
    /// In place of that of `[trace]`.
    pub sampling_rate: Option<u32>,
    /// In place of that of `[trace]`.
    pub max_overhead: Option<Share>,
    /// In place of that of `[trace]`.
    pub latency: Option<LatencyMode>,
    /// In place of that of `[trace]`.
    pub stacks: Option<StackMode>,
    /// In place of that of `[trace]`.
    pub exit_probe: Option<ExitMode>,
    /// In place of that of `[trace]`.
    pub cpu_hz: Option<u32>,
    /// In place of that of `[trace]`.
    pub off_cpu: Option<bool>,
}

impl AgentTarget {
    /// What events and logs call it.
    pub fn label(&self) -> String {
        let own = self.label.clone();
        own.or_else(|| self.path.as_ref().map(|path| path.display().to_string()))
            .or_else(|| self.name.clone())
            .or_else(|| self.pid.map(|pid| format!("process {pid}")))
            .or_else(|| self.cgroup.clone())
            .or_else(|| self.container.clone())
            .unwrap_or_default()
    }

    /// `[trace]` with what this target has of its own.
    pub fn trace(&self, common: &TraceSettings) -> TraceSettings {
        TraceSettings {
            sampling_rate: self.sampling_rate.or(common.sampling_rate),
            max_overhead: self.max_overhead.unwrap_or(common.max_overhead),
            latency: self.latency.unwrap_or(common.latency),
            stacks: self.stacks.unwrap_or(common.stacks),
            exit_probe: self.exit_probe.unwrap_or(common.exit_probe),
            cpu_hz: self.cpu_hz.unwrap_or(common.cpu_hz),
            off_cpu: self.off_cpu.unwrap_or(common.off_cpu),
        }
    }

    /// What is wrong with it: name and sentence.
    pub(super) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = self.trace(&TraceSettings::default()).check();
        let given = [
            self.path.is_some(),
            self.name.is_some(),
            self.pid.is_some(),
            self.cgroup.is_some(),
            self.container.is_some(),
        ];
        match given.iter().filter(|given| **given).count() {
            1 => {}
            0 => wrong.push((
                "",
                "it names no processes; write one of path, name, pid, cgroup and container"
                    .to_owned(),
            )),
            _ => wrong.push((
                "",
                "it names processes in several ways; leave one of path, name, pid, cgroup and container"
                    .to_owned(),
            )),
        }
        if self.functions.is_empty() {
            let text = "it names no function; write for example functions = [\"handle_request\"]";
            wrong.push(("functions", text.to_owned()));
        }
        if self.executable.is_some() && self.cgroup.is_none() && self.container.is_none() {
            let text =
                "it chooses among the processes of a cgroup or container, and there is none here";
            wrong.push(("executable", text.to_owned()));
        }
        if self
            .cgroup
            .as_ref()
            .is_some_and(|path| !path.starts_with('/'))
        {
            let text = "it must begin with /, as in /proc/PID/cgroup; the mount point is left out";
            wrong.push(("cgroup", text.to_owned()));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones() {
        assert_eq!("UTC".parse::<ZoneName>().unwrap().as_str(), "UTC");
        let error = "Mars/Olympus".parse::<ZoneName>().unwrap_err().to_string();
        assert!(error.contains("'Mars/Olympus'"), "{error}");
    }

    #[test]
    fn targets_name_their_processes_in_one_way() {
        let mut target = AgentTarget {
            functions: vec!["f".to_owned()],
            ..AgentTarget::default()
        };
        assert_eq!(target.check().len(), 1);
        target.name = Some("app".to_owned());
        assert_eq!(target.check(), []);
        assert_eq!(target.label(), "app");
        target.pid = Some(7);
        target.functions.clear();
        target.sampling_rate = Some(0);
        target.executable = Some("x".to_owned());
        let wrong: Vec<&str> = target.check().iter().map(|(key, _)| *key).collect();
        assert_eq!(wrong, ["sampling_rate", "", "functions", "executable"]);
    }
}
