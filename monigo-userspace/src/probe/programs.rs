//! Programs of the object, by name.

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};

use super::ProbeError;

/// A program of the object.
pub fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Missing(name))
}

/// The error for a program that the kernel did not load.
pub fn refused(program: &'static str) -> impl FnOnce(ProgramError) -> ProbeError {
    move |source| ProbeError::Load {
        program,
        source: Box::new(source),
    }
}
