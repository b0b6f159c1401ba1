//! For orchestrators and scrapers: `/healthz`, `/readyz` and `/metrics`. They are behind the same guards as
//! everything else; an orchestrator's probe can send `X-API-Key`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{Common, Sessions, error::ApiError, live::LiveState, params::Params},
    query::OpenError,
    telemetry::prometheus::Format,
};

/// Flush intervals that the last flush may be late.
const LATE_FLUSHES: u32 = 5;
/// A flush that is less late does not count as late.
const SHORTEST_LATENESS: Duration = Duration::from_secs(10);

/// The server answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    /// `ok`.
    status: &'static str,
}

/// Whether everything that measuring needs works.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Readiness {
    /// All checks passed.
    ready: bool,
    /// What was looked at.
    checks: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Finding {
    /// `collector`, `flush`, `store` or `database`; of an agent's targets with the name of the target.
    name: String,
    /// Passed.
    ok: bool,
    /// What is wrong; empty for nothing.
    message: String,
}

/// Whether this server runs
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "server",
    responses((status = OK, description = "It does", body = Alive)),
)]
pub async fn healthz(params: Params) -> Result<Json<Alive>, ApiError> {
    params.only(&[])?;
    Ok(Json(Alive { status: "ok" }))
}

/// Whether measuring works: the collector lives, its last flush is recent, the store takes writes, the database
/// answers
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "server",
    responses(
        (status = OK, description = "It does", body = Readiness),
        (status = SERVICE_UNAVAILABLE, description = "It does not", body = Readiness),
    ),
)]
pub async fn readyz(
    State(common): State<Arc<Common>>,
    params: Params,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let sessions = Arc::clone(&common.sessions);
    let look = common.block(move || Ok(looked_at(&sessions)?)).await;
    let (mut checks, problem) = match look {
        Ok(found) => found,
        Err(error) => (Vec::new(), Some(error.message().to_owned())),
    };
    checks.push(finding("database", problem));
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((status, Json(Readiness { ready, checks })).into_response())
}

/// Checks of all recordings, each with the target's name if they have one, and why the database does not answer.
fn looked_at(sessions: &Sessions) -> Result<(Vec<Finding>, Option<String>), OpenError> {
    let (mut checks, mut problem) = (Vec::new(), None);
    for (label, content) in sessions.current()? {
        let answer = content.source.overview();
        let flush = answer.as_ref().map_or(0, |overview| overview.flush_ns);
        let flush = Duration::from_nanos(u64::try_from(flush).unwrap_or(0));
        problem = problem.or(answer.err().map(|error| error.to_string()));
        for mut check in recording(&content.live, flush) {
            if let Some(label) = &label {
                check.name = format!("{} {}", check.name, label.target);
            }
            checks.push(check);
        }
    }
    Ok((checks, problem))
}

/// Checks of a recording that this process makes; none where there is none.
fn recording(live: &LiveState, flush: Duration) -> Vec<Finding> {
    let status = live.status.borrow();
    let Some(flushed) = status.flushed else {
        return Vec::new();
    };
    let ended = live.has_ended().then(|| "the recording is over".to_owned());
    let late = flushed.elapsed();
    let patience = (flush * LATE_FLUSHES).max(SHORTEST_LATENESS);
    let late = (late > patience && ended.is_none()).then(|| {
        format!(
            "nothing was written for {} s; the store or the collector hangs",
            late.as_secs()
        )
    });
    vec![
        finding("collector", ended),
        finding("flush", late),
        finding("store", status.store_error.clone()),
    ]
}

fn finding(name: &str, problem: Option<String>) -> Finding {
    Finding {
        name: name.to_owned(),
        ok: problem.is_none(),
        message: problem.unwrap_or_default(),
    }
}

/// Metrics for Prometheus, or as `OpenMetrics` with exemplars if the client accepts that
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    responses((status = OK, description = "Prometheus text format", body = String, content_type = "text/plain")),
)]
pub async fn prometheus(
    State(common): State<Arc<Common>>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let accept = headers.get(header::ACCEPT);
    let format = Format::of_accept(accept.and_then(|value| value.to_str().ok()));
    let text = common.scrape(format).await?;
    let kind = [(header::CONTENT_TYPE, format.content_type())];
    Ok((kind, text).into_response())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::sync::watch;

    use super::*;
    use crate::api::LiveStatus;

    #[test]
    fn a_recording_that_hangs_is_not_ready() {
        let (flush, flushes) = watch::channel(1);
        let (tell, status) = watch::channel(LiveStatus::default());
        let live = LiveState { flushes, status };
        let second = Duration::from_secs(1);
        let wrong = |live: &LiveState| {
            let checks = recording(live, second);
            let wrong = checks.into_iter().filter(|check| !check.ok);
            wrong.map(|check| check.name).collect::<Vec<_>>()
        };
        assert!(recording(&live, second).is_empty(), "not this process's");
        let set = |flushed: Instant, error: Option<&str>, ended| {
            tell.send_replace(LiveStatus {
                flushed: Some(flushed),
                store_error: error.map(str::to_owned),
                ended,
                ..LiveStatus::default()
            });
        };
        let now = Instant::now();
        set(now, None, false);
        assert_eq!(recording(&live, second).len(), 3);
        assert!(wrong(&live).is_empty());
        set(now, Some("disk full"), false);
        assert_eq!(wrong(&live), ["store"]);
        if let Some(long_ago) = now.checked_sub(Duration::from_mins(1)) {
            set(long_ago, None, false);
            assert_eq!(wrong(&live), ["flush"]);
        }
        set(now, None, true);
        assert_eq!(wrong(&live), ["collector"]);
        set(now, None, false);
        drop(flush);
        assert_eq!(wrong(&live), ["collector"], "whoever records went away");
    }
}
