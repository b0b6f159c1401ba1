//! Identity, resources, goroutines, exporters and settings.

use axum::Json;

use crate::{
    api::{Chosen, error::ApiError, params::Params},
    service::{ExporterStatus, Metrics, Routines, ServiceError, ServiceInfo},
};

type Answer<T> = Result<Json<T>, ApiError>;

/// Who is watched, and by what
#[utoipa::path(
    get,
    path = "/service-info",
    tag = "service",
    responses((status = OK, description = "Identity of the service", body = ServiceInfo)),
)]
pub async fn service_info(Chosen(app): Chosen, params: Params) -> Answer<ServiceInfo> {
    params.only(&[])?;
    app.look(|service| Ok(service.info())).await.map(Json)
}

/// Resources and health of the service and the host, now
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "service",
    responses((status = OK, description = "Figures with units in their names", body = Metrics)),
)]
pub async fn metrics(Chosen(app): Chosen, params: Params) -> Answer<Metrics> {
    params.only(&[])?;
    app.look(|service| service.metrics()).await.map(Json)
}

/// Goroutines, or threads of other languages, by state and identical stack
#[utoipa::path(
    get,
    path = "/go-routines-stats",
    tag = "service",
    responses((status = OK, description = "Groups, largest first", body = Routines)),
)]
pub async fn go_routines_stats(Chosen(app): Chosen, params: Params) -> Answer<Routines> {
    params.only(&[])?;
    app.look(|service| service.routines()).await.map(Json)
}

/// Where measurements are sent, and how that goes
#[utoipa::path(
    get,
    path = "/exporters",
    tag = "service",
    responses((status = OK, description = "Exporters that are configured", body = [ExporterStatus])),
)]
pub async fn exporters(Chosen(app): Chosen, params: Params) -> Answer<Vec<ExporterStatus>> {
    params.only(&[])?;
    app.look(|service| Ok(service.exporters())).await.map(Json)
}

/// The configuration in force, without secrets
#[utoipa::path(
    get,
    path = "/settings",
    tag = "service",
    responses((
        status = OK,
        description = "Sections of settings; each has a value and its source: default, file, environment or flag",
        body = serde_json::Value,
    )),
)]
pub async fn settings(Chosen(app): Chosen, params: Params) -> Answer<serde_json::Value> {
    params.only(&[])?;
    app.look(|service| Ok(service.settings())).await.map(Json)
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let code = match &error {
            ServiceError::Unavailable(_) => "unavailable",
            ServiceError::Failed(_) => "failed",
        };
        Self::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            code,
            error.to_string(),
        )
    }
}
