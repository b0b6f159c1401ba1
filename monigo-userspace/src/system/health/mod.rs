//! Scores of service and host: each resource's use against its limit. Pure functions.
//!
//! A score is 100 − the mean of use ÷ limit over the resources, in percent. The mean counts CPU, memory, and
//! for the service goroutines (threads where there are none) and, if there are objectives, the
//! latency that is nearest to its objective. One limit exceeded makes it unhealthy, however low the
//! others are: the score is then at most [`BREACHED`].

mod objective;
#[cfg(test)]
mod tests;
mod watch;

use serde::{Deserialize, Serialize};

pub use self::{
    objective::{Objective, ObjectiveError, Statistic},
    watch::{HealthChange, HealthWatch, Subject},
};
use crate::{
    export::format::duration_ns,
    service::{Health, RoutineKind},
};

/// Scores above this are healthy.
pub const HEALTHY_ABOVE: f64 = 50.0;
/// The highest score with a limit exceeded.
pub const BREACHED: f64 = 49.0;

/// Limits for the scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// CPU of service and host, percent of what they may use; 1 to 100.
    pub max_cpu: f64,
    /// Memory of service and host, percent of what they may use; 1 to 100.
    pub max_memory: f64,
    /// Goroutines of a Go service, at least 1.
    pub max_goroutines: u64,
    /// Threads of a service that is not Go, at least 1.
    pub max_threads: u64,
    /// What the latency of functions should be: `handler p99 < 50ms`.
    pub objectives: Vec<Objective>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            max_cpu: 95.0,
            max_memory: 95.0,
            max_goroutines: 100,
            max_threads: 100,
            objectives: Vec::new(),
        }
    }
}

/// A limit that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HealthError {
    /// Not a share.
    #[error("{name} is {value}, and must be a percentage from 1 to 100")]
    Percent {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// Zero.
    #[error("{name} is 0, and must be at least 1")]
    Zero {
        /// Name of the setting.
        name: &'static str,
    },
}

impl HealthSettings {
    /// Finds values that make no sense.
    pub fn check(&self) -> Result<(), HealthError> {
        for (name, value) in [("max_cpu", self.max_cpu), ("max_memory", self.max_memory)] {
            if !(1.0..=100.0).contains(&value) {
                return Err(HealthError::Percent { name, value });
            }
        }
        let counts = [
            ("max_goroutines", self.max_goroutines),
            ("max_threads", self.max_threads),
        ];
        counts
            .into_iter()
            .find(|(_, value)| *value == 0)
            .map_or(Ok(()), |(name, _)| Err(HealthError::Zero { name }))
    }
}

/// A latency that has an objective.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyUse {
    /// The function's full name.
    pub function: String,
    /// Which objective.
    pub objective: Objective,
    /// What was measured lately, ns; `None` without calls.
    pub measured_ns: Option<u64>,
}

/// What the service uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceUse {
    /// Processes that live. Without one, there is no health.
    pub processes: u64,
    /// CPU, percent of what it may use.
    pub cpu_percent: f64,
    /// Memory, percent of what it may use.
    pub memory_percent: f64,
    /// Goroutines or threads.
    pub routines: Option<(RoutineKind, u64)>,
    /// Latencies with objectives.
    pub latencies: Vec<LatencyUse>,
}

/// One resource against its limit.
struct Resource {
    name: String,
    used: String,
    limit: String,
    ratio: f64,
    /// By how much the limit is exceeded, in words.
    excess: String,
}

/// Score of the service.
pub fn service_health(settings: &HealthSettings, service: &ServiceUse) -> Health {
    if service.processes == 0 {
        return Health {
            percent: 0.0,
            healthy: false,
            message: band(0.0).to_owned(),
            icon_msg: "No traced process is running".to_owned(),
            breaches: vec!["no traced process is running".to_owned()],
        };
    }
    let mut resources = cpu_and_memory(settings, service.cpu_percent, service.memory_percent);
    if let Some((kind, count)) = service.routines {
        resources.push(match kind {
            RoutineKind::Goroutines => counted("Goroutines", count, settings.max_goroutines),
            RoutineKind::Threads => counted("Threads", count, settings.max_threads),
        });
    }
    let mut latencies: Vec<Resource> = service.latencies.iter().filter_map(latency).collect();
    latencies.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    // Many objectives that are met should not hide what a single resource does.
    let counted = resources.len() + usize::from(!latencies.is_empty());
    resources.append(&mut latencies);
    score("Service", &resources, counted)
}

