//! Finding out which functions of a running program are worth a look: probes on everything that
//! can be probed, in short windows that cost the target little, and a ranking by calls and by time.
//!
//! 1. *Scan*: batches of functions are counted in windows of some ms. A window ends early when its
//!    probes have taken [`pace::BURST`] from the target, so a function that is called millions of
//!    times a second is found at once and left alone.
//! 2. *Bursts*: what was called is timed in windows short enough for its rate, the most called
//!    functions only in the shortest.
//! 3. *Long window*: everything that can be afforded is timed until the end, functions that
//!    were not called so far included; this finds what is slow and rare.

mod catalogue;
mod explore;
mod live;
pub mod pace;
mod runtime;
mod tally;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Serialize;

pub(crate) use self::runtime::is_runtime;
pub use self::{
    catalogue::Catalogue,
    live::{Discoverer, Discovery, RequestError, Tracing},
    tally::{Basis, Figures},
};
use crate::{
    probe::{Expected, Features, Groundwork, Kernel, ProbeError, Sizes},
    symbols::Image,
    target::{Scope, Target},
};
use monigo_common::config::Control;

/// Goroutines, or threads, with calls open at a time.
const OWNERS: u32 = 32_768;
/// Nothing is recorded in full, so the smallest ring will do.
const RING_BYTES: u32 = 4096;

/// Most functions that are discovered where each probe takes some 50 ms to remove.
const MOST_WITHOUT_MULTI: usize = 16;

/// Why discovering failed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// Nothing runs the target, so nothing is called.
    #[error(
        "no process runs {path}; start it, then discover again, or trace it from its start with `monigo run --fn NAME -- {path}`"
    )]
    NotRunning {
        /// The target.
        path: String,
    },
    /// Nothing can be probed.
    #[error("{path} has no function that can be probed{}", why(.refused))]
    Nothing {
        /// The target.
        path: String,
        /// Reasons with the number of functions each.
        refused: Vec<Refused>,
    },
    /// Removing a perf event waits for a grace period; thousands take minutes.
    #[error(
        "discovering probes all {functions} functions in turns, which takes uprobe_multi links (Linux 6.6 or later); name functions with `monigo attach --fn` instead"
    )]
    NoMultiLinks {
        /// How many there are.
        functions: usize,
    },
    /// The kernel side.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

fn why(refused: &[Refused]) -> String {
    refused.first().map_or_else(String::new, |first| {
        format!(": {} of them: {}", first.functions, first.reason)
    })
}

/// Functions that cannot be probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// How many.
    pub functions: usize,
}

/// A function with calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Name, which serves as a pattern of `--fn`.
    pub name: String,
    /// What is known of it.
    #[serde(flatten)]
    pub figures: Figures,
    /// What tracing it would cost the target, as a share of one CPU's time.
    pub cost_share: f64,
}

/// Where a discovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Counting calls of all functions in turns.
    Scan,
    /// Timing those that are called.
    Timing,
    /// Watching everything that can be afforded.
    Watching,
    /// It is over.
    Done,
}

/// What is known so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// Where the discovery is.
    pub stage: Stage,
    /// Time since it began, ns.
    pub elapsed_ns: u64,
    /// Time that its probes took from the target, ns (calls by their price).
    pub cost_ns: u64,
    /// Functions that were probed.
    pub probed: usize,
    /// Functions of language runtimes that were left out.
    pub runtime: usize,
    /// Functions that cannot be probed, most frequent reason first.
    pub refused: Vec<Refused>,
    /// The functions with calls, by time in them; those without a time by calls.
    pub functions: Vec<Found>,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// How to discover.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long, without planning.
    pub length: Duration,
    /// How probes are attached.
    pub features: Features,
}

/// Functions of `image`, the target's own, and of `libraries`, each with the name to put before a
/// colon. Functions of language runtimes only if `runtime`.
pub fn catalogue(image: &Image, libraries: &[(String, &Image)], runtime: bool) -> Catalogue {
    let mut catalogue = Catalogue::default();
    catalogue.add(image, "", runtime);
    for (name, library) in libraries {
        catalogue.add(library, &format!("{name}:"), runtime);
    }
    catalogue
}

/// Discovers which functions of `catalogue` the processes of `target` call; tells `observe` now and
/// then, and ends early once `stop` is set.
pub fn discover(
    target: &Target,
    catalogue: Catalogue,
    options: Options,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Ranking),
) -> Result<Ranking, DiscoverError> {
    let path = target.show_path.display().to_string();
    if target.pids.is_empty() {
        return Err(DiscoverError::NotRunning { path });
    }
    let refused = by_frequency(&catalogue);
    if catalogue.functions.is_empty() {
        return Err(DiscoverError::Nothing { path, refused });
    }
    let sizes = Sizes {
        functions: catalogue.functions.len() as u32,
        histograms: 0,
        owners: OWNERS,
        off_cpu: 0,
        kept: 0,
        futures: 0,
        ring_bytes: RING_BYTES,
    };
    let mut kernel = Kernel::load(
        Groundwork::lay(options.features),
        sizes,
        Expected::default(),
    )?;
    let functions = catalogue.functions.len();
    if !kernel.has_multi_links() && functions > MOST_WITHOUT_MULTI {
        return Err(DiscoverError::NoMultiLinks { functions });
    }
    kernel.calibrate()?;
    let pid = restrict(&mut kernel, target, &catalogue)?;
    kernel.enroll(catalogue.functions, pid)?;
    let empty = Ranking {
        stage: Stage::Scan,
        elapsed_ns: 0,
        cost_ns: 0,
        probed: sizes.functions as usize,
        runtime: catalogue.runtime,
        refused,
        functions: Vec::new(),
        notes: Vec::new(),
    };
    explore::explore(kernel, &target.pids, options.length, empty, stop, observe).map_err(Into::into)
}

/// Limits the probes to the processes of the target; returns the one, if it is one.
fn restrict(
    kernel: &mut Kernel,
    target: &Target,
    catalogue: &Catalogue,
) -> Result<Option<u32>, ProbeError> {
    let images = |function: &crate::probe::PlannedFunction| function.image.clone();
    let first = catalogue.functions.first().map(images);
    let several = catalogue
        .functions
        .iter()
        .map(images)
        .any(|image| Some(image) != first);
    // Libraries are used by other programs, too.
    let listed: &[u32] = match &target.scope {
        Scope::Everyone if !several => &[],
        Scope::Everyone | Scope::Process(_) | Scope::Tree(_) => &target.pids,
    };
    for &pid in listed {
        kernel.list(pid)?;
    }
    kernel.set_control(Control {
        only_listed: u32::from(!listed.is_empty()),
        ..Control::default()
    })?;
    Ok(match target.scope {
        Scope::Process(pid) => Some(pid),
        _ => None,
    })
}

fn by_frequency(catalogue: &Catalogue) -> Vec<Refused> {
    let mut refused: Vec<Refused> = catalogue
        .refused
        .iter()
        .map(|(reason, &functions)| Refused {
            reason: reason.clone(),
            functions,
        })
        .collect();
    refused.sort_by_key(|refused| std::cmp::Reverse(refused.functions));
    refused
}

fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
