//! Discovery from the views of a running recording, and tracing what was found.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Sender, bounded};

use super::TraceOptions;
use super::{prepare, resolver};
use crate::sync::lock;
use crate::{
    cli::args::ExitMode,
    collect::{Addition, Command, Request},
    discover::{self, Discoverer, Discovery, Options, RequestError, Tracing},
    probe::Features,
    symbols::Image,
    target::{self, Target},
};

/// How long a discovery takes.
const LENGTH: Duration = Duration::from_secs(5);
/// How long the collector may take to attach; a flush may be in its way.
const PATIENCE: Duration = Duration::from_secs(15);

/// Discovers in the target of a recording.
pub struct Live {
    target: Target,
    image: Arc<Image>,
    args: TraceOptions,
    commands: Mutex<Sender<Command>>,
    /// Names of the functions that are traced.
    known: Mutex<HashSet<String>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Discovery>,
    stop: AtomicBool,
}

impl Live {
    /// For the recording of `target` that heeds `commands` and traces `known`.
    pub fn new(
        target: Target,
        image: Arc<Image>,
        args: TraceOptions,
        commands: Sender<Command>,
        known: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            target,
            image,
            args,
            commands: Mutex::new(commands),
            known: Mutex::new(known.into_iter().collect()),
            shared: Arc::default(),
        }
    }

    /// The target with the processes that run it now.
    fn current_target(&self) -> Target {
        let pids = self.target.pids.iter().copied();
        let mut pids: Vec<u32> = pids.filter(|&pid| target::process::is_alive(pid)).collect();
        if self.target.scope == target::Scope::Everyone {
            pids = target::process::pids_running(self.image.id());
            if pids.is_empty() {
                pids = target::process::pids_mapping(self.image.id());
            }
        }
        Target {
            pids,
            ..self.target.clone()
        }
    }

    fn add(&self, name: &str) -> Result<(), RequestError> {
        let impossible =
            |error: &dyn std::fmt::Display| RequestError::Impossible(error.to_string());
        let args = TraceOptions {
            functions: vec![name.to_owned()],
            // Whether return probes are safe was checked for the others only.
            exit_probe: match self.args.exit_probe {
                ExitMode::Auto => ExitMode::Ret,
                other => other,
            },
            ..self.args.clone()
        };
        let target = self.current_target();
        let image = Arc::clone(&self.image);
        let mut prepared = prepare::prepare(&target, image, &target.pids, &args)
            .map_err(|error| impossible(&format!("{error:#}")))?;
        if prepared.images.len() > 1 {
            return Err(impossible(
                &"functions of libraries can only be traced from the start: name them with --fn",
            ));
        }
        // Fills in the source lines; recorded stacks have a symbolizer of their own.
        let _ = resolver::symbolizer(
            &prepared.images,
            &prepared.functions,
            &mut prepared.described,
        );
        let traced = resolver::traced(&prepared.images, &prepared.functions, &prepared.described);
        let additions = prepared
            .functions
            .into_iter()
            .zip(prepared.described)
            .zip(traced)
            .map(|((planned, described), traced)| Addition {
                planned,
                described,
                traced,
            });
        let (answer, answered) = bounded(1);
        let request = Request {
            additions: additions.collect(),
            answer,
        };
        let ended = || impossible(&"the recording has ended");
        lock(&self.commands)
            .send(Command::Trace(Box::new(request)))
            .map_err(|_| ended())?;
        match answered.recv_timeout(PATIENCE) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(impossible(&error)),
            Err(_) => Err(ended()),
        }
    }
}

impl Discoverer for Live {
    fn start(&self) -> Result<(), RequestError> {
        let target = self.current_target();
        if target.pids.is_empty() {
            let path = target.show_path.display();
            return Err(RequestError::Impossible(format!("no process runs {path}")));
        }
        {
            let mut state = lock(&self.shared.state);
            if state.running {
                return Err(RequestError::Busy);
            }
            state.running = true;
            state.error = None;
            state.ranking = None;
        }
        self.shared.stop.store(false, Ordering::Relaxed);
        let (image, shared) = (Arc::clone(&self.image), Arc::clone(&self.shared));
        let features = self.args.features.into();
        let started = thread::Builder::new()
            .name("discovery".to_owned())
            .spawn(move || shared.run(&target, &image, features));
        started.map(|_| ()).map_err(|error| {
            lock(&self.shared.state).running = false;
            RequestError::Impossible(format!("starting a thread failed: {error}"))
        })
    }

    fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> Discovery {
        lock(&self.shared.state).clone()
    }

    fn trace(&self, name: &str) -> Result<(), RequestError> {
        if !lock(&self.known).insert(name.to_owned()) {
            return Err(RequestError::Impossible(format!(
                "{name} is traced already"
            )));
        }
        let mark = |tracing| {
            lock(&self.shared.state)
                .traced
                .insert(name.to_owned(), tracing);
        };
        mark(Tracing::Asked);
        let added = self.add(name);
        mark(match &added {
            Ok(()) => Tracing::Traced,
            Err(error) => {
                lock(&self.known).remove(name);
                Tracing::Failed(error.to_string())
            }
        });
        added
    }
}

impl Shared {
    fn run(&self, target: &Target, image: &Image, features: Features) {
        let catalogue = discover::catalogue(image, &[], false);
        let options = Options {
            length: LENGTH,
            features,
        };
        let mut observe = |ranking: &discover::Ranking| {
            lock(&self.state).ranking = Some(Arc::new(ranking.clone()));
        };
        let result = discover::discover(target, catalogue, options, &self.stop, &mut observe);
        let mut state = lock(&self.state);
        state.running = false;
        match result {
            Ok(ranking) => state.ranking = Some(Arc::new(ranking)),
            Err(error) => state.error = Some(error.to_string()),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop();
    }
}
