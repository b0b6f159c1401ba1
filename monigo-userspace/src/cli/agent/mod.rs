//! `monigo agent`: several targets, for as long as the service runs.
//!
//! Each is shown and exported as `attach` does it. One thread looks at the processes, by default every second, and decides what is to be traced. Each program of each
//! target is one recording, on a thread and in a session of its own, in the database that they share. A program
//! that was replaced is another one.

mod backoff;
mod sessions;
mod watched;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
};

use anyhow::{Context as _, Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    sessions::Sessions,
    watched::{Common, Watched},
};
use super::{
    args::AgentArgs,
    exit::{self, Failure, say},
    interrupts,
    operation::{self, Operation},
    recording::store_failure,
    serve::failure_of,
    trace::background::SharedStore,
};
use crate::{
    api::{self, Bound, Server},
    config::{AgentTarget, Config, LogLevel, Source},
    lifecycle::{Event, EventKind},
    query::remote::SocketServer,
    store::{Database, StorageKind, Store as _},
    system,
};

/// Runs the subcommand.
pub fn run(args: &AgentArgs, verbose: u8) -> Result<()> {
    let operation = Operation::begin(args.common.config.as_deref(), args.given(verbose))?;
    if *operation.loaded().source("log.level") == Source::Default {
        // Nobody looks at anything else.
        exit::set_log_level(LogLevel::Info);
    }
    args.symbols.install()?;
    let result = trace_all(args, &operation);
    let message = result.as_ref().err().map_or_else(
        || "monigo has ended".to_owned(),
        |error| format!("monigo has failed: {error:#}"),
    );
    operation.end(&message);
    result
}

/// What the supervisor is told.
enum Order {
    Stop,
    Take(Box<Config>),
}

/// The configuration. Where it does not say where to store, systemd's place for it is taken, if there is one.
fn configuration(operation: &Operation) -> Config {
    let mut config = operation.config();
    if *operation.loaded().source("storage.type") == Source::Default
        && config.storage.path.is_none()
        && let Some(folder) = std::env::var_os("STATE_DIRECTORY")
    {
        config.storage.kind = StorageKind::Disk;
        config.storage.path = Some(Path::new(&folder).join("monigo.duckdb"));
    }
    config
}

fn trace_all(args: &AgentArgs, operation: &Arc<Operation>) -> Result<()> {
    let config = configuration(operation);
    if config.agent.targets.is_empty() {
        let text = "the agent has no targets; write [[agent.targets]] into a configuration file and name it with --config (`monigo config init` writes an example)";
        return Err(Failure::usage(anyhow!(text)));
    }
    let start = Event::now(EventKind::Start, "monigo agent has started");
    operation
        .lifecycle()
        .emit(&start.with("targets", config.agent.targets.len()));
    system::require_attach().map_err(Failure::not_allowed)?;
    let disk = config.storage.kind == StorageKind::Disk;
    let path = config.storage.path.clone().filter(|_| disk);
    if let Some(path) = &path {
        // Opened for good only after privileges are dropped; mistakes should show at once.
        Database::open(path).map_err(store_failure)?;
    }
    let listen = &config.listen;
    let bound = (!config.service.headless)
        .then(|| api::bind(SocketAddr::new(listen.address, listen.port)))
        .transpose()
        .map_err(failure_of)?;
    interrupts::hold();
    give_up_privileges(args.user.as_deref(), path.as_deref())?;

    let mut database = match &path {
        Some(path) => Database::open(path)?,
        None => Database::in_memory()?,
    }
    .holding();
    database.apply(&config.storage)?;
    let reader = database.reader()?;
    let sessions = Arc::new(Sessions::new(reader.clone(), Arc::clone(operation)));
    let _socket = path
        .as_deref()
        .map(|path| SocketServer::start(path, sessions.clone()))
        .transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("agent")
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let server = bound.map(|bound| serve(&runtime, bound, &sessions, &config));
    let server = server.transpose()?;
    let (orders, received) = mpsc::channel();
    heed_signals(runtime.handle(), &orders);
    let configured = Arc::clone(&sessions);
    operation.on_change(move |loaded| {
        configured.configure(loaded);
        // The supervisor may have ended already.
        let _ = orders.send(Order::Take(Box::new(loaded.config.clone())));
    });
    let common = Common {
        operation: Arc::clone(operation),
        store: SharedStore::new(database),
        reader,
        sessions,
        runtime: runtime.handle().clone(),
        features: args.features,
    };
    operation.watch_over(common.sessions.heartbeat());
    operation.ready(&status(&config));
    supervise(&common, config, &received);
    if let Some(server) = server {
        runtime.block_on(server.shutdown());
    }
    runtime.shutdown_background();
    Ok(())
}

