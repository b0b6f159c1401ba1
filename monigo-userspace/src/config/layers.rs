//! Layers of values: each wins over those before it, and each value knows where it comes from.

use std::{collections::BTreeMap, fmt};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    error::{Actual, Kind},
    value::{Dict, Map, Value},
};
use serde::de::DeserializeOwned;

use super::{ConfigFile, Source};

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the setting.
    pub key: String,
    /// Where it was set.
    pub source: Source,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.key.as_str()) {
            (Source::Default, key) => write!(f, "{key}: {}", self.message),
            (source, "") => write!(f, "{source}: {}", self.message),
            (source, key) => write!(f, "{source}: {key}: {}", self.message),
        }
    }
}

/// Values from several places.
#[derive(Debug, Default)]
pub struct Layers {
    figment: Figment,
    file: Option<ConfigFile>,
    /// By dotted path; the last layer that has it.
    sources: BTreeMap<String, Source>,
}

/// A tree of values as a provider.
struct Tree(Dict);

impl Provider for Tree {
    fn metadata(&self) -> Metadata {
        Metadata::named("configuration")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

impl Layers {
    /// Puts the values of a file on top.
    pub fn add_file(&mut self, file: ConfigFile) {
        let tree = file.tree();
        let mut keys = Vec::new();
        leaves(&tree, "", &mut keys);
        for key in keys {
            let source = Source::File {
                path: file.path().to_owned(),
                line: file.line(&key.split('.').collect::<Vec<_>>()),
            };
            self.sources.insert(key, source);
        }
        self.merge(tree);
        self.file = Some(file);
    }

    /// Puts a single value on top.
    pub fn add(&mut self, key: &str, value: Value, source: Source) {
        // What the file says inside of it, if it is a table, is over.
        let inside = format!("{key}.");
        self.sources.retain(|other, _| !other.starts_with(&inside));
        self.sources.insert(key.to_owned(), source);
        let mut value = value;
        for part in key.rsplit('.') {
            value = Dict::from([(part.to_owned(), value)]).into();
        }
        if let Value::Dict(_, tree) = value {
            self.merge(tree);
        }
    }

    fn merge(&mut self, tree: Dict) {
        self.figment = std::mem::take(&mut self.figment).merge(Tree(tree));
    }

    /// Where the value at `key`, a dotted path, comes from.
    pub fn source(&self, key: &str) -> Source {
        if let Some(source) = self.sources.get(key) {
            return source.clone();
        }
        // A table whose parts were set, or a part of a list.
        let inside = format!("{key}.");
        let mut parts = self.sources.iter();
        if let Some((_, source)) = parts.find(|(other, _)| other.starts_with(&inside)) {
            return source.clone();
        }
        let around = key.rmatch_indices('.').map(|(at, _)| &key[..at]);
        for outer in around {
            match self.sources.get(outer) {
                Some(Source::File { path, .. }) => {
                    let parts: Vec<&str> = key.split('.').collect();
                    let line = self.file.as_ref().and_then(|file| file.line(&parts));
                    return Source::File {
                        path: path.clone(),
                        line,
                    };
                }
                Some(source) => return source.clone(),
                None => {}
            }
        }
        Source::Default
    }

    /// A problem with the setting at `key`.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem {
            key: key.to_owned(),
            source: self.source(key),
            message: message.into(),
        }
    }

    /// The values as `T`, and everything that is wrong with them. What is wrong is left out of `T`, so that
    /// whatever else can be checked is; without `T` nothing more can be said.
    pub fn extract<T: DeserializeOwned>(&self) -> (Option<T>, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut tree = match self.figment.data() {
            Ok(mut data) => data.remove(&Profile::Default).unwrap_or_default(),
            Err(error) => {
                problems.push(self.problem("", error.to_string()));
                return (None, problems);
            }
        };
        loop {
            let error = match Figment::from(Tree(tree.clone())).extract() {
                Ok(value) => return (Some(value), problems),
                Err(error) => error,
            };
            let before = problems.len();
            for error in error {
                let mut path = error.path.clone();
                if let Kind::UnknownField(name, _) = &error.kind
                    && path.last() != Some(name)
                {
                    path.push(name.clone());
                }
                if remove(&mut tree, &path) {
                    problems.push(self.problem(&path.join("."), explain(&error.kind)));
                }
            }
            if problems.len() == before {
                problems.push(self.problem("", "the configuration cannot be read"));
                return (None, problems);
            }
        }
    }
}

