//! Sampling what happens inside traced functions. A host that does not allow it costs the samples
//! and no more.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use monigo_common::config::Control;

use crate::{
    cli::args::{StackMode, TraceArgs},
    probe::Kernel,
};

/// Threads that are off CPU inside traced functions at a time; each takes 1.6 kB.
const OFF_CPU_THREADS: u32 = 4096;

/// Room for threads that are off CPU. Goroutines wait without a thread switch, so the threads of
/// Go programs are not watched.
pub fn off_cpu_threads(args: &TraceArgs, go: bool) -> u32 {
    let wanted = !go && !args.no_off_cpu && args.stacks != StackMode::Off;
    if wanted { OFF_CPU_THREADS } else { 0 }
}

/// Starts what `args` want, completes `control`, and returns sentences about what is missing.
pub fn start(
    kernel: &mut Kernel,
    control: &mut Control,
    args: &TraceArgs,
    go: bool,
) -> Vec<String> {
    let mut warnings = Vec::new();
    control.goroutines = u32::from(go);
    if args.stacks == StackMode::Off {
        return warnings;
    }
    if args.cpu_hz > 0
        && let Err(error) = kernel.sample_cpu(args.cpu_hz)
    {
        warnings.push(format!("no on-CPU samples: {error}"));
    }
    if off_cpu_threads(args, go) > 0 {
        match kernel.sample_off_cpu() {
            Ok(offset) => control.switch_next_offset = offset,
            Err(error) => warnings.push(format!("no off-CPU time: {error}")),
        }
    }
    warnings
}

/// A sentence if the kernel hides its symbols from this thread.
pub fn hidden_kernel_symbols(args: &TraceArgs) -> Option<String> {
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