/// Starts dashboard and API.
fn serve(
    runtime: &tokio::runtime::Runtime,
    bound: Bound,
    sessions: &Sessions,
    config: &Config,
) -> Result<Server> {
    let _inside = runtime.enter();
    let server = api::serve(bound, sessions.shown(), &config.http()).map_err(failure_of)?;
    say!("dashboard at {}", server.url());
    Ok(server)
}

/// Looks for what is to be traced, until told to stop.
fn supervise(common: &Common, config: Config, orders: &mpsc::Receiver<Order>) {
    let mut config = config;
    let targets = config.agent.targets.iter();
    let mut watched: Vec<Watched> = targets.map(|target| Watched::new(target.clone())).collect();
    loop {
        for target in &mut watched {
            target.look(common, &config);
        }
        common.sessions.beat();
        match orders.recv_timeout(config.agent.watch.duration()) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Order::Take(new)) => {
                watched = take(watched, common, &new);
                config = *new;
            }
        }
    }
    // All at once, since each takes its time.
    watched.iter().for_each(Watched::tell_to_stop);
    for target in watched {
        target.end(common);
    }
}

/// The targets of a new configuration; those that stay the same go on.
fn take(old: Vec<Watched>, common: &Common, new: &Config) -> Vec<Watched> {
    let mut old = old;
    let mut watched = Vec::new();
    for target in &new.agent.targets {
        let known = old.iter().position(|old| old.target() == target);
        match known {
            Some(index) => {
                let known = old.swap_remove(index);
                known.tune(new);
                watched.push(known);
            }
            None => watched.push(Watched::new(target.clone())),
        }
    }
    old.iter().for_each(Watched::tell_to_stop);
    for target in old {
        target.end(common);
    }
    system::notify::status(&status(new));
    watched
}

fn status(config: &Config) -> String {
    let labels: Vec<String> = config
        .agent
        .targets
        .iter()
        .map(AgentTarget::label)
        .collect();
    format!("tracing {}", labels.join(", "))
}

fn heed_signals(runtime: &tokio::runtime::Handle, orders: &mpsc::Sender<Order>) {
    let _guard = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let orders = orders.clone();
        match signal(kind) {
            Ok(mut stream) => {
                runtime.spawn(async move {
                    while stream.recv().await.is_some() {
                        let _ = orders.send(Order::Stop);
                    }
                });
            }
            Err(error) => tracing::warn!("signals cannot be handled: {error}"),
        }
    }
    match signal(SignalKind::hangup()) {
        Ok(mut stream) => {
            runtime.spawn(async move {
                while stream.recv().await.is_some() {
                    operation::ask_to_reload();
                }
            });
        }
        Err(error) => tracing::warn!("signals cannot be handled: {error}"),
    }
    if interrupts::ending() {
        let _ = orders.send(Order::Stop);
    }
    if interrupts::hung_up() {
        operation::ask_to_reload();
    }
}

fn give_up_privileges(user: Option<&str>, database: Option<&Path>) -> Result<()> {
    if let Some(name) = user {
        let files: Vec<&Path> = database.into_iter().collect();
        return system::become_user(name, &files).map_err(Failure::usage);
    }
    if let Err(error) = system::drop_privileges(database.is_some()) {
        tracing::warn!("privileges could not be dropped: {error}");
    }
    Ok(())
}
