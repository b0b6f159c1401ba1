//! Which sessions there are.

use std::{path::Path, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{Common, error::ApiError, params::Params},
    collect::unix_ns,
    query::{SessionRow, Standing},
    system::metrics::rfc3339,
};

/// A session: one program, from the moment that probes went in until they were taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Session {
    /// For the parameter `session`.
    id: i64,
    /// What the target is called: as configured, else its file name.
    label: String,
    /// Path of the target.
    target: String,
    /// `go`, `rust`, `c` or `c++`.
    language: String,
    /// The oldest process seen; null before any was.
    process_id: Option<u32>,
    /// All processes seen, alive or not.
    process_ids: Vec<u32>,
    /// RFC 3339 in UTC.
    #[schema(format = DateTime)]
    started: String,
    /// RFC 3339 in UTC; null while it goes on, and where monigo was killed.
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// Whether it goes on.
    running: bool,
}

impl Session {
    fn new(row: &SessionRow, running: bool) -> Self {
        let file = Path::new(&row.target).file_name().unwrap_or_default();
        let label = row.label.clone();
        Self {
            id: row.session,
            label: label.unwrap_or_else(|| file.to_string_lossy().into_owned()),
            target: row.target.clone(),
            language: row.language.name().to_owned(),
            process_id: row.pids.first().copied(),
            process_ids: row.pids.clone(),
            started: rfc3339(row.started_ns),
            ended: row.ended_ns.map(rfc3339),
            running,
        }
    }
}

/// Sessions that can be asked about
///
/// The newest first; where there are more than 500, those that have not ended and the newest.
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "server",
    responses((status = OK, description = "Sessions of the database and of this monigo", body = [Session])),
)]
pub async fn sessions(
    State(common): State<Arc<Common>>,
    params: Params,
) -> Result<Json<Vec<Session>>, ApiError> {
    params.only(&[])?;
    let sessions = Arc::clone(&common.sessions);
    let found = common.block(move || {
        let now_ns = unix_ns();
        let list = sessions.list()?;
        let told = list.iter().map(|row| {
            let going_on = row.standing(now_ns) == Standing::Recording;
            let ours = row.ended_ns.is_none() && sessions.running(Some(row.session)).is_some();
            Session::new(row, going_on || ours)
        });
        Ok(told.collect())
    });
    found.await.map(Json)
}
