//! `monigo discover` on programs that know what is hot and what is slow in them. Needs root.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Program, Truth,
    monigo::run,
    targets::{self, Go, GoVersion, Native, PrivateCopy},
};
use serde::Deserialize;

/// What `monigo discover --format json` prints, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Discovery {
    stage: String,
    probed: usize,
    total: usize,
    functions: Vec<Found>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Found {
    name: String,
    calls_per_second: f64,
    time_share: Option<f64>,
    self_share: Option<f64>,
    calls: u64,
    basis: String,
}

impl Discovery {
    fn find(&self, name: &str) -> Result<&Found> {
        self.functions
            .iter()
            .find(|found| found.name == name)
            .with_context(|| format!("{name} was not found: {self:#?}"))
    }

    fn called_most(&self) -> Option<&str> {
        let calls = |found: &&Found| found.calls_per_second;
        let most = self
            .functions
            .iter()
            .max_by(|a, b| calls(a).total_cmp(&calls(b)));
        most.map(|found| found.name.as_str())
    }
}

/// What the kernel's log says of probes it could not remove; old lines leave the log in time.
fn leaked_probes() -> Result<BTreeSet<String>> {
    let log = Command::new("dmesg").output().context("dmesg")?;
    let log = String::from_utf8_lossy(&log.stdout);
    let leaks = log.lines().filter(|line| line.contains("leaking uprobe"));
    Ok(leaks.map(str::to_owned).collect())
}

/// Discovers what a target does, lets it end, and checks that its own results are right.
fn discover(path: &std::path::Path, more: &[&str]) -> Result<(Discovery, Truth)> {
    let mut program = Program::start(path, &[])?;
    let path = path.to_str().context("path is not UTF-8")?;
    let arguments = ["discover", path, "--format", "json", "--top", "10000"];
    let leaked = leaked_probes()?;
    let outcome = run(arguments.iter().chain(more))?;
    ensure!(
        leaked_probes()?.is_subset(&leaked),
        "the kernel lost probes"
    );
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    let discovery: Discovery = serde_json::from_str(&outcome.stdout)
        .with_context(|| format!("not the JSON agreed on:\n{}", outcome.stdout))?;
    let truth = program.go()?;
    program.finish()?;
    ensure!(
        truth.values["sum"] == truth.values["expected"],
        "the target computed something else: {truth:?}"
    );
    ensure!(discovery.stage == "done", "{discovery:?}");
    ensure!(discovery.total == discovery.functions.len());
    for found in &discovery.functions {
        ensure!(found.calls > 0 && !found.basis.is_empty(), "{found:?}");
        if let (Some(own), Some(all)) = (found.self_share, found.time_share) {
            ensure!(own <= all * 1.001, "{found:?}");
        }
    }
    Ok((discovery, truth))
}

#[test]
fn hot_slow_and_rare_functions_of_c() -> Result<()> {
    let program = PrivateCopy::of(&targets::c_program("busy", Native::O2)?)?;
    let (discovery, truth) = discover(&program.path(), &["--seconds", "6"])?;
    assert_eq!(discovery.functions[0].name, "slow", "{discovery:#?}");
    assert_eq!(discovery.called_most(), Some("hot"), "{discovery:#?}");
    let rare = discovery.find("rarely")?;
    assert!(rare.calls as i64 <= truth.functions["rarely"].calls as i64);
    assert!(rare.calls_per_second < 20.0, "{rare:?}");
    // A hundred others, each called as often as the slow one.
    let others = discovery.functions.iter();
    let others = others.filter(|found| found.name.starts_with("other_"));
    assert_eq!(others.count(), 100);
    let next = discovery.next.unwrap_or_default();
    assert!(next.contains("--fn slow"), "{next}");
    Ok(())
}

#[test]
fn hot_and_slow_functions_of_rust() -> Result<()> {
    let program = PrivateCopy::of(&targets::rust_program("busy", &["-O"])?)?;
    let (discovery, _) = discover(&program.path(), &["--seconds", "4"])?;
    assert_eq!(discovery.functions[0].name, "busy::work::slow");
    assert_eq!(discovery.called_most(), Some("busy::work::hot"));
    let generic = "busy::work::generic";
    let names = discovery.functions.iter().map(|found| found.name.as_str());
    let instances = names.filter(|name| name.starts_with(generic)).count();
    assert_eq!(instances, 1, "instances count as one: {discovery:#?}");
    Ok(())
}

#[test]
fn every_function_of_a_go_server_and_it_goes_on() -> Result<()> {
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let program = PrivateCopy::of(&targets::go_http(how)?)?;
    let (discovery, truth) = discover(&program.path(), &["--seconds", "10", "--runtime"])?;
    assert!(discovery.probed > 5000, "{}", discovery.probed);
    let slow = discovery.find("main.slow")?;
    // Among thousands of functions there may be no time to time all that are called, or only in windows
    // shorter than a call, which tell how long it takes at least.
    let timed = slow.time_share.filter(|_| slow.basis != "unfinished");
    assert!(timed.is_none_or(|share| share > 0.1), "{slow:?}");
    assert!(discovery.find("main.hot")?.calls_per_second > slow.calls_per_second);
    assert_eq!(
        truth.functions["main.serve"].calls, truth.functions["main.slow"].calls,
        "every question was answered"
    );
    Ok(())
}

#[test]
fn nothing_runs() -> Result<()> {
    let program = PrivateCopy::of(&targets::c_program("busy", Native::O2)?)?;
    let path = program.path();
    let path = path.to_str().context("path is not UTF-8")?;
    run(["discover", path])?.expect_error(2, &["no process runs", path, "monigo run"])?;
    let mut program = Program::start(&program.path(), &[])?;
    run(["discover", path, "--perf-links"])?.expect_error(77, &["uprobe_multi", "6.6"])?;
    program.go()?;
    program.finish()?;
    run(["discover", path, "--seconds", "0"])?.expect_error(2, &["between 0.5 and 3600"])?;
    Ok(())
}
