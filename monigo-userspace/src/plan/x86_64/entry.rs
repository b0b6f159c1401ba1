//! Where a call is seen to begin.

use iced_x86::{
    FlowControl, Instruction, InstructionInfo, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use super::{Body, cheaper, jump_target, kernel};
use crate::plan::{Context, CostClass, Refusal, Site, SiteKind};

/// Registers that carry arguments in the System V ABI, and the stack pointer.
const SYSTEM_V: [Register; 7] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
    Register::RSP,
];

/// Registers that carry arguments, the closure context and `g` in Go, and the stack pointer.
const GO: [Register; 12] = [
    Register::RAX,
    Register::RBX,
    Register::RCX,
    Register::RDI,
    Register::RSI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RDX,
    Register::R14,
    Register::RSP,
];

/// Finds the cheapest instruction that every call passes exactly once while stack pointer and
/// arguments are as the caller left them. With it comes the address of the exit that it stands for
/// as well, if there is one.
pub(super) fn find(
    body: &Body<'_>,
    exits: &[Site],
    context: &Context<'_>,
) -> Result<(Site, Option<u64>), Refusal> {
    let first = if context.go {
        after_stack_check(body)?
    } else {
        body.start
    };
    let limit = first_inner_target(body, body.instructions[first].ip())?;
    let mut best: Option<Site> = None;
    let mut refused = None;
    // Whether no instruction so far does anything.
    let mut idle = true;
    for candidate in candidates(body, first, context.go) {
        let instruction = &body.instructions[candidate.index];
        let address = instruction.ip();
        if limit.is_some_and(|limit| address >= limit) {
            break;
        }
        if let Some(exit) = exits.iter().find(|exit| exit.address == address) {
            // Behind other instructions, the time that those take is worth a probe of its own.
            if let Some(kind) = merged(exit.kind).filter(|_| idle) {
                let site = best.filter(|best| cheaper(best.cost, exit.cost));
                let site = Site {
                    kind,
                    ..site.unwrap_or(*exit)
                };
                return Ok((site, Some(exit.address)));
            }
            break;
        }
        idle &= matches!(instruction.mnemonic(), Mnemonic::Endbr64 | Mnemonic::Nop);
        match body.site(instruction, SiteKind::Entry, context) {
            Ok(mut site) => {
                if site.cost == CostClass::Nop5 && candidate.stored {
                    // The kernel's call would overwrite what is below the stack pointer.
                    continue;
                }
                site.kind = SiteKind::Entry;
                if best.is_none_or(|best| cheaper(site.cost, best.cost)) {
                    best = Some(site);
                }
            }
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    match best {
        Some(site) => Ok((site, None)),
        None => Err(refused.unwrap_or(Refusal::NoEntry)),
    }
}

/// Whether the function starts with something that a loop would not go back to: a landing pad,
/// a patchable nop, or the set-up of a stack frame. A jump to the start is then a tail call.
pub(super) fn runs_prologue(body: &Body<'_>) -> bool {
    let first = &body.instructions[body.start];
    if first.mnemonic() == Mnemonic::Endbr64 || kernel::is_nop5(body.bytes(first)) {
        return true;
    }
    let mut info = InstructionInfoFactory::new();
    for instruction in &body.instructions[body.start..] {
        if writes(info.info(instruction), &[Register::RSP]) {
            return true;
        }
        if instruction.flow_control() != FlowControl::Next {
            break;
        }
    }
    false
}

/// The kind of an entry at an exit of kind `exit`.
fn merged(exit: SiteKind) -> Option<SiteKind> {
    let condition = match exit {
        SiteKind::Return | SiteKind::TailJump => None,
        SiteKind::ConditionalTailJump { condition } => Some(condition),
        SiteKind::Entry | SiteKind::EntryAndExit { .. } | SiteKind::Epilogue { .. } => return None,
    };
    Some(SiteKind::EntryAndExit { condition })
}

/// The lowest address above `site` that something inside the function jumps to. A probe at or
/// behind it would see more than calls. An error if `site` itself is jumped to.
fn first_inner_target(body: &Body<'_>, site: u64) -> Result<Option<u64>, Refusal> {
    let entry = body.entry_address();
    let mut limit: Option<u64> = None;
    for instruction in &body.instructions {
        let Some(target) = jump_target(instruction) else {
            continue;
        };
        if target <= entry || !body.contains(target) {
            continue;
        }
        if target <= site {
            return Err(Refusal::LoopsToStart {
                address: instruction.ip(),
            });
        }
        limit = Some(limit.map_or(target, |limit| limit.min(target)));
    }
    Ok(limit)
}

struct Candidate {
    index: usize,
    /// Something before it wrote to memory.
    stored: bool,
}

/// The instructions of the straight-line block from `first` on, up to and including the first
/// that changes the stack pointer or an argument, or that branches.
fn candidates(body: &Body<'_>, first: usize, go: bool) -> Vec<Candidate> {
    let kept: &[Register] = if go { &GO } else { &SYSTEM_V };
    let mut info = InstructionInfoFactory::new();
    let mut found = Vec::new();
    let mut stored = false;
    let mut expected = body.instructions[first].ip();
    for (index, instruction) in body.instructions.iter().enumerate().skip(first) {
        if instruction.ip() != expected {
            break;
        }
        expected = instruction.next_ip();
        found.push(Candidate { index, stored });
        let used = info.info(instruction);
        if instruction.flow_control() != FlowControl::Next || writes(used, kept) {
            break;
        }
        for memory in used.used_memory() {
            if is_write(memory.access()) {
                stored = true;
            }
        }
        // Go turns a fault into a panic: a call that faults before its probe would be missed.
        let may_fault = used.used_memory().iter().any(|memory| {
            memory.access() != OpAccess::NoMemAccess
                && !matches!(memory.base(), Register::RSP | Register::RIP)
        });
        if go && may_fault {
            break;
        }
    }
    found
}

fn writes(info: &InstructionInfo, registers: &[Register]) -> bool {
    info.used_registers()
        .iter()
        .any(|used| is_write(used.access()) && registers.contains(&used.register().full_register()))
}

fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// Index of the first instruction behind Go's stack check, or of the function's first one if it
/// has no check. The path that grows the stack jumps back to before the check.
fn after_stack_check(body: &Body<'_>) -> Result<usize, Refusal> {
    if let Some(index) = stack_check_end(body) {
        return Ok(index);
    }
    let entry = body.entry_address();
    let back = body
        .instructions
        .iter()
        .position(|instruction| jump_target(instruction) == Some(entry));
    match back {
        None => Ok(body.start),
        Some(index) if follows_call(body, index) => Err(Refusal::GoStackCheck),
        Some(index) => Err(Refusal::LoopsToStart {
            address: body.instructions[index].ip(),
        }),
    }
}

/// The jump back from growing the stack follows a call and reloads of spilled arguments.
fn follows_call(body: &Body<'_>, index: usize) -> bool {
    body.instructions[..index]
        .iter()
        .rev()
        .take_while(|instruction| {
            matches!(
                instruction.flow_control(),
                FlowControl::Next | FlowControl::Call
            )
        })
        .any(|instruction| instruction.flow_control() == FlowControl::Call)
}

/// The three forms the Go compiler uses since 1.17, by size of the frame:
/// `cmp rsp, [r14+16]; jbe`, `lea r12, [rsp-N]; cmp r12, [r14+16]; jbe`, and
/// `mov r12, rsp; sub r12, N; jb; cmp r12, [r14+16]; jbe`.
fn stack_check_end(body: &Body<'_>) -> Option<usize> {
    let at = |offset: usize| body.instructions.get(body.start + offset);
    let first = at(0)?;
    let compare = if is_guard_compare(first, Register::RSP) {
        0
    } else if first.mnemonic() == Mnemonic::Lea
        && first.op0_register() == Register::R12
        && first.memory_base() == Register::RSP
    {
        1
    } else if first.mnemonic() == Mnemonic::Mov
        && first.op0_register() == Register::R12
        && first.op1_register() == Register::RSP
    {
        let subtracts = at(1).is_some_and(|sub| {
            sub.mnemonic() == Mnemonic::Sub && sub.op0_register() == Register::R12
        });
        let underflow = at(2).is_some_and(|jump| jump.mnemonic() == Mnemonic::Jb);
        if !subtracts || !underflow {
            return None;
        }
        3
    } else {
        return None;
    };
    let register = if compare == 0 {
        Register::RSP
    } else {
        Register::R12
    };
    if !is_guard_compare(at(compare)?, register) || at(compare + 1)?.mnemonic() != Mnemonic::Jbe {
        return None;
    }
    let end = body.start + compare + 2;
    (end < body.instructions.len()).then_some(end)
}

/// `cmp register, [r14 + 16]`, or 24 for code that runs on the system stack.
fn is_guard_compare(instruction: &Instruction, register: Register) -> bool {
    instruction.mnemonic() == Mnemonic::Cmp
        && instruction.op0_register() == register
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_base() == Register::R14
        && instruction.memory_index() == Register::None
        && matches!(instruction.memory_displacement64(), 0x10 | 0x18)
}
