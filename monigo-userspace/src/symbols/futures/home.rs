//! Code that is not optimised keeps its arguments in memory, and stores them there first of all.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, InstructionInfoFactory, Mnemonic, OpKind, Register,
};

use super::{super::Image, Argument};

/// Longest prologue looked at, bytes.
const PROLOGUE_BYTES: u64 = 128;

/// The argument that the function at `address` stores at `offset` bytes from the register with
/// DWARF's number `base`, before it does anything else with it.
pub(super) fn stored_argument(
    image: &Image,
    address: u64,
    base: u16,
    offset: i64,
) -> Option<Argument> {
    let range = image.function_at(address)?.ranges.first()?.clone();
    let end = range.end.min(address.saturating_add(PROLOGUE_BYTES));
    stored_in(image.code(address..end)?, address, base, offset)
}

fn stored_in(code: &[u8], address: u64, base: u16, offset: i64) -> Option<Argument> {
    let base = match base {
        6 => Register::RBP,
        7 => Register::RSP,
        _ => return None,
    };
    let mut arguments = vec![
        (Register::RDI, Argument::First),
        (Register::RSI, Argument::Second),
    ];
    let mut info = InstructionInfoFactory::new();
    for instruction in Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        if instruction.is_invalid() || instruction.flow_control() != FlowControl::Next {
            return None;
        }
        let stores = instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Memory
            && instruction.op1_kind() == OpKind::Register
            && instruction.memory_base() == base
            && instruction.memory_index() == Register::None
            && instruction.memory_displacement64() as i64 == offset;
        if stores {
            let source = instruction.op1_register();
            let mut arguments = arguments.into_iter();
            return arguments
                .find(|(register, _)| *register == source)
                .map(|(_, argument)| argument);
        }
        for used in info.info(&instruction).used_registers() {
            if !matches!(
                used.access(),
                iced_x86::OpAccess::Read | iced_x86::OpAccess::CondRead
            ) {
                arguments.retain(|(register, _)| *register != used.register().full_register());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_store_tells_the_register() {
        // sub rsp, 0x38; mov [rsp+8], rdi; mov [rsp+0x10], rsi
        let code = [
            0x48, 0x83, 0xec, 0x38, 0x48, 0x89, 0x7c, 0x24, 0x08, 0x48, 0x89, 0x74, 0x24, 0x10,
        ];
        assert_eq!(stored_in(&code, 0, 7, 8), Some(Argument::First));
        assert_eq!(stored_in(&code, 0, 7, 16), Some(Argument::Second));
        assert_eq!(stored_in(&code, 0, 7, 24), None);
        assert_eq!(stored_in(&code, 0, 6, 8), None);
        assert_eq!(stored_in(&code, 0, 3, 8), None);
    }

    #[test]
    fn changed_register_is_no_argument() {
        // mov rdi, rsi; mov [rsp+8], rdi; ret
        let code = [0x48, 0x89, 0xf7, 0x48, 0x89, 0x7c, 0x24, 0x08, 0xc3];
        assert_eq!(stored_in(&code, 0, 7, 8), None);
        // jmp +0; mov [rsp+8], rdi
        let code = [0xeb, 0x00, 0x48, 0x89, 0x7c, 0x24, 0x08];
        assert_eq!(stored_in(&code, 0, 7, 8), None);
    }
}
