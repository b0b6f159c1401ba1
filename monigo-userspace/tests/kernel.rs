//! The kernel accepts monigo's programs. Needs root.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use monigo::{
    plan::ImagePlanner,
    probe::{Expected, Features, Groundwork, Kernel, PlannedFunction, Sizes, Watch},
    store::ExitProbe,
    symbols::Image,
};
use monigo_common::config::Control;

const BEST: Features = Features {
    perf_links: false,
    portable_programs: false,
};
const PERF_LINKS: Features = Features {
    perf_links: true,
    ..BEST
};
const PORTABLE: Features = Features {
    portable_programs: true,
    ..BEST
};
const OLDEST: Features = Features {
    portable_programs: true,
    ..PERF_LINKS
};

fn load(features: Features) -> Kernel {
    let sizes = Sizes {
        functions: 2,
        histograms: 2,
        owners: 1024,
        off_cpu: 64,
        kept: 0,
        futures: 64,
        ring_bytes: 1 << 20,
    };
    Kernel::load(Groundwork::lay(features), sizes, Expected::default()).unwrap()
}

#[test]
fn call_programs_pass_the_verifier() {
    for features in [BEST, PERF_LINKS, PORTABLE, OLDEST] {
        assert_eq!(load(features).counters(1).unwrap().entered, 0);
    }
}

#[test]
fn scheduler_and_clock_programs_pass_the_verifier() {
    for features in [BEST, PORTABLE] {
        let control = scheduler_and_clock_programs(&mut load(features));
        if features == PORTABLE {
            assert!(
                control.switch_next_offset > control.switch_state_offset,
                "{control:?}"
            );
            assert!(control.switch_state_offset >= 24, "{control:?}");
            assert!(control.waking_pid_offset >= 24, "{control:?}");
        } else {
            assert!(control.task_pid_offset > 0, "{control:?}");
        }
    }
}

/// A start waits for the verifier, which takes about a microsecond for an instruction and gives up at a
/// million.
#[test]
fn the_verifier_has_little_to_do() {
    const MOST: u32 = 200_000;
    const NAMES: [&str; 4] = [
        "cpu_sample",
        "thread_switch",
        "thread_waking",
        "thread_exit",
    ];
    let mut kernel = load(BEST);
    scheduler_and_clock_programs(&mut kernel);
    let mut seen = 0;
    for program in aya::programs::loaded_programs().flatten() {
        // Those for many probes at once have no name.
        let name = program.name_as_str().unwrap_or_default().to_owned();
        if !name.is_empty() && !NAMES.contains(&name.as_str()) {
            continue;
        }
        // Before Linux 5.16 the kernel does not say.
        if let Some(count) = program.verified_instruction_count() {
            assert!(count < MOST, "{name}: {count} instructions");
            seen += 1;
        }
    }
    assert!(seen >= NAMES.len(), "{seen} programs");
    drop(kernel);
}

fn scheduler_and_clock_programs(kernel: &mut Kernel) -> Control {
    kernel.list(std::process::id()).unwrap();
    let offset = kernel.follow_forks().unwrap();
    assert!(
        offset >= 8,
        "the common fields of an event take 8 bytes, child_pid is at {offset}"
    );
    kernel.sample_cpu(99, None).unwrap();
    let mut control = Control::default();
    kernel.sample_off_cpu(&mut control).unwrap();
    control
}

#[test]
fn probes_are_priced_on_this_host() {
    for features in [BEST, OLDEST] {
        let mut kernel = load(features);
        kernel.calibrate().unwrap();
        let costs = kernel.calibration().costs();
        for entry in 0..3 {
            // Exit classes: emulated, single-step, return probe.
            for exit in 1..4 {
                let (bias, cost) = (costs.bias_ns[entry][exit], costs.cost_ns[entry][exit]);
                assert!(
                    bias > 0 && bias < cost,
                    "{entry} {exit}: {bias} of {cost} ns"
                );
            }
        }
        assert_eq!(kernel.counters(0).unwrap().entered, 0);
        assert!(kernel.owners(8).is_empty(), "monigo itself is not traced");
    }
}

/// Sleeps until its standard input ends; `many_functions_at_once` starts it in a process of its own.
#[test]
#[ignore = "a target for another test"]
fn sleeper() {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}

/// Every function of this very binary that can be planned, at most `limit`.
fn own_functions(limit: usize) -> Vec<PlannedFunction> {
    let path = std::env::current_exe().unwrap();
    let image = Image::open(&path).unwrap();
    let planner = ImagePlanner::new(&image);
    let functions = image.functions().iter().filter_map(|function| {
        Some(PlannedFunction {
            name: function.name().to_owned(),
            image: Arc::from(&*path),
            plans: vec![planner.plan(function).ok()?],
            go: false,
            exit: ExitProbe::Ret,
            futures: Vec::new(),
            executions: false,
        })
    });
    functions.take(limit).collect()
}

#[test]
fn many_functions_at_once() {
    let functions = own_functions(15_000);
    let count = functions.len() as u32;
    assert!(count > 5000, "{count}");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sleeper"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let mut kernel = Kernel::load(
        Groundwork::lay(BEST),
        Sizes {
            functions: count,
            histograms: 0,
            owners: 1024,
            off_cpu: 0,
            kept: 0,
            futures: 0,
            ring_bytes: 1 << 20,
        },
        Expected::default(),
    )
    .unwrap();
    eprintln!("loaded for {count} functions in {:?}", started.elapsed());
    let sites: usize = functions.iter().map(PlannedFunction::sites).sum();
    let ids: Vec<u32> = (0..count).collect();
    kernel.enroll(functions, Some(child.id())).unwrap();
    for watch in [Watch::Counted, Watch::Timed] {
        let started = Instant::now();
        kernel.open_window(&[&ids], watch).unwrap();
        let attached = started.elapsed();
        let started = Instant::now();
        let all = kernel.all_counters().unwrap();
        let read = started.elapsed();
        assert_eq!(all.len(), ids.len());
        let started = Instant::now();
        let opened = kernel.close_window().unwrap();
        eprintln!(
            "{watch:?}: {sites} sites attached in {attached:?}, counters read in {read:?}, detached in {:?}",
            started.elapsed()
        );
        assert!(opened.counted > Duration::ZERO && opened.ended_ns > 0);
    }
    for id in [0, 1, 1023, 1024, count - 1] {
        let one = kernel.counters(id).unwrap();
        assert_eq!(kernel.counters_of(id..id + 1).unwrap(), [one], "{id}");
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let all = kernel.all_counters().unwrap();
    assert!(all.iter().all(|counters| counters.entered < 100));
}
