//! `monigo agent`: several targets, restarted and replaced while it runs.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program,
    agent::{
        Place, attached, await_listed, leaf_calls, leaf_of, listed, sessions, stop, target, text,
    },
    compare::compare,
    monigo::{get, run},
    targets::{self, Go, GoVersion},
};
use nix::sys::signal::Signal;

/// One target is missing and comes later; both are counted exactly, each in a session of its own. Then
/// one is replaced by a new build while the old process still runs: both go on being counted.
#[test]
fn targets_that_come_later_and_are_replaced() -> Result<()> {
    let place = Place::new()?;
    let first = place.deploy("first")?;
    let second = place.path("second");
    let mut monigo = place.agent(&(target(&first)? + &target(&second)?), &[])?;
    let of_first = attached(&mut monigo)?;
    let mut early = Program::start(&first, &["calls", "2", "300"])?;
    let truth = early.go()?;

    place.deploy("second")?;
    let of_second = attached(&mut monigo)?;
    let mut late = Program::start(&second, &["calls", "3", "200"])?;
    let of_late = late.go()?;
    late.finish()?;

    // The process of the old build still runs.
    place.deploy("first")?;
    let of_new = attached(&mut monigo)?;
    let mut new = Program::start(&first, &["calls", "1", "700"])?;
    let truth_of_new = new.go()?;
    new.finish()?;
    early.finish()?;
    stop(monigo)?;
    for (session, truth) in [
        (of_first, truth),
        (of_second, of_late),
        (of_new, truth_of_new),
    ] {
        compare(&truth, &place.report(&session)?).with_context(|| format!("session {session}"))?;
    }
    Ok(())
}

/// A program that is started again and again, and replaced each time, leaves nothing behind in monigo.
#[test]
fn nothing_leaks_when_a_target_restarts() -> Result<()> {
    const ROUNDS: usize = 12;
    let place = Place::new()?;
    let path = place.deploy("app")?;
    let mut monigo = place.agent(&target(&path)?, &[])?;
    attached(&mut monigo)?;
    let descriptors = |monigo: &Monigo| -> Result<BTreeMap<String, usize>> {
        let mut kinds = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", monigo.pid()))? {
            let Ok(link) = fs::read_link(entry?.path()) else {
                continue;
            };
            let name = link.to_string_lossy();
            let kind = name
                .split([':', '[', '/'])
                .next()
                .unwrap_or_default()
                .to_owned();
            *kinds.entry(kind).or_default() += 1;
        }
        Ok(kinds)
    };
    let mut counted = Vec::new();
    for round in 0..ROUNDS {
        let mut program = Program::start(&path, &["calls", "1", "50"])?;
        program.go()?;
        program.finish()?;
        place.deploy("app")?;
        attached(&mut monigo)?;
        // The one before has been taken out, which may be told after or before.
        if round > 0 {
            counted.push(descriptors(&monigo)?);
        }
    }
    let total = |kinds: &BTreeMap<String, usize>| kinds.values().sum::<usize>();
    // Two recordings overlap for a moment, so single counts differ; growth would show in all of them.
    let early = counted[..4].iter().map(total).max().unwrap_or(0);
    let late = counted[counted.len() - 4..]
        .iter()
        .map(total)
        .min()
        .unwrap_or(0);
    ensure!(late <= early, "descriptors grow: {counted:?}");
    stop(monigo)?;
    let ended = place.query("SELECT count(*) AS n FROM sessions WHERE ended_ns IS NOT NULL")?;
    ensure!(ended == format!("n\n{}", ROUNDS + 1), "{ended}");
    Ok(())
}

/// By name, and by control group: every process belongs to that of the root.
#[test]
fn targets_by_name_and_control_group() -> Result<()> {
    let place = Place::new()?;
    let path = place.deploy("monigo-e2e-app")?;
    let mut old = Program::start(&path, &["calls", "2", "100"])?;
    let targets = "[[agent.targets]]\nname = \"monigo-e2e-app\"\nfunctions = [\"caller\", \"leaf\"]\n\
        [[agent.targets]]\nlabel = \"group\"\ncgroup = \"/\"\nexecutable = \"monigo-e2e-app\"\nfunctions = [\"caller\", \"leaf\"]\n";
    let mut monigo = place.agent(targets, &[])?;
    let sessions = [attached(&mut monigo)?, attached(&mut monigo)?];
    let truth = old.go()?;
    old.finish()?;
    stop(monigo)?;
    for session in sessions {
        compare(&truth, &place.report(&session)?).with_context(|| format!("session {session}"))?;
    }
    Ok(())
}

/// A target that cannot be traced is told of, and does not keep the other from being traced.
#[test]
fn a_failing_target_does_not_stop_others() -> Result<()> {
    let place = Place::new()?;
    let good = place.deploy("good")?;
    let bad = place.deploy("bad")?;
    let targets = format!(
        "[[agent.targets]]\npath = \"{}\"\nfunctions = [\"no_such_function\"]\n{}",
        text(&bad)?,
        target(&good)?
    );
    let mut monigo = place.agent(&targets, &[])?;
    let session = attached(&mut monigo)?;
    let mut program = Program::start(&good, &["calls", "1", "100"])?;
    let truth = program.go()?;
    program.finish()?;
    monigo.signal(Signal::SIGTERM)?;
    let outcome = monigo.wait()?;
    ensure!(
        outcome.stderr.contains("no_such_function"),
        "{}",
        outcome.stderr
    );
    compare(&truth, &place.report(&session)?)
}

