//! What is known of the traced service beside its calls.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc::Sender},
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;

use crate::{
    cli::args::TraceArgs,
    collect::{Command, Progress},
    goroutines::{GoReader, History, ThreadReader},
    query::Source,
    service::{Identity, Live, RoutineReader, Sampler},
    store::NewSession,
    symbols::{Image, demangle::printable},
    system::{
        health::HealthSettings,
        metrics::{Monitor, ProcLook},
    },
    target::Target,
};

/// Watches the processes that `progress` tells; before its first word, those that are known.
pub fn live(
    target: &Target,
    image: &Image,
    go: Option<Arc<Image>>,
    args: &TraceArgs,
    session: &NewSession,
    source: Arc<dyn Source>,
    progress: watch::Receiver<Progress>,
) -> Live {
    let known: BTreeSet<u32> = target.pids.iter().copied().collect();
    let pids = move || {
        let progress = progress.borrow();
        if progress.flushes == 0 {
            known.clone()
        } else {
            progress.live.clone()
        }
    };
    let monitor = Monitor::new(Box::<ProcLook>::default(), Box::new(pids));
    let routines: Box<dyn RoutineReader> = match go {
        Some(image) => Box::new(GoReader::new(image, History::default())),
        None => Box::new(ThreadReader::new(History::default())),
    };
    Live::new(
        identity(target, image, args, session),
        monitor,
        routines,
        source,
        HealthSettings::default(),
    )
}

/// Takes readings from now on, with the privileges that this thread has now.
pub fn sample(live: &Arc<Live>, commands: &Sender<Command>, args: &TraceArgs) -> Result<Sampler> {
    Sampler::start(Arc::clone(live), commands.clone(), args.flush)
        .context("starting the thread that takes readings")
}

fn identity(target: &Target, image: &Image, args: &TraceArgs, session: &NewSession) -> Identity {
    let file = target.show_path.file_name().unwrap_or_default();
    let go_version = image
        .go()
        .map(|go| printable(go.version.clone()))
        .filter(|version| !version.is_empty());
    Identity {
        service_name: printable(file.to_string_lossy().into_owned()),
        language: session.language.name().to_owned(),
        runtime_version: go_version.clone(),
        go_version,
        retention_period: crate::config::Span::try_from(args.retention)
            .map_or_else(|_| String::new(), |span| span.to_string()),
        host: session.host.clone(),
        time_zone: None,
        recording_started_ns: session.started_ns,
    }
}
