//! Settings: their types, where they come from, and which of them can change while monigo runs.
//!
//! [`Sources::load`] puts the layers together: defaults, a TOML file, `MONIGO_*` variables, options of the command
//! line. Everything that is wrong is found at once, each with the file and line, variable or option that says it.

mod catalogue;
mod environment;
mod file;
mod layers;
mod load;
mod reload;
mod sections;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod trace;
mod values;

use serde::{Deserialize, Serialize};

pub use self::{
    catalogue::{Kind, SECTIONS, SETTINGS, Setting},
    file::{ConfigFile, FileError},
    layers::{Layers, Problem},
    load::{ConfigError, FILE_VARIABLE, FlagValue, Loaded, SYSTEM_FILE, Sources},
    reload::{Change, Watch},
    sections::{
        AgentSettings, AgentTarget, LogFormat, LogLevel, LogSettings, ServiceSettings, ZoneError,
        ZoneName,
    },
    source::Source,
    template::template,
    trace::{ExitMode, LatencyMode, Share, ShareError, StackMode, TraceSettings},
    values::{Size, Span, ValueError},
};
use crate::{
    api::{AuthSettings, HttpSettings, ListenSettings, TlsSettings},
    lifecycle::WebhookSettings,
    store::StorageSettings,
    system::health::HealthSettings,
    telemetry::OtlpSettings,
};

/// All settings, by section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is watched.
    pub service: ServiceSettings,
    /// The server of dashboard and API.
    pub listen: ListenSettings,
    /// Whom the server answers.
    pub auth: AuthSettings,
    /// Encryption of the server.
    pub tls: TlsSettings,
    /// Where measurements are kept.
    pub storage: StorageSettings,
    /// How functions are measured.
    pub trace: TraceSettings,
    /// When a service counts as healthy.
    pub health: HealthSettings,
    /// Export to an OpenTelemetry collector.
    pub otlp: OtlpSettings,
    /// Events sent as HTTP requests.
    pub webhook: WebhookSettings,
    /// What monigo writes on stderr.
    pub log: LogSettings,
    /// What `monigo agent` traces.
    pub agent: AgentSettings,
}

impl Config {
    /// The settings of the server.
    pub fn http(&self) -> HttpSettings {
        HttpSettings {
            listen: self.listen.clone(),
            auth: self.auth.clone(),
            tls: self.tls.clone(),
        }
    }

    /// Values that have the right type and are wrong all the same: dotted path and sentence.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut add = |prefix: &str, found: Vec<(&str, String)>| {
            for (name, sentence) in found {
                let key = format!("{prefix}.{name}");
                wrong.push((key.trim_end_matches('.').to_owned(), sentence));
            }
        };
        add("trace", self.trace.check());
        for (index, target) in self.agent.targets.iter().enumerate() {
            add(&format!("agent.targets.{index}"), target.check());
        }
        if let Err(problem) = self.storage.check() {
            add("storage", vec![(problem.setting, problem.reason)]);
        }
        if let Err(error) = self.otlp.check() {
            add("otlp", vec![(self.otlp.blamed(&error), error.to_string())]);
        }
        if let Err(error) = self.health.check() {
            add("health", vec![("", error.to_string())]);
        }
        let watch = self.agent.watch.duration();
        if watch.as_millis() < 200 || watch.as_secs() > 60 {
            let sentence = "it must be between 200ms and 1m".to_owned();
            add("agent", vec![("watch", sentence)]);
        }
        wrong
    }
}
