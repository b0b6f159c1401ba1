//! From all sources to one configuration.

use std::{
    collections::BTreeMap,
    env, fmt,
    path::{Path, PathBuf},
};

use figment::value::Value;

use super::{
    Config, ConfigFile, FileError, Layers, Problem, Source, catalogue::SETTINGS, environment,
};
use crate::store::StorageKind;

/// The file that is read if no other is named and this one exists.
pub const SYSTEM_FILE: &str = "/etc/monigo/monigo.toml";
/// Variable that names a file.
pub const FILE_VARIABLE: &str = "MONIGO_CONFIG";

/// A value from the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagValue {
    /// Dotted path of the setting.
    pub key: &'static str,
    /// The option, with its dashes.
    pub flag: &'static str,
    /// Its value.
    pub value: Value,
}

/// Everything wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read or is no TOML.
    #[error(transparent)]
    File(#[from] FileError),
    /// Values that are wrong, or that no setting has.
    #[error("{}", sentences(.0))]
    Problems(Vec<Problem>),
}

fn sentences(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("\n")
}

/// Where values may come from, so that they can be read again.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// `MONIGO_*` variables and others.
    pub variables: Vec<(String, String)>,
    /// Options.
    pub flags: Vec<FlagValue>,
}

impl Sources {
    /// The file that `--config` names, else that of `MONIGO_CONFIG`, else the system's if it exists; this
    /// process's environment; and `flags`.
    pub fn of_process(file: Option<&Path>, flags: Vec<FlagValue>) -> Self {
        let named = file.map(Path::to_owned).or_else(|| {
            let variable = env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty());
            variable.map(PathBuf::from)
        });
        let system = || Some(PathBuf::from(SYSTEM_FILE)).filter(|path| path.exists());
        Self {
            file: named.or_else(system),
            // A value that is no text cannot be meant for monigo.
            variables: env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags,
        }
    }

    /// Reads everything.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = &self.file {
            layers.add_file(ConfigFile::read(path)?);
        }
        let remarks = environment::add(&mut layers, self.variables.iter().cloned());
        for flag in &self.flags {
            let source = Source::Flag(flag.flag.to_owned());
            layers.add(flag.key, flag.value.clone(), source);
        }
        let (config, mut problems) = layers.extract::<Config>();
        let mut config = config.unwrap_or_default();
        if config.storage.path.is_some() && layers.source("storage.type") == Source::Default {
            config.storage.kind = StorageKind::Disk;
        }
        let checked = config.check();
        problems.extend(
            checked
                .into_iter()
                // What was left out of the configuration has been named.
                .filter(|(key, _)| !problems.iter().any(|known| known.key.starts_with(key)))
                .map(|(key, message)| layers.problem(&key, message))
                .collect::<Vec<_>>(),
        );
        if !problems.is_empty() {
            problems.sort_by(|a, b| (&a.source, &a.key).cmp(&(&b.source, &b.key)));
            return Err(ConfigError::Problems(problems));
        }
        let sources = SETTINGS
            .iter()
            .map(|setting| (setting.key, layers.source(setting.key)));
        Ok(Loaded {
            config,
            sources: sources.collect(),
            remarks,
        })
    }
}

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// By dotted path of the setting.
    pub sources: BTreeMap<&'static str, Source>,
    /// Sentences about what was ignored.
    pub remarks: Vec<String>,
}

impl Loaded {
    /// Where the value of `key` comes from.
    pub fn source(&self, key: &str) -> &Source {
        self.sources.get(key).unwrap_or(&Source::Default)
    }

    /// A problem with the setting at `key`.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem {
            key: key.to_owned(),
            source: self.source(key).clone(),
            message: message.into(),
        }
    }

    /// A tree of sections, each leaf `{"value": …, "source": "default|file|environment|flag"}`; secrets are hidden.
    pub fn tree(&self) -> serde_json::Value {
        let mut tree = serde_json::Map::new();
        for (key, value) in self.values() {
            let (section, name) = key.split_once('.').unwrap_or((key, ""));
            let leaf = serde_json::json!({ "value": value, "source": self.source(key).kind() });
            let section = tree
                .entry(section)
                .or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
            if let Some(section) = section.as_object_mut() {
                section.insert(name.to_owned(), leaf);
            }
        }
        tree.into()
    }

    /// Every setting with its value as JSON, secrets hidden.
    fn values(&self) -> Vec<(&'static str, serde_json::Value)> {
        values(&self.config)
    }
}

/// Every setting of `config` with its value as JSON, secrets hidden.
pub(super) fn values(config: &Config) -> Vec<(&'static str, serde_json::Value)> {
    let whole = serde_json::to_value(config).unwrap_or_default();
    let at = |key: &str| whole.pointer(&format!("/{}", key.replace('.', "/")));
    SETTINGS
        .iter()
        .map(|setting| (setting.key, at(setting.key).cloned().unwrap_or_default()))
        .collect()
}

/// The effective configuration as TOML, each value with its source beside it.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for (key, value) in self.values() {
            let (of, name) = key.split_once('.').unwrap_or(("", key));
            if of != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{of}]")?;
                section = of;
            }
            let source = self.source(key);
            match super::template::toml(&value) {
                Some(text) => writeln!(f, "{name} = {text}  # {source}")?,
                None => writeln!(f, "# {name} is not set")?,
            }
        }
        Ok(())
    }
}
