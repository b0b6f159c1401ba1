//! Figures over time: `service-metrics` and `reports`.

use std::collections::BTreeMap;

use axum::Json;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::body::Body;
use crate::{
    api::{App, Chosen, error::ApiError, params::Params},
    collect::unix_ns,
    query::{LatencyPoint, LatencyQuestion, QueryError, ReadingsQuestion, Source, Window},
    system::metrics::{SERIES, Topic as Resource, rfc3339, series},
};

/// Steps when a request does not say how many.
const POINTS: u32 = 240;
/// Most steps of an answer.
const MOST_POINTS: u32 = 2_000;
/// Longest time that can be asked for.
const LONGEST: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);
/// Functions that a latency report holds, those with most calls first.
const MOST_FUNCTIONS: usize = 20;

type Answer = Result<Json<Vec<TimeValue>>, ApiError>;

/// Values of series in one step of time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TimeValue {
    /// Start of the step, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    time: String,
    /// By series, in its unit; series without a value in the step are left out.
    value: BTreeMap<String, f64>,
}

/// What `service-metrics` takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsRequest {
    /// Series, at least one.
    #[schema(
        value_type = Vec<SeriesName>,
        min_items = 1,
        example = json!(["service_cpu_load", "service_memory_load"]),
    )]
    field_name: Vec<String>,
    /// First instant, RFC 3339.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00Z")]
    start_time: String,
    /// First instant behind the range, RFC 3339.
    #[schema(format = DateTime, example = "2026-01-31T13:00:00Z")]
    end_time: String,
    /// Most steps of the answer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2000, default = 240)]
    points: Option<u32>,
}

/// In the description, the names that there are.
enum SeriesName {}

impl utoipa::PartialSchema for SeriesName {
    fn schema() -> RefOr<Schema> {
        let names = SERIES.iter().map(|series| series.name);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(names))
            .into()
    }
}

impl ToSchema for SeriesName {}

/// What `reports` takes: a range of times, or one that ends now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// What about.
    topic: Topic,
    /// First instant, RFC 3339; goes with `end_time`.
    #[serde(default)]
    #[schema(format = DateTime, example = "2026-01-31T12:00:00Z")]
    start_time: Option<String>,
    /// First instant behind the range, RFC 3339.
    #[serde(default)]
    #[schema(format = DateTime, example = "2026-01-31T13:00:00Z")]
    end_time: Option<String>,
    /// Length of a range that ends now; heeded without `start_time` and `end_time`.
    #[serde(default)]
    time_frame: Option<TimeFrame>,
    /// Most steps of the answer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2000, default = 240)]
    points: Option<u32>,
}

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
enum Topic {
    CoreStatistics,
    LoadStatistics,
    CPUStatistics,
    MemoryStatistics,
    MemoryProfile,
    DiskIO,
    NetworkIO,
    OverallHealth,
    /// Calls and latency of functions: `NAME calls_per_second`, `NAME mean_ns`, `NAME p50_ns`, `NAME p90_ns`,
    /// `NAME p99_ns`.
    FunctionLatency,
}

impl Topic {
    /// `None` for what is not a resource.
    fn resource(self) -> Option<Resource> {
        Some(match self {
            Self::CoreStatistics => Resource::CoreStatistics,
            Self::LoadStatistics => Resource::LoadStatistics,
            Self::CPUStatistics => Resource::CPUStatistics,
            Self::MemoryStatistics => Resource::MemoryStatistics,
            Self::MemoryProfile => Resource::MemoryProfile,
            Self::DiskIO => Resource::DiskIO,
            Self::NetworkIO => Resource::NetworkIO,
            Self::OverallHealth => Resource::OverallHealth,
            Self::FunctionLatency => return None,
        })
    }
}

/// Ranges that end now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
enum TimeFrame {
    #[serde(rename = "5m")]
    Minutes5,
    #[serde(rename = "10m")]
    Minutes10,
    #[serde(rename = "15m")]
    Minutes15,
    #[serde(rename = "30m")]
    Minutes30,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "3h")]
    Hours3,
    #[serde(rename = "6h")]
    Hours6,
    #[serde(rename = "12h")]
    Hours12,
    #[serde(rename = "24h")]
    Hours24,
    #[serde(rename = "1d")]
    Day,
    #[serde(rename = "3d")]
    Days3,
    #[serde(rename = "7d")]
    Days7,
    #[serde(rename = "30d")]
    Days30,
}

impl TimeFrame {
    fn length_ns(self) -> i64 {
        const MINUTE: i64 = 60_000_000_000;
        let minutes = match self {
            Self::Minutes5 => 5,
            Self::Minutes10 => 10,
            Self::Minutes15 => 15,
            Self::Minutes30 => 30,
            Self::Hour => 60,
            Self::Hours3 => 180,
            Self::Hours6 => 360,
            Self::Hours12 => 720,
            Self::Hours24 | Self::Day => 1440,
            Self::Days3 => 3 * 1440,
            Self::Days7 => 7 * 1440,
            Self::Days30 => 30 * 1440,
        };
        minutes * MINUTE
    }
}

