//! Loading the kernel programs and putting the probes in.

use std::{thread, time::Instant};

use anyhow::Result;
use monigo_common::config::Control;

use super::{TraceOptions, options::sampling, prepare::Prepared, samples, unwinding};
use crate::{
    cli::{
        args::{ExitMode, StackMode},
        exit::say,
    },
    probe::{Groundwork, Kernel, Sizes},
    system::facts::is_in_initial_pid_namespace,
    target::{Scope, Target},
};

/// Functions that can be added while a recording goes on.
const SPARE_FUNCTIONS: u32 = 256;
/// Threads with open calls at a time, for languages whose calls belong to threads.
const THREAD_OWNERS: u32 = 16_384;
/// Threads whose stack is kept while they are off CPU, at a time; others are walked by frame
/// pointers.
const KEPT_STACKS: u32 = 1024;
/// Goroutines with open calls at a time.
const GOROUTINE_OWNERS: u32 = 131_072;
/// Executions of async functions that are open at a time.
const OPEN_EXECUTIONS: u32 = 65_536;

/// What a user should know on kernels that lack this.
const STACKS_UNKNOWN: &str = "this kernel does not say where the stacks of threads are (Linux 5.17 with type information does): calls on stacks of signal handlers and coroutines, and calls around them, may count as unwound";

/// What a user should know whose monigo numbers processes otherwise than the kernel programs do.
const PROCESSES_UNKNOWN: &str = "monigo runs in a PID namespace that is not the host's, so it does not know which processes call: calls are counted of programs that are given by their path, and stacks, threads and resources are missing; run it in the host's (docker run --pid=host, hostPID: true in Kubernetes)";

/// Loads the programs and attaches them; calls are counted from here on.
pub fn attach(
    target: &Target,
    prepared: &mut Prepared,
    args: &TraceOptions,
    groundwork: Groundwork,
) -> Result<(Kernel, Control)> {
    let copied_bytes = unwinding::copied_bytes(target, &prepared.images, args);
    let go = prepared.functions.iter().any(|function| function.go);
    let sizes = sizes(prepared, args, copied_bytes > 0);
    let mut kernel = Kernel::load(groundwork, sizes, samples::expected(args, go))?;
    warn_of_the_unknown(&kernel, prepared);
    if args.exit_probe == ExitMode::Auto && prepared.has_return_probes() {
        // A process that is started later may run under a seccomp filter.
        let safe = kernel.return_probes_pass_seccomp().unwrap_or(false);
        if !safe {
            prepared.use_exit_sites();
        }
    }
    if let Err(error) = kernel.calibrate() {
        say!("{error}; durations include what the probes take");
    }
    prepared.set_prices(kernel.calibration());
    let mut images = prepared.images.iter();
    let goid_offset = images.find_map(|image| image.go()?.goid_offset);
    let mut control = Control {
        sample_every: sampling(args.sample_rate).first(),
        stacks: u32::from(args.stacks != StackMode::Off),
        max_calls: args.max_calls.unwrap_or(0),
        goid_offset: goid_offset.unwrap_or(0),
        ..Control::default()
    };
    let pid = limit_to(&target.scope, &mut kernel, &mut control)?;
    kernel.copy_stacks(copied_bytes)?;
    let go = prepared.go_image().map(|image| &**image);
    for warning in samples::start(&mut kernel, &mut control, args, go, pid) {
        say!("{warning}");
    }
    kernel.set_control(control)?;
    let started = Instant::now();
    kernel.attach(prepared.functions.clone(), pid)?;
    tracing::info!("attached in {:.2?}", started.elapsed());
    Ok((kernel, control))
}

/// Room in the kernel for what is going to be counted.
fn sizes(prepared: &Prepared, args: &TraceOptions, copies_stacks: bool) -> Sizes {
    let go = prepared.functions.iter().any(|function| function.go);
    let off_cpu = samples::off_cpu_threads(args);
    Sizes {
        functions: prepared.functions.len() as u32 + SPARE_FUNCTIONS,
        histograms: Sizes::HISTOGRAMS,
        owners: if go { GOROUTINE_OWNERS } else { THREAD_OWNERS },
        off_cpu,
        kept: if copies_stacks {
            off_cpu.min(KEPT_STACKS)
        } else {
            0
        },
        futures: if prepared.has_rust() {
            OPEN_EXECUTIONS
        } else {
            0
        },
        ring_bytes: ring_bytes(),
    }
}

/// Tells what this kernel, or where monigo runs, makes unknown.
fn warn_of_the_unknown(kernel: &Kernel, prepared: &mut Prepared) {
    let on_threads = prepared.functions.iter().any(|function| !function.go);
    let unknown = [
        (STACKS_UNKNOWN, on_threads && !kernel.knows_stacks()),
        (
            PROCESSES_UNKNOWN,
            is_in_initial_pid_namespace() == Some(false),
        ),
    ];
    for (warning, _) in unknown.into_iter().filter(|(_, applies)| *applies) {
        say!("{warning}");
        prepared.warnings.push(warning.to_owned());
    }
}

/// Has the kernel programs count calls of the processes in `scope` alone; returns the process to attach to,
/// if it is a single one.
fn limit_to(scope: &Scope, kernel: &mut Kernel, control: &mut Control) -> Result<Option<u32>> {
    match scope {
        Scope::Everyone => Ok(None),
        Scope::Process(pid) => {
            // Multi links of kernels before 6.10 fire for other processes too.
            control.only_pid = *pid;
            Ok(Some(*pid))
        }
        Scope::Tree(pids) => {
            control.only_listed = 1;
            control.follow_forks = 1;
            control.fork_child_offset = kernel.follow_forks()?;
            for pid in pids {
                kernel.list(*pid)?;
            }
            Ok(None)
        }
    }
}

/// Enough for what all CPUs can send between two looks.
fn ring_bytes() -> u32 {
    let cpus = thread::available_parallelism().map_or(1, usize::from) as u32;
    (cpus.next_power_of_two() * (8 << 20)).clamp(16 << 20, 128 << 20)
}
