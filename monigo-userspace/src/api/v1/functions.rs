//! Every traced function.

use std::collections::BTreeMap;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{Chosen, error::ApiError, params::Params},
    query::FunctionRow,
    system::metrics::rfc3339,
};

/// A traced function.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Function {
    /// Demangled name; what `function-details` takes.
    name: String,
    /// Index in the recording.
    id: u32,
    /// Completed calls, of those that are kept; `/metrics` counts since the start.
    calls: u64,
    /// 0 when `calls` was counted; else it is an estimate, and this is half the width of its 95 % interval.
    calls_error: u64,
    /// Completed calls per second of the recording.
    rate_per_second: f64,
    /// Latency of the completed calls, ns.
    latency_ns: LatencyNs,
    /// Summed duration of the completed calls, ns.
    total_ns: u64,
    /// End of the last flush interval in which a call completed, RFC 3339 in UTC; `null` without calls.
    #[schema(format = DateTime)]
    last_run: Option<String>,
    /// Calls that ended by a panic, an exception or `longjmp`.
    errors: u64,
    /// Calls that are open.
    in_flight: u64,
}

/// Latency, ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
struct LatencyNs {
    min: u64,
    mean: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Function {
    fn new(row: FunctionRow, last_run_ns: Option<i64>) -> Self {
        let latency = row.latency_ns;
        Self {
            name: row.name,
            id: row.id,
            calls: row.calls,
            calls_error: row.calls_error,
            rate_per_second: row.rate,
            latency_ns: LatencyNs {
                min: latency.min,
                mean: latency.mean,
                p50: latency.p50,
                p90: latency.p90,
                p99: latency.p99,
                p999: latency.p999,
                max: latency.max,
            },
            total_ns: latency.total,
            last_run: last_run_ns.map(rfc3339),
            errors: row.unwound,
            in_flight: row.in_flight,
        }
    }
}

/// Every traced function: calls, rate, latency, errors
#[utoipa::path(
    get,
    path = "/function",
    tag = "functions",
    responses((status = OK, description = "By total time, longest first", body = [Function])),
)]
pub async fn function(
    Chosen(app): Chosen,
    params: Params,
) -> Result<Json<Vec<Function>>, ApiError> {
    let window = params.only(&[])?.window()?;
    let functions = app
        .ask(move |source| {
            let last: BTreeMap<u32, i64> = source.last_runs()?.into_iter().collect();
            let rows = source.functions(window)?.into_iter();
            Ok(rows
                .map(|row| {
                    let last = last.get(&row.id).copied();
                    Function::new(row, last)
                })
                .collect())
        })
        .await?;
    Ok(Json(functions))
}
