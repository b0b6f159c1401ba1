//! The objects that the build script compiles, and their programs by name.

use std::{path::Path, sync::Mutex, thread};

use aya::{
    Ebpf,
    programs::{Program, ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported},
};

use super::{ProbeError, layout::VMLINUX};
use crate::{
    sync::lock,
    system::facts::{Feature, probe_uprobe_multi},
};

static BEST: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monigo"));
static PORTABLE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monigo-portable"));

/// What of the kernel to use; everything it has by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// One perf event a site, as on kernels without `uprobe_multi` links (before 6.6).
    pub perf_links: bool,
    /// The programs for kernels without `bpf_loop` and `bpf_find_vma` (before 5.17) or without type
    /// information.
    pub portable_programs: bool,
}

impl Features {
    /// Takes back what this kernel does not have.
    #[must_use]
    pub fn limited_to_kernel(self) -> Self {
        Self {
            // Older kernels load the programs for these links all the same.
            perf_links: self.perf_links || probe_uprobe_multi() == Feature::Absent,
            portable_programs: self.portable_programs || !has_newer_helpers(),
        }
    }

    /// The programs to load.
    pub(super) fn object(self) -> &'static [u8] {
        if self.portable_programs {
            PORTABLE
        } else {
            BEST
        }
    }
}

/// Whether the kernel has all that the better programs call. An unclear answer counts as yes:
/// loading them will tell.
fn has_newer_helpers() -> bool {
    let absent =
        |helper| is_helper_supported(ProgramType::KProbe, helper).is_ok_and(|present| !present);
    Path::new(VMLINUX).exists()
        && !absent(BpfHelper::BPF_FUNC_loop)
        && !absent(BpfHelper::BPF_FUNC_find_vma)
}

/// A program of the object.
pub fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Missing(name))
}

/// Has the kernel check a program, unless it has done so already.
pub fn load(ebpf: &mut Ebpf, name: &'static str) -> Result<(), ProbeError> {
    let program = ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
    if program.fd().is_ok() {
        return Ok(());
    }
    check(program).map_err(refused(name))
}

/// A program by its name, and what has the kernel check it.
pub type Check<'a> = (&'static str, Box<dyn FnOnce() + Send + 'a>);

/// Checks of the programs called `names`. One that is refused is refused again, and told of, when it is used.
pub fn checks<'e>(ebpf: &'e mut Ebpf, names: &[&'static str]) -> Vec<Check<'e>> {
    let mut checks: Vec<Check<'e>> = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        if let Some(name) = names.iter().find(|wanted| **wanted == name) {
            let check = move || drop(check(program));
            checks.push((name, Box::new(check)));
        }
    }
    checks
}

/// Does all of `checks`, which take up to a fifth of a second each, on all CPUs.
pub fn check_all(mut checks: Vec<Check<'_>>) {
    /// Those that take long, so that none is left for the end: in an order that keeps two CPUs busy on
    /// Linux 6.18, where they take 204, 162, 99, 119 and 82 ms on one machine.
    const LONG: [&str; 5] = [
        "cpu_sample",
        "call_entry",
        "call_exit",
        "thread_switch",
        "call_return",
    ];
    let place = |name: &str| LONG.iter().position(|long| *long == name);
    checks.sort_by_key(|(name, _)| place(name).unwrap_or(LONG.len()));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let threads = cpus.min(checks.len());
    let queue = Mutex::new(checks.into_iter());
    let work = || {
        loop {
            let next = lock(&queue).next();
            let Some((_, check)) = next else { break };
            check();
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

fn check(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::PerfEvent(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        Program::UProbe(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// The error for a program that the kernel did not load.
pub fn refused(program: &'static str) -> impl FnOnce(ProgramError) -> ProbeError {
    move |source| ProbeError::Load {
        program,
        source: Box::new(source),
    }
}
