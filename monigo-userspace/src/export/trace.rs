//! A call's story as a trace that Perfetto and Chrome open.
//!
//! The format is Chrome's "Trace Event Format": times are µs, complete events (`X`) of one thread nest,
//! instants (`i`) are points, metadata (`M`) names processes and threads.

use serde_json::{Value, json};

use crate::query::{QueryError, Source, Story, StoryEvent};

/// Most frames of a stack that are named in an event.
const MOST_FRAMES: usize = 64;

/// The trace of a story, with the stacks that `source` knows.
pub fn trace_of(source: &dyn Source, story: &Story) -> Result<String, QueryError> {
    let overview = source.overview()?;
    let stack = |id: Option<u64>| -> Result<Vec<String>, QueryError> {
        let Some(id) = id else { return Ok(Vec::new()) };
        let frames = source.stack(id)?;
        Ok(frames
            .into_iter()
            .take(MOST_FRAMES)
            .map(|frame| frame.function)
            .collect())
    };
    let events = story.events.iter().map(|event| stack(event.stack));
    let stacks = Stacks {
        events: events.collect::<Result<_, _>>()?,
        callers: stack(story.call.stack)?,
    };
    let value = trace(story, &overview.target, &stacks);
    let mut text = serde_json::to_string_pretty(&value)
        .map_err(|error| QueryError::Store(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Names of functions, innermost first.
pub(super) struct Stacks {
    /// Of each event.
    pub events: Vec<Vec<String>>,
    /// At the end of the call.
    pub callers: Vec<String>,
}

pub(super) fn trace(story: &Story, target: &str, stacks: &Stacks) -> Value {
    let (pid, tid) = (story.call.pid, story.call.tid);
    let name = target.rsplit('/').next().unwrap_or(target);
    let thread = match story.call.goid {
        Some(goid) => format!("goroutine {goid}"),
        None => format!("thread {tid}"),
    };
    let metadata = |kind: &str, name: &str| json!({"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}});
    let complete = |name: &str, category: &str, at_ns: u64, duration_ns: u64, args: Value| {
        json!({
            "name": name, "cat": category, "ph": "X", "ts": us(at_ns), "dur": us(duration_ns),
            "pid": pid, "tid": tid, "args": args
        })
    };
    let mut events = vec![
        metadata("process_name", name),
        metadata("thread_name", &thread),
        complete(
            &story.function,
            "call",
            0,
            story.span_ns,
            json!({
                "started_unix_ns": story.call.start_ns, "probes_us": us(story.call.probes_ns),
                "stack": stacks.callers
            }),
        ),
    ];
    for nested in &story.nested {
        let args = json!({"weight": nested.call.weight, "probes_us": us(nested.call.probes_ns)});
        events.push(complete(
            &nested.function,
            "call",
            nested.from_ns,
            nested.span_ns,
            args,
        ));
    }
    for (event, stack) in story.events.iter().zip(&stacks.events) {
        let args = json!({
            "place": event.place, "reason": event.reason, "woken_by": event.waker,
            "waited_for_cpu_us": us(event.runnable_ns), "stands_for_us": us(event.weight_ns),
            "stack": stack
        });
        let label = event.label();
        if event.duration_ns > 0 {
            let duration_ns = event.duration_ns;
            events.push(complete(label, "off-cpu", event.at_ns, duration_ns, args));
        } else {
            events.push(json!({
                "name": label, "cat": "sample", "ph": "i", "s": "t", "ts": us(event.at_ns),
                "pid": pid, "tid": tid, "args": args
            }));
        }
    }
    json!({"displayTimeUnit": "ns", "traceEvents": events})
}

impl StoryEvent {
    /// What it is, in a few words.
    pub fn label(&self) -> &'static str {
        crate::query::phrase(self.activity, self.wait)
    }
}

/// ns as µs.
fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}
