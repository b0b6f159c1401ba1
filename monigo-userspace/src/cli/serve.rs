//! `monigo serve`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    args::ServeArgs,
    exit::Failure,
    operation::{self, Operation},
    recording,
};
use crate::{
    api::{self, ServeError, Sessions},
    lifecycle::{Event, EventKind},
    query::Lasting,
    system::notify,
};

/// Runs the subcommand.
pub fn run(args: &ServeArgs, verbose: u8) -> Result<()> {
    let operation = Operation::begin(args.common.config.as_deref(), args.given(verbose))?;
    let result = serve_recording(args, &operation);
    let message = result.as_ref().err().map_or_else(
        || "monigo has ended".to_owned(),
        |error| format!("monigo has failed: {error:#}"),
    );
    operation.end(&message);
    result
}

fn serve_recording(args: &ServeArgs, operation: &Arc<Operation>) -> Result<()> {
    let shown = args.db.db.display().to_string();
    let event = Event::now(EventKind::Start, "monigo serve has started");
    operation.lifecycle().emit(&event.of(&*shown));
    let lifecycle = operation.lifecycle().clone();
    let source = recording::open_lasting(&args.db)?.on_failure(move |why| {
        let text = format!("the recording cannot be read: {why}");
        lifecycle.emit(&Event::now(EventKind::Failure, text).of(&*shown));
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(serve(args, operation, Arc::new(source)))
}

async fn serve(args: &ServeArgs, operation: &Arc<Operation>, source: Arc<Lasting>) -> Result<()> {
    let (session, problem) = (source.session(), source.problem());
    let settings = operation.config().http();
    let address = SocketAddr::new(settings.listen.address, settings.listen.port);
    let sessions = Arc::new(Sessions::of_file(&args.db.db, source, args.db.session));
    let server = api::bind(address)
        .and_then(|bound| api::serve(bound, sessions, &settings))
        .map_err(failure_of)?;
    println!("{}", server.url());
    let file = args.db.db.display();
    match (session, problem) {
        (Some(session), None) => eprintln!("serving session {session} of {file}; Ctrl-C ends"),
        (_, problem) => {
            let problem = problem.unwrap_or_default();
            eprintln!(
                "serving {file} as soon as it can be read; Ctrl-C ends; until then: {problem}"
            );
        }
    }
    let beats = beat(operation);
    operation.ready(&format!("serving {file} at {}", server.address()));
    end_of_work(operation).await?;
    notify::stopping();
    if let Some(beats) = beats {
        beats.abort();
    }
    server.shutdown().await;
    Ok(())
}

/// Makes progress as long as tasks of the server do, if systemd asks for it.
fn beat(operation: &Operation) -> Option<tokio::task::JoinHandle<()>> {
    let limit = notify::watchdog()?;
    let beats = Arc::new(AtomicU64::new(0));
    operation.watch_over(Arc::clone(&beats));
    // Often enough that there is one between any two looks.
    let mut pace = tokio::time::interval((limit / 10).clamp(MILLISECOND, PACE));
    Some(tokio::spawn(async move {
        loop {
            pace.tick().await;
            beats.fetch_add(1, Ordering::Relaxed);
        }
    }))
}

const MILLISECOND: Duration = Duration::from_millis(1);
const PACE: Duration = Duration::from_millis(300);

/// Waits for a signal to end; takes those that ask for the configuration to be read again.
async fn end_of_work(operation: &Operation) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut hangups = operation
        .reloads_on_hangup()
        .then(|| signal(SignalKind::hangup()))
        .transpose()
        .context("watching for SIGHUP")?;
    loop {
        let hangup = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            interrupt = tokio::signal::ctrl_c() => {
                return interrupt.context("watching for Ctrl-C");
            }
            _ = terminate.recv() => return Ok(()),
            _ = hangup => operation::ask_to_reload(),
        }
    }
}

/// The exit status that a server that cannot listen deserves.
pub fn failure_of(error: ServeError) -> anyhow::Error {
    match error {
        ServeError::PortInUse { .. }
        | ServeError::NotOurs { .. }
        | ServeError::Guard(_)
        | ServeError::Tls(_) => Failure::usage(error),
        ServeError::NotPermitted { .. } => Failure::not_allowed(error),
        ServeError::Listen { .. } => error.into(),
    }
}
