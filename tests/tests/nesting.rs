//! Self time: what calls spend outside the traced functions that they call.

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Report, Truth, check_counts,
    targets::{self, Native},
};

/// What is subtracted for the probes themselves may be off by this much, in percent.
const TOLERANCE_PERCENT: u64 = 5;

struct Measured {
    truth: Truth,
    report: Report,
}

impl Measured {
    /// A time that the target measured, ns.
    fn value(&self, name: &str) -> u64 {
        self.truth.values[name] as u64
    }

    fn self_ns(&self, name: &str) -> Result<u64> {
        let row = self.report.function(name)?;
        row.self_ns
            .with_context(|| format!("{name}: no self_ns in the report"))
    }

    fn total_ns(&self, name: &str) -> Result<u64> {
        Ok(self.report.function(name)?.latency_ns.total)
    }
}

/// Whatever the machine does to the target's speed happens to both clocks, so the bounds hold.
fn between(what: &str, low: u64, value: u64, high: u64) -> Result<()> {
    let low = low - low * TOLERANCE_PERCENT / 100;
    let high = high + high * TOLERANCE_PERCENT / 100;
    ensure!(
        (low..=high).contains(&value),
        "{what} is {value} ns, not between {low} and {high}"
    );
    Ok(())
}

fn measure(how: Native) -> Result<Measured> {
    let program = targets::c_program("nesting", how)?;
    let (truth, report) = check_counts(&program, &program, &["20", "5"])?;
    Ok(Measured { truth, report })
}

fn check(how: Native) -> Result<()> {
    let measured = measure(how)?;
    let own = |name: &str| measured.self_ns(name);
    let total = |name: &str| measured.total_ns(name);
    let value = |name: &str| measured.value(name);

    // outer calls inner and nothing else that is traced.
    let (outer_spun, inner_spun) = (value("outer_inside_ns"), value("inner_inside_ns"));
    let around = value("outer_around_ns");
    between(
        "self time of outer",
        outer_spun,
        own("outer")?,
        around - inner_spun,
    )?;
    between(
        "time of outer",
        outer_spun + inner_spun,
        total("outer")?,
        around,
    )?;
    between(
        "self time of inner",
        inner_spun,
        own("inner")?,
        around - outer_spun,
    )?;
    between(
        "self time of outer and time of inner",
        total("outer")?,
        own("outer")? + total("inner")?,
        total("outer")?,
    )?;

    // A function that calls itself: each level's time counts once.
    between(
        "self time of down",
        value("down_inside_ns"),
        own("down")?,
        value("down_around_ns"),
    )?;
    let around = value("ping_around_ns");
    for (name, other) in [("ping", "pong"), ("pong", "ping")] {
        between(
            &format!("self time of {name}"),
            value(&format!("{name}_inside_ns")),
            own(name)?,
            around - value(&format!("{other}_inside_ns")),
        )?;
    }

    for name in ["outer", "inner", "down", "ping", "pong"] {
        ensure!(
            own(name)? <= total(name)?,
            "{name}: {} ns of its own, {} ns in all",
            own(name)?,
            total(name)?
        );
    }
    // Recursion counts a level's time in each of those above it.
    ensure!(
        total("down")? > own("down")?,
        "the time of recursive calls does not nest"
    );
    Ok(())
}

#[test]
fn self_time() -> Result<()> {
    check(Native::O2)
}

#[test]
fn self_time_unoptimised() -> Result<()> {
    check(Native::O0)
}
