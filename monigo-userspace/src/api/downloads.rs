//! Files to keep: the flame graph as SVG or folded stacks, the function table as CSV.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

use super::{App, error::ApiError, params::Params};
use crate::{
    export::{self, FlameCaption, OutputError, format},
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
    let mut subject = match rows.as_slice() {
        [row] => row.name.clone(),
        rows => format!("{} functions", format::count(rows.len() as u64)),
    };
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
            OutputError::NoStacks => Self::not_found(error.to_string()),
            _ => Self::internal(&error),
        }
    }
}

fn attachment(name: &str, kind: &'static str, body: String) -> Response {
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, body).into_response()
}
