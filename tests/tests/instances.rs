//! Functions of which the compiler makes several bodies: they count as one, which can be taken apart.

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Moment, Report, Truth, check_counts, observe,
    targets::{self, Go, GoVersion, Native},
};

/// Clones for constant arguments are made from this level on. Functions of equal code stay apart.
const O3: Native = Native::with(&["-O3", "-g", "-fno-ipa-icf"]);

fn linkage_names<'r>(report: &'r Report, function: &str) -> Result<Vec<&'r str>> {
    let instances = report.function(function)?.probe.instances.iter();
    Ok(instances.map(|it| it.linkage_name.as_str()).collect())
}

/// Whether each of `functions` has one row, and the number of its bodies that the report lists.
fn expect_instances(report: &Report, functions: &[(&str, usize)]) -> Result<()> {
    for (name, count) in functions {
        let instances = linkage_names(report, name)?;
        ensure!(instances.len() == *count, "{name}: {instances:?}");
    }
    Ok(())
}

#[test]
fn clones_parts_and_statics_of_one_name() -> Result<()> {
    for (how, clones) in [(Native::O0, 0), (Native::O2, 0), (O3, 2)] {
        let program = targets::c_clones(how)?;
        let (_, report) = check_counts(&program, &program, &["50", "0"])?;
        ensure!(report.functions.len() == 4, "{:#?}", report.functions);
        expect_instances(
            &report,
            &[
                ("twin", 2),
                ("scaled", clones),
                ("reduced", 0),
                ("guarded", 0),
            ],
        )?;
        let mut files: Vec<&str> = Vec::new();
        for instance in &report.function("twin")?.probe.instances {
            let file = instance.file.as_deref().context("no source file")?;
            files.push(file.rsplit('/').next().unwrap_or(file));
        }
        files.sort_unstable();
        ensure!(files == ["clones.c", "twin.c"], "{files:?}");
    }
    Ok(())
}

/// Of a function that is inlined into others but for a part, the calls that are made are counted.
#[test]
fn a_part_that_others_call() -> Result<()> {
    let program = targets::c_clones(Native::O2)?;
    let (_, report) = check_counts(&program, &program, &["50", "30"])?;
    let said = |warning: &String| warning.contains("guarded is also inlined");
    ensure!(report.warnings.iter().any(said), "{:?}", report.warnings);
    Ok(())
}

fn taken_apart(program: &std::path::Path, arguments: &[&str]) -> Result<(Truth, Report)> {
    observe(
        program,
        program,
        arguments,
        &["--by-instance"],
        Moment::Done,
    )
}

#[test]
fn each_instance_has_a_row_on_demand() -> Result<()> {
    let program = targets::c_clones(O3)?;
    let (truth, report) = taken_apart(&program, &["50", "0"])?;
    let calls = |name: &str| -> Vec<u64> {
        let rows = report.functions.iter();
        let mut calls: Vec<u64> = rows
            .filter(|row| row.name.starts_with(name))
            .map(|row| row.calls)
            .collect();
        calls.sort_unstable();
        calls
    };
    let value = |name: &str| truth.values[name] as u64;
    ensure!(calls("twin at 0x") == [value("twins_here"), value("twins_elsewhere")]);
    // The clone is called with the constant, twice as often as the other.
    ensure!(calls("scaled") == [50, 100], "{:?}", calls("scaled"));
    ensure!(
        calls("scaled.constprop") == [100],
        "{:#?}",
        report.functions
    );
    let bare = |row: &monigo_tests::Function| row.probe.instances.is_empty();
    ensure!(report.functions.iter().all(bare), "{:#?}", report.functions);
    Ok(())
}

/// Generic functions.
#[test]
fn generics() -> Result<()> {
    let go = targets::go_scenarios(Go {
        version: GoVersion::Current,
        flags: &[],
    })?;
    for (program, arguments, function) in [
        (
            targets::rust_panics(&["-C", "opt-level=3"])?,
            &["10", "100", "3"][..],
            "sum_of",
        ),
        (go, &["generic", "100"], "sumOf"),
    ] {
        let (truth, report) = check_counts(&program, &program, arguments)?;
        ensure!(linkage_names(&report, function)?.len() >= 2, "{report:#?}");
        let (again, report) = taken_apart(&program, arguments)?;
        ensure!(again.functions[function] == truth.functions[function]);
        let rows: Vec<_> = report
            .functions
            .iter()
            .filter(|row| row.name.contains(function))
            .collect();
        let sum: u64 = rows.iter().map(|row| row.calls).sum();
        ensure!(sum == truth.functions[function].calls, "{rows:#?}");
        ensure!(rows.len() >= 2, "{rows:#?}");
    }
    Ok(())
}
