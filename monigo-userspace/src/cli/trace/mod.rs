//! What `attach` and `run` share: attach, record, show, summarize.

mod attaching;
pub(crate) mod background;
mod discovering;
mod executions;
mod exits;
mod inlined;
mod instances;
mod options;
mod outputs;
mod parts;
mod prepare;
mod remarks;
mod reports;
mod resolver;
mod samples;
mod service;
mod signals;
mod slow;
mod unwinding;
mod views;

use std::{io::IsTerminal as _, net::SocketAddr, path::Path, sync::Arc, thread, time::Instant};

use anyhow::Result;
use crossbeam_channel::{Sender, unbounded};
use monigo_common::config::Control;

pub use self::options::{TraceOptions, tuning};
use self::{
    attaching::attach,
    outputs::{check_outputs, summarize},
    parts::Beginning,
    prepare::Prepared,
    views::Views,
};
use super::{
    args::Format,
    exit::{Failure, say},
    operation::Operation,
    recording::store_failure,
    serve::failure_of,
};
use crate::{
    api::{self, Bound, Sessions},
    collect::{Command, End},
    lifecycle::{Event, EventKind},
    probe::{Groundwork, Kernel, PlannedFunction},
    service::Service,
    store::{Database, Store as _, StoreError},
    symbols::{Image, demangle::printable},
    sync::join,
    system,
    target::Target,
};

/// A process that waits to be traced before it runs.
pub trait Held {
    /// Its process id.
    fn pid(&self) -> u32;
    /// Lets it run.
    fn release(&mut self) -> Result<()>;
    /// One sentence about how it ended, if it did.
    fn epitaph(&mut self) -> Option<String>;
}

/// Traces functions of `target` as `args` say, until something ends it, and prints the summary.
pub fn trace(
    target: &Target,
    args: &TraceOptions,
    operation: &Arc<Operation>,
    held: Option<&mut dyn Held>,
) -> Result<()> {
    let result = record(target, args, operation, held);
    let message = result.as_ref().err().map_or_else(
        || "monigo has ended".to_owned(),
        |error| format!("monigo has failed: {error:#}"),
    );
    operation.end(&message);
    result
}

fn record(
    target: &Target,
    args: &TraceOptions,
    operation: &Arc<Operation>,
    mut held: Option<&mut dyn Held>,
) -> Result<()> {
    let lifecycle = operation.lifecycle();
    let shown = printable(target.show_path.display().to_string());
    lifecycle.emit(&Event::now(EventKind::Start, "monigo has started").of(&*shown));
    let Attached {
        image,
        mut prepared,
        target,
        bound,
        kernel: attached,
        mut database,
    } = attach_all(target, args, held.is_some())?;
    let target = &target;
    if let Some(warning) = samples::hidden_kernel_symbols(args) {
        say!("{warning}");
    }
    database.apply(&args.storage)?;
    let reader = database.reader()?;
    let (commands, received) = unbounded();
    let beginning = Beginning {
        target,
        image: &image,
        prepared: &mut prepared,
        options: args,
        attached,
        label: None,
        store: Box::new(database),
        reader: reader.clone(),
        held: held.as_ref().map(|held| held.pid()),
        processes: None,
        commands: &commands,
    };
    // It starts threads, which should not have more privileges than this one has now.
    let parts = beginning.begin()?;
    let (session, source, live) = (parts.session, &parts.source, &parts.live);
    let socket = views::open_socket(args.db.as_deref(), source, &reader)?;
    service::connect(live, operation, &shown, session);
    let mut views = Views::new(parts.progress.clone(), describe_wait(target))?;
    if let Some(bound) = bound {
        let content = parts.content(views.live_state());
        let sessions = Sessions::of(reader);
        sessions.begin(session, None, content);
        let url = views.serve(bound, Arc::new(sessions), &args.http)?;
        say!("dashboard at {url}");
    }
    views.export(&operation.config().otlp, Arc::clone(source), live)?;
    let reload = operation.reloads_on_hangup();
    signals::stop_on_signal(views.runtime(), &commands, reload);
    operation.watch_over(parts.collector.heartbeat());
    announce(operation, &views, &commands, &prepared, &shown, session);
    if target.pids.is_empty() && held.is_none() {
        say!("{}", describe_wait(target));
    }
    if let Some(held) = &mut held {
        held.release()?;
    }
    let sampler = service::sample(live, &commands, args)?;
    let screen = wants_tui(args, held.is_some())
        .then(|| {
            let service = Arc::clone(live) as Arc<dyn Service>;
            let discoverer = Arc::clone(&parts.discoverer);
            views.show_tui(Arc::clone(source), service, commands, discoverer)
        })
        .transpose()?;
    // On this thread, which has nothing else to do until the end.
    let result = parts.collector.run(&received);
    drop(sampler);
    if let Some(screen) = screen {
        screen.leave()?;
    }
    views.close();
    let end = match result {
        Ok(end) => end,
        Err(error) => {
            drop(socket);
            return Err(error.into());
        }
    };
    lifecycle.emit(&reports::detached(&shown, session, end));
    tell_the_end(end, held);
    summarize(&*parts.source, args)
}

/// A target with its probes in, and where measurements go.
struct Attached {
    image: Arc<Image>,
    prepared: Prepared,
    target: Target,
    bound: Option<Bound>,
    kernel: (Kernel, Control),
    database: Database,
}

