//! monigo's kernel programs. This file only declares; the work is in the modules.
#![no_std]
#![no_main]
// Inline assembly for this target is not stable; `core` has no atomics for it otherwise.
#![feature(asm_experimental_arch)]
#![allow(missing_docs, reason = "the program macros make undocumented items")]

mod atomic;
mod call;
mod copy;
mod foreign;
mod futures;
mod lifecycle;
mod maps;
mod owner;
mod park;
mod record;
mod sample;
mod sched;
mod stack;
mod waker;

use aya_ebpf::{
    macros::{perf_event, raw_tracepoint, tracepoint, uprobe, uretprobe},
    programs::{
        PerfEventContext, ProbeContext, RawTracePointContext, RetProbeContext, TracePointContext,
    },
};

/// A traced function is entered.
#[uprobe]
pub fn call_entry(ctx: ProbeContext) -> u32 {
    call::entry(&ctx);
    0
}

/// A traced function is about to execute a return or a jump out of itself.
#[uprobe]
pub fn call_exit(ctx: ProbeContext) -> u32 {
    call::exit(&ctx, 0);
    0
}

/// A traced function has returned, seen by a return probe: the return address is already popped.
#[uretprobe]
pub fn call_return(ctx: RetProbeContext) -> u32 {
    call::exit(&ctx, 8);
    0
}

/// A thread ends, and with it the calls it has open.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn thread_exit(_ctx: RawTracePointContext) -> i32 {
    lifecycle::thread_exit();
    0
}

/// A process replaces its image, and with it the calls it has open.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(ctx: RawTracePointContext) -> i32 {
    lifecycle::process_exec(&ctx);
    0
}

/// A listed process forks.
#[tracepoint]
pub fn process_fork(ctx: TracePointContext) -> u32 {
    lifecycle::process_fork(&ctx);
    0
}

/// A CPU's clock ticks.
#[perf_event]
pub fn cpu_sample(ctx: PerfEventContext) -> u32 {
    sample::on_cpu(&ctx);
    0
}

/// A CPU goes from one thread to another.
#[cfg(not(feature = "portable"))]
#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn thread_switch(ctx: RawTracePointContext) -> i32 {
    sched::switch(&ctx);
    0
}

/// A thread lets another one run.
#[cfg(not(feature = "portable"))]
#[raw_tracepoint(tracepoint = "sched_waking")]
pub fn thread_waking(ctx: RawTracePointContext) -> i32 {
    sched::waking(&ctx);
    0
}

/// A CPU goes from one thread to another.
#[cfg(feature = "portable")]
#[tracepoint]
pub fn thread_switch(ctx: TracePointContext) -> u32 {
    sched::switch(&ctx);
    0
}

/// A thread lets another one run.
#[cfg(feature = "portable")]
#[tracepoint]
pub fn thread_waking(ctx: TracePointContext) -> u32 {
    sched::waking(&ctx);
    0
}

/// A goroutine parks.
#[uprobe]
pub fn go_park(ctx: ProbeContext) -> u32 {
    park::park(&ctx);
    0
}

/// A parked goroutine runs again.
#[uprobe]
pub fn go_unpark(ctx: ProbeContext) -> u32 {
    park::unpark(&ctx);
    0
}

/// A goroutine is made ready to run again.
#[uprobe]
pub fn go_ready(ctx: ProbeContext) -> u32 {
    park::ready(&ctx);
    0
}

/// A goroutine that could run waits for its turn.
#[uprobe]
pub fn go_give_way(ctx: ProbeContext) -> u32 {
    park::give_way(&ctx);
    0
}

/// A goroutine is about to run.
#[uprobe]
pub fn go_execute(ctx: ProbeContext) -> u32 {
    park::execute(&ctx);
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel side is dual-licensed; helpers marked GPL-only need this.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
