//! What probes cost on this host: how much time each kind takes from the target, and how much of
//! it ends up in measured durations. Measured at start with monigo's own programs on functions of
//! monigo itself that do nothing.

use std::{
    arch::global_asm,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
    time::Instant,
};

use monigo_common::{
    config::{Control, FunctionControl, WATCH_COUNTED},
    open::OwnerKey,
};

use super::{
    Kernel, PlannedFunction, ProbeError,
    links::{Links, Role, Selection},
    prices::Calibration,
};
use crate::{
    histogram::Histogram,
    plan::{CostClass, FunctionPlan, Site, SiteKind},
    store::ExitProbe,
    symbols::maps::ProcessMaps,
};

/// Calls of each function whose time is taken together.
const BATCH: u32 = 20;
/// Batches; the median counts.
const BATCHES: usize = 7;
/// Calls before measuring: the kernel optimises some probes when they are first hit.
const WARM_UP: u32 = 16;

// A function per combination of entry (nop5, push, lea) and end. The first instruction is the entry
// site, the label in the middle the exit site. Global, because they are used from other objects.
global_asm!(
    ".macro monigo_calibrated name, entry:vararg",
    ".balign 64",
    ".globl monigo_calibrated_\\name",
    ".hidden monigo_calibrated_\\name",
    "monigo_calibrated_\\name:",
    "\\entry",
    ".endm",
    ".text",
    "monigo_calibrated nop5_ret, .byte 0x0f, 0x1f, 0x44, 0, 0",
    ".globl monigo_calibrated_nop5_ret_end",
    ".hidden monigo_calibrated_nop5_ret_end",
    "monigo_calibrated_nop5_ret_end: ret",
    "monigo_calibrated push_ret, push rbx",
    "pop rbx",
    ".globl monigo_calibrated_push_ret_end",
    ".hidden monigo_calibrated_push_ret_end",
    "monigo_calibrated_push_ret_end: ret",
    "monigo_calibrated step_ret, lea rax, [rdi + 1]",
    ".globl monigo_calibrated_step_ret_end",
    ".hidden monigo_calibrated_step_ret_end",
    "monigo_calibrated_step_ret_end: ret",
    "monigo_calibrated nop5_jump, .byte 0x0f, 0x1f, 0x44, 0, 0",
    ".globl monigo_calibrated_nop5_jump_end",
    ".hidden monigo_calibrated_nop5_jump_end",
    "monigo_calibrated_nop5_jump_end: jmp monigo_calibrated_tail",
    "monigo_calibrated push_jump, push rbx",
    "pop rbx",
    ".globl monigo_calibrated_push_jump_end",
    ".hidden monigo_calibrated_push_jump_end",
    "monigo_calibrated_push_jump_end: jmp monigo_calibrated_tail",
    "monigo_calibrated step_jump, lea rax, [rdi + 1]",
    ".globl monigo_calibrated_step_jump_end",
    ".hidden monigo_calibrated_step_jump_end",
    "monigo_calibrated_step_jump_end: jmp monigo_calibrated_tail",
    "monigo_calibrated nop5_return, .byte 0x0f, 0x1f, 0x44, 0, 0",
    "ret",
    "monigo_calibrated push_return, push rbx",
    "pop rbx",
    "ret",
    "monigo_calibrated step_return, lea rax, [rdi + 1]",
    "ret",
    "monigo_calibrated nop5_only, .byte 0x0f, 0x1f, 0x44, 0, 0",
    "ret",
    "monigo_calibrated push_only, push rbx",
    "pop rbx",
    "ret",
    "monigo_calibrated step_only, lea rax, [rdi + 1]",
    "ret",
    "monigo_calibrated plain, ret",
    ".balign 64",
    "monigo_calibrated_tail: ret",
    ".purgem monigo_calibrated",
);

macro_rules! labels {
    ($($name:ident),+ $(,)?) => {
        unsafe extern "C" {
            $(fn $name();)+
        }
    };
}

