//! Metrics of traced functions.

use std::collections::BTreeMap;

use super::{BOUNDS_SECONDS, Distribution, Exemplar, Family, Kind, Point, Value, bucket_of};
use crate::{
    query::{Bucket, Call, FunctionRow, QueryError, Selection, Source, Weight, Window},
    telemetry::status::span_ids,
};

/// Exemplars are slow calls of this long.
const EXEMPLARS_NS: i64 = 60_000_000_000;
/// Calls looked at for them.
const EXEMPLARS: u32 = 200;

pub(super) fn families(source: &dyn Source) -> Result<Vec<Family>, QueryError> {
    // Counters must not drop when the database deletes what is old.
    let since = source.since_start()?;
    let rows: Vec<&FunctionRow> = since.iter().map(|since| &since.row).collect();
    let mut exemplars = exemplars(source)?;
    let labels: Vec<_> = rows.iter().copied().map(labels).collect();
    let each = |value: fn(&FunctionRow) -> f64| -> Vec<Point> {
        let labelled = rows.iter().zip(&labels);
        labelled
            .map(|(row, labels)| Point::number(labels.clone(), value(row)))
            .collect()
    };
    let mut durations = Vec::new();
    for (since, labels) in since.iter().zip(&labels).filter(|(s, _)| s.row.timed > 0) {
        let mut distribution = distribution(&since.buckets, since.timed_ns);
        distribution.exemplars = exemplars.remove(&since.row.id).unwrap_or_default();
        durations.push(Point {
            labels: labels.clone(),
            value: Value::Distribution(distribution),
        });
    }
    let counter = |name, unit, help, points| Family::new(Kind::Counter, name, unit, help, points);
    Ok(vec![
        counter(
            "monigo_function_calls",
            "",
            "Completed calls.",
            each(|row| row.calls as f64),
        ),
        counter(
            "monigo_function_unwound",
            "",
            "Calls ended by a panic, an exception, longjmp, or the end of their thread.",
            each(|row| row.unwound as f64),
        ),
        Family::new(
            Kind::Gauge,
            "monigo_function_in_flight",
            "",
            "Calls that are open.",
            each(|row| row.in_flight as f64),
        ),
        Family::new(
            Kind::Gauge,
            "monigo_function_calls_error",
            "",
            "Half the width of the 95 % interval of the number of calls; 0 where they are counted and not estimated.",
            each(|row| row.calls_error as f64),
        ),
        Family::new(
            Kind::Histogram,
            "monigo_function_duration_seconds",
            "seconds",
            "Durations of completed calls.",
            durations,
        ),
        Family::new(
            Kind::Gauge,
            "monigo_function_floor_seconds",
            "seconds",
            "Durations below this cannot be told from none; 0 where that was not measured.",
            each(|row| f64::from(row.probe.floor_ns) / 1e9),
        ),
        counter(
            "monigo_probe_seconds",
            "seconds",
            "Time that monigo's probes took from the target.",
            each(|row| row.probes_ns as f64 / 1e9),
        ),
    ])
}

fn labels(row: &FunctionRow) -> Vec<(&'static str, String)> {
    vec![
        ("function", row.name.clone()),
        // Functions of one name can be in several images, and several of one image.
        ("image", row.image.clone()),
        ("id", row.id.to_string()),
    ]
}

/// Fine buckets are at most 3 % wide; one that a bound goes through counts by its middle.
fn distribution(fine: &[Bucket], total_ns: u64) -> Distribution {
    let mut counts = vec![0; BOUNDS_SECONDS.len() + 1];
    for bucket in fine {
        let middle = bucket.low_ns + (bucket.high_ns - 1 - bucket.low_ns) / 2;
        counts[bucket_of(middle as f64 / 1e9)] += bucket.count;
    }
    Distribution {
        counts,
        sum_seconds: total_ns as f64 / 1e9,
        exemplars: Vec::new(),
    }
}

/// Slow calls that ended lately, at most one for each function and bucket.
fn exemplars(source: &dyn Source) -> Result<BTreeMap<u32, Vec<Exemplar>>, QueryError> {
    let Some(last_ns) = source.overview()?.last_flush_ns else {
        return Ok(BTreeMap::new());
    };
    let window = Window {
        from_ns: Some(last_ns - EXEMPLARS_NS),
        to_ns: None,
    };
    let calls = source.slowest(&Selection::of(None, window, Weight::Wall), EXEMPLARS)?;
    let mut found: BTreeMap<u32, BTreeMap<usize, Exemplar>> = BTreeMap::new();
    for call in &calls {
        let exemplar = exemplar(call);
        let of_function = found.entry(call.function).or_default();
        of_function.entry(exemplar.bucket).or_insert(exemplar);
    }
    let listed =
        |(id, exemplars): (u32, BTreeMap<usize, Exemplar>)| (id, exemplars.into_values().collect());
    Ok(found.into_iter().map(listed).collect())
}

fn exemplar(call: &Call) -> Exemplar {
    let seconds = call.duration_ns as f64 / 1e9;
    let (trace, span) = span_ids(call);
    Exemplar {
        bucket: bucket_of(seconds),
        seconds,
        at_ns: call.start_ns.saturating_add_unsigned(call.duration_ns),
        trace,
        span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fine_buckets_fall_into_coarse_ones() {
        let fine = |low_ns, high_ns, count| Bucket {
            low_ns,
            high_ns,
            count,
        };
        let got = distribution(
            &[
                fine(10, 11, 3),
                fine(1000, 1001, 2),
                fine(1008, 1024, 5),
                fine(20_000_000_000, 21_000_000_000, 1),
            ],
            9_000,
        );
        assert_eq!((got.counts[0], got.counts[1], got.counts[22]), (5, 5, 1));
        assert_eq!(got.counts.iter().sum::<u64>(), 11);
        assert!((got.sum_seconds - 9e-6).abs() < 1e-15);
    }
}
