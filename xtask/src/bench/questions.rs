//! How long questions over 10 million rows take.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Bench,
    figure::{Figures, Metric},
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "questions";
/// From asking to the answer, within monigo.
pub const ANSWER: Metric = Metric {
    name: "time to the answer",
    unit: "ms",
};
/// Who answers.
pub const STORE: &str = "monigo's store";

/// Flush intervals, and functions called in each, so that histograms have 10 million rows.
const SHAPES: [(u64, u64); 2] = [(20_000, 20), (2_000, 200)];
/// Non-empty buckets of a function in an interval.
const BUCKETS: u64 = 25;

/// Has an example of the library record and ask.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let example = bench.example(|examples| &examples.query)?;
    for (flushes, functions) in SHAPES {
        let flushes = if bench.quick { flushes / 10 } else { flushes };
        let rows = flushes * functions * BUCKETS;
        eprintln!("    {rows} rows: {functions} functions in {flushes} flush intervals");
        let scratch = bench.scratch("questions")?;
        let text = process::output(
            Command::new(example)
                .arg(scratch.path().join("questions.duckdb"))
                .args([flushes.to_string(), functions.to_string()]),
        )?;
        for line in text.lines() {
            let said: Value = serde_json::from_str(line)?;
            let question = said["question"].as_str().context("no question")?;
            let times = said["ms"].as_array().context("no times")?;
            let times: Vec<f64> = times.iter().filter_map(Value::as_f64).collect();
            let subject =
                format!("{rows} rows, {functions} functions in {flushes} intervals: {question}");
            figures.add(&subject, STORE, ANSWER, &times);
        }
    }
    Ok(figures)
}