labels!(
    monigo_calibrated_nop5_ret,
    monigo_calibrated_nop5_ret_end,
    monigo_calibrated_push_ret,
    monigo_calibrated_push_ret_end,
    monigo_calibrated_step_ret,
    monigo_calibrated_step_ret_end,
    monigo_calibrated_nop5_jump,
    monigo_calibrated_nop5_jump_end,
    monigo_calibrated_push_jump,
    monigo_calibrated_push_jump_end,
    monigo_calibrated_step_jump,
    monigo_calibrated_step_jump_end,
    monigo_calibrated_nop5_return,
    monigo_calibrated_push_return,
    monigo_calibrated_step_return,
    monigo_calibrated_nop5_only,
    monigo_calibrated_push_only,
    monigo_calibrated_step_only,
    monigo_calibrated_plain,
);

type Label = unsafe extern "C" fn();

/// How the end of a calibrated function is seen.
#[derive(Clone, Copy, Debug)]
enum End {
    Site(Label, SiteKind, CostClass),
    ReturnProbe,
    NotSeen,
}

/// A function to measure.
struct Probed {
    function: Label,
    entry: CostClass,
    end: End,
}

/// Functions that are measured.
pub const PROBED: u32 = 12;

fn probed() -> [Probed; PROBED as usize] {
    use CostClass::{Emulated, Nop5, SingleStep};
    let probed = |function, entry, end| Probed {
        function,
        entry,
        end,
    };
    let ret = |label| End::Site(label, SiteKind::Return, SingleStep);
    let jump = |label| End::Site(label, SiteKind::TailJump, Emulated);
    [
        probed(
            monigo_calibrated_nop5_ret,
            Nop5,
            ret(monigo_calibrated_nop5_ret_end),
        ),
        probed(
            monigo_calibrated_push_ret,
            Emulated,
            ret(monigo_calibrated_push_ret_end),
        ),
        probed(
            monigo_calibrated_step_ret,
            SingleStep,
            ret(monigo_calibrated_step_ret_end),
        ),
        probed(
            monigo_calibrated_nop5_jump,
            Nop5,
            jump(monigo_calibrated_nop5_jump_end),
        ),
        probed(
            monigo_calibrated_push_jump,
            Emulated,
            jump(monigo_calibrated_push_jump_end),
        ),
        probed(
            monigo_calibrated_step_jump,
            SingleStep,
            jump(monigo_calibrated_step_jump_end),
        ),
        probed(monigo_calibrated_nop5_return, Nop5, End::ReturnProbe),
        probed(monigo_calibrated_push_return, Emulated, End::ReturnProbe),
        probed(monigo_calibrated_step_return, SingleStep, End::ReturnProbe),
        probed(monigo_calibrated_nop5_only, Nop5, End::NotSeen),
        probed(monigo_calibrated_push_only, Emulated, End::NotSeen),
        probed(monigo_calibrated_step_only, SingleStep, End::NotSeen),
    ]
}

impl Calibration {
    /// Measures with the programs of `kernel`, which is left as it was.
    pub(super) fn measure(kernel: &mut Kernel) -> Result<Self, ProbeError> {
        let functions = probed();
        let plain_ns = time_call(monigo_calibrated_plain);
        let first = kernel.room;
        let image = own_image()?;
        let planned = functions
            .iter()
            .map(|probed| planned(probed, &image))
            .collect::<Result<Vec<_>, _>>()?;
        let links = start(kernel, first, &planned, &functions)?;
        let times: Vec<f64> = functions
            .iter()
            .map(|probed| (time_call(probed.function) - plain_ns).max(0.0))
            .collect();
        let stopped = stop(kernel, links);
        let mut calibration = Self::default();
        for (index, (probed, cost_ns)) in functions.iter().zip(times).enumerate() {
            let from = probed.entry as usize;
            let cost_ns = cost_ns.round() as u32;
            let to = match probed.end {
                End::Site(_, _, class) => class as usize,
                End::ReturnProbe => usize::from(monigo_common::cookie::CLASS_RETURN_PROBE),
                End::NotSeen => {
                    for price in &mut calibration.prices[from] {
                        price.count_ns = cost_ns;
                    }
                    continue;
                }
            };
            let durations = durations(kernel, first + index as u32)?;
            if durations.total() == 0 {
                let text = format!("no call was measured ({index})");
                return Err(ProbeError::Calibration(text));
            }
            let [low, middle, high] = [0.1, 0.5, 0.85].map(|share| durations.percentile(share));
            let price = &mut calibration.prices[from][to];
            price.cost_ns = cost_ns;
            price.bias_ns = middle as u32;
            price.floor_ns = (high - low).max(LEAST_FLOOR_NS) as u32;
        }
        for row in &mut calibration.prices {
            // The kernel traps at a nop at the end as it does at a jump.
            row[CostClass::Nop5 as usize] = row[CostClass::Emulated as usize];
        }
        stopped?;
        Ok(calibration)
    }
}

