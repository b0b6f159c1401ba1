//! One target of the agent: the programs that it means now, and their recordings.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Instant,
};

use anyhow::Result;
use crossbeam_channel::{Sender, unbounded};

use super::{backoff::Backoff, sessions::Sessions};
use crate::sync::lock;
use crate::{
    cli::{
        args::FeatureArgs,
        exit::{Failure, Status},
        operation::Operation,
        trace::{
            TraceOptions,
            background::{Job, Observer, Pids, SharedStore, plain_label},
            tuning,
        },
    },
    collect::{Command, End},
    config::{AgentTarget, Config},
    lifecycle::{Event, EventKind},
    store::Reader,
    target::{self, Choice, Scope, Target, container_id, process, programs},
};

/// Looks in a row without a process before probes in a file that only a container has are taken out.
const PATIENCE: u32 = 2;

/// What all targets share.
pub struct Common {
    /// Configuration and events.
    pub operation: Arc<Operation>,
    /// The database.
    pub store: SharedStore,
    /// The same to read.
    pub reader: Reader,
    /// What the views show.
    pub sessions: Arc<Sessions>,
    /// Where tasks run.
    pub runtime: tokio::runtime::Handle,
    /// What of the kernel to use.
    pub features: FeatureArgs,
}

/// A program in one state. The file that was written over is another program: its probes would stand at
/// the places of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Program {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Program {
    fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// A recording in progress.
struct Recording {
    commands: Sender<Command>,
    thread: JoinHandle<Result<End>>,
    target: Target,
    /// Processes that it knows of.
    pids: Pids,
    /// Looks in a row without a process.
    idle: u32,
}

/// A target and what is made of it.
pub struct Watched {
    target: AgentTarget,
    label: String,
    recordings: HashMap<Program, Recording>,
    /// Programs that cannot be traced, however often one tries.
    refused: BTreeSet<Program>,
    backoff: BTreeMap<Program, Backoff>,
    /// Why no process was found, as told last.
    missing: Option<String>,
    /// The one process that was meant has ended.
    over: bool,
}

impl Watched {
    /// Nothing is known of it yet.
    pub fn new(target: AgentTarget) -> Self {
        Self {
            label: plain_label(&target.label()),
            target,
            recordings: HashMap::new(),
            refused: BTreeSet::new(),
            backoff: BTreeMap::new(),
            missing: None,
            over: false,
        }
    }

    /// As configured.
    pub const fn target(&self) -> &AgentTarget {
        &self.target
    }

    /// Begins, follows and ends recordings as the processes of this moment demand.
    pub fn look(&mut self, common: &Common, config: &Config) {
        self.reap(common);
        if self.over {
            return;
        }
        let found = match find(&self.target) {
            Ok(found) => found,
            Err(reason) => {
                self.miss(common, reason);
                Vec::new()
            }
        };
        if !found.is_empty() {
            self.missing = None;
        }
        let mut present = BTreeSet::new();
        for target in found {
            let Some(program) = Program::at(&target.open_path) else {
                continue;
            };
            present.insert(program);
            match self.recordings.get_mut(&program) {
                Some(recording) => recording.follow(&target),
                None => self.start(program, target, common, config),
            }
        }
        self.refused.retain(|program| present.contains(program));
        self.backoff.retain(|program, _| present.contains(program));
        for (program, recording) in &mut self.recordings {
            if !present.contains(program) && !recording.is_wanted(*program) {
                // Its end is seen at the next look.
                let _ = recording.commands.send(Command::Stop);
            }
        }
    }

