//! The text over the fixture.

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    query::DuckSource,
    service::{ExporterStatus, Metrics, Recorded, Routines, ServiceError, ServiceInfo},
    store::{Database, fixture},
    telemetry::StatusHandle,
};

/// A service with figures and an exporter.
struct Whole(Recorded);

impl Service for Whole {
    fn info(&self) -> ServiceInfo {
        self.0.info()
    }

    fn metrics(&self) -> Result<Metrics, ServiceError> {
        let mut metrics = Metrics::default();
        metrics.load_statistics.service_cpu_load_percent = 25.0;
        metrics.core_statistics.goroutines = Some(12);
        metrics.core_statistics.uptime_seconds = 3.5;
        Ok(metrics)
    }

    fn routines(&self) -> Result<Routines, ServiceError> {
        self.0.routines()
    }

    fn exporters(&self) -> Vec<ExporterStatus> {
        let status = StatusHandle::new("otlp", "https://a.example");
        status.succeeded(7);
        vec![status.get()]
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

fn rendered(format: Format) -> String {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let source = Arc::new(source);
    let service = Whole(Recorded::new(Arc::clone(&source) as _));
    render(&[Scraped::alone(&*source, &service)], format).expect("renders")
}

/// Two targets, one of them in two builds.
#[test]
fn targets_are_told_apart_and_the_host_is_told_once() {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let source = Arc::new(source);
    let service = Whole(Recorded::new(Arc::clone(&source) as _));
    let target = |name: &str| ("target", name.to_owned());
    let labels = [
        vec![target("shop"), ("session", "1".to_owned())],
        vec![target("shop")],
        vec![target("mail")],
    ];
    let scraped = labels.map(|labels| Scraped {
        labels,
        ..Scraped::alone(&*source, &service)
    });
    let text = render(&scraped, Format::Text).expect("renders");
    let samples = samples(&text);
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples.len(), lines, "a series twice");
    let series = |name: &str| {
        let found = samples.keys().filter(|series| series.starts_with(name));
        found.cloned().collect::<Vec<_>>()
    };
    let calls = series("monigo_function_calls_total{target=\"shop\",function=");
    assert_eq!(calls.len(), 2, "{calls:?}");
    let older = series("monigo_function_calls_total{target=\"shop\",session=\"1\"");
    assert_eq!(older.len(), 2, "{older:?}");
    let goroutines = series("monigo_goroutines{target=\"mail\"}");
    assert_eq!(goroutines.len(), 1, "{goroutines:?}");
    let info = series("monigo_target_info{target=\"mail\",");
    assert!(info[0].contains("path=\"/srv/orders\""), "{info:?}");
    let cpu = series("monigo_cpu_usage_ratio");
    assert_eq!(cpu.len(), 4, "three services and one host: {cpu:?}");
    assert_eq!(series("monigo_storage_bytes").len(), 1);
    let typed = text.lines().filter(|line| line.contains("# TYPE"));
    let mut typed: Vec<&str> = typed.collect();
    let all = typed.len();
    typed.dedup();
    assert_eq!(typed.len(), all, "families are written once");
}

/// Samples by name with labels, without exemplars.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let line = line.split(" # ").next().unwrap_or(line);
            let (series, value) = line.rsplit_once(' ').expect("series and value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

const ORDER: &str = "function=\"main.process_order\",image=\"/srv/orders\",id=\"0\"";

#[test]
fn figures_are_those_of_the_recording() {
    let text = rendered(Format::Text);
    let samples = samples(&text);
    let of = |name: &str| samples.get(name).copied();
    assert_eq!(
        of(&format!("monigo_function_calls_total{{{ORDER}}}")),
        Some(1001.0)
    );
    assert_eq!(
        of(&format!("monigo_function_unwound_total{{{ORDER}}}")),
        Some(2.0)
    );
    assert_eq!(
        of(&format!("monigo_function_in_flight{{{ORDER}}}")),
        Some(1.0)
    );
    let sum = of(&format!("monigo_function_duration_seconds_sum{{{ORDER}}}"));
    assert!((sum.expect("sum") - 0.5505).abs() < 1e-9);
    let floor = of(&format!("monigo_function_floor_seconds{{{ORDER}}}"));
    assert!((floor.expect("floor") - 150e-9).abs() < 1e-15);
    assert_eq!(of("monigo_lost_total{cause=\"ring_full\"}"), Some(5.0));
    assert_eq!(of("monigo_cpu_usage_ratio{scope=\"service\"}"), Some(0.25));
    assert_eq!(of("monigo_goroutines"), Some(12.0));
    assert_eq!(of("monigo_uptime_seconds"), Some(3.5));
    assert_eq!(
        of("monigo_exporter_sent_total{exporter=\"otlp\"}"),
        Some(7.0)
    );
    assert!(
        text.contains("monigo_build_info{version=\"0.1.0\""),
        "{text}"
    );
    assert!(!text.contains("# EOF") && !text.contains("trace_id"));
}

#[test]
fn buckets_grow_to_the_count() {
    for format in [Format::Text, Format::OpenMetrics] {
        let text = rendered(format);
        let samples = samples(&text);
        let bucket = |bound: &str| {
            samples[&format!("monigo_function_duration_seconds_bucket{{{ORDER},le=\"{bound}\"}}")]
        };
        // 1 to 1000 µs, one of each, and one of 50 ms.
        assert_eq!(bucket("0.000001").to_bits(), 1_f64.to_bits());
        assert!((bucket("0.0005") - 500.0).abs() <= 15.0);
        assert_eq!((bucket("0.0025"), bucket("0.025")), (1000.0, 1000.0));
        assert_eq!((bucket("10"), bucket("+Inf")), (1001.0, 1001.0));
        let bounds = BOUNDS_SECONDS.map(number);
        assert!(
            bounds
                .windows(2)
                .all(|pair| bucket(&pair[0]) <= bucket(&pair[1]))
        );
        let count = format!("monigo_function_duration_seconds_count{{{ORDER}}}");
        assert_eq!(samples[&count].to_bits(), 1001_f64.to_bits());
    }
}

#[test]
fn every_series_is_described_once() {
    for format in [Format::Text, Format::OpenMetrics] {
        let text = rendered(format);
        let described: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        let names: std::collections::BTreeSet<&str> = described
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(names.len(), described.len());
        for series in samples(&text).keys() {
            let name = series.split('{').next().expect("name");
            let plain = ["_total", "_info", "_bucket", "_sum", "_count"];
            let base = plain
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            assert!(names.contains(name) || names.contains(base), "{name}");
        }
        assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
        assert_eq!(
            text.matches("# EOF").count(),
            usize::from(format == Format::OpenMetrics)
        );
    }
}

#[test]
fn open_metrics_has_exemplars_in_their_buckets() {
    let text = rendered(Format::OpenMetrics);
    let example = text
        .lines()
        .find(|line| line.contains("le=\"0.05\"") && line.contains(" # {trace_id=\""))
        .expect("of the call of 50 ms");
    assert!(example.contains("} 0.05 176400000"), "{example}");
    assert!(text.contains("# UNIT monigo_function_duration_seconds seconds"));
    assert!(text.contains("# TYPE monigo_function_calls counter"));
    assert!(text.contains("# TYPE monigo_build info"));
}

#[test]
fn names_from_outside_cannot_break_out() {
    let family = Family {
        name: "monigo_function_calls",
        help: "One\\two\nthree \"four\".",
        unit: "",
        kind: Kind::Counter,
        points: vec![Point {
            labels: vec![("function", "a\"b\\c\nd".to_owned())],
            value: Value::Number(1.0),
        }],
    };
    let text = write(&[family], Format::Text);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "# TYPE monigo_function_calls_total counter",
            "# HELP monigo_function_calls_total One\\\\two\\nthree \"four\".",
            "monigo_function_calls_total{function=\"a\\\"b\\\\c\\nd\"} 1",
        ]
    );
}

#[test]
fn the_format_follows_the_accept_header() {
    let of = |accept| Format::of_accept(Some(accept));
    assert_eq!(Format::of_accept(None), Format::Text);
    assert_eq!(of("text/plain"), Format::Text);
    assert_eq!(of("*/*"), Format::Text);
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(of(prometheus), Format::OpenMetrics);
    assert_eq!(
        of("application/openmetrics-text;q=0, text/plain"),
        Format::Text
    );
}
