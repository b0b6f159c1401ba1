//! The REST questions under `/api/v1`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{OriginalUri, Path},
    routing::get,
};
use serde::Serialize;

use super::{
    Chosen, Common, discovery, downloads,
    error::ApiError,
    events,
    live::LiveStatus,
    params::{Params, SELECTION},
};
use crate::query::{
    Breakdown, Bucket, Call, CallKey, CompareQuestion, Comparison, FlameNode, Frame, FunctionRow,
    Heatmap, Overview, Part, SeriesPoint, StackRow, Story, Tail, TailQuestion,
};

type Answer<T> = Result<Json<T>, ApiError>;

/// Most steps of a series, and most columns of a heatmap.
const MAX_POINTS: u32 = 2_000;
/// Most calls or stacks in one answer.
const MAX_ROWS: u32 = 1_000;

pub fn router() -> Router<Arc<Common>> {
    Router::new()
        .route("/overview", get(overview))
        .route("/functions", get(functions))
        .route("/functions/{id}/histogram", get(histogram))
        .route("/breakdown", get(breakdown))
        .route("/series", get(series))
        .route("/heatmap", get(heatmap))
        .route("/calls", get(calls))
        .route("/stacks", get(stacks))
        .route("/stack/{id}", get(stack))
        .route("/flame", get(flame))
        .route("/tail", get(tail))
        .route("/diff", get(diff))
        .route("/story/{call}", get(story))
        .route("/events", get(events::events))
        .route("/tail.svg", get(downloads::tail_svg))
        .route("/diff.svg", get(downloads::diff_svg))
        .route("/story/{call}/trace.json", get(downloads::trace))
        .route("/flamegraph.svg", get(downloads::svg))
        .route("/flamegraph.pb.gz", get(downloads::pprof))
        .route("/flamegraph.speedscope.json", get(downloads::speedscope))
        .route("/flamegraph.html", get(downloads::html))
        .route("/flamegraph.folded", get(downloads::folded))
        .route("/functions.csv", get(downloads::csv))
        .merge(discovery::router())
        .fallback(unknown)
}

/// Anything else under `/api`.
pub async fn unknown(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::not_found(format!("there is no {}; the API is /api/v1", uri.path()))
}

/// The overview, and where the recording stands now.
#[derive(Serialize)]
struct LiveOverview {
    #[serde(flatten)]
    overview: Overview,
    sequence: u64,
    status: LiveStatus,
}

async fn overview(Chosen(app): Chosen, params: Params) -> Answer<LiveOverview> {
    params.only(&[])?;
    // Read first: a flush between the two then shows as new data, not as data seen already.
    let sequence = *app.content.live.flushes.borrow();
    let mut status = app.content.live.status.borrow().clone();
    let overview = app.ask(|source| source.overview()).await?;
    status.ended = app.content.live.has_ended() || overview.ended_ns.is_some();
    Ok(Json(LiveOverview {
        overview,
        sequence,
        status,
    }))
}

async fn functions(Chosen(app): Chosen, params: Params) -> Answer<Vec<FunctionRow>> {
    let window = params.only(&["from", "to"])?.window()?;
    app.ask(move |source| source.functions(window))
        .await
        .map(Json)
}

async fn breakdown(Chosen(app): Chosen, params: Params) -> Answer<Vec<Breakdown>> {
    let window = params.only(&["from", "to"])?.window()?;
    app.ask(move |source| source.breakdown(window))
        .await
        .map(Json)
}