/// Clocks and buckets are not finer than this.
const LEAST_FLOOR_NS: u64 = 50;

/// A function without sites. Ids are positions, so those before the calibrated ones need functions.
static NOTHING: LazyLock<PlannedFunction> = LazyLock::new(|| PlannedFunction {
    name: String::new(),
    image: Arc::from(Path::new("")),
    plans: Vec::new(),
    go: false,
    exit: ExitProbe::Ret,
    futures: Vec::new(),
    executions: false,
});

/// Probes the functions, which get ids from `first` on, and starts to count.
fn start(
    kernel: &mut Kernel,
    first: u32,
    planned: &[PlannedFunction],
    functions: &[Probed],
) -> Result<Vec<Links>, ProbeError> {
    for (id, probed) in (first..).zip(functions) {
        if matches!(probed.end, End::NotSeen) {
            let control = FunctionControl {
                watch: WATCH_COUNTED,
                ..FunctionControl::default()
            };
            kernel.set_function_control(id, control)?;
        }
    }
    let mut all = vec![NOTHING.clone(); first as usize];
    all.extend_from_slice(planned);
    let ids: Vec<u32> = (first..first + functions.len() as u32).collect();
    let mut links = Vec::new();
    for role in Role::ALL {
        let selection = Selection {
            functions: &all,
            ids: &ids,
            generation: 0,
            pid: Some(std::process::id()),
            futures: &kernel.future_sites,
        };
        links.push(kernel.programs.attach(&mut kernel.ebpf, role, selection)?);
    }
    kernel.set_control(Control::default())?;
    kernel.arm(true)?;
    Ok(links)
}

fn stop(kernel: &mut Kernel, links: Vec<Links>) -> Result<(), ProbeError> {
    let disarmed = kernel.arm(false);
    Links::detach_all(links.into_iter().rev().collect(), &mut kernel.ebpf);
    let own = std::process::id();
    let thread = nix::unistd::gettid().as_raw();
    kernel.forget(OwnerKey {
        pid: own,
        pad: 0,
        owner: thread as u64,
    });
    disarmed
}

/// Lets a child under a seccomp filter return from a function with a return probe.
pub(super) fn return_probes_pass_seccomp(kernel: &mut Kernel) -> Result<bool, ProbeError> {
    let failed =
        |error: nix::errno::Errno| ProbeError::Calibration(format!("testing seccomp: {error}"));
    let (gate_out, gate_in) = nix::unistd::pipe().map_err(failed)?;
    // SAFETY: the child makes system calls and calls an empty function, and no more.
    let child = match unsafe { nix::unistd::fork() }.map_err(failed)? {
        nix::unistd::ForkResult::Child => {
            drop(gate_in);
            return_under_seccomp(&gate_out)
        }
        nix::unistd::ForkResult::Parent { child } => child,
    };
    let first = kernel.room;
    let probed = Probed {
        function: monigo_calibrated_push_return,
        entry: CostClass::Emulated,
        end: End::ReturnProbe,
    };
    let attached = own_image()
        .and_then(|image| planned(&probed, &image))
        .and_then(|planned| {
            let mut functions = vec![NOTHING.clone(); first as usize];
            functions.push(planned);
            let selection = Selection {
                functions: &functions,
                ids: &[first],
                generation: 0,
                pid: u32::try_from(child.as_raw()).ok(),
                futures: &kernel.future_sites,
            };
            kernel
                .programs
                .attach(&mut kernel.ebpf, Role::Return, selection)
        });
    // With or without probes: the child must not stay.
    let opened = nix::unistd::write(&gate_in, &[1]);
    let status = nix::sys::wait::waitpid(child, None).map_err(failed)?;
    Links::detach_all(vec![attached?], &mut kernel.ebpf);
    opened.map_err(failed)?;
    Ok(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)))
}

