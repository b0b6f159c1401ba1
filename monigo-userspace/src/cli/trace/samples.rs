//! Sampling what happens inside traced functions. A host that does not allow it costs the samples
//! and no more.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    sync::Arc,
};

use monigo_common::config::Control;

use super::TraceOptions;
use crate::{
    cli::args::StackMode,
    plan::ImagePlanner,
    probe::{Expected, Kernel, Parking, Turns},
    symbols::{Function, Image},
};

/// Threads that are off CPU inside traced functions at a time; each takes 1.8 kB.
const OFF_CPU_THREADS: u32 = 4096;

/// Room for threads that are off CPU.
pub fn off_cpu_threads(args: &TraceOptions) -> u32 {
    if wants_off_cpu(args) {
        OFF_CPU_THREADS
    } else {
        0
    }
}

pub fn wants_off_cpu(args: &TraceOptions) -> bool {
    !args.no_off_cpu && args.stacks != StackMode::Off
}

/// What [`start`] will ask the kernel for; `go` for a Go program.
pub fn expected(args: &TraceOptions, go: bool) -> Expected {
    let off_cpu = wants_off_cpu(args);
    Expected {
        on_cpu: args.stacks != StackMode::Off && args.cpu_hz > 0,
        off_cpu,
        parking: off_cpu && go,
    }
}

/// Starts what `args` want of functions in `images`, completes `control`, and returns sentences
/// about what is missing. `pid` is the only process that is traced, if it is one.
pub fn start(
    kernel: &mut Kernel,
    control: &mut Control,
    args: &TraceOptions,
    go: Option<&Image>,
    pid: Option<u32>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    control.goroutines = u32::from(go.is_some());
    if let Some(info) = go.and_then(Image::go) {
        control.tls_g_offset = info.tls_g_offset.unwrap_or(0);
        control.curg_offset = info.curg_offset.unwrap_or(0);
    }
    if args.stacks == StackMode::Off {
        return warnings;
    }
    if args.cpu_hz > 0
        && let Err(error) = kernel.sample_cpu(args.cpu_hz, pid)
    {
        warnings.push(format!("no on-CPU samples: {error}"));
    }
    if !wants_off_cpu(args) {
        return warnings;
    }
    if let Err(error) = kernel.sample_off_cpu(control) {
        warnings.push(format!("no off-CPU time: {error}"));
    }
    if go.is_some() && control.tls_g_offset == 0 {
        warnings.push(
            "time in system calls is not attributed to goroutines: this program does not say where threads note their goroutine"
                .to_owned(),
        );
    }
    if let Some(image) = go
        && let Err(reason) = watch_parking(kernel, image, pid)
    {
        warnings.push(format!(
            "what goroutines wait for is not recorded: {reason}"
        ));
    }
    warnings
}

/// What puts goroutines that can run into a queue, in one version of Go or another.
const GIVE_WAY: [&str; 3] = [
    "runtime.goschedImpl",
    "runtime.exitsyscall0",
    "runtime.exitsyscallNoP",
];

/// Watches goroutines park.
fn watch_parking(kernel: &mut Kernel, image: &Image, pid: Option<u32>) -> Result<(), String> {
    let mut names = vec!["runtime.gopark", "runtime.ready", "runtime.execute"];
    names.extend(GIVE_WAY);
    let mut found: Vec<Option<&Function>> = vec![None; names.len()];
    for function in image.functions() {
        for known in function.linkage_names() {
            if let Some(at) = names.iter().position(|name| *name == known) {
                found[at] = Some(function);
            }
        }
    }
    let image_planner = ImagePlanner::new(image);
    let plan = |at: usize| found[at].map(|function| image_planner.plan(function));
    let park = plan(0)
        .ok_or("the program has no runtime.gopark")?
        .map_err(|reason| format!("runtime.gopark: {reason}"))?;
    let proven = |at: usize| plan(at).and_then(Result::ok);
    let turns = proven(2).map(|execute| Turns {
        give_way: (3..names.len()).filter_map(proven).collect(),
        execute,
    });
    let parking = Parking {
        image: Arc::from(image.open_path()),
        park,
        ready: proven(1),
        turns,
    };
    kernel
        .watch_parking(parking, pid)
        .map_err(|error| error.to_string())
}

/// A sentence if the kernel hides its symbols from this thread.
pub fn hidden_kernel_symbols(args: &TraceOptions) -> Option<String> {
    if args.stacks == StackMode::Off || (args.cpu_hz == 0 && args.no_off_cpu) {
        return None;
    }
    let first = File::open("/proc/kallsyms")
        .map(|file| BufReader::new(file).lines().next().and_then(Result::ok))
        .ok()
        .flatten();
    // Hidden ones are all at address 0.
    let hidden = first.is_none_or(|line| line.trim_start_matches('0').starts_with(' '));
    hidden.then(|| {
        "kernel frames of samples are shown as [unknown], because the kernel hides its symbols; \
         `sudo sysctl kernel.kptr_restrict=1` shows them"
            .to_owned()
    })
}
