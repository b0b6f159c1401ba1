//! One recording among others, for `monigo agent`: on a thread of its own, into a database that they share.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::AtomicU64},
    thread,
    time::Instant,
};

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender};
use tokio::runtime::Handle;

use super::{
    TraceOptions,
    attaching::attach,
    describe_wait,
    parts::{Beginning, Parts},
    prepare, reports, samples, service,
    views::live_state,
};
use crate::sync::{join, lock};
use crate::{
    api::Content,
    cli::exit::say,
    collect::{Command, End},
    config::Loaded,
    lifecycle::Lifecycle,
    probe::Groundwork,
    query::Source,
    service::Live,
    store::{
        Batch, Database, Forgotten, NewFunction, NewSession, Reader, StorageSettings, Store,
        StoreError,
    },
    symbols::demangle::printable,
    target::Target,
    telemetry::OtlpExporter,
};

/// Probes go in one recording after the other: what they cost is measured meanwhile.
static ATTACHING: Mutex<()> = Mutex::new(());

/// Processes of a target, as somebody else finds them.
pub type Pids = Arc<Mutex<BTreeSet<u32>>>;

/// A recording that has begun.
pub struct Begun {
    /// Its session.
    pub session: i64,
    /// What there is to see of it.
    pub content: Content,
    /// To be called with each new configuration.
    pub configure: Box<dyn Fn(&Loaded) + Send>,
    /// Grows as long as it makes progress.
    pub heartbeat: Arc<AtomicU64>,
}

/// Who is told of recordings.
pub trait Observer: Send + Sync {
    /// One has begun.
    fn begun(&self, label: &str, begun: Begun);
    /// Whether `session` is the one whose recording tells of the host's health: all of them see the same.
    fn speaks_for_host(&self, session: i64) -> bool;
    /// It is over.
    fn ended(&self, session: i64);
}

/// A recording to be made.
pub struct Job {
    /// What events call the target.
    pub label: String,
    /// What the service is called, whatever the settings say.
    pub name: Option<String>,
    /// The program and its processes.
    pub target: Target,
    /// Its processes at any time; `None` to find them here.
    pub pids: Option<Pids>,
    /// How.
    pub options: TraceOptions,
    /// Where to.
    pub store: SharedStore,
    /// The same to read.
    pub reader: Reader,
    /// The settings in force.
    pub settings: Loaded,
    /// Who is told of what happens.
    pub lifecycle: Lifecycle,
    /// Where tasks run.
    pub runtime: Handle,
    /// Told when it has begun and when it is over.
    pub observer: Arc<dyn Observer>,
}

impl Job {
    /// Records until told to stop or the process has ended.
    pub fn run(mut self, commands: &Sender<Command>, received: &Receiver<Command>) -> Result<End> {
        let (parts, content) = self.begin(commands)?;
        let (session, live) = (parts.session, parts.live);
        reports::report_losses(
            &self.runtime,
            parts.progress,
            self.lifecycle.clone(),
            self.label.clone(),
            session,
        );
        let exporter = self.export(parts.source, &live);
        let sampler = service::sample(&live, commands, &self.options)?;
        let (configured, name) = (Arc::clone(&live), self.name.clone());
        let begun = Begun {
            session,
            content,
            configure: Box::new(move |loaded| {
                service::configure(&configured, loaded, name.as_deref());
            }),
            heartbeat: parts.collector.heartbeat(),
        };
        self.observer.begun(&self.label, begun);
        let result = parts.collector.run(received);
        drop(sampler);
        if let Some(exporter) = exporter {
            self.runtime.block_on(exporter.shutdown());
        }
        self.observer.ended(session);
        if let Ok(end) = &result {
            let event = reports::detached(&self.label, session, *end);
            self.lifecycle.emit(&event);
        }
        Ok(result?)
    }

