//! `monigo agent`: what is shown of each target, by its session.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Program,
    agent::{
        Place, attached, await_listed, is, leaf_calls, leaf_of, listed, session_of, sessions, stop,
        target, text,
    },
    monigo::{fetch, get},
    monigo_path,
    program::die_with_test,
};

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
    // A service without a process is not healthy. On a busy host that is told before it runs, too.
    for (session, label) in [(&of_shop, "shop"), (&of_mail, "mail")] {
        let target = format!("target=\"{label}\"");
        let told = "the service is unhealthy: No traced process";
        let line = monigo.ever_said(&[told, &target, "event=\"health\""])?;
        ensure!(session_of(&line)? == *session, "{line}");
    }
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