/// Targets that are added to the file are traced without a restart; those that stay lose nothing.
#[test]
fn targets_are_added_while_it_runs() -> Result<()> {
    let place = Place::new()?;
    let first = place.deploy("first")?;
    let second = place.deploy("second")?;
    let mut monigo = place.agent(&target(&first)?, &[])?;
    let session = attached(&mut monigo)?;
    let mut program = Program::start(&first, &["calls", "1", "100"])?;
    let file = fs::read_to_string(place.path("m.toml"))?;
    fs::write(place.path("m.toml"), file + &target(&second)?)?;
    monigo.signal(Signal::SIGHUP)?;
    attached(&mut monigo)?;
    let truth = program.go()?;
    program.finish()?;
    stop(monigo)?;
    compare(&truth, &place.report(&session)?)
}

/// Probes go in as another user too: new builds are traced after root was given up.
#[test]
fn attaches_again_as_another_user() -> Result<()> {
    let place = Place::new()?;
    let user = nix::unistd::User::from_name("nobody")?.context("no user nobody")?;
    nix::unistd::chown(place.folder(), Some(user.uid), Some(user.gid))?;
    let path = place.deploy("app")?;
    let mut monigo = place.agent(&target(&path)?, &["--user", "nobody"])?;
    attached(&mut monigo)?;
    place.deploy("app")?;
    let session = attached(&mut monigo)?;
    let mut program = Program::start(&path, &["calls", "2", "100"])?;
    let truth = program.go()?;
    program.finish()?;
    stop(monigo)?;
    compare(&truth, &place.report(&session)?)
}

/// A target that is started, and deployed anew, again and again costs the agent nothing but sessions, and the other target
/// nothing at all. Starts without a deployment between them are in one session.
#[test]
fn a_target_that_restarts_all_the_time() -> Result<()> {
    const ROUNDS: usize = 5;
    let place = Place::new()?;
    let path = place.deploy("loop")?;
    let steady = place.deploy("steady")?;
    let mut monigo = place.agent(&(target(&path)? + &target(&steady)?), &[])?;
    let address = monigo.await_address()?;
    let (first, second) = (attached(&mut monigo)?, attached(&mut monigo)?);
    let label = listed(&sessions(address)?, &first)?["label"].clone();
    let (mut session, of_steady) = if label == text(&path)? {
        (first, second)
    } else {
        (second, first)
    };
    let mut other = Program::start(&steady, &["calls", "1", "120"])?;
    let mut told = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut calls = 0;
        for _ in 0..2 {
            let mut program = Program::start(&path, &["calls", "1", "50"])?;
            calls += leaf_of(&program.go()?)?;
            program.finish()?;
        }
        told.insert(session, calls);
        place.deploy("loop")?;
        session = attached(&mut monigo)?;
    }
    ensure!(told.len() == ROUNDS, "{told:?}");
    for (session, calls) in told {
        leaf_calls(address, &session, calls)?;
        await_listed(address, &session, |row| row["running"] == false)?;
    }
    let steadily = leaf_of(&other.go()?)?;
    leaf_calls(address, &of_steady, steadily)?;
    other.finish()?;
    let ready = get(address, "/readyz")?;
    ensure!(ready["ready"] == true, "{ready}");
    let running = sessions(address)?
        .into_iter()
        .filter(|row| row["running"] == true);
    ensure!(running.count() == 2, "{:?}", sessions(address)?);
    stop(monigo)
}

/// What goroutines wait for is seen with the privileges that the agent keeps, too.
#[test]
fn waits_of_goroutines_are_seen_by_the_agent() -> Result<()> {
    const WORK: &str = "main.(*peers).work";
    let place = Place::of(targets::go_scenarios(Go {
        version: GoVersion::Current,
        flags: &[],
    })?)?;
    let path = place.deploy("app")?;
    let target = format!(
        "[[agent.targets]]\npath = \"{}\"\nfunctions = [\"{WORK}\"]\n",
        text(&path)?
    );
    let mut monigo = place.agent(&target, &[])?;
    let session = attached(&mut monigo)?;
    let mut program = Program::start(&path, &["times", "20"])?;
    program.go()?;
    program.finish()?;
    stop(monigo)?;
    let report = place.report(&session)?;
    let times = report.function(WORK)?.time_ns.clone();
    let times = times.with_context(|| format!("nothing was sampled: {report:?}"))?;
    for kind in ["channel", "sleep"] {
        ensure!(times.blocked_by(kind) > 0, "{kind}: {times:?}");
    }
    Ok(())
}

#[test]
fn an_agent_without_targets_says_what_to_do() -> Result<()> {
    run(["agent"])?.expect_error(2, &["no targets", "monigo config init"])
}
