//! Code as C, C++ and Rust compilers make it: entries, returns, refusals.

use super::{C, START, check, epilogue};
use crate::plan::{CostClass::*, Frame::*, Refusal::*, SiteKind::*};

#[test]
fn landing_pad_then_push() {
    check(
        C,
        "
         f3 0f 1e fa                     endbr64
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         31 c0                           xor %eax,%eax
         5d                              pop %rbp
         c3                              ret
        ",
        Ok((4, Emulated, vec![(0xb, Return)])),
    );
}

#[test]
fn frameless_leaf() {
    check(
        C,
        "
         8d 04 37                        lea (%rdi,%rsi),%eax
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(3, Return)])),
    );
}

#[test]
fn patchable_nop_is_preferred() {
    check(
        C,
        "
         f3 0f 1e fa                     endbr64
         0f 1f 44 00 00                  nopl 0(%rax,%rax,1)
         53                              push %rbx
         5b                              pop %rbx
         c3                              ret
        ",
        Ok((4, Nop5, vec![(0xb, Return)])),
    );
}

#[test]
fn mfentry_call() {
    check(
        C,
        "
         e8 00 10 00 00                  call .+0x1005
         48 83 ec 08                     sub $8,%rsp
         48 83 c4 08                     add $8,%rsp
         c3                              ret
        ",
        Ok((0, Emulated, vec![(0xd, Return)])),
    );
}

#[test]
fn push_of_extended_register() {
    check(
        C,
        "
         41 57                           push %r15
         53                              push %rbx
         5b                              pop %rbx
         41 5f                           pop %r15
         c3                              ret
        ",
        Ok((0, Emulated, vec![(6, Return)])),
    );
}

#[test]
fn argument_changes_first() {
    check(
        C,
        "
         31 ff                           xor %edi,%edi
         53                              push %rbx
         5b                              pop %rbx
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(4, Return)])),
    );
}

#[test]
fn stack_pointer_changes_first() {
    check(
        C,
        "
         48 83 ec 08                     sub $8,%rsp
         53                              push %rbx
         5b                              pop %rbx
         48 83 c4 08                     add $8,%rsp
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(10, Return)])),
    );
}

#[test]
fn loop_head_before_the_push() {
    check(
        C,
        "
         f3 0f 1e fa                     endbr64
         85 ff                           1: test %edi,%edi
         53                              push %rbx
         5b                              pop %rbx
         75 fa                           jne 1b
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(10, Return)])),
    );
}

#[test]
fn every_kind_of_return() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         74 03                           je 1f
         78 04                           js 2f
         c3                              ret
         c2 10 00                        1: ret $16
         f3 c3                           2: repz ret
        ",
        Ok((0, Emulated, vec![(2, epilogue(None, StackPointer(0)))])),
    );
}

#[test]
fn only_returns() {
    check(
        C,
        "
         c3                              ret
        ",
        Ok((0, SingleStep, vec![])),
    );
}

#[test]
fn landing_pad_then_return() {
    check(
        C,
        "
         f3 0f 1e fa                     endbr64
         c3                              ret
        ",
        Ok((4, SingleStep, vec![])),
    );
}

#[test]
fn work_then_return() {
    check(
        C,
        "
         89 f8                           mov %edi,%eax
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(2, Return)])),
    );
}

#[test]
fn never_returns() {
    check(
        C,
        "
         50                              push %rax
         e8 fb 0f 00 00                  call .+0x1000
         0f 0b                           ud2
        ",
        Ok((0, Emulated, vec![])),
    );
}

#[test]
fn call_that_does_not_return() {
    check(
        C,
        "
         50                              push %rax
         e8 fb 0f 00 00                  call .+0x1000
        ",
        Ok((0, Emulated, vec![])),
    );
}

#[test]
fn padding_at_the_end() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         c3                              ret
         cc                              int3
         66 2e 0f 1f 84 00 00 00 00 00   cs nopw 0(%rax,%rax,1)
        ",
        Ok((0, Emulated, vec![(2, Return)])),
    );
}

#[test]
fn falls_through() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         89 f8                           mov %edi,%eax
        ",
        Err(FallsThrough { address: START + 2 }),
    );
}

#[test]
fn data_among_code() {
    check(
        C,
        "
         53                              push %rbx
         06                              (not an instruction)
         5b                              pop %rbx
         c3                              ret
        ",
        Err(Undecodable { address: START + 1 }),
    );
}

#[test]
fn cut_short() {
    check(
        C,
        "
         53                              push %rbx
         48 81 ec                        (a part of sub)
        ",
        Err(Truncated { address: START + 1 }),
    );
}

#[test]
fn cs_nop_is_no_site() {
    check(
        C,
        "
         2e 0f 1f 84 00 00 00 00 00      cs nopl 0(%rax,%rax,1)
         89 f8                           mov %edi,%eax
         c3                              ret
        ",
        Ok((9, SingleStep, vec![(11, Return)])),
    );
}

#[test]
fn locked_first_instruction() {
    check(
        C,
        "
         f0 ff 07                        lock incl (%rdi)
         c3                              ret
        ",
        Err(Unprobeable {
            address: START,
            what: "inc".to_owned(),
        }),
    );
}

#[test]
fn cs_prefixed_exit() {
    check(
        C,
        "
         53                              push %rbx
         5b                              pop %rbx
         2e c3                           cs ret
        ",
        Err(Unprobeable {
            address: START + 2,
            what: "ret".to_owned(),
        }),
    );
}

#[test]
fn evex_first_instruction() {
    check(
        C,
        "
         62 f1 fe 48 6f 07               vmovdqu64 (%rdi),%zmm0
         c3                              ret
        ",
        Err(Unprobeable {
            address: START,
            what: "vmovdqu64".to_owned(),
        }),
    );
}

#[test]
fn vex_first_instruction() {
    check(
        C,
        "
         c5 fc 10 07                     vmovups (%rdi),%ymm0
         c5 f8 77                        vzeroupper
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(7, Return)])),
    );
}

#[test]
fn frame_pointer_and_alignment() {
    check(
        C,
        "
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         48 83 e4 e0                     and $-32,%rsp
         48 83 ec 40                     sub $0x40,%rsp
         c9                              leave
         c3                              ret
        ",
        Ok((0, Emulated, vec![(0xd, Return)])),
    );
}

#[test]
fn store_before_nop5_uses_the_red_zone() {
    check(
        C,
        "
         89 7c 24 fc                     mov %edi,-4(%rsp)
         0f 1f 44 00 00                  nopl 0(%rax,%rax,1)
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(9, Return)])),
    );
}
