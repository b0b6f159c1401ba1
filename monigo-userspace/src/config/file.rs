//! A TOML file as a tree of values, with the line that each of them stands on.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use figment::value::{Dict, Value};
use toml_edit::{Document, Item, Table, TableLike, Value as TomlValue};

/// Larger files are no configuration, bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Why a configuration file cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// As named.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is something else.
    #[error("{}: it is larger than {MOST_BYTES} bytes, which no configuration is", path.display())]
    TooLarge {
        /// As named.
        path: PathBuf,
    },
    /// It is not TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// As named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's sentence.
        message: String,
    },
}

/// A configuration file that was read.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    document: Document<String>,
}

impl ConfigFile {
    /// Reads and parses the file at `path`.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Read {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        // A pipe or a terminal would make monigo wait.
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(FileError::TooLarge {
                path: path.to_owned(),
            });
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| failed(io::Error::other("it holds bytes that are not UTF-8")))?;
        Self::parse(path, &text)
    }

    /// Parses `text`, which was read from `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let document = Document::parse(text.to_owned()).map_err(|error| FileError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            message: error.message().trim().replace('\n', ", "),
        })?;
        Ok(Self {
            path: path.to_owned(),
            document,
        })
    }

    /// As it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything in it.
    pub fn tree(&self) -> Dict {
        dict(self.document.as_table())
    }

    /// The line of the value at `path`, or of the innermost part of the path that is there.
    pub fn line(&self, path: &[&str]) -> Option<usize> {
        let mut at = self.document.as_item();
        let mut start = None;
        for part in path {
            let next = match at {
                Item::ArrayOfTables(tables) => {
                    let index = part.parse::<usize>().ok();
                    let table = index.and_then(|index| tables.get(index));
                    let Some(table) = table else { break };
                    start = table.span().map(|span| span.start).or(start);
                    return self.line_in(
                        table,
                        &path[path.iter().position(|p| p == part)? + 1..],
                        start,
                    );
                }
                Item::Value(TomlValue::Array(array)) => {
                    let index = part.parse::<usize>().ok();
                    if let Some(span) = index.and_then(|index| array.get(index)?.span()) {
                        start = Some(span.start);
                    }
                    break;
                }
                other => other
                    .as_table_like()
                    .and_then(|table| table.get_key_value(part)),
            };
            let Some((key, item)) = next else { break };
            start = key.span().map(|span| span.start).or(start);
            at = item;
        }
        start.map(|start| line_at(self.document.raw(), start))
    }

    /// As [`ConfigFile::line`], from a table of an array on.
    fn line_in(&self, table: &Table, path: &[&str], start: Option<usize>) -> Option<usize> {
        let key = path.first().and_then(|part| table.get_key_value(part));
        let start = key
            .and_then(|(key, _)| key.span())
            .map(|span| span.start)
            .or(start)?;
        Some(line_at(self.document.raw(), start))
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    1 + before.matches('\n').count()
}

fn dict(table: &dyn TableLike) -> Dict {
    table
        .iter()
        .filter_map(|(key, item)| Some((key.to_owned(), of_item(item)?)))
        .collect()
}

fn of_item(item: &Item) -> Option<Value> {
    match item {
        Item::None => None,
        Item::Value(value) => Some(of_value(value)),
        Item::Table(table) => Some(dict(table).into()),
        Item::ArrayOfTables(tables) => {
            let tables: Vec<Value> = tables.iter().map(|table| dict(table).into()).collect();
            Some(tables.into())
        }
    }
}

fn of_value(value: &TomlValue) -> Value {
    match value {
        TomlValue::String(text) => text.value().as_str().into(),
        TomlValue::Integer(number) => (*number.value()).into(),
        TomlValue::Float(number) => (*number.value()).into(),
        TomlValue::Boolean(flag) => (*flag.value()).into(),
        TomlValue::Datetime(time) => time.value().to_string().into(),
        TomlValue::Array(array) => array.iter().map(of_value).collect::<Vec<_>>().into(),
        TomlValue::InlineTable(table) => dict(table).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[storage]
retention = \"7d\"

[trace]
max_overhead = \"off\"
cpu_hz = 99

[[agent.targets]]
path = \"/bin/a\"
functions = [\"f\", \"g\"]

[[agent.targets]]
name = \"b\"
functions = [
  \"f\",
  5,
]
";

    fn file() -> ConfigFile {
        ConfigFile::parse(Path::new("m.toml"), TEXT).unwrap()
    }

    #[test]
    fn values_are_found_by_line() {
        for (path, line) in [
            ("storage", Some(1)),
            ("storage.retention", Some(2)),
            ("storage.retention.deeper", Some(2)),
            ("trace.cpu_hz", Some(6)),
            ("trace.unknown", Some(4)),
            ("agent.targets.0.path", Some(9)),
            ("agent.targets.1.name", Some(13)),
            ("agent.targets.1.functions.1", Some(14)),
            ("nowhere", None),
        ] {
            let parts: Vec<&str> = path.split('.').collect();
            assert_eq!(file().line(&parts), line, "{path}");
        }
    }

    #[test]
    fn trees_hold_everything() {
        let tree = file().tree();
        let storage = tree["storage"].as_dict().unwrap();
        assert_eq!(storage["retention"].as_str(), Some("7d"));
        let agent = tree["agent"].as_dict().unwrap();
        assert_eq!(agent["targets"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn syntax_errors_have_a_line() {
        let error = ConfigFile::parse(Path::new("m.toml"), "[a]\nb = \n").unwrap_err();
        assert!(error.to_string().starts_with("m.toml:2: "), "{error}");
        let twice = ConfigFile::parse(Path::new("m.toml"), "a = 1\na = 2\n");
        assert!(twice.unwrap_err().to_string().contains("duplicate"));
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let missing = ConfigFile::read(Path::new("/nonexistent/m.toml"));
        assert!(matches!(missing, Err(FileError::Read { .. })));
        let device = ConfigFile::read(Path::new("/dev/zero")).unwrap_err();
        assert!(device.to_string().contains("no regular file"), "{device}");
    }
}
