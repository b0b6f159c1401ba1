//! The objects that the build script compiles, and their programs by name.

use std::{path::Path, thread};

use aya::{
    Ebpf,
    programs::{Program, ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported},
};

use super::{ProbeError, layout::VMLINUX};
use crate::system::facts::{Feature, probe_uprobe_multi};

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

/// Has the kernel check programs side by side, while `meanwhile` runs: it takes a tenth of a second for
/// some. One that is refused is refused again, and told of, when it is used.
pub fn load_early<T>(ebpf: &mut Ebpf, names: &[&'static str], meanwhile: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        for (name, program) in ebpf.programs_mut() {
            if names.contains(&name) {
                scope.spawn(move || check(program));
            }
        }
        meanwhile()
    })
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
