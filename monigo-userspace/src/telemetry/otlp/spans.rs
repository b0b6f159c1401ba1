//! Recorded calls as spans.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};

use super::{number, scope, text};
use crate::{
    query::{Call, QueryError, Source, Window},
    telemetry::status::span_ids,
};

/// Calls sent of one interval; of more, the longest.
const MOST_CALLS: u32 = 10_000;
/// Spans in one request.
const PER_REQUEST: usize = 2_000;

/// What is known of a function.
struct Code {
    name: String,
    file: Option<String>,
    line: Option<u32>,
}

/// Requests with their numbers of spans, and how many calls were left out.
pub(super) type Requests = (Vec<(ExportTraceServiceRequest, u64)>, u64);

/// Calls that were written in `(after_ns, upto_ns]`.
pub(super) fn requests(
    source: &dyn Source,
    resource: &Resource,
    session: i64,
    (after_ns, upto_ns): (i64, i64),
) -> Result<Requests, QueryError> {
    let table = source.sql(
        &format!(
            "SELECT function_id, start_ns, duration_ns, pid, tid, goid, cpu, weight, stack_id,
                    count(*) OVER () AS written, coalesce(probes_ns, 0)
             FROM calls WHERE session_id = {session} AND at_ns > {after_ns} AND at_ns <= {upto_ns}
             ORDER BY duration_ns DESC"
        ),
        MOST_CALLS,
    )?;
    let integer = |value: &serde_json::Value| value.as_i64().unwrap_or_default();
    let written = table.rows.first().map_or(0, |row| integer(&row[9]) as u64);
    let left_out = written.saturating_sub(table.rows.len() as u64);
    let call = |row: &Vec<serde_json::Value>| Call {
        function: integer(&row[0]) as u32,
        start_ns: integer(&row[1]),
        duration_ns: integer(&row[2]) as u64,
        pid: integer(&row[3]) as u32,
        tid: integer(&row[4]) as u32,
        goid: row[5].as_u64(),
        cpu: integer(&row[6]) as u32,
        weight: integer(&row[7]) as u32,
        stack: row[8].as_u64(),
        probes_ns: integer(&row[10]) as u64,
    };
    let calls: Vec<Call> = table.rows.iter().map(call).collect();
    if calls.is_empty() {
        return Ok((Vec::new(), left_out));
    }
    let rows = source.functions(Window::default())?;
    let codes = rows.into_iter().map(|row| {
        let code = Code {
            name: row.name,
            file: row.file,
            line: row.line,
        };
        (row.id, code)
    });
    let codes: BTreeMap<u32, Code> = codes.collect();
    let spans = nested(calls);
    let requests = spans.chunks(PER_REQUEST).map(|part| {
        let spans: Vec<Span> = part.iter().map(|nested| span(nested, &codes)).collect();
        let count = spans.len() as u64;
        let scope_spans = vec![ScopeSpans {
            scope: Some(scope()),
            spans,
            schema_url: String::new(),
        }];
        let resource_spans = vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans,
            schema_url: String::new(),
        }];
        (ExportTraceServiceRequest { resource_spans }, count)
    });
    Ok((requests.collect(), left_out))
}

/// A call with the recorded call around it, and the trace that both are in.
struct Nested {
    call: Call,
    trace: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
}

/// Finds which recorded calls lie inside which: those of one thread or goroutine that it began before
/// and ended after.
fn nested(mut calls: Vec<Call>) -> Vec<Nested> {
    let owner = |call: &Call| {
        (
            call.pid,
            call.goid.is_some(),
            call.goid.unwrap_or(call.tid.into()),
        )
    };
    let end = |call: &Call| call.end_ns();
    calls.sort_by_key(|call| {
        (
            owner(call),
            call.start_ns,
            std::cmp::Reverse(call.duration_ns),
        )
    });
    let mut spans: Vec<Nested> = Vec::with_capacity(calls.len());
    // Indices of the calls that are open, outermost first.
    let mut open: Vec<usize> = Vec::new();
    for call in calls {
        while let Some(&top) = open.last() {
            let around = &spans[top].call;
            if owner(around) == owner(&call) && end(around) >= end(&call) {
                break;
            }
            open.pop();
        }
        let around = open.last().map(|&top| (spans[top].trace, spans[top].span));
        let (own_trace, span) = span_ids(&call);
        open.push(spans.len());
        spans.push(Nested {
            call,
            trace: around.map_or(own_trace, |(trace, _)| trace),
            span,
            parent: around.map(|(_, span)| span),
        });
    }
    spans
}

fn span(nested: &Nested, codes: &BTreeMap<u32, Code>) -> Span {
    let call = &nested.call;
    let code = codes.get(&call.function);
    let name = code.map_or("[unknown]", |code| &code.name);
    let mut attributes = vec![
        text("code.function.name", name),
        number("process.pid", call.pid.into()),
        number("thread.id", call.tid.into()),
        number("monigo.cpu", call.cpu.into()),
        // 1 call in so many is recorded; slow ones all are.
        number("monigo.weight", call.weight.into()),
    ];
    attributes.extend(call.goid.map(|id| number("monigo.goroutine", id as i64)));
    attributes.extend(call.stack.map(|id| number("monigo.stack", id as i64)));
    if let Some(code) = code {
        attributes.extend(code.file.as_ref().map(|file| text("code.file.path", file)));
        attributes.extend(
            code.line
                .map(|line| number("code.line.number", line.into())),
        );
    }
    let start = call.start_ns.max(0) as u64;
    Span {
        trace_id: nested.trace.to_vec(),
        span_id: nested.span.to_vec(),
        parent_span_id: nested.parent.map_or_else(Vec::new, |id| id.to_vec()),
        name: name.to_owned(),
        kind: SpanKind::Internal as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(call.duration_ns),
        attributes,
        ..Span::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tid: u32, start_ns: i64, duration_ns: u64) -> Call {
        Call {
            function: 0,
            start_ns,
            duration_ns,
            probes_ns: 0,
            pid: 1,
            tid,
            goid: None,
            cpu: 0,
            weight: 1,
            stack: None,
        }
    }

    #[test]
    fn calls_inside_others_are_their_children() {
        let spans = nested(vec![
            call(1, 0, 100),
            call(1, 10, 20),
            call(1, 12, 5),
            call(1, 50, 10),
            call(2, 11, 3),
            call(1, 200, 5),
        ]);
        let parent = |start: i64, tid: u32| {
            let found = spans
                .iter()
                .find(|s| s.call.start_ns == start && s.call.tid == tid)
                .expect("span");
            let around = |id: [u8; 8]| {
                spans
                    .iter()
                    .find(|s| s.span == id)
                    .expect("parent")
                    .call
                    .start_ns
            };
            (found.parent.map(around), found.trace == spans[0].trace)
        };
        assert_eq!(parent(0, 1), (None, true));
        assert_eq!(parent(10, 1), (Some(0), true));
        assert_eq!(parent(12, 1), (Some(10), true));
        assert_eq!(parent(50, 1), (Some(0), true));
        assert_eq!(parent(11, 2), (None, false), "another thread");
        assert_eq!(parent(200, 1), (None, false));
        let ids: std::collections::BTreeSet<_> = spans.iter().map(|s| s.span).collect();
        assert_eq!(ids.len(), spans.len());
    }
}
