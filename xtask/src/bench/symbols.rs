//! How fast addresses become frames, beside blazesym.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Bench,
    figure::{Figures, Metric},
};
use crate::process;

/// Name of the case.
pub const NAME: &str = "symbols";
/// Frames, inlined ones included.
pub const NAMED: Metric = Metric {
    name: "named",
    unit: "frames/s",
};
/// What is looked up.
pub const SUBJECT: &str = "addresses not asked for before, with lines and inlined functions";

/// Has an example of the library look up addresses of its own, once in each process.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let example = bench.example(|examples| &examples.symbols)?;
    let rounds = if bench.quick { 1 } else { 5 };
    let tools = ["monigo", "blazesym"];
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let said: Value = serde_json::from_str(&process::output(&mut Command::new(example))?)?;
        for (tool, rates) in tools.into_iter().zip(&mut rates) {
            let number = |name: &str| {
                let number = said[tool][name].as_f64();
                number.with_context(|| format!("no {name} of {tool}"))
            };
            // Frames without lines are had for less.
            let addresses = said["addresses"].as_f64().context("no addresses")?;
            ensure!(
                number("addresses_with_lines")? > 0.5 * addresses,
                "most addresses have no line: {said}"
            );
            rates.push(number("frames")? / number("wall_s")?);
        }
    }
    for (tool, rates) in tools.into_iter().zip(&rates) {
        figures.add(SUBJECT, tool, NAMED, rates);
    }
    Ok(figures)
}
