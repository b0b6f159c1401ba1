//! Metrics as OTLP.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
    },
    resource::v1::Resource,
};

use super::{scope, text};
use crate::telemetry::families::{BOUNDS_SECONDS, Distribution, Family, Kind, Point, Value};

/// The request, and how many data points it has. Counters began at `start_ns`, Unix time.
pub(super) fn request(
    families: &[Family],
    resource: Resource,
    start_ns: i64,
    now_ns: i64,
) -> (ExportMetricsServiceRequest, u64) {
    let times = (start_ns.max(0) as u64, now_ns.max(0) as u64);
    let points = families
        .iter()
        .map(|family| family.points.len() as u64)
        .sum();
    let metrics = families
        .iter()
        .map(|family| metric_of(family, times))
        .collect();
    let scope_metrics = vec![ScopeMetrics {
        scope: Some(scope()),
        metrics,
        schema_url: String::new(),
    }];
    let resource_metrics = vec![ResourceMetrics {
        resource: Some(resource),
        scope_metrics,
        schema_url: String::new(),
    }];
    (ExportMetricsServiceRequest { resource_metrics }, points)
}

fn metric_of(family: &Family, times: (u64, u64)) -> Metric {
    let cumulative = AggregationTemporality::Cumulative as i32;
    let numbers = || {
        family
            .points
            .iter()
            .map(|point| number(point, times))
            .collect()
    };
    let data = match family.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge | Kind::Info => metric::Data::Gauge(Gauge {
            data_points: numbers(),
        }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: family
                .points
                .iter()
                .filter_map(|point| histogram(point, times))
                .collect(),
            aggregation_temporality: cumulative,
        }),
    };
    let unit = match family.unit {
        "seconds" => "s",
        "bytes" => "By",
        _ => "1",
    };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn attributes(point: &Point) -> Vec<KeyValue> {
    point
        .labels
        .iter()
        .map(|(name, value)| text(name, value))
        .collect()
}

fn number(point: &Point, (start, now): (u64, u64)) -> NumberDataPoint {
    let value = match &point.value {
        Value::Number(value) => *value,
        Value::Distribution(distribution) => distribution.sum_seconds,
    };
    NumberDataPoint {
        attributes: attributes(point),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn histogram(point: &Point, (start, now): (u64, u64)) -> Option<HistogramDataPoint> {
    let Value::Distribution(distribution) = &point.value else {
        return None;
    };
    Some(HistogramDataPoint {
        attributes: attributes(point),
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: distribution.counts.iter().sum(),
        sum: Some(distribution.sum_seconds),
        bucket_counts: distribution.counts.clone(),
        explicit_bounds: BOUNDS_SECONDS.to_vec(),
        exemplars: exemplars(distribution),
        ..HistogramDataPoint::default()
    })
}

fn exemplars(distribution: &Distribution) -> Vec<Exemplar> {
    let exemplar = |example: &crate::telemetry::families::Exemplar| Exemplar {
        time_unix_nano: example.at_ns.max(0) as u64,
        trace_id: example.trace.to_vec(),
        span_id: example.span.to_vec(),
        value: Some(exemplar::Value::AsDouble(example.seconds)),
        ..Exemplar::default()
    };
    distribution.exemplars.iter().map(exemplar).collect()
}
