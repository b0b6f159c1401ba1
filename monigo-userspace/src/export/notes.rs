//! The sentences under the table: how exact the figures are, and what is not in them.

use std::fmt::Write as _;

use super::format::{count, duration_ns, percent};
use crate::query::{FunctionRow, Overview, share_of_cpu};

/// Functions named one by one when their calls were timed in part; more are summed up.
const NAMED: usize = 3;

/// Everything that qualifies the figures, a line each.
pub(super) fn notes(overview: &Overview, functions: &[FunctionRow]) -> String {
    let mut text = format!("\n{}\n", exactness(functions));
    let sum = |value: fn(&FunctionRow) -> u64| functions.iter().map(value).sum::<u64>();
    let calls = sum(|row| row.calls);
    let estimated = functions.iter().any(|row| row.calls_error > 0);
    if estimated {
        text.push_str(
            "Counts marked ≈ were estimated from a part of the time; the interval is 95%.\n",
        );
    }
    timed_in_part(&mut text, functions);
    if calls > 0 {
        let _ = writeln!(
            text,
            "Recorded in full, for stacks and slowest calls: {} of {}{} calls.",
            count(overview.recorded),
            if estimated { "about " } else { "" },
            count(calls)
        );
    }
    if let Some(cost) = cost(overview, functions) {
        let _ = writeln!(text, "{cost}");
    }
    if functions.iter().any(FunctionRow::calls_traced_functions) {
        text.push_str("Self is the total without time in other functions listed here.\n");
    }
    instances(&mut text, functions);
    if sum(|row| row.unwound) > 0 {
        text.push_str("Unwound calls ended by a panic, an exception or longjmp; they are not in calls or latency.\n");
    }
    if sum(|row| row.in_flight) > 0 {
        text.push_str("Calls in flight had not ended; they are not in calls or latency.\n");
    }
    if sum(|row| row.unmatched) > 0 {
        text.push_str("Unmatched returns are of calls that began before monigo attached; they are not in calls or latency.\n");
    }
    for warning in &overview.warnings {
        let _ = writeln!(text, "Warning: {warning}.");
    }
    text
}

/// How far the figures can be trusted, as far as it is the same for all.
fn exactness(functions: &[FunctionRow]) -> String {
    let called = || functions.iter().filter(|row| row.calls > 0);
    let counted = called().all(|row| row.calls_error == 0);
    let timed = called().all(|row| row.timed_share().is_none());
    let floors = || {
        let floors = functions.iter().map(|row| row.probe.floor_ns);
        floors.filter(|&ns| ns > 0).map(u64::from)
    };
    let mut text = match (counted, timed) {
        (true, true) if floors().next().is_none() => "Counts, totals and max are exact",
        (true, _) => "Counts are exact",
        // The next sentence says which are not.
        (false, _) => "Counts without a mark are exact",
    }
    .to_owned();
    text.push_str(", percentiles within 3%.");
    if let (Some(least), Some(most)) = (floors().min(), floors().max()) {
        let _ = write!(
            text,
            "\nDurations have the cost of monigo's probes taken off; what is below {} cannot be told from none and is marked <.",
            between(&duration_ns(least), &duration_ns(most))
        );
    }
    text
}

fn timed_in_part(text: &mut String, functions: &[FunctionRow]) {
    let part: Vec<(&str, f64)> = functions
        .iter()
        .filter_map(|row| Some((row.name.as_str(), row.timed_share()?)))
        .collect();
    if part.len() <= NAMED {
        for (name, share) in part {
            let _ = if share > 0.0 {
                let share = percent(share);
                writeln!(
                    text,
                    "Latency of {name} was measured in time windows: {share} of its calls."
                )
            } else {
                writeln!(
                    text,
                    "Latency of {name} is not known: none of its calls was timed."
                )
            };
        }
        return;
    }
    let shares = || part.iter().map(|(_, share)| *share);
    let least = shares().fold(f64::INFINITY, f64::min);
    let most = shares().fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "Latency of {} functions was measured in time windows: {} of their calls.",
        count(part.len() as u64),
        between(&percent(least), &percent(most))
    );
}

/// Which rows are sums.
fn instances(text: &mut String, functions: &[FunctionRow]) {
    const HOW: &str = "--by-instance gives each a row";
    let several: Vec<&FunctionRow> = functions
        .iter()
        .filter(|row| row.calls > 0 && row.has_instances())
        .collect();
    if several.len() > NAMED {
        let number = count(several.len() as u64);
        let _ = writeln!(
            text,
            "{number} functions have several instances, whose figures are added up; {HOW}."
        );
        return;
    }
    for row in several {
        let number = row.probe.instances.len();
        let _ = writeln!(
            text,
            "{} has {number} instances, whose figures are added up; {HOW}.",
            row.name
        );
    }
}

fn between(least: &str, most: &str) -> String {
    if least == most {
        most.to_owned()
    } else {
        format!("{least} to {most}")
    }
}

/// What the probes took from the target.
fn cost(overview: &Overview, functions: &[FunctionRow]) -> Option<String> {
    let called = functions.iter().filter(|row| row.probes_ns > 0);
    let dearest = called.map(|row| row.probe.cost_ns).max()?;
    Some(format!(
        "The probes cost the target about {} of one CPU ({} a call of the dearest).",
        percent(share_of_cpu(functions, overview.duration_ns()) + overview.beside_share),
        duration_ns(dearest.into())
    ))
}
