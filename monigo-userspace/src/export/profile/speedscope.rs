//! speedscope: one "sampled" profile for each weight, as in
//! <https://www.speedscope.app/file-format-schema.json>.

use std::collections::HashMap;

use serde::Serialize;

use super::{Profile, WEIGHTS, position};
use crate::query::{Frame, Weight};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    shared: Shared<'a>,
    profiles: Vec<Sampled>,
    name: String,
    active_profile_index: usize,
    exporter: String,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<SharedFrame<'a>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct SharedFrame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

/// The profile as JSON.
pub fn speedscope(profile: &Profile) -> Result<String, serde_json::Error> {
    let mut frames = Frames::default();
    let stacks: Vec<Vec<usize>> = profile
        .stacks
        .iter()
        .map(|(_, stack)| {
            stack
                .frames
                .iter()
                .rev()
                .map(|frame| frames.id(frame))
                .collect()
        })
        .collect();
    let mut active = 0;
    let mut profiles = Vec::new();
    for weight in WEIGHTS {
        let at = position(weight);
        let weighed = || {
            let each = stacks.iter().zip(&profile.stacks);
            each.map(|(frames, (_, stack))| (frames, stack.weights[at]))
                .filter(|(frames, weight)| *weight > 0 && !frames.is_empty())
        };
        let total = weighed().map(|(_, weight)| weight).sum();
        if total == 0 {
            continue;
        }
        if weight == profile.first {
            active = profiles.len();
        }
        let (name, unit) = match weight {
            Weight::Wall => ("wall-clock time", "nanoseconds"),
            Weight::Cpu => ("on CPU", "nanoseconds"),
            Weight::OffCpu => ("off CPU", "nanoseconds"),
            Weight::Calls => ("calls", "none"),
            Weight::Time => ("on and off CPU", "nanoseconds"),
        };
        profiles.push(Sampled {
            kind: "sampled",
            name,
            unit,
            start_value: 0,
            end_value: total,
            samples: weighed().map(|(frames, _)| frames.clone()).collect(),
            weights: weighed().map(|(_, weight)| weight).collect(),
        });
    }
    let overview = &profile.overview;
    serde_json::to_string(&File {
        schema: SCHEMA,
        shared: Shared {
            frames: frames.list,
        },
        profiles,
        name: overview.target.clone(),
        active_profile_index: active,
        exporter: format!("monigo {}", overview.monigo_version),
    })
}

#[derive(Default)]
struct Frames<'a> {
    list: Vec<SharedFrame<'a>>,
    ids: HashMap<SharedFrame<'a>, usize>,
}

impl<'a> Frames<'a> {
    fn id(&mut self, frame: &'a Frame) -> usize {
        let shared = SharedFrame {
            name: &frame.function,
            file: frame.file.as_deref().or(Some(&frame.image)),
            line: frame.line,
        };
        let next = self.list.len();
        let id = *self.ids.entry(shared.clone()).or_insert(next);
        if id == next {
            self.list.push(shared);
        }
        id
    }
}
