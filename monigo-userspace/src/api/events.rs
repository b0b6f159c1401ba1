//! Server-sent events: `flush` with a sequence number, `status`, `ping` and `ended`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::MissedTickBehavior,
};
use tokio_stream::wrappers::{IntervalStream, WatchStream};

use super::{Chosen, error::ApiError, live::LiveState, params::Params};

/// Time between pings. They are events, not comments, so that the page can tell a silent
/// recording from a lost connection.
const PING: Duration = Duration::from_secs(5);
/// How soon a browser reconnects.
const RETRY: Duration = Duration::from_secs(1);

/// What happens, as it happens
///
/// Server-sent events: `flush` with a sequence number, `status`, `ping` every 5 s, and `ended`.
#[utoipa::path(
    get,
    path = "/events",
    tag = "service",
    responses((status = OK, description = "A stream that lasts", body = String, content_type = "text/event-stream")),
)]
pub async fn service_events(app: Chosen, params: Params) -> Result<Response, ApiError> {
    events(app, params).await
}

/// `GET events`.
pub async fn events(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    params.only(&[])?;
    let permit = Arc::clone(&app.common.streams)
        .try_acquire_owned()
        .map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_streams",
                "too many dashboards are open on this monigo",
            )
        })?;
    let events = stream_of(&app.content.live, app.common.stopping.clone(), permit);
    Ok(Sse::new(events).into_response())
}

fn stream_of(
    live: &LiveState,
    mut stopping: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let flushes = WatchStream::new(live.flushes.clone())
        .map(|sequence| {
            Event::default()
                .event("flush")
                .id(sequence.to_string())
                .retry(RETRY)
                .data(json!({"sequence": sequence}).to_string())
        })
        // The flushes end when whoever records goes away.
        .chain(stream::once(async { ended() }));
    let status = WatchStream::new(live.status.clone()).flat_map(|status| {
        let text = json!({"text": status.text, "ended": status.ended}).to_string();
        let event = Event::default().event("status").data(text);
        stream::iter([Some(event), status.ended.then(ended)]).filter_map(async |event| event)
    });
    let mut interval = tokio::time::interval(PING);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let pings = IntervalStream::new(interval).map(|_| Event::default().event("ping").data("{}"));
    let stopped = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    stream::select_all([flushes.boxed(), status.boxed(), pings.boxed()])
        .take_until(stopped)
        .map(move |event| {
            let _held = &permit;
            Ok(event)
        })
}

fn ended() -> Event {
    Event::default().event("ended").data("{}")
}
