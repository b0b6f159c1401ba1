//! Stacks of samples and of recorded calls as profiles. The signal is experimental (`v1development`).

use std::{collections::HashMap, hash::Hash};

use opentelemetry_proto::tonic::{
    collector::profiles::v1development::ExportProfilesServiceRequest,
    common::v1::{AnyValue, any_value},
    profiles::v1development::{
        Function, KeyValueAndUnit, Line, Link, Location, Mapping, Profile as Message,
        ProfilesDictionary, ResourceProfiles, Sample, ScopeProfiles, Stack, ValueType,
    },
    resource::v1::Resource,
};

use super::scope;
use crate::{
    export::{Profile, WEIGHTS, WeighedStack},
    query::{Frame, QueryError, Selection, Source, Weight, Window},
    symbols::Language,
};

/// Distinct stacks in one request.
const PER_REQUEST: usize = 4_000;

/// Requests with their numbers of profiles, one profile for each weight that anything has.
pub(super) type Requests = Vec<(ExportProfilesServiceRequest, u64)>;

/// What was written in `(after_ns, upto_ns]`.
pub(super) fn requests(
    source: &dyn Source,
    resource: &Resource,
    (after_ns, upto_ns): (i64, i64),
) -> Result<Requests, QueryError> {
    let window = Window {
        from_ns: Some(after_ns),
        to_ns: Some(upto_ns),
    };
    let profile = Profile::read(source, &Selection::of(None, window, Weight::Cpu))?;
    let frame_type = match profile.overview.language {
        Language::Go => "go",
        _ => "native",
    };
    let parts = profile.stacks.chunks(PER_REQUEST).map(|stacks| {
        let mut dictionary = Dictionary::new(frame_type);
        let profiles = dictionary.profiles(stacks, (after_ns, upto_ns));
        let count = profiles.len() as u64;
        let scope_profiles = vec![ScopeProfiles {
            scope: Some(scope()),
            profiles,
            schema_url: String::new(),
        }];
        let request = ExportProfilesServiceRequest {
            resource_profiles: vec![ResourceProfiles {
                resource: Some(resource.clone()),
                scope_profiles,
                schema_url: String::new(),
            }],
            dictionary: Some(dictionary.finish()),
        };
        (request, count)
    });
    Ok(parts.collect())
}

/// What a weight is called, and its unit; `None` for what is the sum of others.
const fn kind(weight: Weight) -> Option<(&'static str, &'static str)> {
    match weight {
        Weight::Wall => Some(("wall", "nanoseconds")),
        Weight::Cpu => Some(("cpu", "nanoseconds")),
        Weight::OffCpu => Some(("off_cpu", "nanoseconds")),
        Weight::Calls => Some(("calls", "count")),
        Weight::Time => None,
    }
}

/// Things that are referred to by number, each once. Number 0 is the one that says nothing.
struct Table<T> {
    items: Vec<T>,
    numbers: HashMap<T, i32>,
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn after(nothing: T) -> Self {
        Self {
            items: vec![nothing.clone()],
            numbers: HashMap::from([(nothing, 0)]),
        }
    }

    fn number(&mut self, item: T) -> i32 {
        if let Some(&number) = self.numbers.get(&item) {
            return number;
        }
        let number = self.items.len() as i32;
        self.items.push(item.clone());
        self.numbers.insert(item, number);
        number
    }
}

/// A location that can be compared: mapping, address, lines and type of frame.
type Place = (i32, u64, Vec<Line>, i32);

/// What the profiles of a request share.
struct Dictionary {
    strings: Table<String>,
    mappings: Table<Mapping>,
    functions: Table<Function>,
    places: Table<Place>,
    stacks: Table<Stack>,
    attributes: Vec<KeyValueAndUnit>,
}

/// Attributes, by number.
const KERNEL: i32 = 1;
const OWN: i32 = 2;
const TRUNCATED: i32 = 3;