/// Score of the host.
pub fn system_health(settings: &HealthSettings, cpu_percent: f64, memory_percent: f64) -> Health {
    let resources = cpu_and_memory(settings, cpu_percent, memory_percent);
    score("System", &resources, resources.len())
}

/// The first `counted` resources make the score; a breach of any counts.
fn score(of: &str, resources: &[Resource], counted: usize) -> Health {
    let mean = resources
        .iter()
        .take(counted)
        .map(|resource| resource.ratio)
        .sum::<f64>()
        / counted.max(1) as f64;
    let breaches: Vec<String> = resources
        .iter()
        .filter(|resource| resource.ratio > 1.0)
        .map(|resource| {
            format!(
                "{} {}, {} the limit of {}",
                resource.name, resource.used, resource.excess, resource.limit
            )
        })
        .collect();
    let ceiling = if breaches.is_empty() { 100.0 } else { BREACHED };
    let percent = (100.0 * (1.0 - mean)).clamp(0.0, ceiling);
    let within = if breaches.is_empty() {
        "is within limits"
    } else {
        "exceeds allowed limits"
    };
    let list: Vec<String> = resources
        .iter()
        .map(|resource| format!("{} {} / {}", resource.name, resource.used, resource.limit))
        .collect();
    Health {
        percent,
        healthy: breaches.is_empty() && percent > HEALTHY_ABOVE,
        message: band(percent).to_owned(),
        icon_msg: format!("{of} usage {within}: {}", list.join(", ")),
        breaches,
    }
}

/// The word for a score.
pub fn band(percent: f64) -> &'static str {
    match percent {
        p if p >= 90.0 => "Excellent",
        p if p >= 85.0 => "Good",
        p if p >= 70.0 => "Satisfactory",
        p if p >= 50.0 => "Fair",
        p if p >= 30.0 => "Poor",
        _ => "Critical",
    }
}

fn cpu_and_memory(settings: &HealthSettings, cpu: f64, memory: f64) -> Vec<Resource> {
    vec![
        share("CPU Usage", cpu, settings.max_cpu),
        share("Memory Usage", memory, settings.max_memory),
    ]
}

fn share(name: &str, used: f64, limit: f64) -> Resource {
    // What is not a number counts as nothing: it was not measured.
    let used = if used.is_finite() { used.max(0.0) } else { 0.0 };
    let limit = if limit > 0.0 { limit } else { 100.0 };
    Resource {
        name: name.to_owned(),
        used: format!("{used:.1}%"),
        limit: format!("{}%", trimmed(limit)),
        ratio: used / limit,
        excess: format!("{:.1} points above", used - limit),
    }
}

fn counted(name: &str, used: u64, limit: u64) -> Resource {
    let limit = limit.max(1);
    Resource {
        name: name.to_owned(),
        used: used.to_string(),
        limit: limit.to_string(),
        ratio: used as f64 / limit as f64,
        excess: format!("{} above", used.saturating_sub(limit)),
    }
}

fn latency(latency: &LatencyUse) -> Option<Resource> {
    let measured_ns = latency.measured_ns?;
    let limit_ns = latency.objective.below_ns().max(1);
    let ratio = measured_ns as f64 / limit_ns as f64;
    Some(Resource {
        name: format!("{} of {}", latency.objective.statistic, latency.function),
        used: duration_ns(measured_ns),
        limit: duration_ns(limit_ns),
        // The objective says "less than".
        ratio: if measured_ns == limit_ns {
            1.0 + f64::EPSILON
        } else {
            ratio
        },
        excess: format!(
            "{} above",
            duration_ns(measured_ns.saturating_sub(limit_ns))
        ),
    })
}

/// A percentage without needless zeros.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}