/// Dotted paths of everything that is no table.
fn leaves(tree: &Dict, prefix: &str, found: &mut Vec<String>) {
    for (key, value) in tree {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => leaves(inner, &path, found),
            _ => found.push(path),
        }
    }
}

/// Takes out what is at `path`; an element of a list takes the list with it, since the others would
/// change their places.
fn remove(tree: &mut Dict, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    if rest.is_empty() {
        return tree.remove(first).is_some();
    }
    let inner = match tree.get_mut(first) {
        Some(Value::Dict(_, inner)) => remove(inner, rest),
        Some(Value::Array(_, items)) => {
            let item = rest[0]
                .parse()
                .ok()
                .and_then(|index: usize| items.get_mut(index));
            match item {
                Some(Value::Dict(_, inner)) if rest.len() > 1 => remove(inner, &rest[1..]),
                _ => false,
            }
        }
        _ => false,
    };
    inner || tree.remove(first).is_some()
}

/// One sentence.
fn explain(kind: &Kind) -> String {
    match kind {
        Kind::Message(text) => text.clone(),
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
            let wanted = match wanted.as_str() {
                "u16" => "a whole number from 0 to 65535",
                "u32" | "u64" => "a whole number that is not negative",
                "a boolean" => "true or false",
                "f64" => "a number",
                other => other,
            };
            format!("it is {}, and should be {wanted}", describe(found))
        }
        Kind::UnknownVariant(name, known) => format!(
            "'{name}' is none of {}{}",
            known.join(", "),
            suggestion(name, known)
        ),
        Kind::UnknownField(name, known) => {
            format!("no setting has this name{}", suggestion(name, known))
        }
        Kind::MissingField(name) => format!("{name} is missing"),
        other => other.to_string(),
    }
}

fn describe(found: &Actual) -> String {
    match found {
        Actual::Str(text) => format!("the text \"{text}\""),
        Actual::Bool(flag) => flag.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// `; did you mean X?` if something in `known` is like `name`.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    const CLOSE: f64 = 0.75;
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(score, _)| *score > CLOSE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::*;
    use crate::config::Span;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        storage: Inner,
        list: Vec<Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        retention: Option<Span>,
        port: u16,
        kind: Kind2,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind2 {
        #[default]
        Disk,
        Memory,
    }

    fn layers(text: &str) -> Layers {
        let mut layers = Layers::default();
        layers.add_file(ConfigFile::parse(Path::new("m.toml"), text).unwrap());
        layers
    }

    #[test]
    fn later_layers_win() {
        let mut layers = layers("[storage]\nretention = \"7d\"\nport = 1\n");
        layers.add("storage.port", 2.into(), Source::Variable("P".to_owned()));
        layers.add("storage.port", 3.into(), Source::Flag("--p".to_owned()));
        let (outer, problems) = layers.extract::<Outer>();
        assert_eq!(problems, []);
        assert_eq!(outer.unwrap().storage.port, 3);
        assert_eq!(
            layers.source("storage.port"),
            Source::Flag("--p".to_owned())
        );
        assert_eq!(layers.source("storage.retention").to_string(), "m.toml:2");
        assert_eq!(layers.source("storage.kind"), Source::Default);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut layers = layers(
            "[storage]\nretention = \"7 days\"\nprot = 1\nkind = \"dsk\"\n\n[[list]]\nport = 70000\n\n[[list]]\nretentoin = 1\nretention = 5\n",
        );
        layers.add(
            "storage.port",
            "x".into(),
            Source::Variable("MONIGO_P".to_owned()),
        );
        let (outer, problems) = layers.extract::<Outer>();
        let mut texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
        texts.sort();
        assert_eq!(
            texts,
            [
                "MONIGO_P: storage.port: it is the text \"x\", and should be a whole number from 0 to 65535",
                "m.toml:10: list.1.retentoin: no setting has this name; did you mean retention?",
                "m.toml:11: list.1.retention: it is 5, and should be a duration in quotes, for example \"7d\"",
                "m.toml:2: storage.retention: write a number with a unit, for example 500ms, 30s, 5m, 1h30m, 7d, 1w or 3month",
                "m.toml:3: storage.prot: no setting has this name; did you mean port?",
                "m.toml:4: storage.kind: 'dsk' is none of disk, memory; did you mean disk?",
                "m.toml:7: list.0.port: it is 70000, and should be a whole number from 0 to 65535",
            ]
        );
        assert_eq!(outer.unwrap().list.len(), 2);
    }

    #[test]
    fn a_table_in_the_place_of_a_value() {
        let (outer, problems) = layers("storage = 3\nlist = [1]\n").extract::<Outer>();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(outer, Some(Outer::default()));
    }
}