async fn histogram(
    Chosen(app): Chosen,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Vec<Bucket>> {
    let function = parse_id(&id, "function")?;
    let window = params.only(&["from", "to"])?.window()?;
    app.ask(move |source| source.histogram(function, window))
        .await
        .map(Json)
}

async fn series(Chosen(app): Chosen, params: Params) -> Answer<Vec<SeriesPoint>> {
    let params = params.only(&["function", "from", "to", "points"])?;
    let (function, window) = (params.function()?, params.window()?);
    let points = params.count("points", 240, MAX_POINTS)?;
    app.ask(move |source| source.series(function, window, points))
        .await
        .map(Json)
}

async fn heatmap(Chosen(app): Chosen, params: Params) -> Answer<Heatmap> {
    let params = params.only(&["function", "from", "to", "columns"])?;
    let window = params.window()?;
    let function = params
        .function()?
        .ok_or_else(|| ApiError::parameter("function", "is missing"))?;
    let columns = params.count("columns", 120, MAX_POINTS)?;
    app.ask(move |source| source.heatmap(function, window, columns))
        .await
        .map(Json)
}

/// A recorded call under the name that `story` takes. Its start is beyond what JavaScript's numbers hold
/// exactly.
#[derive(Serialize)]
struct NamedCall {
    key: String,
    #[serde(flatten)]
    call: Call,
}

impl From<Call> for NamedCall {
    fn from(call: Call) -> Self {
        Self {
            key: CallKey::from(&call).to_string(),
            call,
        }
    }
}

async fn calls(Chosen(app): Chosen, params: Params) -> Answer<Vec<NamedCall>> {
    let params = params.only(&[&SELECTION[..], &["limit"]].concat())?;
    let selection = params.selection()?;
    let limit = params.count("limit", 50, MAX_ROWS)?;
    let calls = app
        .ask(move |source| source.slowest(&selection, limit))
        .await?;
    Ok(Json(calls.into_iter().map(NamedCall::from).collect()))
}

async fn stacks(Chosen(app): Chosen, params: Params) -> Answer<Vec<StackRow>> {
    let params = params.only(&[&SELECTION[..], &["limit"]].concat())?;
    let selection = params.selection()?;
    let limit = params.count("limit", 20, MAX_ROWS)?;
    app.ask(move |source| source.stacks(&selection, limit))
        .await
        .map(Json)
}

async fn stack(Chosen(app): Chosen, Path(id): Path<String>, params: Params) -> Answer<Vec<Frame>> {
    params.only(&[])?;
    let id = parse_id(&id, "stack")?;
    let frames = app.ask(move |source| source.stack(id)).await?;
    if frames.is_empty() {
        return Err(ApiError::not_found(format!("there is no stack {id}")));
    }
    Ok(Json(frames))
}

async fn flame(Chosen(app): Chosen, params: Params) -> Answer<FlameNode> {
    let selection = params.only(&SELECTION)?.selection()?;
    app.ask(move |source| source.flame(&selection))
        .await
        .map(Json)
}

/// Slow calls of a function against fast ones.
async fn tail(Chosen(app): Chosen, params: Params) -> Answer<Tail> {
    let question = tail_question(params)?;
    app.ask(move |source| source.tail(&question))
        .await
        .map(Json)
}

/// What `tail` and its drawing take.
pub fn tail_question(params: Params) -> Result<TailQuestion, ApiError> {
    let params = params.only(&["function", "from", "to", "slower_than", "percentile"])?;
    let function = params.function()?;
    Ok(TailQuestion {
        function: function.ok_or_else(|| ApiError::parameter("function", "is missing"))?,
        window: params.window()?,
        slower_than_ns: params.duration("slower_than")?,
        percentile: params.percentile()?,
    })
}

/// Two sessions, or two parts of one: what is looked at, and what it is compared with.
async fn diff(Chosen(app): Chosen, params: Params) -> Answer<Comparison> {
    let question = compare_question(params)?;
    app.ask(move |source| source.compare(&question))
        .await
        .map(Json)
}

/// What `diff` and its drawing take.
pub fn compare_question(params: Params) -> Result<CompareQuestion, ApiError> {
    let params = params.only(&[
        "from",
        "to",
        "against_session",
        "against_from",
        "against_to",
        "name",
        "weight",
    ])?;
    Ok(CompareQuestion {
        before: Part {
            session: params.session("against_session")?,
            window: params.window_of("against_from", "against_to")?,
        },
        after: Part {
            session: None,
            window: params.window()?,
        },
        function: params.text("name"),
        weight: params.weight()?,
    })
}

/// What happened during one recorded call, by its key.
async fn story(Chosen(app): Chosen, Path(call): Path<String>, params: Params) -> Answer<Story> {
    params.only(&[])?;
    let call: CallKey = parse_id(&call, "call")?;
    app.ask(move |source| source.story(call)).await.map(Json)
}

pub fn parse_id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(
            axum::http::StatusCode::BAD_REQUEST,
            "bad_parameter",
            format!("'{text}' is not the id of a {what}"),
        )
    })
}
