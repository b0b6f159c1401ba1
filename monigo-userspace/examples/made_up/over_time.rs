//! The made-up service over time.

use std::collections::BTreeMap;

use monigo::{
    query::{
        FunctionLatency, LatencyPoint, LatencyQuestion, QueryError, ReadingsPoint,
        ReadingsQuestion, Source, Window,
    },
    system::metrics,
};

use super::service::metrics_at;

/// Figures between the start and the last flush, in equal steps of at least 1 s.
pub(super) fn readings(
    started_ns: i64,
    last_ns: i64,
    question: &ReadingsQuestion,
) -> Vec<ReadingsPoint> {
    let from = question.window.from_ns.unwrap_or(started_ns);
    let to = question.window.to_ns.unwrap_or(last_ns);
    let points = i64::from(question.points.max(1));
    let step_ns = ((to - from) / points).max(1_000_000_000);
    let mut found = Vec::new();
    let mut at_ns = from;
    while at_ns < to.min(last_ns) {
        if at_ns >= started_ns {
            let all = metrics::readings(&metrics_at(at_ns, started_ns), at_ns);
            let values: BTreeMap<String, f64> = all
                .into_iter()
                .filter(|each| question.names.is_empty() || question.names.contains(&each.name))
                .map(|each| (each.name, each.value))
                .collect();
            found.push(ReadingsPoint {
                at_ns,
                step_ns,
                values,
            });
        }
        at_ns += step_ns;
    }
    found
}

/// Latency of each function, from the series of each.
pub(super) fn latency_series(
    source: &dyn Source,
    question: &LatencyQuestion,
) -> Result<Vec<LatencyPoint>, QueryError> {
    let mut ids = question.functions.clone();
    if ids.is_empty() {
        ids = source
            .functions(Window::default())?
            .iter()
            .map(|row| row.id)
            .collect();
    }
    let mut steps: BTreeMap<i64, LatencyPoint> = BTreeMap::new();
    for function in ids {
        for point in source.series(Some(function), question.window, question.points)? {
            let step = steps.entry(point.at_ns).or_default();
            (step.at_ns, step.step_ns) = (point.at_ns, point.step_ns);
            step.functions.push(FunctionLatency {
                function,
                calls: point.calls,
                mean: point.p50 + point.p50 / 5,
                p50: point.p50,
                p90: u64::midpoint(point.p50, point.p99),
                p99: point.p99,
            });
        }
    }
    Ok(steps.into_values().collect())
}
