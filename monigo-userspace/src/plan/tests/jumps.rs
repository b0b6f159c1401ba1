//! Jumps: tail calls, jump tables, loops.

use super::{C, START, check, entry_kind, epilogue};
use crate::plan::{CostClass::*, Frame::*, Refusal::*, SiteKind::*};

#[test]
fn conditional_jump_is_cheap() {
    check(
        C,
        "
         85 ff                           test %edi,%edi
         74 06                           je 1f
         b8 01 00 00 00                  mov $1,%eax
         c3                              ret
         31 c0                           1: xor %eax,%eax
         c3                              ret
        ",
        Ok((2, Emulated, vec![(9, Return), (12, Return)])),
    );
}

#[test]
fn tail_call() {
    check(
        C,
        "
         48 83 ec 08                     sub $8,%rsp
         48 83 c4 08                     add $8,%rsp
         e9 fb 0f 00 00                  jmp .+0x1000
        ",
        Ok((0, SingleStep, vec![(8, TailJump)])),
    );
}

#[test]
fn conditional_tail_call() {
    check(
        C,
        "
         48 85 ff                        test %rdi,%rdi
         0f 85 fa 0f 00 00               jne .+0x1000
         c3                              ret
        ",
        // Taken or not, the call ends there.
        Ok((0, SingleStep, vec![(3, epilogue(None, StackPointer(0)))])),
    );
}

#[test]
fn own_start_after_a_prologue_is_a_tail_call() {
    check(
        C,
        "
         53                              push %rbx
         ff cf                           dec %edi
         5b                              pop %rbx
         75 fa                           jne .-4
         c3                              ret
        ",
        Ok((
            0,
            Emulated,
            vec![(4, ConditionalTailJump { condition: 5 }), (6, Return)],
        )),
    );
}

#[test]
fn loop_to_the_first_instruction() {
    check(
        C,
        "
         8b 07                           mov (%rdi),%eax
         85 c0                           test %eax,%eax
         75 fa                           jne .-4
         c3                              ret
        ",
        Err(LoopsToStart { address: START + 4 }),
    );
}

#[test]
fn only_jumps() {
    check(
        C,
        "
         e9 fb 0f 00 00                  jmp .+0x1000
        ",
        Ok((0, Emulated, vec![])),
    );
}

#[test]
fn begins_with_a_conditional_tail_call() {
    let listing = "
         0f 84 fa 0f 00 00               je .+0x1000
         89 f8                           mov %edi,%eax
         c3                              ret
        ";
    check(C, listing, Ok((0, Emulated, vec![(8, Return)])));
    assert_eq!(entry_kind(listing), EntryAndExit { condition: Some(4) });
    assert_eq!(entry_kind("c3  ret"), EntryAndExit { condition: None });
    // Where nothing else happens before the exit, the cheapest place will do.
    let listing = "
         90                              nop
         c3                              ret
        ";
    check(C, listing, Ok((0, Emulated, vec![])));
    assert_eq!(entry_kind(listing), EntryAndExit { condition: None });
    assert_eq!(entry_kind("53  push %rbx\n5b  pop %rbx\nc3  ret"), Entry);
}

#[test]
fn conditional_jump_at_the_end() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         74 fe                           1: je 1b
        ",
        Err(FallsThrough { address: START + 2 }),
    );
}

#[test]
fn jump_into_an_instruction() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         eb 01                           jmp .+3
         b8 c3 00 00 00                  mov $0xc3,%eax
         c3                              ret
        ",
        Err(MidInstruction {
            address: START + 2,
            target: START + 5,
        }),
    );
}

#[test]
fn jump_table_gcc() {
    check(
        C,
        "
         83 ff 03                        cmp $3,%edi
         77 11                           ja 9f
         48 8d 15 00 10 00 00            lea 0x1000(%rip),%rdx
         48 63 04 ba                     movslq (%rdx,%rdi,4),%rax
         48 01 d0                        add %rdx,%rax
         3e ff e0                        notrack jmp *%rax
         c3                              9: ret
        ",
        Ok((3, Emulated, vec![(0x16, Return)])),
    );
}

#[test]
fn jump_table_without_landing_pads() {
    check(
        C,
        "
         83 ff 03                        cmp $3,%edi
         77 10                           ja 9f
         48 8d 15 00 10 00 00            lea 0x1000(%rip),%rdx
         48 63 04 ba                     movslq (%rdx,%rdi,4),%rax
         48 01 d0                        add %rdx,%rax
         ff e0                           jmp *%rax
         c3                              9: ret
        ",
        Ok((3, Emulated, vec![(0x15, Return)])),
    );
}

#[test]
fn jump_table_inside_a_frame() {
    check(
        C,
        "
         53                              push %rbx
         48 8b 04 f7                     mov (%rdi,%rsi,8),%rax
         ff e0                           jmp *%rax
         5b                              pop %rbx
         c3                              ret
        ",
        Ok((0, Emulated, vec![(8, Return)])),
    );
}

#[test]
fn tail_call_through_got() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         ff 25 00 10 00 00               jmp *0x1000(%rip)
        ",
        Ok((0, Emulated, vec![(2, TailJump)])),
    );
}

#[test]
fn tail_call_through_vtable() {
    check(
        C,
        "
         48 8b 07                        mov (%rdi),%rax
         ff 60 10                        jmp *0x10(%rax)
        ",
        Ok((0, SingleStep, vec![(3, TailJump)])),
    );
}

#[test]
fn tail_call_through_register() {
    check(
        C,
        "
         53                              push %rbx
         48 8b 04 f7                     mov (%rdi,%rsi,8),%rax
         5b                              pop %rbx
         ff e0                           jmp *%rax
        ",
        Ok((0, Emulated, vec![(6, TailJump)])),
    );
}

#[test]
fn array_of_functions_or_of_labels() {
    check(
        C,
        "
         48 8b 04 f7                     mov (%rdi,%rsi,8),%rax
         ff e0                           jmp *%rax
        ",
        Err(AmbiguousJump { address: START + 4 }),
    );
}

#[test]
fn leaves_with_its_frame() {
    check(
        C,
        "
         53                              push %rbx
         85 ff                           test %edi,%edi
         0f 84 fa 0f 00 00               je .+0x1000
         5b                              pop %rbx
         c3                              ret
        ",
        Err(LeavesWithFrame {
            address: START + 3,
            target: START + 0x1003,
        }),
    );
}

#[test]
fn returns_with_the_stack_moved() {
    check(
        C,
        "
         57                              push %rdi
         c3                              ret
        ",
        Err(OddReturn { address: START + 1 }),
    );
}

#[test]
fn counting_jump_that_leaves() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         e3 be                           jrcxz .-0x40
         c3                              ret
        ",
        Err(Unprobeable {
            address: START + 2,
            what: "a counting jump that leaves".to_owned(),
        }),
    );
}
