//! The configuration: its commands, which source wins, and reading it again while calls are counted.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Outcome, Program,
    compare::compare,
    monigo::run,
    require_root,
    targets::{self, Native, PrivateCopy},
};
use nix::sys::signal::Signal;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Outcome> {
    Monigo::spawn_with(arguments, variables)?.wait()
}

#[test]
fn init_writes_once_and_check_accepts_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    let file = text(&file)?;
    let written = run(["config", "init", file])?;
    ensure!(written.status == Some(0), "{written:?}");
    let checked = run(["config", "check", "--config", file])?;
    ensure!(checked.status == Some(0), "{checked:?}");
    let before = fs::read_to_string(file)?;
    for part in [
        "[storage]",
        "#retention = \"7d\"",
        "MONIGO_STORAGE_RETENTION",
        "[[agent.targets]]",
    ] {
        ensure!(before.contains(part), "{part} is not in\n{before}");
    }
    run(["config", "init", file])?.expect_error(2, &["exists", "not written over"])?;
    ensure!(fs::read_to_string(file)? == before);
    Ok(())
}

#[test]
fn check_names_everything_that_is_wrong_with_its_source() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    fs::write(
        &file,
        "[storage]\nretention = \"soon\"\nmax_sise = \"2GiB\"\n[listen]\nport = 70000\n",
    )?;
    let file = text(&file)?;
    let outcome = with(
        &["config", "check", "--config", file],
        &[("MONIGO_TRACE_MAX_OVERHEAD", "lots")],
    )?;
    outcome.expect_error(
        2,
        &[
            &format!("{file}:2: storage.retention: write a number with a unit"),
            &format!(
                "{file}:3: storage.max_sise: no setting has this name; did you mean max_size?"
            ),
            &format!("{file}:5: listen.port: it is 70000"),
            "MONIGO_TRACE_MAX_OVERHEAD: trace.max_overhead: write a percentage",
        ],
    )?;
    run(["config", "check", "--config", "/nonexistent/m.toml"])?
        .expect_error(2, &["/nonexistent/m.toml"])?;
    // Whoever traces is told the same, and nothing is attached.
    run(["attach", "/bin/true", "--fn", "main", "--config", file])?
        .expect_error(2, &["storage.retention"])?;
    Ok(())
}

/// What would keep the server from starting is found by `config check`, with its place in the file; a token that would be made
/// up at each start is remarked on.
#[test]
fn the_settings_of_the_server_are_checked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    fs::write(
        &file,
        "[listen]\naddress = \"0.0.0.0\"\ninsecure = true\n[auth]\nusers_file = \"/nonexistent/users\"\ntoken = \"0123456789abcdef\"\n[tls]\ncert_file = \"/nonexistent/cert.pem\"\n[webhook]\nurl_file = \"/nonexistent/url\"\n",
    )?;
    let place = text(&file)?;
    let outcome = run(["config", "check", "--config", place])?;
    outcome.expect_error(
        2,
        &[
            &format!("{place}:3: listen.insecure: "),
            &format!("{place}:5: auth.users_file: /nonexistent/users cannot be read: No such file"),
            &format!("{place}:8: tls.cert_file: "),
            "tls.key_file as well",
            &format!("{place}:10: webhook.url_file: /nonexistent/url: No such file"),
        ],
    )?;
    fs::write(&file, "[listen]\naddress = \"0.0.0.0\"\n")?;
    let outcome = run(["config", "check", "--config", place])?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    let remark = format!("{place}:2: listen.address: other hosts can reach it");
    ensure!(outcome.stderr.contains(&remark), "{}", outcome.stderr);
    let outcome = with(
        &["config", "check", "--config", place],
        &[
            ("MONIGO_OTLP_ENDPOINT", "https://collector.example:4317"),
            ("MONIGO_OTLP_CA_FILE", "/nonexistent/ca.pem"),
        ],
    )?;
    outcome.expect_error(
        2,
        &["MONIGO_OTLP_CA_FILE: otlp.ca_file: /nonexistent/ca.pem"],
    )
}

