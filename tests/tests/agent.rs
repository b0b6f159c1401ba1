//! `monigo agent`: several targets, restarted and replaced while it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use monigo_tests::{
    Monigo, Program, Truth,
    compare::compare,
    monigo::{Report, fetch, get, run},
    monigo_path,
    program::die_with_test,
    require_root,
    targets::{self, Native},
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

/// A folder with programs, a database and a configuration.
struct Place {
    folder: TempDir,
    source: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        require_root()?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            source: targets::c_scenarios(Native::O2)?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a program into its place by renaming, as a deployment does.
    fn deploy(&self, name: &str) -> Result<PathBuf> {
        let (new, path) = (self.path("new"), self.path(name));
        fs::copy(&self.source, &new)?;
        fs::rename(&new, &path)?;
        Ok(path)
    }

    /// The agent with these targets, in TOML.
    fn agent(&self, targets: &str, more: &[&str]) -> Result<Monigo> {
        let file = self.path("m.toml");
        let text_of = format!(
            "[storage]\npath = \"{}\"\nsync_frequency = \"100ms\"\n[trace]\nmax_overhead = \"off\"\n[listen]\nport = 0\n[agent]\nwatch = \"200ms\"\n{targets}",
            text(&self.path("m.duckdb"))?
        );
        fs::write(&file, text_of)?;
        let mut arguments = vec!["agent", "--config", text(&file)?];
        arguments.extend(more);
        Monigo::spawn_with(arguments, &[])
    }

    /// What SQL says of the database, as CSV.
    fn query(&self, sql: &str) -> Result<String> {
        let db = self.path("m.duckdb");
        let outcome = run(["query", "--db", text(&db)?, sql, "--format", "csv"])?;
        ensure!(outcome.status == Some(0), "{outcome:?}");
        Ok(outcome.stdout.trim().to_owned())
    }

    fn report(&self, session: &str) -> Result<Report> {
        let db = self.path("m.duckdb");
        let outcome = run([
            "report",
            "--db",
            text(&db)?,
            "--session",
            session,
            "--format",
            "json",
        ])?;
        ensure!(outcome.status == Some(0), "{outcome:?}");
        Ok(serde_json::from_str(&outcome.stdout)?)
    }
}

fn target(path: &Path) -> Result<String> {
    Ok(format!(
        "[[agent.targets]]\npath = \"{}\"\nfunctions = [\"caller\", \"leaf\"]\n",
        text(path)?
    ))
}

