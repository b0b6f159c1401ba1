//! Metrics of a recording, its service and monigo itself.
//!
//! Names are those of Prometheus: base units, the unit in the name, no `_total`, which the formats
//! add where they want it.

mod functions;
mod service;

use crate::{
    query::{QueryError, Source},
    service::Service,
};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations by bucket.
    Histogram,
    /// Always 1; its labels tell something.
    Info,
}

/// A metric with all its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Name without `_total` and `_info`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// `seconds`, `bytes`, `ratio`; empty for counts.
    pub unit: &'static str,
    /// What it is.
    pub kind: Kind,
    /// One for each set of labels.
    pub points: Vec<Point>,
}

/// One series at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// Value.
    pub value: Value,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of counters and gauges.
    Number(f64),
    /// Of histograms.
    Distribution(Distribution),
}

/// Durations by bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Observations in each bucket of [`BOUNDS_SECONDS`], not cumulative; the last is above all bounds.
    pub counts: Vec<u64>,
    /// Sum, seconds.
    pub sum_seconds: f64,
    /// A recorded call, for each bucket that has one.
    pub exemplars: Vec<Exemplar>,
}

/// A recorded call as an example.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Bucket that it is in.
    pub bucket: usize,
    /// Its duration, seconds.
    pub seconds: f64,
    /// Its end, Unix time in ns.
    pub at_ns: i64,
    /// Trace of its span, if calls are exported as spans.
    pub trace: [u8; 16],
    /// Its span.
    pub span: [u8; 8],
}

/// Upper bounds of the buckets: 1, 2.5 and 5 of each power of ten, from a microsecond to ten seconds.
/// Functions that are worth tracing lie in between, and a percentile is off by a factor of 1.6 at
/// most.
pub const BOUNDS_SECONDS: [f64; 22] = [
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2,
    5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Everything there is to say now. What the service cannot tell is left out.
pub fn families(source: &dyn Source, service: &dyn Service) -> Result<Vec<Family>, QueryError> {
    let mut all = functions::families(source)?;
    all.extend(service::families(source, service)?);
    all.retain(|family| !family.points.is_empty());
    Ok(all)
}

/// Metrics about the host, monigo itself and its database, which are the same in every recording.
const COMMON: [&str; 2] = ["monigo_build", "monigo_storage_bytes"];

/// Adds the metrics of one more recording, told apart from others by `labels`. What is about the host or monigo itself stays as
/// it is, once.
pub fn merge(all: &mut Vec<Family>, more: Vec<Family>, labels: &[(&'static str, String)]) {
    for mut family in more {
        let host = ("scope", "system");
        let webhook = ("exporter", "webhook");
        family.points = std::mem::take(&mut family.points)
            .into_iter()
            .filter_map(|mut point| {
                let is = |(name, value): (&str, &str)| {
                    point.labels.iter().any(|(n, v)| *n == name && v == value)
                };
                let common = COMMON.contains(&family.name) || is(host) || is(webhook);
                if common {
                    let known = all.iter().find(|known| known.name == family.name);
                    let known = known.map_or(&[][..], |known| &known.points);
                    let told = known.iter().any(|other| other.labels == point.labels);
                    return (!told).then_some(point);
                }
                if !labels.is_empty() {
                    for (name, _) in &mut point.labels {
                        // What the target is called takes this name from where it is.
                        if *name == "target" {
                            *name = "path";
                        }
                    }
                    point.labels.splice(0..0, labels.iter().cloned());
                }
                Some(point)
            })
            .collect();
        match all.iter_mut().find(|known| known.name == family.name) {
            Some(known) => known.points.append(&mut family.points),
            None => all.push(family),
        }
    }
}

/// The bucket that a duration belongs to.
fn bucket_of(seconds: f64) -> usize {
    BOUNDS_SECONDS.partition_point(|bound| *bound < seconds)
}

impl Family {
    fn new(
        kind: Kind,
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        points: Vec<Point>,
    ) -> Self {
        Self {
            name,
            help,
            unit,
            kind,
            points,
        }
    }
}

impl Point {
    fn number(labels: Vec<(&'static str, String)>, value: f64) -> Self {
        Self {
            labels,
            value: Value::Number(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        assert_eq!(bucket_of(0.0), 0);
        assert_eq!(bucket_of(1e-6), 0);
        assert_eq!(bucket_of(1.1e-6), 1);
        assert_eq!(bucket_of(10.0), 21);
        assert_eq!(bucket_of(11.0), 22);
        assert!(BOUNDS_SECONDS.is_sorted());
    }
}
