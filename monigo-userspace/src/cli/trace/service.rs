//! What is known of the traced service beside its calls.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result};
use crossbeam_channel::Sender;
use tokio::{runtime::Handle, sync::watch};

use super::reports;
use crate::{
    cli::{operation::Operation, trace::TraceOptions},
    collect::{Command, Progress},
    config::Loaded,
    goroutines::{GoReader, History, ThreadReader},
    lifecycle::Lifecycle,
    query::Source,
    service::{Identity, Live, RoutineReader, Sampler, Service},
    store::NewSession,
    symbols::{Image, ImageKind, demangle::printable, symbolize::Symbolizer},
    system::{
        health::{HealthSettings, Subject},
        metrics::{Monitor, ProcLook},
    },
    target::{Scope, Target, process},
    telemetry::{OtlpError, OtlpExporter, OtlpSettings},
};

/// Processes of the service beside those that made traced calls: known before, and, where every
/// process that runs the target is traced, those that run it now.
pub fn processes(target: &Target, image: &Image, held: Option<u32>) -> Processes {
    let known: BTreeSet<u32> = target.pids.iter().copied().chain(held).collect();
    let program = (target.scope == Scope::Everyone && image.kind() != ImageKind::SharedLibrary)
        .then(|| image.id());
    Box::new(move || {
        let mut pids = known.clone();
        pids.extend(program.map(process::pids_running).unwrap_or_default());
        pids
    })
}

/// Names processes.
pub type Processes = Box<dyn Fn() -> BTreeSet<u32> + Send>;

/// Watches `processes` and those that `progress` tells; `symbolizer` names what their threads do.
pub fn live(
    identity: Identity,
    processes: Processes,
    go: Option<Arc<Image>>,
    symbolizer: Symbolizer,
    source: Arc<dyn Source>,
    progress: watch::Receiver<Progress>,
) -> Live {
    let pids = move || &processes() | &progress.borrow().live;
    let monitor = Monitor::new(Box::<ProcLook>::default(), Box::new(pids));
    let routines: Box<dyn RoutineReader> = match go {
        Some(image) => Box::new(GoReader::new(image, History::default())),
        None => Box::new(ThreadReader::new(History::default()).with_symbolizer(symbolizer)),
    };
    let health = HealthSettings::default();
    Live::new(identity, monitor, routines, source, health)
}

/// Gives it the settings in force, now and when they change, and tells of changes of health.
pub fn connect(live: &Arc<Live>, operation: &Arc<Operation>, target: &str, session: i64) {
    configure(live, &operation.loaded(), None);
    let configured = Arc::downgrade(live);
    operation.on_change(move |loaded| {
        if let Some(live) = configured.upgrade() {
            configure(&live, loaded, None);
        }
    });
    tell(live, operation.lifecycle(), target, session, || true);
}

/// Tells of changes of the service's health, and, while `for_host`, of the host's; shows where that goes.
pub fn tell(
    live: &Live,
    lifecycle: &Lifecycle,
    target: &str,
    session: i64,
    for_host: impl Fn() -> bool + Send + Sync + 'static,
) {
    let events = lifecycle.clone();
    live.add_exporters(move || events.status().into_iter().collect());
    let lifecycle = lifecycle.clone();
    let target = target.to_owned();
    live.on_health_change(move |change| {
        if change.subject == Subject::System && !for_host() {
            return;
        }
        lifecycle.emit(&reports::health(change).of(&*target).in_session(session));
    });
}

/// Gives it the settings of `loaded`; `name` is what the service is called whatever they say.
pub fn configure(live: &Live, loaded: &Loaded, name: Option<&str>) {
    let config = &loaded.config;
    live.set_health(config.health.clone());
    live.set_settings(loaded.tree());
    live.set_identity(|identity| {
        if let Some(name) = name.or(config.service.name.as_deref()) {
            name.clone_into(&mut identity.service_name);
        }
        let zone = config.service.time_zone.as_ref();
        identity.time_zone = zone.map(|zone| zone.as_str().to_owned());
        identity.retention_period = config.storage.retention.to_string();
    });
}

/// Takes readings from now on, with the privileges that this thread has now.
pub fn sample(
    live: &Arc<Live>,
    commands: &Sender<Command>,
    args: &TraceOptions,
) -> Result<Sampler> {
    Sampler::start(Arc::clone(live), commands.clone(), args.flush())
        .context("starting the thread that takes readings")
}

/// Sends metrics and calls elsewhere, if `settings` say where to, and shows where that goes.
pub fn export(
    runtime: &Handle,
    settings: &OtlpSettings,
    source: Arc<dyn Source>,
    live: &Arc<Live>,
) -> Result<Option<OtlpExporter>, OtlpError> {
    let service = Arc::clone(live) as Arc<dyn Service>;
    let exporter = OtlpExporter::start(runtime, settings, source, service)?;
    if let Some(exporter) = &exporter {
        let status = exporter.status();
        live.add_exporters(move || vec![status.get()]);
    }
    Ok(exporter)
}

/// Version of the runtime that the image brings, as it tells it; only Go's does.
pub fn runtime_version(image: &Image) -> Option<String> {
    let version = image.go().map(|go| printable(go.version.clone()));
    version.filter(|version| !version.is_empty())
}

/// Who is watched.
pub fn identity(
    target: &Target,
    image: &Image,
    args: &TraceOptions,
    session: &NewSession,
) -> Identity {
    let file = target.show_path.file_name().unwrap_or_default();
    let go_version = runtime_version(image);
    Identity {
        service_name: printable(file.to_string_lossy().into_owned()),
        language: session.language.name().to_owned(),
        runtime_version: go_version.clone(),
        go_version,
        retention_period: args.storage.retention.to_string(),
        host: session.host.clone(),
        time_zone: None,
        recording_started_ns: session.started_ns,
    }
}
