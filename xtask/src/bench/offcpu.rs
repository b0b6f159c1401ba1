//! What recording waits costs a host that switches threads all the time, mostly outside traced calls.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use super::{
    Bench,
    figure::{Figures, Metric},
    kernel::{Programs, Statistics},
    targets::{Running, compile_c},
    tool::Tool,
    turns::Turns,
};

/// Name of the case.
pub const NAME: &str = "offcpu";
/// Slowdown of a switch, wake-up included.
pub const ADDED: Metric = Metric {
    name: "added",
    unit: "ns/switch",
};
/// Time in kernel programs.
pub const PROGRAMS: Metric = Metric {
    name: "in programs",
    unit: "ns/switch",
};

const LIMIT: Duration = Duration::from_secs(40);
/// Trips of a byte there and back in a slice of time.
const TRIPS: u64 = 2000;
/// On each of them.
const SWITCHES: f64 = 2.0;
/// What is measured.
pub const SUBJECT: &str = "two threads that hand a byte back and forth";

/// Measures monigo and bpftrace in turns, each against the target alone just before.
pub fn run(bench: &Bench) -> Result<Figures> {
    let mut figures = Figures::new(NAME);
    let binary = compile_c(
        bench,
        "switches.c",
        "switches",
        &["-O1", "-fno-omit-frame-pointer", "-pthread"],
    )?;
    let (rounds, slices) = if bench.quick { (5, 20) } else { (9, 100) };
    let mut target = Running::start(&mut Command::new(&binary))?;
    target.time(TRIPS)?;
    let mut turns = Turns::new([Peer::Monigo, Peer::Bpftrace]);
    for _ in 0..rounds {
        turns.round(|peer| {
            let alone = target.undisturbed(TRIPS, slices)?;
            let tool = peer.start(bench, &binary, target.pid())?;
            let watched = target.undisturbed(TRIPS, slices)?;
            let kernel = Programs::on_tracepoints(tool.pid())?;
            // Measuring makes programs slower: not while the rest is measured.
            let statistics = Statistics::enable()?;
            let before = kernel.usage()?;
            for _ in 0..slices {
                target.time(TRIPS)?;
            }
            let used = kernel.usage()?.since(before);
            drop(statistics);
            tool.interrupt(LIMIT)?;
            let trips = (TRIPS * slices as u64) as f64;
            Ok([
                (watched - alone) / SWITCHES,
                used.time_ns as f64 / trips / SWITCHES,
            ])
        });
    }
    for (peer, measured) in turns.finish() {
        match measured {
            Ok([added, programs]) => {
                figures.add(SUBJECT, peer.name(), ADDED, &added);
                figures.add(SUBJECT, peer.name(), PROGRAMS, &programs);
            }
            Err(error) => figures.miss(SUBJECT, peer.name(), ADDED, &error),
        }
    }
    target.finish();
    Ok(figures)
}

/// Who watches.
#[derive(Clone, Copy)]
pub enum Peer {
    /// monigo.
    Monigo,
    /// bpftrace.
    Bpftrace,
}

impl Peer {
    /// For the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monigo => "monigo, waits inside one function",
            Self::Bpftrace => "bpftrace, the same by maps",
        }
    }

    fn start(self, bench: &Bench, binary: &Path, pid: u32) -> Result<Tool> {
        if matches!(self, Self::Monigo) {
            let mut command = bench.monigo.attach(binary, pid);
            let mut tool = Tool::start(command.args(["--fn", "work", "--cpu-hz", "0"]))?;
            tool.await_attached(LIMIT)?;
            return Ok(tool);
        }
        let mut command = Command::new("bpftrace");
        command.arg("-e").arg(script(binary));
        let mut tool = Tool::start(&mut command)?;
        // Probes are attached in order, and the timer comes last.
        tool.await_line(|line| line == "ready", LIMIT)?;
        Ok(tool)
    }
}

/// Time off CPU inside `work`, by kernel stack, and when it was woken.
fn script(binary: &Path) -> String {
    let place = format!("{}:work", binary.display());
    format!(
        "uprobe:{place} {{ @inside[tid] = 1; }} \
         uretprobe:{place} {{ delete(@inside[tid]); }} \
         tracepoint:sched:sched_switch {{ \
           if (@inside[args->prev_pid]) {{ @off[args->prev_pid] = nsecs; @stack[args->prev_pid] = kstack; }} \
           if (@off[args->next_pid]) {{ \
             @waited[@stack[args->next_pid]] = sum(nsecs - @off[args->next_pid]); \
             delete(@off[args->next_pid]); }} }} \
         tracepoint:sched:sched_waking {{ if (@off[args->pid]) {{ @woken[args->pid] = nsecs; }} }} \
         interval:ms:200 {{ printf(\"ready\\n\"); }}"
    )
}
