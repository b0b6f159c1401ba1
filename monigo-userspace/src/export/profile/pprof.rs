//! pprof: gzipped protocol buffers, as `go tool pprof` reads them. The messages are those of
//! `profile.proto` at <https://github.com/google/pprof>; fields that are never written are left out.

use std::{collections::HashMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use prost::Message;

use super::{Profile, WEIGHTS, kind};
use crate::query::Frame;

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    locations: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    values: Vec<i64>,
}

#[expect(clippy::struct_excessive_bools, reason = "as in the format")]
#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    start: u64,
    #[prost(uint64, tag = "3")]
    limit: u64,
    #[prost(int64, tag = "5")]
    file: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_files: bool,
    #[prost(bool, tag = "9")]
    has_lines: bool,
    #[prost(bool, tag = "10")]
    has_inlined: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    file: i64,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(message, repeated, tag = "1")]
    sample_types: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mappings: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    locations: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    functions: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    strings: Vec<String>,
    #[prost(int64, tag = "9")]
    time_ns: i64,
    #[prost(int64, tag = "10")]
    duration_ns: i64,
    #[prost(int64, repeated, tag = "13")]
    comments: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

/// The profile as gzipped protocol buffers, with all four weights.
pub fn pprof(profile: &Profile) -> std::io::Result<Vec<u8>> {
    let mut table = Table::default();
    table.text("");
    let sample_types = WEIGHTS
        .into_iter()
        .map(|weight| {
            let (name, unit) = kind(weight);
            ValueType {
                kind: table.text(name),
                unit: table.text(unit),
            }
        })
        .collect();
    let samples = profile
        .stacks
        .iter()
        .map(|(_, stack)| Sample {
            locations: table.locations(&stack.frames),
            values: stack.weights.map(signed).to_vec(),
        })
        .collect();
    let overview = &profile.overview;
    let comment = format!(
        "monigo {}: {} on {}",
        overview.monigo_version, overview.target, overview.host
    );
    let file = File {
        sample_types,
        samples,
        time_ns: overview.started_ns,
        duration_ns: signed(overview.duration_ns()),
        comments: vec![table.text(&comment)],
        default_sample_type: table.text(kind(profile.first).0),
        mappings: table.mappings,
        locations: table.locations,
        functions: table.functions,
        strings: table.strings,
    };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&file.encode_to_vec())?;
    encoder.finish()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Everything that samples refer to by number, each thing once.
#[derive(Default)]
struct Table {
    strings: Vec<String>,
    mappings: Vec<Mapping>,
    functions: Vec<Function>,
    locations: Vec<Location>,
    string_ids: HashMap<String, i64>,
    mapping_ids: HashMap<String, u64>,
    function_ids: HashMap<(String, Option<String>), u64>,
    location_ids: HashMap<(u64, Vec<Place>), u64>,
}

/// Function, line and address: what makes locations of one address different is what was inlined.
type Place = (u64, i64, u64);

impl Table {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(&id) = self.string_ids.get(text) {
            return id;
        }
        let id = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn mapping(&mut self, image: &str) -> u64 {
        if let Some(&id) = self.mapping_ids.get(image) {
            return id;
        }
        let id = self.mappings.len() as u64 + 1;
        let file = self.text(image);
        self.mappings.push(Mapping {
            id,
            // Addresses are those of the file, so every image begins at 0; readers want each
            // mapping to have some extent.
            start: 0,
            limit: u64::MAX,
            file,
            has_functions: true,
            has_files: true,
            has_lines: true,
            has_inlined: true,
        });
        self.mapping_ids.insert(image.to_owned(), id);
        id
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let key = (frame.function.clone(), frame.file.clone());
        if let Some(&id) = self.function_ids.get(&key) {
            return id;
        }
        let id = self.functions.len() as u64 + 1;
        let name = self.text(&frame.function);
        let file = self.text(frame.file.as_deref().unwrap_or(""));
        self.functions.push(Function {
            id,
            name,
            system_name: name,
            file,
        });
        self.function_ids.insert(key, id);
        id
    }

    /// Innermost first; inlined functions share the location of the one they are part of.
    fn locations(&mut self, frames: &[Frame]) -> Vec<u64> {
        let mut ids = Vec::with_capacity(frames.len());
        for group in frames.split_inclusive(|frame| !frame.inlined) {
            let Some(outer) = group.last() else { continue };
            let mapping = self.mapping(&outer.image);
            let lines: Vec<Place> = group
                .iter()
                .map(|frame| {
                    let line = frame.line.map_or(0, i64::from);
                    (self.function(frame), line, outer.address)
                })
                .collect();
            let next = self.locations.len() as u64 + 1;
            let id = *self
                .location_ids
                .entry((mapping, lines.clone()))
                .or_insert(next);
            if id == next {
                self.locations.push(Location {
                    id,
                    mapping,
                    address: outer.address,
                    lines: lines
                        .into_iter()
                        .map(|(function, line, _)| Line { function, line })
                        .collect(),
                });
            }
            ids.push(id);
        }
        ids
    }
}