/// The session in a line about an attachment.
fn session_of(line: &str) -> Result<String> {
    let (_, rest) = line
        .split_once("session=")
        .with_context(|| format!("no session in {line}"))?;
    Ok(rest
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

fn attached(monigo: &mut Monigo) -> Result<String> {
    session_of(&monigo.await_line("event=\"attach\"")?)
}

/// Completed calls of `leaf` in a session, as the API says; waits until it says `wanted`, which the next flush brings.
fn leaf_calls(address: SocketAddr, session: &str, wanted: u64) -> Result<()> {
    let path = format!("/monigo/api/v1/function?session={session}");
    let ask = || -> Result<u64> {
        let functions = get(address, &path)?;
        let rows = functions.as_array().context("no array")?;
        let leaf = rows.iter().find(|row| row["name"] == "leaf");
        leaf.context("no leaf")?["calls"].as_u64().context("calls")
    };
    let events = format!("/api/v1/events?session={session}");
    let mut calls = ask()?;
    let mut flushes = Flushes::of(address, &events)?;
    for _ in 0..100 {
        if calls == wanted {
            return Ok(());
        }
        flushes.next()?;
        calls = ask()?;
    }
    bail!("session {session} has {calls} calls of leaf instead of {wanted}")
}

/// The stream of flushes of a session.
struct Flushes(BufReader<TcpStream>);

impl Flushes {
    fn of(address: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Waits for the next, or for the end.
    fn next(&mut self) -> Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.0.read_line(&mut line)?;
            if read == 0 || line.starts_with("event: flush") || line.starts_with("event: ended") {
                return Ok(());
            }
        }
    }
}

fn sessions(address: SocketAddr) -> Result<Vec<serde_json::Value>> {
    let list = get(address, "/monigo/api/v1/sessions")?;
    Ok(list.as_array().context("no array")?.clone())
}

/// Whether an answer names this session.
fn is(answer: &serde_json::Value, session: &str) -> bool {
    answer.as_i64() == session.parse().ok()
}

/// The session in a list.
fn listed(list: &[serde_json::Value], session: &str) -> Result<serde_json::Value> {
    let found = list.iter().find(|row| is(&row["id"], session));
    found
        .cloned()
        .with_context(|| format!("no session {session} in {list:?}"))
}

/// Waits until a session is listed as `wanted`; the list is up to a second old. Looks at each flush.
fn await_listed(
    address: SocketAddr,
    session: &str,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Result<serde_json::Value> {
    let mut flushes = Flushes::of(address, "/api/v1/events")?;
    for _ in 0..300 {
        let row = listed(&sessions(address)?, session)?;
        if wanted(&row) {
            return Ok(row);
        }
        flushes.next()?;
    }
    bail!(
        "session {session} is not as it should be: {:?}",
        sessions(address)?
    )
}

/// Calls of `leaf` that the target made, by its own count.
fn leaf_of(truth: &Truth) -> Result<u64> {
    let count = truth.functions.get("leaf");
    Ok(count.context("the target says nothing of leaf")?.calls)
}

/// Two targets at once: each is shown, scraped and watched by itself, by the session that a request names.
#[test]
fn each_target_is_shown_by_its_session() -> Result<()> {
    let place = Place::new()?;
    let first = place.deploy("first")?;
    let second = place.deploy("second")?;
    let named = |path: &Path, label: &str| {
        Ok::<_, anyhow::Error>(target(path)? + &format!("label = \"{label}\"\n"))
    };
    let targets = named(&first, "shop")? + &named(&second, "mail")?;
    let mut monigo = place.agent(&targets, &[])?;
    let address = monigo.await_address()?;
    let of_shop = attached(&mut monigo)?;
    let of_mail = attached(&mut monigo)?;
    let (of_shop, of_mail) = match listed(&sessions(address)?, &of_shop)?["label"].as_str() {
        Some("shop") => (of_shop, of_mail),
        _ => (of_mail, of_shop),
    };
    let mut shop = Program::start(&first, &["calls", "2", "300"])?;
    let mut mail = Program::start(&second, &["calls", "3", "200"])?;
    let (sold, sent) = (shop.go()?, mail.go()?);
    leaf_calls(address, &of_shop, leaf_of(&sold)?)?;
    leaf_calls(address, &of_mail, leaf_of(&sent)?)?;

    for (session, label, pid) in [
        (&of_shop, "shop", shop.pid()),
        (&of_mail, "mail", mail.pid()),
    ] {
        let pids = serde_json::json!([pid]);
        let row = await_listed(address, session, |row| row["process_ids"] == pids)?;
        ensure!(row["label"] == label && row["running"] == true, "{row}");
        ensure!(row["language"] == "c", "{row}");
        let info = get(
            address,
            &format!("/monigo/api/v1/service-info?session={session}"),
        )?;
        ensure!(
            info["process_id"] == pid && info["service_name"] == label,
            "{info}"
        );
        let metrics = get(
            address,
            &format!("/monigo/api/v1/metrics?session={session}"),
        )?;
        ensure!(metrics["core_statistics"]["processes"] == 1, "{metrics}");
        let threads = get(
            address,
            &format!("/monigo/api/v1/go-routines-stats?session={session}"),
        )?;
        ensure!(
            threads["kind"] == "threads" && threads["number_of_goroutines"] != 0,
            "{threads}"
        );
        let overview = get(address, &format!("/api/v1/overview?session={session}"))?;
        ensure!(is(&overview["session"], session), "{overview}");
    }
    for path in [
        "/monigo/api/v1/function",
        "/api/v1/overview",
        "/api/v1/events",
        "/monigo/api/v1/metrics",
    ] {
        let (status, body) = fetch(address, &format!("{path}?session=4711"))?;
        ensure!(
            status == 404 && body.contains("no session 4711"),
            "{path}: {status} {body}"
        );
    }

    let (status, text) = fetch(address, "/metrics")?;
    ensure!(status == 200, "{status}");
    for (label, truth) in [("shop", &sold), ("mail", &sent)] {
        let start = format!("monigo_function_calls_total{{target=\"{label}\",function=\"leaf\"");
        let line = text
            .lines()
            .find(|line| line.starts_with(&start))
            .with_context(|| text.clone())?;
        ensure!(line.ends_with(&format!(" {}", leaf_of(truth)?)), "{line}");
        let processes = format!("monigo_processes{{target=\"{label}\"}} 1");
        ensure!(text.lines().any(|line| line == processes), "{text}");
    }
    shop.finish()?;
    mail.finish()?;
    // A service without a process is not healthy.
    let mut unhealthy = BTreeSet::new();
    while unhealthy.len() < 2 {
        let line = monigo.await_line("the service is unhealthy: No traced process")?;
        ensure!(line.contains("event=\"health\""), "{line}");
        let label = if line.contains("target=\"shop\"") {
            "shop"
        } else {
            "mail"
        };
        unhealthy.insert((session_of(&line)?, label));
    }
    let both = BTreeSet::from([(of_shop.clone(), "shop"), (of_mail.clone(), "mail")]);
    ensure!(unhealthy == both, "{unhealthy:?}");
    stop(monigo)?;
    let readings = place.query(
        "SELECT DISTINCT session_id FROM readings WHERE name = 'service_cpu_load' ORDER BY 1",
    )?;
    ensure!(readings == "session_id\n1\n2", "{readings}");
    Ok(())
}

/// A target that is deployed anew is in another session; the one before can still be asked about.
#[test]
fn a_target_that_is_replaced_is_shown_in_another_session() -> Result<()> {
    let place = Place::new()?;
    let path = place.deploy("app")?;
    let mut monigo = place.agent(&target(&path)?, &[])?;
    let address = monigo.await_address()?;
    let before = attached(&mut monigo)?;
    let mut old = Program::start(&path, &["calls", "2", "150"])?;
    let old_calls = leaf_of(&old.go()?)?;
    old.finish()?;
    place.deploy("app")?;
    let after = attached(&mut monigo)?;
    let mut new = Program::start(&path, &["calls", "1", "90"])?;
    let new_calls = leaf_of(&new.go()?)?;
    leaf_calls(address, &after, new_calls)?;
    await_listed(address, &before, |row| row["running"] == false)?;
    leaf_calls(address, &before, old_calls)?;
    let list = sessions(address)?;
    ensure!(listed(&list, &after)?["running"] == true, "{list:?}");
    let shown = get(address, "/api/v1/overview")?;
    ensure!(
        is(&shown["session"], &after),
        "the latest is shown by default: {shown}"
    );
    let ended = get(address, &format!("/api/v1/overview?session={before}"))?;
    ensure!(ended["status"]["ended"] == true, "{ended}");
    new.finish()?;
    stop(monigo)?;

    // The same from the file.
    let db = place.path("m.duckdb");
    let mut server = Command::new(monigo_path()?);
    server
        .args(["serve", "--port", "0", "--db", text(&db)?])
        .stdout(Stdio::piped());
    die_with_test(&mut server);
    let mut server = server.spawn()?;
    let mut url = String::new();
    BufReader::new(server.stdout.take().context("stdout")?).read_line(&mut url)?;
    let address = url
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()?;
    for (session, calls) in [(&before, old_calls), (&after, new_calls)] {
        let rows = get(
            address,
            &format!("/monigo/api/v1/function?session={session}"),
        )?;
        let leaf = rows
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["name"] == "leaf");
        ensure!(
            leaf.is_some_and(|row| row["calls"] == calls),
            "session {session}: {rows}"
        );
    }
    ensure!(fetch(address, "/api/v1/overview?session=99")?.0 == 404);
    ensure!(sessions(address)?.len() == 2);
    server.kill()?;
    server.wait()?;
    Ok(())
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

fn stop(monigo: Monigo) -> Result<()> {
    monigo.signal(Signal::SIGTERM)?;
    let outcome = monigo.wait()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    Ok(())
}

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
    nix::unistd::chown(place.folder.path(), Some(user.uid), Some(user.gid))?;
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

#[test]
fn an_agent_without_targets_says_what_to_do() -> Result<()> {
    run(["agent"])?.expect_error(2, &["no targets", "monigo config init"])
}
