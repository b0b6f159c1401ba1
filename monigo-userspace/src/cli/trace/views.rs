//! The live views over a recording: terminal, dashboard, socket.

use std::{
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use anyhow::{Context as _, Result};
use crossbeam_channel::Sender;
use tokio::{
    runtime::{Handle, Runtime},
    sync::watch,
};

use super::service;
use crate::{
    api::{self, Bound, HttpSettings, LiveState, LiveStatus, Server, Sessions},
    cli::{exit, serve::failure_of},
    collect::{Command, End, Progress},
    discover::Discoverer,
    query::{
        Source,
        remote::{SocketServer, serve_socket},
    },
    service::{Live, Service},
    store::Reader,
    telemetry::{OtlpError, OtlpExporter, OtlpSettings},
    tui::{self, Outcome, Phase, Status, TuiContext, TuiError},
};

/// Everything that shows a recording while it goes on.
pub struct Views {
    runtime: Option<Runtime>,
    handle: Handle,
    progress: watch::Receiver<Progress>,
    waiting: String,
    server: Option<Server>,
    exporter: Option<OtlpExporter>,
}

impl Views {
    /// Prepares views of a recording that announces itself through `progress`; `waiting` says
    /// what it waits for while no process runs.
    pub fn new(progress: watch::Receiver<Progress>, waiting: String) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("views")
            .enable_all()
            .build()
            .context("starting the runtime of the views")?;
        let handle = runtime.handle().clone();
        Ok(Self {
            runtime: Some(runtime),
            handle,
            progress,
            waiting,
            server: None,
            exporter: None,
        })
    }

    /// How far the recording is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Where tasks of the views run.
    pub fn runtime(&self) -> &Handle {
        &self.handle
    }

    /// What the dashboard hears of the recording.
    pub fn live_state(&self) -> LiveState {
        live_state(&self.handle, self.progress.clone(), self.waiting.clone())
    }

    /// Starts the dashboard on an address that is bound, and returns its URL.
    pub fn serve(
        &mut self,
        bound: Bound,
        sessions: Arc<Sessions>,
        settings: &HttpSettings,
    ) -> Result<String> {
        let server = {
            let _runtime = self.handle.enter();
            api::serve(bound, sessions, settings).map_err(failure_of)?
        };
        let url = server.url().to_owned();
        self.server = Some(server);
        Ok(url)
    }

    /// Takes over the terminal, on a thread of its own, until the user leaves it or the recording
    /// is over. Leaving it ends the recording.
    pub fn show_tui(
        &self,
        source: Arc<dyn Source>,
        service: Arc<dyn Service>,
        commands: Sender<Command>,
        discoverer: Arc<dyn Discoverer>,
    ) -> Result<Terminal> {
        let (flush, updates) = watch::channel(0);
        let (turn, phase) = watch::channel(Phase::Recording);
        let mut progress = self.progress.clone();
        self.handle.spawn(async move {
            loop {
                let now = progress.borrow_and_update().clone();
                let _ = flush.send(now.flushes);
                if let Some(end) = now.ended {
                    let _ = turn.send(phase_after(end));
                    return;
                }
                if progress.changed().await.is_err() {
                    // The collector failed; its error is printed once the terminal is back.
                    let _ = turn.send(Phase::Close);
                    return;
                }
            }
        });
        let (progress, waiting) = (self.progress.clone(), self.waiting.clone());
        let status = move || {
            let now = progress.borrow();
            Status {
                waiting: now
                    .store_error
                    .clone()
                    .or_else(|| now.pids.is_empty().then(|| waiting.clone())),
                sample_every: Some(now.sample_every),
                cost: Some(cost_text(&now)).filter(|text| !text.is_empty()),
            }
        };
        let context = TuiContext {
            updates,
            phase,
            status: Arc::new(status),
            service: Some(service),
            discoverer: Some(discoverer),
        };
        exit::hold_logs(true);
        let thread = thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || {
                let outcome = tui::run(source, context);
                exit::hold_logs(false);
                // The recording may have ended already.
                let _ = commands.send(Command::Stop);
                outcome
            })
            .context("starting the terminal interface")?;
        Ok(Terminal { thread })
    }

    /// Sends metrics and calls elsewhere, if `settings` say where to.
    pub fn export(
        &mut self,
        settings: &OtlpSettings,
        source: Arc<dyn Source>,
        live: &Arc<Live>,
    ) -> Result<(), OtlpError> {
        self.exporter = service::export(&self.handle, settings, source, live)?;
        Ok(())
    }

    /// Ends the exporter, which sends the rest, and the dashboard.
    pub fn close(&mut self) {
        if let Some(exporter) = self.exporter.take() {
            self.handle.block_on(exporter.shutdown());
        }
        if let Some(server) = self.server.take() {
            self.handle.block_on(server.shutdown());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The terminal interface while it runs.
pub struct Terminal {
    thread: JoinHandle<Result<Outcome, TuiError>>,
}

impl Terminal {
    /// Waits until the terminal is back.
    pub fn leave(self) -> Result<()> {
        match self.thread.join() {
            Ok(outcome) => outcome.map(|_| ()).map_err(Into::into),
            Err(_) => anyhow::bail!("the terminal interface failed; this is a bug in monigo"),
        }
    }
}

/// What the terminal does once the recording is over: it stays for a look when the target went
/// away by itself.
fn phase_after(end: End) -> Phase {
    match end {
        End::TargetExited => Phase::Ended("the traced process ended".to_owned()),
        End::Requested | End::Duration | End::Calls => Phase::Close,
    }
}

/// What the dashboard hears of a recording that announces itself through `progress`; `waiting` as of [`Views::new`].
pub fn live_state(
    runtime: &Handle,
    mut progress: watch::Receiver<Progress>,
    waiting: String,
) -> LiveState {
    let (flush, flushes) = watch::channel(0);
    let (tell, status) = watch::channel(LiveStatus::default());
    runtime.spawn(async move {
        let (mut seen, mut written) = (0, Instant::now());
        loop {
            let now = progress.borrow_and_update().clone();
            if now.flushes != seen {
                (seen, written) = (now.flushes, Instant::now());
            }
            let text = status_text(&now, &waiting);
            let _ = tell.send(LiveStatus {
                text,
                cost: cost_text(&now),
                ended: now.ended.is_some(),
                flushed: Some(written),
                store_error: now.store_error.clone(),
            });
            flush.send_if_modified(|last| {
                let moved = *last != now.flushes;
                *last = now.flushes;
                moved
            });
            if now.ended.is_some() || progress.changed().await.is_err() {
                return;
            }
        }
    });
    LiveState { flushes, status }
}

/// What the probes cost now; empty when that is not known, or over.
fn cost_text(progress: &Progress) -> String {
    match (progress.cost, progress.ended) {
        (Some(cost), None) => cost.to_string(),
        _ => String::new(),
    }
}

fn status_text(progress: &Progress, waiting: &str) -> String {
    if let Some(error) = &progress.store_error {
        return error.clone();
    }
    match progress.ended {
        Some(End::TargetExited) => "the traced process ended".to_owned(),
        Some(_) => "recording ended".to_owned(),
        None if progress.pids.is_empty() => waiting.to_owned(),
        None => String::new(),
    }
}

/// Lets `report`, `flamegraph` and `query` read a database while this process holds it.
pub fn open_socket(
    path: Option<&Path>,
    source: &Arc<dyn Source>,
    reader: &Reader,
) -> Result<Option<SocketServer>> {
    let Some(path) = path else { return Ok(None) };
    let reader = Some(reader.clone());
    Ok(Some(serve_socket(path, Arc::clone(source), reader)?))
}
