//! A service of which only its calls are known.

use std::sync::Arc;

use super::{ExporterStatus, Metrics, Routines, Service, ServiceError, ServiceInfo};
use crate::query::Source;

/// Answers with what a recording itself says; there are no resources, routines and exporters.
pub struct BareService {
    source: Arc<dyn Source>,
}

impl BareService {
    /// Of the service that `source` has recorded.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source }
    }
}

impl Service for BareService {
    fn info(&self) -> ServiceInfo {
        let Ok(overview) = self.source.overview() else {
            return ServiceInfo::default();
        };
        let name = std::path::Path::new(&overview.target).file_name();
        ServiceInfo {
            service_name: name.map_or_else(
                || overview.target.clone(),
                |name| name.to_string_lossy().into_owned(),
            ),
            service_start_time: jiff::Timestamp::from_nanosecond(overview.started_ns.into())
                .map(|time| time.to_string())
                .unwrap_or_default(),
            language: overview.language.name().to_owned(),
            process_id: overview.pids.first().copied(),
            process_ids: overview.pids,
            host: overview.host,
            monigo_version: overview.monigo_version,
            ..ServiceInfo::default()
        }
    }

    fn metrics(&self) -> Result<Metrics, ServiceError> {
        Err(unknown("resources"))
    }

    fn routines(&self) -> Result<Routines, ServiceError> {
        Err(unknown("goroutines and threads"))
    }

    fn exporters(&self) -> Vec<ExporterStatus> {
        Vec::new()
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

fn unknown(what: &str) -> ServiceError {
    ServiceError::Unavailable(format!(
        "{what} are not known here; ask the monigo that records them"
    ))
}
