//! One recording among others, for `monigo agent`: on a thread of its own, into a database that they share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender},
    },
    time::Instant,
};

use anyhow::Result;
use tokio::{runtime::Handle, sync::watch};

use super::{
    TraceOptions, attach, budget, limits, new_session, options::sampling, prepare, reports,
    resolver, samples, tell,
};
use crate::{
    cli::{exit::say, operation::Operation},
    collect::{Collector, Command, End, Progress},
    store::{Batch, Database, NewFunction, NewSession, StorageSettings, Store, StoreError},
    symbols::demangle::printable,
    target::Target,
};

/// Probes go in one recording after the other: what they cost is measured meanwhile.
static ATTACHING: Mutex<()> = Mutex::new(());

/// A recording to be made.
pub struct Job {
    /// What events call the target.
    pub label: String,
    /// The program and its processes.
    pub target: Target,
    /// How.
    pub options: TraceOptions,
    /// Where to.
    pub store: SharedStore,
    /// Who is told.
    pub operation: Arc<Operation>,
    /// Where tasks run.
    pub runtime: Handle,
    /// Told when it has begun: the session.
    pub begun: Box<dyn Fn(i64) + Send>,
}

impl Job {
    /// Records until told to stop or the process has ended.
    pub fn run(mut self, commands: &Sender<Command>, received: &Receiver<Command>) -> Result<End> {
        let (collector, session, progress) = self.begin(commands)?;
        let lifecycle = self.operation.lifecycle();
        reports::report_losses(
            &self.runtime,
            progress,
            lifecycle.clone(),
            self.label.clone(),
            session,
        );
        (self.begun)(session);
        let result = collector.run(received);
        if let Ok(end) = &result {
            lifecycle.emit(&reports::detached(&self.label, session, *end));
        }
        Ok(result?)
    }

    /// Puts the probes in and begins a session.
    fn begin(
        &mut self,
        commands: &Sender<Command>,
    ) -> Result<(Collector, i64, watch::Receiver<Progress>)> {
        let options = &self.options;
        let image = Arc::new(crate::cli::list::open(&self.target)?);
        let running = self.target.pids.clone();
        let mut prepared = prepare::prepare(&self.target, Arc::clone(&image), &running, options)?;
        let target = prepared.narrow(&self.target, options)?;
        for warning in &prepared.warnings {
            say!("{}: {warning}", self.label);
        }
        let (kernel, control) = {
            let _one_at_a_time = ATTACHING.lock().unwrap_or_else(PoisonError::into_inner);
            let started = Instant::now();
            let attached = attach(&target, &mut prepared, options)?;
            tracing::debug!("{}: attached in {:.2?}", self.label, started.elapsed());
            attached
        };
        if let Some(warning) = samples::hidden_kernel_symbols(options) {
            tracing::debug!("{}: {warning}", self.label);
        }
        let symbolizer = resolver::symbolizer(
            &prepared.images,
            &prepared.functions,
            &mut prepared.described,
        );
        let session = new_session(&target, &image, &prepared, options);
        let session = self.store.begin_session(&session)?;
        let (progress, watched) = watch::channel(Progress::default());
        let mut collector = Collector::new(
            kernel,
            resolver::traced(&prepared.images, &prepared.functions, &prepared.described),
            Box::new(self.store.clone()),
            session,
            Box::new(symbolizer),
            sampling(options.sample_rate),
            control,
            limits(&target, options, None),
            options.flush(),
            budget(options, prepared.functions.len()),
            progress,
        )?;
        tell(&mut collector, &target, &mut prepared, commands);
        self.operation.watch_over(collector.heartbeat());
        let event = reports::attached(&prepared, &self.label, session);
        self.operation.lifecycle().emit(&event);
        Ok((collector, session, watched))
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
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

    fn apply(&mut self, settings: &StorageSettings) -> Result<(), StoreError> {
        self.with(|database| database.apply(settings))
    }
}
