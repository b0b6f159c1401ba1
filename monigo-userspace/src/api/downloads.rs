//! Files to keep: the flame graph as SVG or folded stacks, the function table as CSV.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

use super::{
    App, Chosen,
    error::ApiError,
    params::{Params, SELECTION},
    routes,
};
use crate::{
    export::{self, OutputError, Profile},
    query::QueryError,
};

/// `GET flamegraph.svg`.
pub async fn svg(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let selection = params.only(&SELECTION)?.selection()?;
    let drawn = app
        .ask(move |source| split(export::selection_svg(source, &selection)))
        .await?;
    Ok(attachment("flamegraph.svg", "image/svg+xml", drawn?))
}

/// `GET flamegraph.html`.
pub async fn html(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let selection = params.only(&SELECTION)?.selection()?;
    let page = app
        .ask(move |source| split(export::selection_page(source, &selection)))
        .await?;
    Ok(attachment(
        "flamegraph.html",
        "text/html; charset=utf-8",
        page?,
    ))
}

/// `GET flamegraph.pb.gz`, for `go tool pprof`.
pub async fn pprof(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let profile = profile(&app, params).await?;
    let bytes = export::pprof(&profile).map_err(|error| ApiError::internal(&error))?;
    Ok(attachment("flamegraph.pb.gz", "application/gzip", bytes))
}

/// `GET flamegraph.speedscope.json`.
pub async fn speedscope(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let profile = profile(&app, params).await?;
    let text = export::speedscope(&profile).map_err(|error| ApiError::internal(&error))?;
    Ok(attachment(
        "flamegraph.speedscope.json",
        "application/json",
        text,
    ))
}

async fn profile(app: &App, params: Params) -> Result<Profile, ApiError> {
    let selection = params.only(&SELECTION)?.selection()?;
    let profile = app
        .ask(move |source| Profile::read(source, &selection))
        .await?;
    if profile.is_empty() {
        return Err(OutputError::NoStacks.into());
    }
    Ok(profile)
}

/// `GET flamegraph.folded`.
pub async fn folded(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let selection = params.only(&SELECTION)?.selection()?;
    let root = app.ask(move |source| source.flame(&selection)).await?;
    let text = export::folded(&root);
    if text.is_empty() {
        return Err(OutputError::NoStacks.into());
    }
    Ok(attachment(
        "flamegraph.folded",
        "text/plain; charset=utf-8",
        text,
    ))
}

/// `GET tail.svg`.
pub async fn tail_svg(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let question = routes::tail_question(params)?;
    let drawn = app
        .ask(move |source| Ok(export::tail_svg(&source.tail(&question)?)))
        .await?;
    Ok(attachment("tail.svg", "image/svg+xml", drawn?))
}

/// `GET diff.svg`.
pub async fn diff_svg(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let question = routes::compare_question(params)?;
    let drawn = app
        .ask(move |source| Ok(export::comparison_svg(&source.compare(&question)?)))
        .await?;
    Ok(attachment("diff.svg", "image/svg+xml", drawn?))
}

/// `GET story/{call}/trace.json`.
pub async fn trace(
    Chosen(app): Chosen,
    Path(call): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let call = routes::parse_id(&call, "call")?;
    let text = app
        .ask(move |source| export::trace_of(source, &source.story(call)?))
        .await?;
    Ok(attachment("trace.json", "application/json", text))
}

/// `GET functions.csv`.
pub async fn csv(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let window = params.only(&["from", "to"])?.window()?;
    let rows = app.ask(move |source| source.functions(window)).await?;
    let text = export::functions_csv(&rows);
    Ok(attachment("functions.csv", "text/csv; charset=utf-8", text))
}

/// Keeps what the source answers apart from what cannot be drawn.
fn split<T>(drawn: Result<T, OutputError>) -> Result<Result<T, OutputError>, QueryError> {
    match drawn {
        Err(OutputError::Query(error)) => Err(error),
        other => Ok(other),
    }
}

impl From<OutputError> for ApiError {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Query(error) => error.into(),
            OutputError::NoStacks | OutputError::NoSamples(..) => {
                Self::not_found(error.to_string())
            }
            _ => Self::internal(&error),
        }
    }
}

fn attachment(name: &str, kind: &'static str, body: impl Into<Body>) -> Response {
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, body.into()).into_response()
}
