//! Events of one recording.

use std::{collections::BTreeMap, time::Duration};

use tokio::{runtime::Handle, sync::watch};

use super::prepare::Prepared;
use crate::{
    collect::{End, Progress},
    lifecycle::{Event, EventKind, Lifecycle},
    probe::PlannedFunction,
    system::health::{HealthChange, Subject},
};

/// Time between two events about losses.
const PAUSE: Duration = Duration::from_mins(1);

/// The probes are in.
pub fn attached(prepared: &Prepared, target: &str, session: i64) -> Event {
    let sites: usize = prepared.functions.iter().map(PlannedFunction::sites).sum();
    let functions = prepared.described.iter();
    let names: Vec<&str> = functions.map(|function| function.name.as_str()).collect();
    Event::now(EventKind::Attach, format!("tracing {}", few(&names)))
        .of(target)
        .in_session(session)
        .with("sites", sites)
        .with("functions", names.len())
}

/// The probes are out.
pub fn detached(target: &str, session: i64, end: End) -> Event {
    let reason = match end {
        End::Requested => "it was asked to end",
        End::Duration => "its time is over",
        End::Calls => "its calls are counted",
        End::TargetExited => "the traced process ended",
    };
    Event::now(EventKind::Detach, format!("tracing has ended: {reason}"))
        .of(target)
        .in_session(session)
}

/// A service or the host became healthy or unhealthy.
pub fn health(change: &HealthChange) -> Event {
    let subject = match change.subject {
        Subject::Service => "the service",
        Subject::System => "the host",
    };
    let now = &change.now;
    let state = if now.healthy { "healthy" } else { "unhealthy" };
    Event::now(
        EventKind::Health,
        format!("{subject} is {state}: {}", now.icon_msg),
    )
    .with("subject", subject)
    .with("healthy", now.healthy)
    .with("percent", now.percent)
    .with("breaches", now.breaches.clone())
}

fn few(names: &[&str]) -> String {
    const MOST: usize = 5;
    match names.get(MOST..) {
        None | Some([]) => names.join(", "),
        Some(rest) => format!(
            "{} and {} more functions",
            names[..MOST].join(", "),
            rest.len()
        ),
    }
}

/// Tells of losses, at once and then at most every minute, until the recording ends.
pub fn report_losses(
    runtime: &Handle,
    mut progress: watch::Receiver<Progress>,
    lifecycle: Lifecycle,
    target: String,
    session: i64,
) {
    runtime.spawn(async move {
        let mut told = BTreeMap::new();
        loop {
            let (losses, ended) = {
                let now = progress.borrow_and_update();
                (now.losses.clone(), now.ended.is_some())
            };
            if let Some(event) = lost(&told, &losses) {
                lifecycle.emit(&event.of(&*target).in_session(session));
                told = losses;
                if !ended {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            if ended || progress.changed().await.is_err() {
                return;
            }
        }
    });
}

/// What is new among losses.
fn lost(before: &BTreeMap<&'static str, u64>, now: &BTreeMap<&'static str, u64>) -> Option<Event> {
    let more: Vec<(&str, u64)> = now
        .iter()
        .map(|(cause, count)| (*cause, count - before.get(cause).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    if more.is_empty() {
        return None;
    }
    let parts: Vec<String> = more
        .iter()
        .map(|(cause, count)| format!("{cause}: {count}"))
        .collect();
    let event = Event::now(
        EventKind::Loss,
        format!("not recorded: {}", parts.join(", ")),
    );
    Some(
        more.into_iter()
            .fold(event, |event, (cause, count)| event.with(cause, count)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_losses_are_told() {
        let before = BTreeMap::from([("ring_full", 3), ("stack_table_full", 1)]);
        let mut now = before.clone();
        assert!(lost(&before, &now).is_none());
        now.insert("ring_full", 8);
        let event = lost(&before, &now).unwrap();
        assert_eq!(event.message, "not recorded: ring_full: 5");
        assert_eq!(event.details["ring_full"], 5);
    }

    #[test]
    fn many_names_are_summed_up() {
        assert_eq!(few(&["a", "b"]), "a, b");
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(few(&many), "a, b, c, d, e and 2 more functions");
    }
}
