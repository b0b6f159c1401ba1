//! `monigo serve`.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{args::ServeArgs, exit::Failure, operation::Operation, recording};
use crate::{
    api::{self, HttpSettings, ServeError, Sessions},
    query::Lasting,
};

/// Runs the subcommand.
pub fn run(args: &ServeArgs, verbose: u8) -> Result<()> {
    let operation = Operation::begin(args.common.config.as_deref(), args.given(verbose))?;
    let source = Arc::new(recording::open_lasting(&args.db)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let settings = operation.config().http();
    runtime.block_on(serve(args, &settings, source))
}

async fn serve(args: &ServeArgs, settings: &HttpSettings, source: Arc<Lasting>) -> Result<()> {
    let session = source.session();
    let address = SocketAddr::new(settings.listen.address, settings.listen.port);
    let sessions = Arc::new(Sessions::of_file(&args.db.db, source, args.db.session));
    let server = api::bind(address)
        .and_then(|bound| api::serve(bound, sessions, settings))
        .map_err(failure_of)?;
    println!("{}", server.url());
    eprintln!(
        "serving session {session} of {}; Ctrl-C ends",
        args.db.db.display()
    );
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("watching for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    server.shutdown().await;
    Ok(())
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
