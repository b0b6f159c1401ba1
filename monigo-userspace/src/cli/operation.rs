//! What stands around the work of `attach`, `run`, `serve` and `agent`: the configuration and reading it again,
//! the log, events, and systemd.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;

use super::exit::{self, Failure};
use crate::sync::lock;
use crate::{
    config::{Change, Config, FlagValue, Loaded, Sources, Watch},
    lifecycle::{Event, EventKind, Lifecycle, Webhook},
    system::notify,
};

/// Time between looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// Somebody asked for the configuration to be read again.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Has the configuration read again soon. Async-signal-safe.
pub fn ask_to_reload() {
    ASKED.store(true, Ordering::Relaxed);
}

/// What a change of the configuration is told to.
pub type Listener = Box<dyn Fn(&Loaded) + Send>;

/// The configuration in force and those who are told of what happens.
pub struct Operation {
    sources: Sources,
    loaded: Mutex<Loaded>,
    lifecycle: Lifecycle,
    listeners: Mutex<Vec<Listener>>,
    beats: Mutex<Vec<Beat>>,
    minder: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

/// A number that grows while somebody makes progress.
struct Beat {
    count: Arc<AtomicU64>,
    seen: u64,
}

impl Operation {
    /// Reads the configuration, with `flags` on top, and begins to log as it says.
    pub fn begin(file: Option<&Path>, flags: Vec<FlagValue>) -> Result<Arc<Self>> {
        let sources = Sources::of_process(file, flags);
        let loaded = sources.load().map_err(Failure::usage)?;
        exit::init_logging(loaded.config.log);
        for remark in &loaded.remarks {
            tracing::warn!("{remark}");
        }
        let webhook = Webhook::new(&loaded.config.webhook).map_err(Failure::usage)?;
        let lifecycle = Lifecycle::new(loaded.config.service.name.clone(), webhook);
        Ok(Arc::new(Self {
            sources,
            loaded: Mutex::new(loaded),
            lifecycle,
            listeners: Mutex::default(),
            beats: Mutex::default(),
            minder: Mutex::default(),
        }))
    }

    /// The configuration in force.
    pub fn config(&self) -> Config {
        lock(&self.loaded).config.clone()
    }

    /// The configuration in force, with sources.
    pub fn loaded(&self) -> Loaded {
        lock(&self.loaded).clone()
    }

    /// Who is told of events.
    pub const fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Whether a hang-up means to read the file again, rather than the end: there is a file, and no terminal
    /// that could have been closed.
    pub fn reloads_on_hangup(&self) -> bool {
        self.sources.file.is_some() && std::fs::File::open("/dev/tty").is_err()
    }

    /// Tells `listener` of each new configuration.
    pub fn on_change(&self, listener: impl Fn(&Loaded) + Send + 'static) {
        lock(&self.listeners).push(Box::new(listener));
    }

    /// systemd is told that all is well only while `count` grows, as long as anybody holds it.
    pub fn watch_over(&self, count: Arc<AtomicU64>) {
        let mut beats = lock(&self.beats);
        // Nobody else holds the others any more.
        beats.retain(|beat| Arc::strong_count(&beat.count) > 1);
        beats.push(Beat { count, seen: 0 });
    }

    /// Says that the work has begun, and minds the file and the watchdog from now on.
    pub fn ready(self: &Arc<Self>, status: &str) {
        notify::ready(status);
        self.lifecycle.begin();
        let mut watch = self.sources.file.as_deref().map(Watch::new);
        let watchdog = notify::watchdog();
        let tick = watchdog.map_or(LOOK, |limit| LOOK.min(limit / 3));
        let (stop, stopped) = mpsc::channel();
        let operation = Arc::downgrade(self);
        let minder = thread::Builder::new()
            .name("minder".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(tick) {
                    let Some(operation) = operation.upgrade() else {
                        return;
                    };
                    let asked = ASKED.swap(false, Ordering::Relaxed);
                    let changed = watch.as_mut().is_some_and(Watch::changed);
                    if asked || changed {
                        operation.reload();
                    }
                    if watchdog.is_some() && operation.all_progress() {
                        notify::alive();
                    }
                }
            });
        match minder {
            Ok(thread) => *lock(&self.minder) = Some((stop, thread)),
            Err(error) => tracing::warn!("the configuration is not watched: {error}"),
        }
    }

    /// Says that the work ends, and delivers what is left.
    pub fn end(&self, message: &str) {
        if let Some((stop, thread)) = lock(&self.minder).take() {
            drop(stop);
            let _ = thread.join();
        }
        notify::stopping();
        self.lifecycle.emit(&Event::now(EventKind::Stop, message));
        self.lifecycle.close();
    }

    /// Whether everybody made progress since the last look.
    fn all_progress(&self) -> bool {
        let mut beats = lock(&self.beats);
        // Nobody else holds the others any more.
        beats.retain(|beat| Arc::strong_count(&beat.count) > 1);
        let mut all = true;
        for beat in beats.iter_mut() {
            let now = beat.count.load(Ordering::Relaxed);
            all &= now != beat.seen;
            beat.seen = now;
        }
        all
    }

    /// Reads everything again. What is wrong leaves everything as it was.
    fn reload(&self) {
        notify::reloading();
        let event = match self.sources.load() {
            Ok(loaded) => self.take(loaded),
            Err(error) => {
                let text = error.to_string().replace('\n', "; ");
                let kept = "the new configuration is invalid, and the old one stays in force";
                Event::now(EventKind::Failure, format!("{kept}: {text}"))
            }
        };
        self.lifecycle.emit(&event);
        notify::reloaded();
    }

    fn take(&self, new: Loaded) -> Event {
        let (change, config) = Change::between(&self.config(), &new.config);
        if change.is_empty() {
            return Event::now(
                EventKind::Reload,
                "the configuration was read again, and nothing changed",
            );
        }
        if change.taken.iter().any(|key| key.starts_with("webhook.")) {
            match Webhook::new(&config.webhook) {
                Ok(webhook) => self.lifecycle.replace_webhook(webhook),
                Err(error) => {
                    let kept = "the new configuration is invalid, and the old one stays in force";
                    return Event::now(EventKind::Failure, format!("{kept}: {error}"));
                }
            }
        }
        if change.taken.contains(&"log.level") {
            exit::set_log_level(config.log.level);
        }
        let loaded = Loaded { config, ..new };
        lock(&self.loaded).clone_from(&loaded);
        for listener in lock(&self.listeners).iter() {
            listener(&loaded);
        }
        let mut message = String::from("the configuration was read again");
        if !change.taken.is_empty() {
            message.push_str("; in force now: ");
            message.push_str(&change.taken.join(", "));
        }
        if !change.left.is_empty() {
            let left = change.left.join(", ");
            let sentence = format!("changes of these take effect after a restart: {left}");
            tracing::warn!("{sentence}");
            message.push_str("; ");
            message.push_str(&sentence);
        }
        Event::now(EventKind::Reload, message)
            .with("in_force", change.taken)
            .with("needs_restart", change.left)
    }
}