/// Everything up to where calls are counted and privileges are given up. `held` if the target has not been
/// started yet.
fn attach_all(target: &Target, args: &TraceOptions, held: bool) -> Result<Attached> {
    let image = Arc::new(super::list::open(target)?);
    thread::scope(|scope| {
        // While symbols are read.
        let groundwork = scope.spawn(|| Groundwork::lay(args.features.into()));
        let early = args.db.is_none() && args.user.is_none();
        let in_memory = early.then(|| scope.spawn(open_in_memory));
        let (mut prepared, target) = prepare_all(target, Arc::clone(&image), args, held)?;
        let bound = bind(args)?;
        super::interrupts::hold();
        let kernel = attach(&target, &mut prepared, args, join(groundwork))?;
        give_up_privileges(args)?;
        let database = match &args.db {
            Some(path) => Database::open(path),
            None => in_memory.map_or_else(Database::in_memory, join),
        }?;
        Ok(Attached {
            image,
            prepared,
            target,
            bound,
            kernel,
            database: database.holding(),
        })
    })
}

/// Opens a database in memory on a thread that gives up its privileges first, as `DuckDB` starts threads of its
/// own. Not where another user goes on: the C library changes that for all threads, and ends the process if one
/// must not.
fn open_in_memory() -> Result<Database, StoreError> {
    // Where this is refused it is refused again later, and told of.
    let _ = system::drop_privileges(false);
    Database::in_memory()
}

/// Takes the dashboard's address, if there is to be one.
fn bind(args: &TraceOptions) -> Result<Option<Bound>> {
    let listen = &args.http.listen;
    let address = SocketAddr::new(listen.address, listen.port);
    (!args.headless)
        .then(|| api::bind(address))
        .transpose()
        .map_err(failure_of)
}

fn tell_the_end(end: End, held: Option<&mut dyn Held>) {
    if end == End::TargetExited {
        say!("the traced process ended");
    }
    if let Some(sentence) = held.and_then(Held::epitaph) {
        say!("{sentence}");
    }
}

/// Everything that can be found out before anything is attached: what will be traced, and the target with the
/// processes that count. `held` if it has not been started yet.
fn prepare_all(
    target: &Target,
    image: Arc<Image>,
    args: &TraceOptions,
    held: bool,
) -> Result<(Prepared, Target)> {
    let started = Instant::now();
    // A command that has not been started yet has no libraries to look at.
    let running = if held { &[] } else { &*target.pids };
    let mut prepared = prepare::prepare(target, image, running, args)?;
    tracing::info!("planned in {:.2?}", started.elapsed());
    let target = prepared.narrow(target, args)?;
    check_outputs(args, prepared.functions.len())?;
    system::require_attach().map_err(Failure::not_allowed)?;
    if let Some(path) = &args.db {
        // Opened for good only after privileges are dropped; mistakes should show before
        // anything is attached.
        Database::open(path).map_err(store_failure)?;
    }
    if target.is_replaced() {
        prepared.warnings.push(format!(
            "the file at {} is not the one that runs (deleted, replaced, or in another mount namespace); tracing the running one",
            target.show_path.display()
        ));
    }
    for warning in &prepared.warnings {
        say!("{warning}");
    }
    Ok((prepared, target))
}

/// Says that the probes are in, and from then on what changes.
fn announce(
    operation: &Arc<Operation>,
    views: &Views,
    commands: &Sender<Command>,
    prepared: &Prepared,
    shown: &str,
    session: i64,
) {
    let lifecycle = operation.lifecycle();
    let tuned = commands.clone();
    operation.on_change(move |loaded| {
        let tuning = tuning(&loaded.config.trace, &loaded.config.storage);
        // The collector may have ended already.
        let _ = tuned.send(Command::Tune(Box::new(tuning)));
    });
    let attached = attached(prepared);
    say!("{attached}");
    lifecycle.emit(&reports::attached(prepared, shown, session));
    reports::report_losses(
        views.runtime(),
        views.progress(),
        lifecycle.clone(),
        shown.to_owned(),
        session,
    );
    operation.ready(&format!("tracing {shown}: {attached}"));
}

/// Keeps what recording needs, as another user if one is named.
fn give_up_privileges(args: &TraceOptions) -> Result<()> {
    let writes_files = args.db.is_some() || !args.output.is_empty();
    if let Some(name) = &args.user {
        let files: Vec<&Path> = args.db.as_deref().into_iter().collect();
        return system::become_user(name, &files).map_err(Failure::usage);
    }
    if let Err(error) = system::drop_privileges(writes_files) {
        tracing::warn!("privileges could not be dropped: {error}");
    }
    Ok(())
}

fn attached(prepared: &Prepared) -> String {
    let plural =
        |count: usize, word| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let sites = prepared.functions.iter().map(PlannedFunction::sites).sum();
    let functions = prepared
        .functions
        .iter()
        .filter(|function| !function.executions);
    format!(
        "attached {} in {}",
        plural(sites, "site"),
        plural(functions.count(), "function")
    )
}

fn describe_wait(target: &Target) -> String {
    format!(
        "waiting for a process to run {}",
        target.show_path.display()
    )
}

/// A command that `run` starts keeps the terminal to itself.
fn wants_tui(args: &TraceOptions, runs_command: bool) -> bool {
    !(args.no_tui || args.headless || runs_command)
        && args.format == Format::Table
        && std::io::stdout().is_terminal()
        && std::io::stdin().is_terminal()
}
