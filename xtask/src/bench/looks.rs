//! What a look takes in the kernel, between the trace points around the timer that makes it. What else an interrupt
//! takes is the same whoever looks, and hides this.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    figure::Metric,
    sampling::{LIMIT, Sampled},
    tool::Tool,
};

/// Of a look at the target, the middle one.
pub const HANDLER: Metric = Metric {
    name: "in the timer",
    unit: "ns a look",
};

/// Width of what times are counted by, ns.
const STEP_NS: u64 = 20;

/// Measures `tool`, which looks at the target, and ends it.
pub fn handler(target: &mut Sampled, tool: Tool, span: Duration) -> Result<f64> {
    target.rest()?;
    let mut command = Command::new("bpftrace");
    command
        .args(["-f", "json", "-e"])
        .arg(script(target.pid(), span));
    let mut watcher = Tool::start(&mut command)?;
    while !watcher.has_ended()? {
        target.work(1)?;
    }
    let seen = watcher.finish(LIMIT)?.output;
    tool.interrupt(LIMIT)?;
    let times = times(&seen).with_context(|| format!("bpftrace said {seen:?}"))?;
    middle(&times).context("no look was seen")
}

/// Counts looks at process `pid` by what they take, for as long as `span`.
fn script(pid: u32, span: Duration) -> String {
    let milliseconds = span.as_millis();
    format!(
        "tracepoint:timer:hrtimer_expire_entry \
         /pid == {pid} && args->function == kaddr(\"perf_swevent_hrtimer\")/ {{ @began[cpu] = nsecs; }} \
         tracepoint:timer:hrtimer_expire_exit /@began[cpu]/ {{ \
           @looks[(nsecs - @began[cpu]) / {STEP_NS}] = count(); delete(@began[cpu]); }} \
         interval:ms:{milliseconds} {{ exit(); }}"
    )
}

/// How many looks took how many steps, as bpftrace prints it.
fn times(output: &str) -> Option<Vec<(u64, u64)>> {
    let counts = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|line| line.pointer("/data/@looks")?.as_object().cloned())?;
    let mut times = counts
        .iter()
        .map(|(steps, count)| Some((steps.parse().ok()?, count.as_u64()?)))
        .collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    Some(times)
}

/// The middle one, ns.
fn middle(times: &[(u64, u64)]) -> Option<f64> {
    let half = times
        .iter()
        .map(|(_, count)| count)
        .sum::<u64>()
        .div_ceil(2);
    let mut passed = 0;
    let (steps, _) = times.iter().find(|(_, count)| {
        passed += count;
        passed >= half
    })?;
    Some((*steps as f64 + 0.5) * STEP_NS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_what_was_counted() {
        let output = "{\"type\": \"attached_probes\", \"data\": {\"probes\": 3}}\n\
                      {\"type\": \"map\", \"data\": {\"@looks\": {\"100\": 3, \"9\": 2, \"70\": 4}}}\n";
        let times = times(output).expect("counts");
        assert_eq!(times, [(9, 2), (70, 4), (100, 3)]);
        assert_eq!(middle(&times), Some(1410.0));
        assert_eq!(middle(&[]), None);
        assert_eq!(super::times("{}"), None);
    }
}