/// What the child does: waits, gives up all system calls but those to end, and calls.
fn return_under_seccomp(gate: &impl std::os::fd::AsFd) -> ! {
    let word = |k: u32| libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let answer = |k: u32| libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // The number of the system call is the first word of `struct seccomp_data`.
    let mut filter = [
        word(0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_exit_group as u32,
        },
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    let waited = nix::unistd::read(gate, &mut [0]).is_ok();
    // SAFETY: `program` and `filter` live through the calls; the function does nothing.
    unsafe {
        let ready = waited
            && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                std::ptr::from_ref(&program),
            ) == 0;
        if ready {
            monigo_calibrated_push_return();
        }
        libc::_exit(i32::from(!ready))
    }
}

/// Nanoseconds that a call takes: the median of some batches.
fn time_call(function: Label) -> f64 {
    let run = |calls: u32| {
        let started = Instant::now();
        for _ in 0..calls {
            // SAFETY: the functions above do nothing and keep all registers that they must.
            unsafe { function() };
        }
        started.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    run(WARM_UP);
    let mut times: Vec<f64> = (0..BATCHES).map(|_| run(BATCH)).collect();
    times.sort_by(f64::total_cmp);
    times[BATCHES / 2]
}

/// Completed calls by bucket.
fn durations(kernel: &Kernel, function: u32) -> Result<Histogram, ProbeError> {
    let mut histogram = Histogram::default();
    kernel.histograms(function, |_, buckets| {
        for (bucket, &count) in (0..).zip(&buckets.counts) {
            histogram.add(bucket, count.into());
        }
    })?;
    Ok(histogram)
}

fn planned(probed: &Probed, image: &ProcessMaps) -> Result<PlannedFunction, ProbeError> {
    let site = |label: Label, kind, cost| {
        let address = address_of(label);
        Ok(Site {
            address,
            file_offset: file_offset(image, address)?,
            kind,
            cost,
        })
    };
    let entry = site(probed.function, SiteKind::Entry, probed.entry)?;
    let exits = match probed.end {
        End::Site(label, kind, cost) => vec![site(label, kind, cost)?],
        End::ReturnProbe | End::NotSeen => Vec::new(),
    };
    Ok(PlannedFunction {
        name: "calibration".to_owned(),
        image: Arc::from(Path::new("/proc/self/exe")),
        plans: vec![FunctionPlan { entry, exits }],
        go: false,
        exit: match probed.end {
            End::ReturnProbe => ExitProbe::Uretprobe,
            End::Site(..) | End::NotSeen => ExitProbe::Ret,
        },
        futures: Vec::new(),
        executions: false,
    })
}

fn address_of(label: Label) -> u64 {
    label as *const () as u64
}

/// What this process maps.
fn own_image() -> Result<ProcessMaps, ProbeError> {
    let failed = |error| ProbeError::Calibration(format!("/proc/self/maps: {error}"));
    let text = fs::read("/proc/self/maps").map_err(failed)?;
    Ok(ProcessMaps::parse(std::process::id(), &text))
}

/// Where in monigo's own file the code at an address is.
fn file_offset(maps: &ProcessMaps, address: u64) -> Result<u64, ProbeError> {
    let mapping = maps.find(address);
    let offset = mapping.and_then(|mapping| mapping.offset_of(address));
    offset.ok_or_else(|| {
        ProbeError::Calibration("monigo's own code is not in /proc/self/maps".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_is_found_in_the_file() {
        let image = own_image().unwrap();
        let offset = file_offset(&image, address_of(monigo_calibrated_push_ret)).unwrap();
        let file = fs::read("/proc/self/exe").unwrap();
        assert_eq!(
            file[offset as usize..][..3],
            [0x53, 0x5b, 0xc3],
            "push rbx; pop rbx; ret"
        );
    }

    #[test]
    fn the_functions_can_be_called() {
        assert!(time_call(monigo_calibrated_plain) >= 0.0);
        for probed in probed() {
            assert!(time_call(probed.function) >= 0.0);
        }
    }
}