#[test]
fn show_says_where_values_come_from_and_no_secrets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    fs::write(
        &file,
        "[storage]\nretention = \"2d\"\nsync_frequency = \"2s\"\n",
    )?;
    let file = text(&file)?;
    let outcome = with(
        &["config", "show"],
        &[
            ("MONIGO_CONFIG", file),
            ("MONIGO_STORAGE_RETENTION", "3d"),
            ("MONIGO_AUTH_TOKEN", "hunter2hunter2"),
            ("MONIGO_SERVICE_HOST", "10.0.0.1"),
        ],
    )?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    for line in [
        "retention = \"3d\"  # MONIGO_STORAGE_RETENTION",
        &format!("sync_frequency = \"2s\"  # {file}:3"),
        "port = 8080  # default",
        "token = \"(hidden)\"  # MONIGO_AUTH_TOKEN",
    ] {
        ensure!(
            outcome.stdout.contains(line),
            "{line} is not in\n{}",
            outcome.stdout
        );
    }
    ensure!(!outcome.stdout.contains("hunter2"), "{}", outcome.stdout);
    let json = with(
        &["config", "show", "--format", "json"],
        &[("MONIGO_CONFIG", file)],
    )?;
    let tree: serde_json::Value = serde_json::from_str(&json.stdout)?;
    ensure!(tree["storage"]["retention"]["source"] == "file", "{tree}");
    Ok(())
}

/// Calls are counted exactly while the configuration is read again and again, rightly and wrongly.
#[test]
fn counts_stay_exact_over_reloads() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let mut target = Program::start(&path, &["calls", "4", "150000"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    fs::write(&file, "[trace]\nsampling_rate = 10\n")?;
    let mut monigo = Monigo::attach_as_service(
        text(&path)?,
        &["caller", "leaf"],
        &["--log-level", "info", "--config", text(&file)?],
    )?;
    let done = AtomicBool::new(false);
    let truth = thread::scope(|scope| -> Result<_> {
        let counting = scope.spawn(|| {
            let truth = target.go();
            done.store(true, Ordering::Relaxed);
            truth
        });
        for round in 1.. {
            let rate = 10 + round;
            let text = format!(
                "[trace]\nsampling_rate = {rate}\n[storage]\nretention = \"{rate}d\"\nsync_frequency = \"300ms\"\n[listen]\nport = {rate}\n"
            );
            fs::write(&file, text)?;
            monigo.signal(Signal::SIGHUP)?;
            let line = monigo.await_line("the configuration was read again")?;
            ensure!(line.contains("trace.sampling_rate"), "{line}");
            fs::write(&file, "[trace]\nsampling_rate = \"all\"\n")?;
            monigo.signal(Signal::SIGHUP)?;
            monigo.await_line("the old one stays in force")?;
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
        counting
            .join()
            .map_err(|_| anyhow::anyhow!("the target's thread failed"))?
    })?;
    let report = monigo.stop()?;
    compare(&truth, &report)?;
    target.finish()
}

/// A file that changes is read without any signal; what needs a restart is named.
#[test]
fn a_changed_file_is_read() -> Result<()> {
    require_root()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("m.toml");
    fs::write(&file, "[log]\nlevel = \"info\"\n")?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let mut monigo = Monigo::spawn_with(
        [
            "attach",
            text(&path)?,
            "--fn",
            "leaf",
            "--headless",
            "--config",
            text(&file)?,
        ],
        &[],
    )?;
    monigo.await_attached()?;
    // Replaced, as editors and ConfigMaps do it.
    let new = folder.path().join("new.toml");
    fs::write(
        &new,
        "[log]\nlevel = \"info\"\n[trace]\nmax_overhead = \"2%\"\ncpu_hz = 7\n",
    )?;
    thread::sleep(Duration::from_millis(20));
    fs::rename(&new, &file)?;
    let line = monigo.await_line("the configuration was read again")?;
    for part in [
        "in force now: trace.max_overhead",
        "after a restart: trace.cpu_hz",
    ] {
        ensure!(line.contains(part), "{line}");
    }
    monigo.signal(Signal::SIGINT)?;
    let outcome = monigo.wait()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    Ok(())
}

/// With `--log-format json`, every line on stderr is an object.
#[test]
fn logs_as_json() -> Result<()> {
    require_root()?;
    let copy = PrivateCopy::of(&targets::c_scenarios(Native::O2)?)?;
    let path = copy.path();
    let outcome = run([
        "attach",
        text(&path)?,
        "--fn",
        "leaf",
        "--headless",
        "--duration",
        "300ms",
        "--log-format",
        "json",
        "--log-level",
        "info",
    ])?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    let mut events = Vec::new();
    for line in outcome.stderr.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).with_context(|| format!("no object: {line}"))?;
        events.extend(line["event"].as_str().map(str::to_owned));
    }
    ensure!(
        events == ["start", "attach", "detach", "stop"],
        "{events:?}"
    );
    Ok(())
}
