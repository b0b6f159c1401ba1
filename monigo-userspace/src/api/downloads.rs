//! Files to keep: the flame graph as SVG or folded stacks, the function table as CSV.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

use super::{App, error::ApiError, params::Params};
use crate::{
    export::{self, FlameCaption, HtmlFlames, OutputError, Profile, format},
    query::{QueryError, Source, Weight, Window},
};

/// What a flame graph is of.
#[derive(Clone, Copy)]
struct Subject {
    function: Option<u32>,
    window: Window,
    weight: Weight,
}

impl Subject {
    fn read(params: Params) -> Result<Self, ApiError> {
        let params = params.only(&["function", "from", "to", "weight"])?;
        Ok(Self {
            function: params.function()?,
            window: params.window()?,
            weight: params.weight()?,
        })
    }
}

/// `GET flamegraph.svg`.
pub async fn svg(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let subject = Subject::read(params)?;
    let drawn = app.ask(move |source| draw(source, subject)).await?;
    Ok(attachment("flamegraph.svg", "image/svg+xml", drawn?))
}

/// `GET flamegraph.html`.
pub async fn html(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let subject = Subject::read(params)?;
    let page = app.ask(move |source| page(source, subject)).await?;
    Ok(attachment(
        "flamegraph.html",
        "text/html; charset=utf-8",
        page?,
    ))
}

/// `GET flamegraph.pb.gz`, for `go tool pprof`.
pub async fn pprof(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let profile = profile(&app, params).await?;
    let bytes = export::pprof(&profile).map_err(|error| ApiError::internal(&error))?;
    Ok(attachment("flamegraph.pb.gz", "application/gzip", bytes))
}

/// `GET flamegraph.speedscope.json`.
pub async fn speedscope(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let profile = profile(&app, params).await?;
    let text = export::speedscope(&profile).map_err(|error| ApiError::internal(&error))?;
    Ok(attachment(
        "flamegraph.speedscope.json",
        "application/json",
        text,
    ))
}

async fn profile(app: &Arc<App>, params: Params) -> Result<Profile, ApiError> {
    let Subject {
        function,
        window,
        weight,
    } = Subject::read(params)?;
    let profile = app
        .ask(move |source| Profile::read(source, function, window, weight))
        .await?;
    if profile.is_empty() {
        return Err(OutputError::NoStacks.into());
    }
    Ok(profile)
}

/// `GET flamegraph.folded`.
pub async fn folded(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let Subject {
        function,
        window,
        weight,
    } = Subject::read(params)?;
    let root = app
        .ask(move |source| source.flame(function, window, weight))
        .await?;
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

/// `GET functions.csv`.
pub async fn csv(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let window = params.only(&["from", "to"])?.window()?;
    let rows = app.ask(move |source| source.functions(window)).await?;
    let text = export::functions_csv(&rows);
    Ok(attachment("functions.csv", "text/csv; charset=utf-8", text))
}

fn page(source: &dyn Source, subject: Subject) -> Result<Result<String, OutputError>, QueryError> {
    let Subject {
        function,
        window,
        weight,
    } = subject;
    let overview = source.overview()?;
    let mut rows = source.functions(window)?;
    rows.retain(|row| function.is_none_or(|id| id == row.id));
    let flames = export::flames(|weight| source.flame(function, window, weight))?;
    let duration = format::duration_ns(overview.duration_ns());
    let part = if window == Window::default() {
        ""
    } else {
        ", part of the recording"
    };
    Ok(export::html(&HtmlFlames {
        title: &export::subject(&rows),
        subtitle: &format!("{}, {duration}{part}", overview.target),
        first: weight,
        flames,
        traced: rows.into_iter().map(|row| row.name).collect(),
    }))
}

fn draw(source: &dyn Source, subject: Subject) -> Result<Result<String, OutputError>, QueryError> {
    let Subject {
        function,
        window,
        weight,
    } = subject;
    let overview = source.overview()?;
    let mut rows = source.functions(window)?;
    rows.retain(|row| function.is_none_or(|id| id == row.id));
    let root = source.flame(function, window, weight)?;
    let mut subject = export::subject(&rows);
    if window != Window::default() {
        subject.push_str(", part of the recording");
    }
    let caption = FlameCaption {
        overview: &overview,
        subject: &subject,
        calls: rows.iter().map(|row| row.calls).sum(),
        weight,
    };
    Ok(export::flame_svg(&root, &caption))
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
