//! The OTLP export of the real binary, to a receiver that decodes it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program,
    agent::{Place, attached, leaf_of, stop, target, text},
    monigo::run,
    otlp::{Body, Receiver, attribute},
    require_root,
    targets::{self, Native},
};

const SECRET: &str = "top-secret-0123";

/// What a receiver gets of a target that was attached to: metrics, every recorded call, stacks, and the headers that
/// the file holds, which are told to nobody else.
fn everything_arrives(receiver: &Receiver, protocol: &str) -> Result<()> {
    require_root()?;
    let folder = tempfile::tempdir()?;
    let headers = folder.path().join("headers");
    fs::write(&headers, format!("Authorization: Bearer {SECRET}\n"))?;
    let image = targets::c_scenarios(Native::O2)?;
    let mut target = Program::start(&image, &["calls", "1", "500"])?;
    let monigo = Monigo::attach(
        text(&image)?,
        &["leaf"],
        &[
            "--flush",
            "100ms",
            "--log-level",
            "trace",
            "--sample-rate",
            "1",
            "--otlp-endpoint",
            &receiver.endpoint(),
            "--otlp-plaintext",
            "--otlp-protocol",
            protocol,
            "--otlp-interval",
            "200ms",
            "--otlp-profiles",
            "--otlp-headers-file",
            text(&headers)?,
        ],
    )?;
    let calls = leaf_of(&target.go()?)?;
    let mut ids = BTreeSet::new();
    let (mut counted, mut profiled) = (false, false);
    receiver.take_until("metrics, calls and stacks", |export| {
        let header = export.authorization.as_deref();
        ensure!(header == Some(&format!("Bearer {SECRET}")), "{header:?}");
        if let Some((resource, value)) = export.counter("monigo_function_calls", "leaf") {
            counted |= value as u64 == calls;
            let of = |key| attribute(&resource.attributes, key);
            let name = image.file_name().context("no name")?.to_string_lossy();
            ensure!(of("service.name").as_deref() == Some(&name), "{resource:?}");
            ensure!(
                of("telemetry.sdk.language").as_deref() == Some("c"),
                "{resource:?}"
            );
            let path = of("process.executable.path");
            ensure!(path.as_deref() == Some(text(&image)?), "{resource:?}");
        }
        for (_, span) in export.spans() {
            ensure!(span.name == "leaf", "{span:?}");
            ensure!(
                span.end_time_unix_nano >= span.start_time_unix_nano,
                "{span:?}"
            );
            let pid = attribute(&span.attributes, "process.pid");
            ensure!(pid == Some(target.pid().to_string()), "{span:?}");
            ensure!(ids.insert(span.span_id.clone()), "twice: {span:?}");
        }
        profiled |= matches!(export.body, Body::Profiles(_));
        Ok(counted && profiled && ids.len() as u64 == calls)
    })?;
    let command = fs::read(format!("/proc/{}/cmdline", monigo.pid()))?;
    let command = String::from_utf8_lossy(&command).into_owned();
    ensure!(command.contains("--otlp-headers-file") && !command.contains(SECRET));
    target.finish()?;
    let outcome = monigo.interrupt()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    for said in [&outcome.stdout, &outcome.stderr] {
        ensure!(!said.contains(SECRET), "a header was logged");
    }
    // The end sends no call a second time.
    let again = receiver
        .rest()
        .into_iter()
        .flat_map(|export| export.spans());
    ensure!(again.count() == 0);
    Ok(())
}

#[test]
fn a_grpc_receiver_decodes_everything() -> Result<()> {
    everything_arrives(&Receiver::grpc()?, "grpc")
}

#[test]
fn an_http_receiver_decodes_everything() -> Result<()> {
    everything_arrives(&Receiver::http()?, "http")
}

/// Each target of the agent is a service of its own to the receiver, and so is each build of it.
#[test]
fn a_receiver_tells_the_targets_of_an_agent_apart() -> Result<()> {
    let receiver = Receiver::grpc()?;
    let place = Place::new()?;
    let (first, second) = (place.deploy("first")?, place.deploy("second")?);
    let named = |path: &Path, label: &str| {
        Ok::<_, anyhow::Error>(target(path)? + &format!("label = \"{label}\"\n"))
    };
    let settings = format!(
        "[otlp]\nendpoint = \"{}\"\nplaintext = true\ninterval = \"200ms\"\n",
        receiver.endpoint()
    );
    let targets = named(&first, "shop")? + &named(&second, "mail")?;
    let mut monigo = place.agent(&(settings + &targets), &[])?;
    let before = [attached(&mut monigo)?, attached(&mut monigo)?];
    let mut shop = Program::start(&first, &["calls", "2", "300"])?;
    let mut mail = Program::start(&second, &["calls", "3", "200"])?;
    let sold = leaf_of(&shop.go()?)?;
    let sent = leaf_of(&mail.go()?)?;
    // The old process still runs.
    place.deploy("first")?;
    let rebuilt = attached(&mut monigo)?;
    ensure!(!before.contains(&rebuilt));
    let mut anew = Program::start(&first, &["calls", "1", "70"])?;
    let sold_anew = leaf_of(&anew.go()?)?;

    let wanted = BTreeSet::from([
        ("shop".to_owned(), text(&first)?.to_owned(), sold),
        ("mail".to_owned(), text(&second)?.to_owned(), sent),
        ("shop".to_owned(), text(&first)?.to_owned(), sold_anew),
    ]);
    let owners = [
        (shop.pid(), "shop"),
        (mail.pid(), "mail"),
        (anew.pid(), "shop"),
    ];
    let (mut found, mut instances) = (BTreeSet::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    receiver.take_until("calls of each target", |export| {
        if let Some((resource, value)) = export.counter("monigo_function_calls", "leaf") {
            let of = |key| attribute(&resource.attributes, key).context("no attribute");
            let row = (
                of("service.name")?,
                of("process.executable.path")?,
                value as u64,
            );
            if wanted.contains(&row) {
                instances.insert(of("service.instance.id")?);
                found.insert(row);
            }
        }
        for (resource, span) in export.spans() {
            let service = attribute(&resource.attributes, "service.name");
            let pid = attribute(&span.attributes, "process.pid").context("no pid")?;
            let owner = owners.iter().find(|(owner, _)| owner.to_string() == pid);
            let owner = owner.with_context(|| format!("a stranger: {span:?}"))?;
            ensure!(service.as_deref() == Some(owner.1), "{resource:?} {span:?}");
            seen.insert(owner.0);
        }
        Ok(found == wanted && seen.len() == owners.len())
    })?;
    ensure!(instances.len() == 3, "{instances:?}");
    for program in [shop, mail, anew] {
        program.finish()?;
    }
    stop(monigo)
}

#[test]
fn plaintext_is_only_for_those_who_ask() -> Result<()> {
    run([
        "attach",
        "/bin/true",
        "--fn",
        "main",
        "--otlp-endpoint",
        "http://127.0.0.1:1",
    ])?
    .expect_error(2, &["--otlp-endpoint", "in the clear", "--otlp-plaintext"])
}
