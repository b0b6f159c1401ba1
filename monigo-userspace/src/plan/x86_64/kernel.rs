//! What the kernel does with a probe on an x86-64 instruction.
//!
//! Source: `arch/x86/kernel/uprobes.c` of Linux 6.18, `uprobe_init_insn`,
//! `branch_setup_xol_ops`, `push_setup_xol_ops` and `can_optimize`.

use iced_x86::{Code, EncodingKind, Instruction, Register};

use crate::plan::CostClass;

/// Nops that the kernel recognises by their bytes, by length from 1 on.
const NOPS: [&[u8]; 8] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

const PAGE_BYTES: u64 = 4096;

/// The price of a probe on `instruction`, encoded as `bytes` at file offset `file_offset`.
/// `None` when the kernel refuses it.
pub(super) fn cost(instruction: &Instruction, bytes: &[u8], file_offset: u64) -> Option<CostClass> {
    if !accepted(instruction, bytes) {
        return None;
    }
    if is_nop5(bytes) && file_offset % PAGE_BYTES <= PAGE_BYTES - 5 {
        // Across a page boundary the kernel cannot replace it in one write.
        return Some(CostClass::Nop5);
    }
    if is_nop(bytes) || is_emulated_push(bytes) || is_emulated_branch(instruction) {
        return Some(CostClass::Emulated);
    }
    Some(CostClass::SingleStep)
}

/// Whether `bytes` are the 5-byte nop that Linux 6.18 turns into a call.
pub(super) fn is_nop5(bytes: &[u8]) -> bool {
    bytes == NOPS[4]
}

fn is_nop(bytes: &[u8]) -> bool {
    bytes
        .len()
        .checked_sub(1)
        .and_then(|index| NOPS.get(index))
        .is_some_and(|nop| *nop == bytes)
}

/// `push` of a 64-bit register, with no other prefix than REX.B.
fn is_emulated_push(bytes: &[u8]) -> bool {
    matches!(bytes, [0x50..=0x57] | [0x41, 0x50..=0x57])
}

fn is_emulated_branch(instruction: &Instruction) -> bool {
    instruction.is_jmp_short_or_near()
        || instruction.is_jcc_short_or_near()
        || matches!(
            instruction.code(),
            Code::Call_rel32_64 | Code::Call_rel16 | Code::Call_rel32_32
        )
}

fn accepted(instruction: &Instruction, bytes: &[u8]) -> bool {
    let (prefixes, opcode) = split_prefixes(bytes);
    // CS, DS, ES, SS and LOCK: refused whatever follows.
    if prefixes
        .iter()
        .any(|prefix| matches!(prefix, 0x26 | 0x2e | 0x36 | 0x3e | 0xf0))
    {
        return false;
    }
    // An operand-size prefix means different things to Intel and AMD on branches.
    if prefixes.contains(&0x66) && is_emulated_branch(instruction) {
        return false;
    }
    // `mov ss` and `pop ss` hold back the trap after them.
    if instruction.op0_register() == Register::SS {
        return false;
    }
    match instruction.encoding() {
        EncodingKind::Legacy => match opcode {
            [0x0f, second, ..] => two_byte_accepted(*second),
            [first, ..] => one_byte_accepted(*first),
            [] => false,
        },
        // The kernel looks the opcode after the prefix up in the table for one-byte opcodes.
        EncodingKind::VEX => match opcode {
            [0xc5, _, opcode, ..] | [0xc4, _, _, opcode, ..] => one_byte_accepted(*opcode),
            _ => false,
        },
        // Support for these depends on the kernel's version.
        _ => false,
    }
}

/// Splits off legacy prefixes and REX.
fn split_prefixes(bytes: &[u8]) -> (&[u8], &[u8]) {
    let legacy = bytes
        .iter()
        .take_while(|byte| {
            matches!(
                byte,
                0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3
            )
        })
        .count();
    let rex = usize::from(matches!(bytes.get(legacy), Some(0x40..=0x4f)));
    (&bytes[..legacy], &bytes[legacy + rex..])
}

fn one_byte_accepted(opcode: u8) -> bool {
    !matches!(
        opcode,
        0x06 | 0x07 | 0x0e | 0x16 | 0x17 | 0x1e | 0x1f | 0x27 | 0x2f | 0x37 | 0x3f
            | 0x60..=0x62
            | 0x6c..=0x6f
            | 0x82
            | 0x9a
            | 0xcc..=0xcf
            | 0xd4..=0xd6
            | 0xe4..=0xe7
            | 0xea
            | 0xec..=0xef
            | 0xf1
            | 0xf4
            | 0xfa
            | 0xfb
    )
}

/// The kernel lets every two-byte opcode through by accident of its table; these are the ones it
/// means to refuse, which never make a useful site.
fn two_byte_accepted(opcode: u8) -> bool {
    !matches!(
        opcode,
        0x00 | 0x01 | 0x05..=0x09 | 0x0b | 0x30 | 0x34 | 0x35 | 0x37 | 0x78 | 0x79 | 0xae
    )
}
