//! Where exporters stand, for those who show it; and the ids of spans.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    query::Call,
    service::{ExporterState, ExporterStatus},
};

/// The status of one exporter; clones share it.
#[derive(Clone, Debug)]
pub struct StatusHandle(Arc<Mutex<ExporterStatus>>);

impl StatusHandle {
    /// Of an exporter that has done nothing yet. `endpoint` holds no credentials.
    pub fn new(name: &str, endpoint: &str) -> Self {
        Self(Arc::new(Mutex::new(ExporterStatus {
            name: name.to_owned(),
            endpoint: endpoint.to_owned(),
            state: ExporterState::Idle,
            sent: 0,
            dropped: 0,
            queued: 0,
            last_success: None,
            last_error: None,
            last_error_time: None,
        })))
    }

    /// As it is now.
    pub fn get(&self) -> ExporterStatus {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it.
    pub fn change(&self, change: impl FnOnce(&mut ExporterStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The receiver took `items`.
    pub fn succeeded(&self, items: u64) {
        self.change(|status| {
            status.state = ExporterState::Ok;
            status.sent += items;
            status.last_success = Some(now());
        });
    }

    /// An attempt failed.
    pub fn failed(&self, state: ExporterState, error: &str) {
        self.change(|status| {
            status.state = state;
            status.last_error = Some(error.to_owned());
            status.last_error_time = Some(now());
        });
    }
}

/// The statuses of all exporters of a process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard(Arc<Mutex<Vec<StatusHandle>>>);

impl StatusBoard {
    /// Shows one more.
    pub fn add(&self, status: StatusHandle) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(status);
    }

    /// All of them.
    pub fn list(&self) -> Vec<ExporterStatus> {
        let handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handles.iter().map(StatusHandle::get).collect()
    }
}

/// RFC 3339 in UTC.
fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Trace and span id of a recorded call. They follow from what it is, so that exemplars of metrics name
/// the spans that are sent, and a span that is sent twice is the same.
pub fn span_ids(call: &Call) -> ([u8; 16], [u8; 8]) {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, call.function, call.start_ns, call.pid, call.tid).hash(&mut hasher);
        // All zeros are no id.
        hasher.finish().max(1).to_be_bytes()
    };
    let (high, low) = (hash(0), hash(1));
    let mut trace = [0; 16];
    trace[..8].copy_from_slice(&high);
    trace[8..].copy_from_slice(&low);
    (trace, hash(2))
}
