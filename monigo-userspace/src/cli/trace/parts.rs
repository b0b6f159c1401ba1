//! What every recording is made of once its probes are in: a session, the collector that writes it, and the
//! service around it.

use std::{mem, sync::Arc};

use anyhow::Result;
use crossbeam_channel::Sender;
use monigo_common::config::Control;
use tokio::sync::watch;

use super::{
    TraceOptions, discovering,
    options::{budget, limits, sampling},
    prepare::Prepared,
    resolver, samples, service, slow,
};
use crate::{
    api::{Content, LiveState},
    collect::{Collector, Command, Progress, unix_ns},
    discover::Discoverer,
    probe::Kernel,
    query::{DuckSource, Source},
    service::{Live, Service},
    store::{NewSession, Reader, Store},
    symbols::{Image, demangle::printable, go},
    target::Target,
};

/// A recording to begin.
pub struct Beginning<'a> {
    /// The program and its processes.
    pub target: &'a Target,
    /// The program.
    pub image: &'a Arc<Image>,
    /// What is traced.
    pub prepared: &'a mut Prepared,
    /// How.
    pub options: &'a TraceOptions,
    /// The kernel programs, attached, with what is in force.
    pub attached: (Kernel, Control),
    /// What the configuration calls the target, if it does.
    pub label: Option<String>,
    /// Where to.
    pub store: Box<dyn Store>,
    /// The same to read.
    pub reader: Reader,
    /// The process that `run` has started.
    pub held: Option<u32>,
    /// Processes of the target as somebody else finds them; `None` to find them here.
    pub processes: Option<service::Processes>,
    /// What the collector will be told through.
    pub commands: &'a Sender<Command>,
}

/// A recording that can run.
pub struct Parts {
    /// To be run.
    pub collector: Collector,
    /// The session that it writes.
    pub session: i64,
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    /// What was recorded.
    pub source: Arc<dyn Source>,
    /// The service around it.
    pub live: Arc<Live>,
    /// Finds and traces further functions.
    pub discoverer: Arc<dyn Discoverer>,
}

impl Beginning<'_> {
    /// Begins a session. Starts threads, so privileges must have been given up.
    pub fn begin(self) -> Result<Parts> {
        let Self {
            target,
            image,
            prepared,
            options,
            attached: (kernel, control),
            label,
            mut store,
            reader,
            held,
            processes,
            commands,
        } = self;
        let symbolizer = resolver::symbolizer(
            &prepared.images,
            &prepared.functions,
            &mut prepared.described,
        );
        let described = NewSession {
            label,
            ..new_session(target, image, prepared, options)
        };
        let session = store.begin_session(&described)?;
        let source: Arc<dyn Source> = Arc::new(DuckSource::open(reader, Some(session))?);
        let (progress, watched) = watch::channel(Progress::default());
        let processes = processes.unwrap_or_else(|| service::processes(target, image, held));
        let live = service::live(
            service::identity(target, image, options, &described),
            processes,
            prepared.go_image().cloned(),
            symbolizer.beside(),
            Arc::clone(&source),
            watched.clone(),
        );
        let mut collector = Collector::new(
            kernel,
            resolver::traced(&prepared.images, &prepared.functions, &prepared.described),
            store,
            session,
            Box::new(symbolizer),
            sampling(options.sample_rate),
            control,
            limits(target, options, held),
            options.flush(),
            budget(options, prepared.functions.len()),
            progress,
        )?;
        slow::keep(&mut collector, options)?;
        if samples::wants_off_cpu(options) && prepared.has_rust() {
            collector.watch_awaits();
        }
        collector.know(&target.pids);
        mem::take(&mut prepared.later).find(commands.clone());
        let go = prepared.go_image();
        collector.name_park_reasons(go.map_or_else(Vec::new, |image| go::wait_reasons(image)));
        let names = prepared.functions.iter();
        let discoverer = discovering::Live::new(
            target.clone(),
            Arc::clone(image),
            options.clone(),
            commands.clone(),
            names.map(|function| function.name.clone()),
        );
        Ok(Parts {
            collector,
            session,
            progress: watched,
            source,
            live: Arc::new(live),
            discoverer: Arc::new(discoverer),
        })
    }
}

impl Parts {
    /// What a server shows of it; `live` tells it that there is something new.
    pub fn content(&self, live: LiveState) -> Content {
        Content {
            source: Arc::clone(&self.source),
            service: Arc::clone(&self.live) as Arc<dyn Service>,
            live,
            discoverer: Some(Arc::clone(&self.discoverer)),
        }
    }
}

fn new_session(
    target: &Target,
    image: &Image,
    prepared: &Prepared,
    args: &TraceOptions,
) -> NewSession {
    let uname = nix::sys::utsname::uname();
    let text = |value: Option<&std::ffi::OsStr>| {
        value.map_or_else(String::new, |value| value.to_string_lossy().into_owned())
    };
    NewSession {
        started_ns: unix_ns(),
        monigo_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: text(
            uname
                .as_ref()
                .ok()
                .map(nix::sys::utsname::UtsName::nodename),
        ),
        kernel: text(uname.as_ref().ok().map(nix::sys::utsname::UtsName::release)),
        command_line: std::env::args().collect::<Vec<_>>().join(" "),
        flush_ns: i64::try_from(args.flush().as_nanos()).unwrap_or(i64::MAX),
        label: None,
        target_path: printable(target.show_path.display().to_string()),
        build_id: image.build_id().map(str::to_owned),
        language: image.language(),
        runtime_version: service::runtime_version(image),
        retention: args.storage.retention.to_string(),
        functions: prepared.described.clone(),
        warnings: prepared.warnings.clone(),
    }
}
