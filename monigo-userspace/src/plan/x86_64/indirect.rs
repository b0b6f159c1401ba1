//! Indirect jumps: a jump table inside the function, or a tail call.

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::Body;
use crate::plan::Context;

/// How far back the address of a jump may be computed, in instructions.
const LOOK_BACK: usize = 24;

/// What an indirect jump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indirect {
    /// It stays inside the function: a jump table or a computed goto.
    Inside,
    /// It leaves.
    TailCall,
    /// It could be either.
    Unclear,
}

/// Decides what the indirect jump at `index` is, where the stack pointer is `moved` bytes from
/// where it was at entry.
pub(super) fn classify(
    body: &Body<'_>,
    index: usize,
    moved: Option<i64>,
    context: &Context<'_>,
) -> Indirect {
    let instruction = &body.instructions[index];
    // A tail call happens with the caller's stack pointer, always.
    if moved.is_some_and(|bytes| bytes != 0) {
        return Indirect::Inside;
    }
    // Compilers leave out the landing pad check for table jumps only.
    if body.bytes(instruction).first() == Some(&0x3e) {
        return Indirect::Inside;
    }
    // Taking the frame down right before the jump is the end of the function.
    if moved == Some(0) && definition_of(body, index, Register::RSP).is_some() {
        return Indirect::TailCall;
    }
    let found = match instruction.op0_kind() {
        OpKind::Memory => through_memory(body, index, instruction, context),
        OpKind::Register => through_register(body, index, instruction.op0_register(), context),
        _ => Indirect::Unclear,
    };
    if moved.is_none() && found == Indirect::TailCall && instruction.op0_kind() == OpKind::Register
    {
        return Indirect::Unclear;
    }
    found
}

/// `jmp [...]`.
fn through_memory(
    body: &Body<'_>,
    index: usize,
    instruction: &Instruction,
    context: &Context<'_>,
) -> Indirect {
    if instruction.memory_index() == Register::None {
        // A slot at a fixed place: the global offset table, a vtable, a function pointer.
        return Indirect::TailCall;
    }
    element_of(body, index, instruction, context)
}

/// Is the element of an array that `instruction` loads an address inside the function?
fn element_of(
    body: &Body<'_>,
    index: usize,
    instruction: &Instruction,
    context: &Context<'_>,
) -> Indirect {
    let base = match instruction.memory_base() {
        Register::None => Some(instruction.memory_displacement64()),
        register => loaded_address(body, index, register)
            .map(|base| base.wrapping_add(instruction.memory_displacement64())),
    };
    let first = base
        .and_then(|address| (context.read)(address, 8))
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_le_bytes);
    match first {
        Some(address) if body.contains(address) => Indirect::Inside,
        // Go has no arrays of code addresses but jump tables; in a position-independent
        // binary their contents come from relocations.
        _ if context.go => Indirect::Inside,
        Some(address) if address != 0 => Indirect::TailCall,
        _ => Indirect::Unclear,
    }
}

/// `jmp register`.
fn through_register(
    body: &Body<'_>,
    index: usize,
    register: Register,
    context: &Context<'_>,
) -> Indirect {
    let Some((at, definition)) = definition_of(body, index, register) else {
        return Indirect::TailCall;
    };
    match definition.mnemonic() {
        // entry + table: `movsxd rax, [table + rax*4]; add rax, table`.
        Mnemonic::Add => {
            let offsets = [register, definition.op1_register()];
            let table = offsets.iter().any(|operand| {
                *operand != Register::None
                    && definition_of(body, at, *operand)
                        .is_some_and(|(_, load)| is_offset_load(&load))
            });
            if table {
                Indirect::Inside
            } else {
                Indirect::Unclear
            }
        }
        Mnemonic::Mov if definition.op1_kind() == OpKind::Memory => {
            if definition.memory_index() == Register::None || definition.memory_index_scale() != 8 {
                Indirect::TailCall
            } else {
                element_of(body, at, &definition, context)
            }
        }
        // Address arithmetic: hand-written code.
        Mnemonic::Lea | Mnemonic::Sub | Mnemonic::Movsxd => Indirect::Unclear,
        _ => Indirect::TailCall,
    }
}

/// A signed 32-bit (or 16-bit, 8-bit) element of a table.
fn is_offset_load(load: &Instruction) -> bool {
    matches!(
        load.mnemonic(),
        Mnemonic::Movsxd | Mnemonic::Movsx | Mnemonic::Movzx
    ) && load.op1_kind() == OpKind::Memory
        && load.memory_index() != Register::None
}

/// The address that `lea register, [rip + x]` or `mov register, x` before `index` gives.
fn loaded_address(body: &Body<'_>, index: usize, register: Register) -> Option<u64> {
    let (_, definition) = definition_of(body, index, register)?;
    match definition.mnemonic() {
        Mnemonic::Lea if definition.is_ip_rel_memory_operand() => {
            Some(definition.ip_rel_memory_address())
        }
        Mnemonic::Mov if definition.op1_kind() != OpKind::Memory => {
            (definition.op1_register() == Register::None).then(|| definition.immediate(1))
        }
        _ => None,
    }
}

/// The last instruction before `index`, in straight line, that writes `register`.
fn definition_of(
    body: &Body<'_>,
    index: usize,
    register: Register,
) -> Option<(usize, Instruction)> {
    let mut info = InstructionInfoFactory::new();
    let wanted = register.full_register();
    let mut next = body.instructions[index].ip();
    for at in (index.saturating_sub(LOOK_BACK)..index).rev() {
        let instruction = body.instructions[at];
        let stops = matches!(
            instruction.flow_control(),
            FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Return
                | FlowControl::Exception
        );
        if stops || instruction.next_ip() != next {
            return None;
        }
        next = instruction.ip();
        let writes = info.info(&instruction).used_registers().iter().any(|used| {
            used.register().full_register() == wanted
                && !matches!(
                    used.access(),
                    iced_x86::OpAccess::Read
                        | iced_x86::OpAccess::CondRead
                        | iced_x86::OpAccess::NoMemAccess
                        | iced_x86::OpAccess::None
                )
        });
        if writes {
            return Some((at, instruction));
        }
    }
    None
}
