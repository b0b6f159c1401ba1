//! When health changes for good.

use serde::{Deserialize, Serialize};

use crate::service::{Health, HealthPair};

/// Looks in a row that must agree before a change counts.
const SETTLED: u32 = 3;

/// Whose health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The traced processes.
    Service,
    /// The host.
    System,
}

/// The service or the host became healthy or unhealthy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthChange {
    /// Whose health.
    pub subject: Subject,
    /// As it is now.
    pub now: Health,
}

/// Tells changes from flapping.
#[derive(Clone, Debug, Default)]
pub struct HealthWatch {
    service: Settled,
    system: Settled,
}

/// Starts as healthy, so that a service that begins unhealthy is told.
#[derive(Clone, Copy, Debug)]
struct Settled {
    healthy: bool,
    against: u32,
}

impl Default for Settled {
    fn default() -> Self {
        Self {
            healthy: true,
            against: 0,
        }
    }
}

impl Settled {
    fn take(&mut self, subject: Subject, health: &Health) -> Option<HealthChange> {
        if health.healthy == self.healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < SETTLED {
            return None;
        }
        *self = Self {
            healthy: health.healthy,
            against: 0,
        };
        Some(HealthChange {
            subject,
            now: health.clone(),
        })
    }
}

impl HealthWatch {
    /// Changes that this look confirms.
    pub fn take(&mut self, health: &HealthPair) -> Vec<HealthChange> {
        let service = self.service.take(Subject::Service, &health.service_health);
        let system = self.system.take(Subject::System, &health.system_health);
        service.into_iter().chain(system).collect()
    }
}