    fn start(&mut self, program: Program, target: Target, common: &Common, config: &Config) {
        let due = self
            .backoff
            .get(&program)
            .is_none_or(|backoff| backoff.is_due(Instant::now()));
        if self.refused.contains(&program) || !due {
            return;
        }
        let trace = self.target.trace(&config.trace);
        let options = TraceOptions {
            functions: self.target.functions.clone(),
            all: self.target.all,
            storage: config.storage.clone(),
            features: common.features,
            ..TraceOptions::measured(&trace)
        };
        let pids: Pids = Arc::new(Mutex::new(target.pids.iter().copied().collect()));
        let job = Job {
            label: self.label.clone(),
            name: self.target.label.as_ref().map(|_| self.label.clone()),
            target: target.clone(),
            pids: Some(Arc::clone(&pids)),
            options,
            store: common.store.clone(),
            reader: common.reader.clone(),
            settings: common.operation.loaded(),
            lifecycle: common.operation.lifecycle().clone(),
            runtime: common.runtime.clone(),
            observer: Arc::clone(&common.sessions) as Arc<dyn Observer>,
        };
        let (commands, received) = unbounded();
        let own = commands.clone();
        let thread = thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || job.run(&own, &received));
        match thread {
            Ok(thread) => {
                let recording = Recording {
                    commands,
                    thread,
                    target,
                    pids,
                    idle: 0,
                };
                self.recordings.insert(program, recording);
            }
            Err(error) => self.fail(program, &error.into(), common),
        }
    }

    /// Takes note of recordings that have ended.
    fn reap(&mut self, common: &Common) {
        let ended: Vec<Program> = self
            .recordings
            .iter()
            .filter(|(_, recording)| recording.thread.is_finished())
            .map(|(program, _)| *program)
            .collect();
        for program in ended {
            let Some(recording) = self.recordings.remove(&program) else {
                continue;
            };
            match recording.result() {
                Ok(End::TargetExited) => self.over = self.target.pid.is_some(),
                Ok(_) => {
                    self.backoff.remove(&program);
                }
                Err(error) => self.fail(program, &error, common),
            }
        }
    }

    fn fail(&mut self, program: Program, error: &anyhow::Error, common: &Common) {
        let hopeless = error
            .downcast_ref::<Failure>()
            .is_some_and(|failure| failure.status() == Status::Usage);
        let message = if hopeless {
            self.refused.insert(program);
            format!("cannot be traced: {error:#}")
        } else {
            let wait = self
                .backoff
                .entry(program)
                .or_default()
                .fail(Instant::now());
            format!(
                "tracing failed: {error:#}; trying again in {} s",
                wait.as_secs()
            )
        };
        let event = Event::now(EventKind::Failure, message).of(&*self.label);
        common.operation.lifecycle().emit(&event);
    }

    /// Tells once that there is nothing to trace.
    fn miss(&mut self, common: &Common, reason: String) {
        if self.missing.as_ref() == Some(&reason) {
            return;
        }
        if self.target.pid.is_some() {
            // Its number may be given to another process.
            self.over = true;
        }
        let event = Event::now(EventKind::Failure, format!("waiting: {reason}")).of(&*self.label);
        common.operation.lifecycle().emit(&event);
        self.missing = Some(reason);
    }

    /// Goes on with another configuration.
    pub fn tune(&self, config: &Config) {
        let trace = self.target.trace(&config.trace);
        let tuning = tuning(&trace, &config.storage);
        for recording in self.recordings.values() {
            let _ = recording
                .commands
                .send(Command::Tune(Box::new(tuning.clone())));
        }
    }

    /// Ends all recordings soon.
    pub fn tell_to_stop(&self) {
        for recording in self.recordings.values() {
            let _ = recording.commands.send(Command::Stop);
        }
    }

    /// Waits until all recordings have ended.
    pub fn end(mut self, common: &Common) {
        for (program, recording) in std::mem::take(&mut self.recordings) {
            if let Err(error) = recording.result() {
                self.fail(program, &error, common);
            }
        }
    }
}

impl Recording {
    /// Counts the calls of processes that are new.
    fn follow(&mut self, target: &Target) {
        self.idle = 0;
        let now: BTreeSet<u32> = target.pids.iter().copied().collect();
        let new: Vec<u32> = now.difference(&lock(&self.pids)).copied().collect();
        if !new.is_empty() && matches!(self.target.scope, Scope::Tree(_)) {
            let _ = self.commands.send(Command::Follow(new));
        }
        *lock(&self.pids) = now;
    }

    /// Whether it is to go on although no process is found: processes of a program that was replaced go on
    /// running it, and one that is still in its place may be started again.
    fn is_wanted(&mut self, program: Program) -> bool {
        let Some(id) = crate::symbols::ImageId::of(&self.target.open_path).ok() else {
            return false;
        };
        let same = Program::at(&self.target.open_path) == Some(program);
        let everyone = self.target.scope == Scope::Everyone;
        if everyone && same {
            return true;
        }
        let written_over = (id.device, id.inode) == (program.device, program.inode) && !same;
        if written_over {
            return false;
        }
        let old = crate::symbols::ImageId {
            device: program.device,
            inode: program.inode,
        };
        if everyone && !process::pids_running(old).is_empty() {
            return true;
        }
        self.idle += 1;
        self.idle < PATIENCE
    }

    fn result(self) -> Result<End> {
        drop(self.commands);
        self.thread.join().unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "a recording failed; this is a bug in monigo"
            ))
        })
    }
}

/// The programs that `target` means now; a sentence if there are none.
fn find(target: &AgentTarget) -> Result<Vec<Target>, String> {
    let resolved = |text: &str, pid| {
        let found = target::resolve(text, pid);
        found
            .map(|target| vec![target])
            .map_err(|error| error.to_string())
    };
    if let Some(path) = &target.path {
        // With a slash, so that it is taken for a path.
        let text = path.display().to_string();
        let text = if text.contains('/') {
            text
        } else {
            format!("./{text}")
        };
        return resolved(&text, None);
    }
    if let Some(pid) = target.pid {
        return resolved(&pid.to_string(), None);
    }
    let (choice, what) = if let Some(name) = &target.name {
        (
            Choice::Name(name.clone()),
            format!("no process is called {name}"),
        )
    } else if let Some(group) = &target.cgroup {
        (
            Choice::Cgroup(group.clone()),
            format!("no process is in the control group {group}"),
        )
    } else {
        let name = target.container.clone().unwrap_or_default();
        let what = format!("no process is in the container {name}");
        (Choice::Container(container_id(&name)), what)
    };
    let found = programs(&choice, target.executable.as_deref());
    if found.is_empty() {
        return Err(what);
    }
    Ok(found.into_iter().map(|(_, target)| target).collect())
}
