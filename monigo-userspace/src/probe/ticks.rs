//! Looks at what runs, in regular intervals of the CPU time of threads, or of each CPU's clock.

use std::collections::BTreeSet;

use aya::{
    programs::{
        PerfEvent,
        perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent},
    },
    util::online_cpus,
};
use procfs::process::Process;

use super::{
    Kernel, ProbeError,
    programs::{load, program, refused},
};

pub(super) const PROGRAM: &str = "cpu_sample";
const EVENT: &str = "cpu-clock";
/// Most threads with a clock of their own; each takes a file descriptor.
const MOST_THREADS: usize = 64;
/// Most switches per second of CPU time of threads with clocks of their own: each starts and stops the
/// clock.
const MOST_SWITCHES: f64 = 2000.0;
/// Tries at finding all threads of a process that starts some.
const TRIES: usize = 3;

impl Kernel {
    /// Looks `hz` times a second for what runs inside traced functions. If only process `pid` is traced,
    /// and has few threads that run for long, its threads are looked at while they run, which costs
    /// other CPUs nothing; else each CPU is.
    ///
    /// # Errors
    /// The kernel refuses the program or the event.
    pub fn sample_cpu(&mut self, hz: u32, pid: Option<u32>) -> Result<(), ProbeError> {
        load(&mut self.ebpf, PROGRAM)?;
        let program: &mut PerfEvent = program(&mut self.ebpf, PROGRAM)?;
        let period = SamplePolicy::Period(1_000_000_000 / u64::from(hz.max(1)));
        let clock = PerfEventConfig::Software(SoftwareEvent::CpuClock);
        for _ in 0..TRIES {
            let Some(threads) = pid.and_then(threads_to_watch) else {
                break;
            };
            let mut links = Vec::with_capacity(threads.len());
            for &pid in &threads {
                let scope = PerfEventScope::OneProcess { pid, cpu: None };
                // Threads that these start inherit the clock.
                links.extend(program.attach(clock, scope, period, true).ok());
            }
            // One that was started meanwhile may have been missed.
            let now = pid.and_then(threads_to_watch);
            if links.len() == threads.len() && now.is_some_and(|now| now.is_subset(&threads)) {
                return Ok(());
            }
            for link in links {
                program.detach(link).map_err(refused(PROGRAM))?;
            }
        }
        let cpus = online_cpus().map_err(|(_, source)| ProbeError::Cpus(source))?;
        for cpu in cpus {
            let scope = PerfEventScope::AllProcessesOneCpu { cpu };
            program
                .attach(clock, scope, period, false)
                .map_err(|source| ProbeError::Watch {
                    event: EVENT,
                    source: Box::new(source),
                })?;
        }
        Ok(())
    }
}

/// The threads of a process, if they are few and run for long when they run.
fn threads_to_watch(pid: u32) -> Option<BTreeSet<u32>> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let mut threads = BTreeSet::new();
    let (mut switches, mut ticks) = (0, 0);
    for task in process.tasks().ok()?.flatten() {
        if threads.len() >= MOST_THREADS {
            return None;
        }
        threads.insert(u32::try_from(task.tid).ok()?);
        let status = task.status().ok()?;
        switches += status.voluntary_ctxt_switches? + status.nonvoluntary_ctxt_switches?;
        let stat = task.stat().ok()?;
        ticks += stat.utime + stat.stime;
    }
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    (!threads.is_empty() && run_long(switches, seconds)).then_some(threads)
}

/// Whether threads that were switched to this many times run for long at a time.
fn run_long(switches: u64, cpu_seconds: f64) -> bool {
    // The first tenth of a second says little.
    switches as f64 <= MOST_SWITCHES * cpu_seconds.max(0.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_switch_all_the_time_have_no_clocks() {
        assert!(run_long(50, 0.0));
        assert!(run_long(10_000, 60.0));
        assert!(!run_long(1_000_000, 60.0));
    }

    #[test]
    fn this_process_has_this_thread() {
        // Tests run on many threads.
        if let Some(threads) = threads_to_watch(std::process::id()) {
            assert!(threads.contains(&nix::unistd::gettid().as_raw().unsigned_abs()));
        }
        assert_eq!(threads_to_watch(u32::MAX), None);
    }
}
