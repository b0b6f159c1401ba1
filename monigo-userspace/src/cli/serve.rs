//! `monigo serve`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{args::ServeArgs, exit::Failure, operation::Operation, recording};
use crate::{
    api::{self, Content, HttpSettings, LiveState, ServeError},
    query::{Overview, Source},
    service::Recorded,
};

/// Runs the subcommand.
pub fn run(args: &ServeArgs, verbose: u8) -> Result<()> {
    let operation = Operation::begin(args.common.config.as_deref(), args.given(verbose))?;
    let source: Arc<dyn Source> = Arc::new(recording::open_lasting(&args.db)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let settings = operation.config().http();
    runtime.block_on(serve(args, &settings, source))
}

async fn serve(args: &ServeArgs, settings: &HttpSettings, source: Arc<dyn Source>) -> Result<()> {
    let overview = {
        let source = Arc::clone(&source);
        tokio::task::spawn_blocking(move || source.overview()).await??
    };
    let (live, poll) = match standing(&overview, now_ns()) {
        // The overview's warnings say so when it was cut off.
        Standing::Ended | Standing::CutOff => (LiveState::finished(""), None),
        Standing::Recording => {
            let (live, task) = api::live::poll(Arc::clone(&source));
            (live, Some(task))
        }
    };
    let address = SocketAddr::new(settings.listen.address, settings.listen.port);
    let content = Content {
        service: Arc::new(Recorded::new(Arc::clone(&source))),
        source,
        live,
        discoverer: None,
    };
    let server = api::bind(address)
        .and_then(|bound| api::serve(bound, content, settings))
        .map_err(failure_of)?;
    println!("{}", server.url());
    eprintln!(
        "serving session {} of {}; Ctrl-C ends",
        overview.session,
        args.db.db.display()
    );
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("watching for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    if let Some(task) = poll {
        task.abort();
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

/// Where a recording stands when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ended,
    /// Neither ended nor flushed for long: its monigo was killed.
    CutOff,
    Recording,
}

/// Flushes that may be late before a recording counts as cut off.
const LATE_FLUSHES: i64 = 5;

fn standing(overview: &Overview, now_ns: i64) -> Standing {
    let last = overview.last_flush_ns.unwrap_or(overview.started_ns);
    let patience = overview
        .flush_ns
        .max(1_000_000_000)
        .saturating_mul(LATE_FLUSHES);
    if overview.ended_ns.is_some() {
        Standing::Ended
    } else if now_ns.saturating_sub(last) > patience {
        Standing::CutOff
    } else {
        Standing::Recording
    }
}

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_nanos()
        .try_into()
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::Language;

    const SECOND: i64 = 1_000_000_000;

    fn overview(ended_ns: Option<i64>, last_flush_ns: Option<i64>) -> Overview {
        Overview {
            session: 1,
            target: "/bin/true".to_owned(),
            language: Language::C,
            pids: Vec::new(),
            host: String::new(),
            kernel: String::new(),
            monigo_version: String::new(),
            started_ns: 100 * SECOND,
            ended_ns,
            last_flush_ns,
            flush_ns: 2 * SECOND,
            recorded: 0,
            losses: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_recording_is_live_until_its_flushes_stop() {
        let last = Some(200 * SECOND);
        let cases = [
            (overview(Some(200 * SECOND), last), 201, Standing::Ended),
            (overview(None, last), 209, Standing::Recording),
            (overview(None, last), 211, Standing::CutOff),
            (overview(None, None), 101, Standing::Recording),
            (overview(None, None), 200, Standing::CutOff),
        ];
        for (overview, now, expected) in cases {
            assert_eq!(
                standing(&overview, now * SECOND),
                expected,
                "{overview:?} at {now}"
            );
        }
    }
}
