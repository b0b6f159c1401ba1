//! Instructions that may stand between an exit site and the return.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::stack::State;

/// Farthest operand in a frame whose size is not known, in bytes.
const MAX_FRAME_BYTES: i64 = 4096;

/// Whether the instruction does nothing but put values into registers or the function's own frame,
/// without the possibility of a fault that the program could notice.
pub(super) fn only_restores(instruction: &Instruction, state: Option<State>, go: bool) -> bool {
    let Some(state) = state else { return false };
    // `movsd` is a string instruction as well.
    if instruction.has_lock_prefix() || instruction.is_string_instruction() {
        return false;
    }
    let written = instruction.op0_register().full_register();
    // `g` must stay where the kernel program looks for it.
    if go && written == Register::R14 {
        return false;
    }
    let ordinary = (0..instruction.op_count())
        .filter(|&operand| instruction.op_kind(operand) == OpKind::Register)
        .map(|operand| instruction.op_register(operand))
        .all(|register| register.is_gpr() || register.is_vector_register());
    if !ordinary {
        return false;
    }
    match instruction.mnemonic() {
        Mnemonic::Nop | Mnemonic::Vzeroupper | Mnemonic::Lea => true,
        Mnemonic::Leave => state.bp.is_some(),
        Mnemonic::Pop => instruction.op0_register().is_gpr64() && written != Register::RSP,
        mnemonic if is_plain(mnemonic) || is_move(mnemonic) => {
            let memory = (0..instruction.op_count())
                .any(|operand| instruction.op_kind(operand) == OpKind::Memory);
            let to_stack_pointer = written == Register::RSP
                && !matches!(mnemonic, Mnemonic::Add | Mnemonic::Sub | Mnemonic::Mov);
            !to_stack_pointer && (!memory || is_move(mnemonic) && is_in_frame(instruction, state))
        }
        mnemonic if is_conditional(mnemonic) => {
            instruction.op_count() == 2 && instruction.op1_kind() == OpKind::Register
                || instruction.op_count() == 1 && instruction.op0_kind() == OpKind::Register
        }
        _ => false,
    }
}

/// Moves between registers and memory.
fn is_move(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movsx
            | Mnemonic::Movsxd
            | Mnemonic::Movd
            | Mnemonic::Movq
            | Mnemonic::Movss
            | Mnemonic::Movsd
            | Mnemonic::Movaps
            | Mnemonic::Movapd
            | Mnemonic::Movups
            | Mnemonic::Movupd
            | Mnemonic::Movdqa
            | Mnemonic::Movdqu
    )
}

/// Arithmetic that takes a cycle and cannot fault.
fn is_plain(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Xor
            | Mnemonic::Or
            | Mnemonic::And
            | Mnemonic::Not
            | Mnemonic::Neg
            | Mnemonic::Add
            | Mnemonic::Sub
            | Mnemonic::Adc
            | Mnemonic::Sbb
            | Mnemonic::Inc
            | Mnemonic::Dec
            | Mnemonic::Shl
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Test
            | Mnemonic::Cmp
            | Mnemonic::Bswap
            | Mnemonic::Cwde
            | Mnemonic::Cdqe
            | Mnemonic::Cdq
            | Mnemonic::Cqo
            | Mnemonic::Pxor
            | Mnemonic::Xorps
            | Mnemonic::Xorpd
    )
}

/// `setcc` and `cmovcc`.
fn is_conditional(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Seta
            | Mnemonic::Setae
            | Mnemonic::Setb
            | Mnemonic::Setbe
            | Mnemonic::Sete
            | Mnemonic::Setg
            | Mnemonic::Setge
            | Mnemonic::Setl
            | Mnemonic::Setle
            | Mnemonic::Setne
            | Mnemonic::Setno
            | Mnemonic::Setnp
            | Mnemonic::Setns
            | Mnemonic::Seto
            | Mnemonic::Setp
            | Mnemonic::Sets
            | Mnemonic::Cmova
            | Mnemonic::Cmovae
            | Mnemonic::Cmovb
            | Mnemonic::Cmovbe
            | Mnemonic::Cmove
            | Mnemonic::Cmovg
            | Mnemonic::Cmovge
            | Mnemonic::Cmovl
            | Mnemonic::Cmovle
            | Mnemonic::Cmovne
            | Mnemonic::Cmovno
            | Mnemonic::Cmovnp
            | Mnemonic::Cmovns
            | Mnemonic::Cmovo
            | Mnemonic::Cmovp
            | Mnemonic::Cmovs
    )
}

/// Whether the memory operand lies in the function's own frame.
fn is_in_frame(instruction: &Instruction, state: State) -> bool {
    if instruction.memory_index() != Register::None || instruction.has_segment_prefix() {
        return false;
    }
    let base = match instruction.memory_base() {
        Register::RSP => state.sp,
        Register::RBP => state.bp,
        _ => None,
    };
    let address =
        base.and_then(|base| base.checked_add(instruction.memory_displacement64() as i64));
    // Up to the return address, exclusive; below the stack pointer is at most the red zone.
    let lowest = state.sp.map_or(-MAX_FRAME_BYTES, |sp| sp - 128);
    let size = instruction.memory_size().size() as i64;
    address.is_some_and(|address| lowest <= address && address <= -size)
}
