//! What a recording is to be like: options of the command line, and the settings in force.

use std::{path::PathBuf, time::Duration};

use crate::{
    api::HttpSettings,
    cli::args::{
        ExitMode, FeatureArgs, FlameMode, Format, LatencyMode, RootMode, Share, SlowArgs,
        StackMode, TraceArgs,
    },
    collect::{Budget, Limits, Mode, Sampling, Tuning},
    config::{Config, TraceSettings},
    store::{StorageKind, StorageSettings},
    target::{Scope, Target},
};

/// Options of one recording, nothing of them open.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the command line"
)]
pub struct TraceOptions {
    /// Patterns.
    pub functions: Vec<String>,
    /// Trace everything that they match.
    pub all: bool,
    /// Each instance of a function counts for itself.
    pub by_instance: bool,
    /// Stop after this long.
    pub duration: Option<Duration>,
    /// Stop after this many calls.
    pub max_calls: Option<u64>,
    /// The database file; `None` for memory.
    pub db: Option<PathBuf>,
    /// What is kept.
    pub storage: StorageSettings,
    /// 1 call in this many is recorded in full.
    pub sample_rate: Option<u32>,
    /// How stacks are taken.
    pub stacks: StackMode,
    /// Looks at each CPU per second.
    pub cpu_hz: u32,
    /// Waits are not recorded.
    pub no_off_cpu: bool,
    /// What of the kernel to use.
    pub features: FeatureArgs,
    /// What the probes may take.
    pub max_overhead: Share,
    /// Whether every call is timed.
    pub latency: LatencyMode,
    /// How the end of a call is seen.
    pub exit_probe: ExitMode,
    /// No terminal interface.
    pub no_tui: bool,
    /// Nor a dashboard.
    pub headless: bool,
    /// The server.
    pub http: HttpSettings,
    /// Go on as this user.
    pub user: Option<String>,
    /// What exported flame graphs weigh.
    pub flame: FlameMode,
    /// Where their stacks begin.
    pub root: RootMode,
    /// What they hold.
    pub slow: SlowArgs,
    /// Files to write at the end.
    pub output: Vec<PathBuf>,
    /// Format of the summary.
    pub format: Format,
}

impl TraceOptions {
    /// The options of `attach` and `run`.
    pub fn new(args: &TraceArgs, config: &Config) -> Self {
        let disk = config.storage.kind == StorageKind::Disk;
        Self {
            functions: args.functions.clone(),
            all: args.all,
            by_instance: args.by_instance,
            duration: args.duration,
            max_calls: args.max_calls,
            db: config.storage.path.clone().filter(|_| disk),
            storage: config.storage.clone(),
            features: args.features,
            no_tui: args.no_tui,
            headless: config.service.headless,
            http: config.http(),
            user: args.user.clone(),
            flame: args.flame,
            root: args.root,
            slow: args.slow,
            output: args.output.clone(),
            format: args.format,
            // With a fixed number of calls, each of them counts.
            latency: match args.max_calls {
                Some(_) => LatencyMode::Exact,
                None => config.trace.latency,
            },
            ..Self::measured(&config.trace)
        }
    }

    /// Options that say nothing but how functions are measured.
    pub fn measured(settings: &TraceSettings) -> Self {
        Self {
            functions: Vec::new(),
            all: false,
            by_instance: false,
            duration: None,
            max_calls: None,
            db: None,
            storage: StorageSettings::default(),
            sample_rate: settings.sampling_rate,
            stacks: settings.stacks,
            cpu_hz: settings.cpu_hz,
            no_off_cpu: !settings.off_cpu,
            features: FeatureArgs::default(),
            max_overhead: settings.max_overhead,
            latency: settings.latency,
            exit_probe: settings.exit_probe,
            no_tui: true,
            headless: true,
            http: HttpSettings::default(),
            user: None,
            flame: FlameMode::Wall,
            root: RootMode::Callers,
            slow: SlowArgs::default(),
            output: Vec::new(),
            format: Format::Table,
        }
    }

    /// Time between writes.
    pub fn flush(&self) -> Duration {
        self.storage.sync_frequency.duration()
    }
}

/// Which calls are recorded in full.
pub fn sampling(rate: Option<u32>) -> Sampling {
    rate.map_or(Sampling::Adaptive, Sampling::Fixed)
}

/// What of a configuration a recording can take while it goes on.
pub fn tuning(trace: &TraceSettings, storage: &StorageSettings) -> Tuning {
    Tuning {
        sampling: sampling(trace.sampling_rate),
        flush: storage.sync_frequency.duration(),
        share: trace.max_overhead.0,
        storage: storage.clone(),
    }
}

/// When the recording ends by itself; `held` is the process that `run` has started.
pub fn limits(target: &Target, args: &TraceOptions, held: Option<u32>) -> Limits {
    Limits {
        duration: args.duration,
        max_calls: args.max_calls,
        until_exit: held.or(match target.scope {
            Scope::Process(pid) => Some(pid),
            _ => None,
        }),
    }
}

/// Share of the time in which calls are timed with `--latency windows`.
const WINDOWS: f64 = 0.1;

/// What the probes may take, and what is given up for that.
pub fn budget(args: &TraceOptions, functions: usize) -> Budget {
    // With a fixed number of calls the cost has an end, and each of them counts.
    let share = args.max_overhead.0.filter(|_| args.max_calls.is_none());
    let least = match args.latency {
        LatencyMode::Exact => Mode::Full,
        LatencyMode::Windows => Mode::Windows,
    };
    Budget::new(share, least, WINDOWS, functions)
}