impl Dictionary {
    fn new(frame_type: &str) -> Self {
        let mut strings = Table::after(String::new());
        let text = |text: &str| any_value::Value::StringValue(text.to_owned());
        let mut attribute = |key: &str, value| KeyValueAndUnit {
            key_strindex: strings.number(key.to_owned()),
            value: Some(AnyValue { value: Some(value) }),
            unit_strindex: 0,
        };
        let attributes = vec![
            KeyValueAndUnit::default(),
            attribute("profile.frame.type", text("kernel")),
            attribute("profile.frame.type", text(frame_type)),
            attribute("monigo.truncated", any_value::Value::BoolValue(true)),
        ];
        Self {
            strings,
            mappings: Table::after(Mapping::default()),
            functions: Table::after(Function::default()),
            places: Table::after(Place::default()),
            stacks: Table::after(Stack::default()),
            attributes,
        }
    }

    fn text(&mut self, text: &str) -> i32 {
        self.strings.number(text.to_owned())
    }

    fn profiles(
        &mut self,
        stacks: &[(u64, WeighedStack)],
        (after_ns, upto_ns): (i64, i64),
    ) -> Vec<Message> {
        let numbers: Vec<i32> = stacks.iter().map(|(_, stack)| self.stack(stack)).collect();
        let mut profiles = Vec::new();
        for (index, weight) in WEIGHTS.into_iter().enumerate() {
            let samples = stacks.iter().zip(&numbers);
            let samples: Vec<Sample> = samples
                .filter(|((_, stack), _)| stack.weights[index] > 0)
                .map(|((_, stack), &stack_index)| Sample {
                    stack_index,
                    values: vec![i64::try_from(stack.weights[index]).unwrap_or(i64::MAX)],
                    attribute_indices: stack.truncated.then_some(TRUNCATED).into_iter().collect(),
                    ..Sample::default()
                })
                .collect();
            let Some((name, unit)) = kind(weight).filter(|_| !samples.is_empty()) else {
                continue;
            };
            profiles.push(Message {
                sample_type: Some(ValueType {
                    type_strindex: self.text(name),
                    unit_strindex: self.text(unit),
                }),
                samples,
                time_unix_nano: u64::try_from(after_ns).unwrap_or(0),
                duration_nano: u64::try_from(upto_ns.saturating_sub(after_ns)).unwrap_or(0),
                profile_id: rand::random::<u128>().to_be_bytes().to_vec(),
                ..Message::default()
            });
        }
        profiles
    }

    /// Innermost first, as in the format; inlined functions share the location of the one they are part of.
    fn stack(&mut self, stack: &WeighedStack) -> i32 {
        let groups = stack.frames.split_inclusive(|frame| !frame.inlined);
        let location_indices = groups.map(|group| self.location(group)).collect();
        self.stacks.number(Stack { location_indices })
    }

    fn location(&mut self, group: &[Frame]) -> i32 {
        let Some(outer) = group.last() else { return 0 };
        let mapping = Mapping {
            filename_strindex: self.text(&outer.image),
            ..Mapping::default()
        };
        let mapping = self.mappings.number(mapping);
        let lines = group.iter().map(|frame| self.line(frame)).collect();
        let frame_type = if outer.kernel { KERNEL } else { OWN };
        self.places
            .number((mapping, outer.address, lines, frame_type))
    }

    fn line(&mut self, frame: &Frame) -> Line {
        let function = Function {
            name_strindex: self.text(&frame.function),
            filename_strindex: self.text(frame.file.as_deref().unwrap_or("")),
            ..Function::default()
        };
        Line {
            function_index: self.functions.number(function),
            line: frame.line.map_or(0, i64::from),
            column: 0,
        }
    }

    fn finish(self) -> ProfilesDictionary {
        let location = |(mapping_index, address, lines, frame_type): Place| Location {
            mapping_index,
            address,
            lines,
            attribute_indices: Some(frame_type)
                .filter(|&kind| kind != 0)
                .into_iter()
                .collect(),
        };
        ProfilesDictionary {
            mapping_table: self.mappings.items,
            location_table: self.places.items.into_iter().map(location).collect(),
            function_table: self.functions.items,
            link_table: vec![Link::default()],
            string_table: self.strings.items,
            attribute_table: self.attributes,
            stack_table: self.stacks.items,
        }
    }
}