    /// Puts the probes in and begins a session.
    fn begin(&mut self, commands: &Sender<Command>) -> Result<(Parts, Content)> {
        let options = &self.options;
        let image = Arc::new(crate::cli::list::open(&self.target)?);
        let running = self.target.pids.clone();
        let (prepared, groundwork) = thread::scope(|scope| {
            let groundwork = scope.spawn(|| Groundwork::lay(options.features.into()));
            let prepared = prepare::prepare(&self.target, Arc::clone(&image), &running, options);
            (prepared, join(groundwork))
        });
        let mut prepared = prepared?;
        let target = prepared.narrow(&self.target, options)?;
        for warning in &prepared.warnings {
            say!("{}: {warning}", self.label);
        }
        let attached = {
            let _one_at_a_time = lock(&ATTACHING);
            let started = Instant::now();
            let attached = attach(&target, &mut prepared, options, groundwork)?;
            tracing::debug!("{}: attached in {:.2?}", self.label, started.elapsed());
            attached
        };
        if let Some(warning) = samples::hidden_kernel_symbols(options) {
            tracing::debug!("{}: {warning}", self.label);
        }
        let found_elsewhere = self.pids.clone().map(|pids| {
            let processes: service::Processes = Box::new(move || lock(&pids).clone());
            processes
        });
        let beginning = Beginning {
            target: &target,
            image: &image,
            prepared: &mut prepared,
            options,
            attached,
            label: Some(self.label.clone()),
            store: Box::new(self.store.clone()),
            reader: self.reader.clone(),
            held: None,
            processes: found_elsewhere,
            commands,
        };
        let parts = beginning.begin()?;
        let (live, session) = (&parts.live, parts.session);
        service::configure(live, &self.settings, self.name.as_deref());
        let observer = Arc::clone(&self.observer);
        service::tell(live, &self.lifecycle, &self.label, session, move || {
            observer.speaks_for_host(session)
        });
        let progress = parts.progress.clone();
        let content = parts.content(live_state(&self.runtime, progress, describe_wait(&target)));
        let event = reports::attached(&prepared, &self.label, session);
        self.lifecycle.emit(&event);
        Ok((parts, content))
    }

    /// Sends metrics and calls elsewhere, if the settings say where to. What is wrong with them costs no measurement.
    fn export(&self, source: Arc<dyn Source>, live: &Arc<Live>) -> Option<OtlpExporter> {
        let settings = &self.settings.config.otlp;
        service::export(&self.runtime, settings, source, live).unwrap_or_else(|error| {
            tracing::warn!("{}: nothing is exported: {error}", self.label);
            None
        })
    }
}

/// What a label may hold where it is shown.
pub fn plain_label(label: &str) -> String {
    printable(label.to_owned())
}

/// A database that several recordings write, one batch after the other.
#[derive(Clone)]
pub struct SharedStore(Arc<Mutex<Database>>);

impl SharedStore {
    /// Shares `database`.
    pub fn new(database: Database) -> Self {
        Self(Arc::new(Mutex::new(database)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Database) -> T) -> T {
        work(&mut lock(&self.0))
    }
}

impl Store for SharedStore {
    fn begin_session(&mut self, session: &NewSession) -> Result<i64, StoreError> {
        self.with(|database| database.begin_session(session))
    }

    fn append(&mut self, session: i64, batch: &Batch) -> Result<(), StoreError> {
        self.with(|database| database.append(session, batch))
    }

    fn add_functions(
        &mut self,
        session: i64,
        first: u32,
        functions: &[NewFunction],
    ) -> Result<(), StoreError> {
        self.with(|database| database.add_functions(session, first, functions))
    }

    fn remove_functions(&mut self, session: i64, first: u32) -> Result<(), StoreError> {
        self.with(|database| database.remove_functions(session, first))
    }

    fn end_session(&mut self, session: i64, ended_ns: i64) -> Result<(), StoreError> {
        self.with(|database| database.end_session(session, ended_ns))
    }

    fn take_forgotten(&mut self, session: i64) -> Forgotten {
        self.with(|database| database.take_forgotten(session))
    }

    fn apply(&mut self, settings: &StorageSettings) -> Result<(), StoreError> {
        self.with(|database| database.apply(settings))
    }
}
