//! Functions of monigo itself that do nothing, to be probed.

use std::arch::global_asm;

use crate::plan::{CostClass, SiteKind};

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

/// Where code begins.
pub type Label = unsafe extern "C" fn();

/// How the end of a calibrated function is seen.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// By a probe there.
    Site(Label, SiteKind, CostClass),
    /// By a return probe.
    ReturnProbe,
    /// Calls are only counted.
    NotSeen,
}

/// A function to measure.
pub struct Probed {
    /// The function, which does nothing.
    pub function: Label,
    /// Class of its first instruction.
    pub entry: CostClass,
    /// Of its end.
    pub end: End,
}

/// Without any probe, for comparison.
pub const PLAIN: Label = monigo_calibrated_plain;
/// May have a return probe; its first instruction is emulated.
pub const RETURNS: Label = monigo_calibrated_push_return;

/// Functions that are measured.
pub const PROBED: u32 = 12;

/// One for each combination that is measured.
pub fn probed() -> [Probed; PROBED as usize] {
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