/// Chosen series over time
#[utoipa::path(
    post,
    path = "/service-metrics",
    tag = "reports",
    request_body = MetricsRequest,
    responses((status = OK, description = "Ascending; empty when nothing was measured then", body = [TimeValue])),
)]
pub async fn service_metrics(
    Chosen(app): Chosen,
    params: Params,
    Body(request): Body<MetricsRequest>,
) -> Answer {
    params.only(&[])?;
    if request.field_name.is_empty() {
        return Err(field("field_name", "names no series"));
    }
    for name in &request.field_name {
        if series(name).is_none() {
            let known: Vec<&str> = SERIES.iter().map(|series| series.name).collect();
            let known = known.join(", ");
            // What is unknown may be long.
            let name: String = name.chars().take(100).collect();
            return Err(field(
                "field_name",
                &format!("holds '{name}', which is not a series; there are {known}"),
            ));
        }
    }
    let window = range(&request.start_time, &request.end_time)?;
    let points = points(request.points)?;
    readings(&app, request.field_name, window, points).await
}

/// All series of a topic over time
#[utoipa::path(
    post,
    path = "/reports",
    tag = "reports",
    request_body = ReportRequest,
    responses((status = OK, description = "Ascending; empty when nothing was measured then", body = [TimeValue])),
)]
pub async fn reports(
    Chosen(app): Chosen,
    params: Params,
    Body(request): Body<ReportRequest>,
) -> Answer {
    params.only(&[])?;
    let window = match (&request.start_time, &request.end_time, request.time_frame) {
        (Some(start), Some(end), _) => range(start, end)?,
        (None, None, Some(frame)) => {
            let now = unix_ns();
            Window {
                from_ns: Some(now.saturating_sub(frame.length_ns())),
                to_ns: Some(now),
            }
        }
        (None, None, None) => {
            let problem = "is missing; send start_time and end_time, or time_frame";
            return Err(field("start_time", problem));
        }
        (None, Some(_), _) => return Err(field("start_time", "is missing")),
        (Some(_), None, _) => return Err(field("end_time", "is missing")),
    };
    let points = points(request.points)?;
    let Some(resource) = request.topic.resource() else {
        let answer = app.ask(move |source| latency(source, window, points));
        return answer.await.map(Json);
    };
    let names = SERIES.iter().filter(|series| series.topic == resource);
    let names = names.map(|series| series.name.to_owned());
    readings(&app, names.collect(), window, points).await
}

async fn readings(app: &App, names: Vec<String>, window: Window, points: u32) -> Answer {
    let question = ReadingsQuestion {
        names,
        window,
        points,
    };
    let answer = app.ask(move |source| source.readings(&question)).await?;
    let points = answer.into_iter().map(|point| TimeValue {
        time: rfc3339(point.at_ns),
        value: point.values,
    });
    Ok(Json(points.collect()))
}

/// The latency report: the functions with most calls in the window, under their names.
fn latency(source: &dyn Source, window: Window, points: u32) -> Result<Vec<TimeValue>, QueryError> {
    let mut functions = source.functions(window)?;
    functions.sort_by_key(|function| std::cmp::Reverse(function.calls));
    functions.truncate(MOST_FUNCTIONS);
    functions.retain(|function| function.calls > 0);
    if functions.is_empty() {
        return Ok(Vec::new());
    }
    let question = LatencyQuestion {
        functions: functions.iter().map(|function| function.id).collect(),
        window,
        points,
    };
    let names: BTreeMap<u32, &str> = functions
        .iter()
        .map(|function| (function.id, function.name.as_str()))
        .collect();
    let points = source.latency_series(&question)?;
    Ok(points
        .iter()
        .map(|point| latency_step(point, &names))
        .collect())
}

fn latency_step(point: &LatencyPoint, names: &BTreeMap<u32, &str>) -> TimeValue {
    let seconds = point.step_ns.max(1) as f64 / 1e9;
    let value = point
        .functions
        .iter()
        .filter_map(|figures| Some((names.get(&figures.function)?, figures)))
        .flat_map(|(name, figures)| {
            [
                ("calls_per_second", figures.calls as f64 / seconds),
                ("mean_ns", figures.mean as f64),
                ("p50_ns", figures.p50 as f64),
                ("p90_ns", figures.p90 as f64),
                ("p99_ns", figures.p99 as f64),
            ]
            .map(|(what, value)| (format!("{name} {what}"), value))
        });
    TimeValue {
        time: rfc3339(point.at_ns),
        value: value.collect(),
    }
}

fn points(wanted: Option<u32>) -> Result<u32, ApiError> {
    match wanted.unwrap_or(POINTS) {
        points @ 1..=MOST_POINTS => Ok(points),
        _ => Err(field(
            "points",
            &format!("must be a whole number from 1 to {MOST_POINTS}"),
        )),
    }
}

fn range(start: &str, end: &str) -> Result<Window, ApiError> {
    let (from, from_ns) = instant("start_time", start)?;
    let (to, to_ns) = instant("end_time", end)?;
    if from >= to {
        return Err(field("start_time", "must be before end_time"));
    }
    if from.duration_until(to) > LONGEST {
        let problem = "is more than 10 years before end_time; ask for a shorter range";
        return Err(field("start_time", problem));
    }
    Ok(Window {
        from_ns: Some(from_ns),
        to_ns: Some(to_ns),
    })
}

fn instant(name: &str, text: &str) -> Result<(Timestamp, i64), ApiError> {
    let time: Timestamp = text.parse().map_err(|_| {
        field(
            name,
            "must be a time as in RFC 3339, for example 2026-01-31T12:00:00Z",
        )
    })?;
    let ns = i64::try_from(time.as_nanosecond())
        .map_err(|_| field(name, "must lie between the years 1678 and 2262"))?;
    Ok((time, ns))
}

fn field(name: &str, problem: &str) -> ApiError {
    ApiError::new(
        axum::http::StatusCode::BAD_REQUEST,
        "bad_field",
        format!("field '{name}' {problem}"),
    )
}
