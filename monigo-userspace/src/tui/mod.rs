//! The live view in the terminal.
//!
//! [`state`] holds what is shown, [`view`] draws it, [`input`] turns keys into changes of it,
//! [`worker`] asks the query layer on a thread of its own, and [`term`] takes the terminal and
//! gives it back. [`run`] ties them together.

mod input;
mod state;
mod term;
#[cfg(test)]
mod tests;
mod view;
mod worker;

use std::{io, sync::Arc, time::Duration};

use futures::StreamExt as _;
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{Event, EventStream, KeyEventKind};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use self::{
    input::Change,
    state::{App, Now},
    term::Screen,
    view::Theme,
    worker::Worker,
};
use crate::{discover::Discoverer, query::Source, service::Service};

/// How often the clock on screen moves without anything else happening.
const TICK: Duration = Duration::from_millis(500);

/// Tells what the recording side does besides recording. Called on the screen's thread before
/// each drawing, so it must not block.
pub type StatusProvider = Arc<dyn Fn() -> Status + Send + Sync>;

/// What [`run`] needs besides a [`Source`].
pub struct TuiContext {
    /// Ticks at each flush. Dropping the sender means that no more flushes come.
    pub updates: watch::Receiver<u64>,
    /// Whether the recording goes on. Dropping the sender leaves the last phase in force.
    pub phase: watch::Receiver<Phase>,
    /// What the recording side says of itself.
    pub status: StatusProvider,
    /// What is known of the service beside its calls.
    pub service: Option<Arc<dyn Service>>,
    /// Finds functions to trace; `None` for a finished session.
    pub discoverer: Option<Arc<dyn Discoverer>>,
}

/// Whether the recording goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    #[default]
    Recording,
    /// It is over, for the reason given ("the target exited"); the screen stays until the user
    /// quits.
    Ended(String),
    /// [`run`] is to return.
    Close,
}

/// What the recording side says of itself; all of it is shown in the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What monigo waits for, while it does ("waiting for a process to start").
    pub waiting: Option<String>,
    /// One call in this many is recorded in full; 0 records none, `None` when not known (a
    /// finished session).
    pub sample_every: Option<u32>,
    /// What the probes cost, as a short phrase ("probes cost about 1.3% of one CPU").
    pub cost: Option<String>,
}

/// Why the screen was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user asked for it.
    Quit,
    /// [`Phase::Close`].
    Closed,
    /// SIGTERM, SIGHUP or SIGINT came, or the terminal is gone.
    Signalled,
}

/// Why there is no screen.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// Standard input or output is a file or a pipe.
    #[error("standard {0} is not a terminal; use --no-tui")]
    NotATerminal(&'static str),
    /// The terminal refused an operation.
    #[error("the terminal failed to {operation}: {source}")]
    Terminal {
        /// What was tried.
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Setting up signals or threads failed.
    #[error("setting up the terminal view failed: {0}")]
    Setup(#[source] io::Error),
    /// The thread that asks the query layer is gone.
    #[error("the thread that reads measurements has stopped")]
    WorkerStopped,
}

/// Takes the terminal and shows `source` until the user quits, `context.phase` says so, or a
/// signal ends it. The terminal is as it was before when this returns, and after a panic.
///
/// Blocks, and starts a small runtime of its own: call it on a thread of its own
/// (`tokio::task::spawn_blocking` is fine). While it runs nothing else may write to the terminal;
/// panic messages of other threads are kept until the terminal is back.
pub fn run(source: Arc<dyn Source>, context: TuiContext) -> Result<Outcome, TuiError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TuiError::Setup)?;
    let worker = Worker::start(source, context.service.clone()).map_err(TuiError::Setup)?;
    let screen = Screen::take()?;
    let theme = Theme::from_environment(|name| std::env::var(name).ok());
    let outcome = runtime.block_on(show(screen, theme, worker, context));
    // A question may hang; the terminal is back already and nobody waits for the answer.
    runtime.shutdown_background();
    outcome
}

async fn show(
    mut screen: Screen,
    theme: Theme,
    mut worker: Worker,
    mut context: TuiContext,
) -> Result<Outcome, TuiError> {
    let mut events = EventStream::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(TuiError::Setup)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(TuiError::Setup)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(TuiError::Setup)?;
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut updates_open = true;
    let mut phase_open = true;

    let phase = context.phase.borrow_and_update().clone();
    let mut app = App::new((context.status)(), phase, TimeZone::system());
    app.discovery.available = context.discoverer.is_some();
    loop {
        if app.phase == Phase::Close {
            return Ok(Outcome::Closed);
        }
        app.now = Now::read();
        app.status = (context.status)();
        app.panics = term::deferred_panics();
        if let Some(discoverer) = &context.discoverer {
            app.discovery.state = discoverer.state();
        }
        screen
            .terminal
            .draw(|frame| view::draw(frame, &mut app, theme))
            .map_err(|source| TuiError::Terminal {
                operation: "draw",
                source,
            })?;
        // After the drawing, which measures how many steps of a series fit.
        if let Some(question) = app.next_question() {
            worker.ask(question)?;
        }
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    match input::handle(&mut app, key) {
                        Change::Quit => return Ok(Outcome::Quit),
                        Change::Everything => app.want_all(),
                        Change::Detail => app.want_detail(),
                        Change::Stack => app.want_stack(),
                        Change::Story => app.want_story(),
                        Change::Discover => discover(&mut app, context.discoverer.as_ref()),
                        Change::Trace => trace(&app, context.discoverer.as_ref()),
                        Change::Screen | Change::Nothing => {}
                    }
                }
                Some(Ok(Event::Resize(..))) => app.want_detail(),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(Outcome::Signalled),
            },
            answer = worker.answer() => app.accept(answer?),
            changed = context.updates.changed(), if updates_open => {
                updates_open = changed.is_ok();
                app.flushed();
            }
            changed = context.phase.changed(), if phase_open => {
                phase_open = changed.is_ok();
                app.phase = context.phase.borrow_and_update().clone();
                app.flushed();
            }
            _ = clock.tick() => {}
            _ = terminate.recv() => return Ok(Outcome::Signalled),
            _ = hang_up.recv() => return Ok(Outcome::Signalled),
            _ = interrupt.recv() => return Ok(Outcome::Signalled),
        }
    }
}

/// Starts to look for functions.
fn discover(app: &mut App, discoverer: Option<&Arc<dyn Discoverer>>) {
    app.discovery.selected = 0;
    if let Some(Err(error)) = discoverer.map(|discoverer| discoverer.start()) {
        app.discovery.refused = Some(error.to_string());
    }
}

/// Traces the selected function. On a thread of its own: planning and attaching take their time.
/// What becomes of it is in the state of the discovery.
fn trace(app: &App, discoverer: Option<&Arc<dyn Discoverer>>) {
    let (Some(found), Some(discoverer)) = (app.discovery.selected(), discoverer) else {
        return;
    };
    if app.functions.iter().any(|row| row.name == found.name) {
        return;
    }
    let (name, discoverer) = (found.name.clone(), Arc::clone(discoverer));
    std::thread::spawn(move || {
        // The state has the outcome.
        let _ = discoverer.trace(&name);
    });
}
