//! The text that Prometheus fetches, in its own format or as `OpenMetrics`.
//!
//! Latency is a histogram with fixed buckets. Native histograms need the protobuf format, and their
//! exponential buckets do not fit monigo's log-linear ones without being wrong at the edges; the
//! exact buckets are in the recording and behind the API.

use std::fmt::Write as _;

use super::families::{
    BOUNDS_SECONDS, Distribution, Exemplar, Family, Kind, Point, Value, families, merge,
};
use crate::{
    query::{QueryError, Source},
    service::Service,
};

/// How the text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus 0.0.4.
    #[default]
    Text,
    /// `OpenMetrics` 1.0, which has exemplars.
    OpenMetrics,
}

impl Format {
    /// What a client with this `Accept` header gets: `OpenMetrics` if it is named and not refused.
    pub fn of_accept(accept: Option<&str>) -> Self {
        let wanted = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            parts.next() == Some("application/openmetrics-text")
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
        };
        if accept.is_some_and(|accept| accept.split(',').map(str::trim).any(wanted)) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// For the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A recording and its service.
pub struct Scraped<'a> {
    /// What tells it apart from others: names and values. Nothing where there are no others.
    pub labels: Vec<(&'static str, String)>,
    /// Calls.
    pub source: &'a dyn Source,
    /// The service around them.
    pub service: &'a dyn Service,
}

impl<'a> Scraped<'a> {
    /// The only one.
    pub fn alone(source: &'a dyn Source, service: &'a dyn Service) -> Self {
        Self {
            labels: Vec::new(),
            source,
            service,
        }
    }
}

/// All metrics of recordings, their services and monigo itself.
pub fn render(recordings: &[Scraped<'_>], format: Format) -> Result<String, QueryError> {
    let mut all = Vec::new();
    for recording in recordings {
        let found = families(recording.source, recording.service)?;
        merge(&mut all, found, &recording.labels);
    }
    Ok(write(&all, format))
}

/// Writes metrics down.
fn write(families: &[Family], format: Format) -> String {
    let mut text = String::new();
    for family in families {
        write_family(&mut text, family, format);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &Family, format: Format) {
    let open = format == Format::OpenMetrics;
    let suffix = match family.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    let sample = format!("{}{suffix}", family.name);
    let described = if open { family.name } else { &sample };
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Info if open => "info",
        Kind::Info | Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let help = escaped(family.help, open);
    line(text, format_args!("# TYPE {described} {kind}"));
    if open && !family.unit.is_empty() && family.name.ends_with(family.unit) {
        line(text, format_args!("# UNIT {described} {}", family.unit));
    }
    line(text, format_args!("# HELP {described} {help}"));
    for point in &family.points {
        match &point.value {
            Value::Number(value) => {
                let labels = labels(&point.labels, None);
                line(text, format_args!("{sample}{labels} {}", number(*value)));
            }
            Value::Distribution(distribution) => {
                write_distribution(text, family.name, point, distribution, open);
            }
        }
    }
}

fn write_distribution(
    text: &mut String,
    name: &str,
    point: &Point,
    distribution: &Distribution,
    open: bool,
) {
    let mut below = 0;
    for (index, count) in distribution.counts.iter().enumerate() {
        below += count;
        let bound = BOUNDS_SECONDS.get(index).copied().unwrap_or(f64::INFINITY);
        let labels = labels(&point.labels, Some(&("le", number(bound))));
        let exemplar = distribution.exemplars.iter().find(|e| e.bucket == index);
        let exemplar = exemplar
            .filter(|_| open)
            .map(exemplar_text)
            .unwrap_or_default();
        line(
            text,
            format_args!("{name}_bucket{labels} {below}{exemplar}"),
        );
    }
    let labels = labels(&point.labels, None);
    line(
        text,
        format_args!("{name}_sum{labels} {}", number(distribution.sum_seconds)),
    );
    line(text, format_args!("{name}_count{labels} {below}"));
}

fn exemplar_text(exemplar: &Exemplar) -> String {
    let (trace, span) = (hex(&exemplar.trace), hex(&exemplar.span));
    let at = exemplar.at_ns as f64 / 1e9;
    format!(
        " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {} {at:.3}",
        number(exemplar.seconds)
    )
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn labels(labels: &[(&'static str, String)], more: Option<&(&'static str, String)>) -> String {
    let written: Vec<String> = labels
        .iter()
        .chain(more)
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true)))
        .collect();
    if written.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", written.join(","))
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// As the formats write numbers; both know `+Inf` and `NaN`.
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn escaped(text: &str, quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quotes => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod scraped;
#[cfg(test)]
mod tests;
