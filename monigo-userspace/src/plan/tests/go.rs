//! Code as the Go compiler makes it.

use super::{GO, START, check, epilogue};
use crate::plan::{CostClass::*, Frame::*, Refusal::*, SiteKind::*};

#[test]
fn go_small_frame() {
    check(
        GO,
        "
         49 3b 66 10                     cmp 0x10(%r14),%rsp
         76 06                           jbe 8f
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         5d                              pop %rbp
         c3                              ret
         e8 fb 0f 00 00                  8: call .+0x1000
         eb ed                           jmp .-0x11
        ",
        Ok((6, Emulated, vec![(0xb, Return)])),
    );
}

#[test]
fn go_119_small_frame() {
    check(
        GO,
        "
         49 3b 66 10                     cmp 0x10(%r14),%rsp
         76 09                           jbe 8f
         48 83 ec 18                     sub $0x18,%rsp
         48 83 c4 18                     add $0x18,%rsp
         c3                              ret
         e8 fb 0f 00 00                  8: call .+0x1000
         eb ea                           jmp .-0x14
        ",
        Ok((6, SingleStep, vec![(0xe, Return)])),
    );
}

#[test]
fn go_large_frame() {
    check(
        GO,
        "
         4c 8d 64 24 c0                  lea -0x40(%rsp),%r12
         4d 3b 66 10                     cmp 0x10(%r14),%r12
         76 03                           jbe 8f
         55                              push %rbp
         5d                              pop %rbp
         c3                              ret
         e8 fb 0f 00 00                  8: call .+0x1000
         eb eb                           jmp .-0x13
        ",
        Ok((11, Emulated, vec![(0xd, Return)])),
    );
}

#[test]
fn go_huge_frame() {
    check(
        GO,
        "
         49 89 e4                        mov %rsp,%r12
         49 81 ec e0 1e 00 00            sub $0x1ee0,%r12
         72 09                           jb 8f
         4d 3b 66 10                     cmp 0x10(%r14),%r12
         76 03                           jbe 8f
         55                              push %rbp
         5d                              pop %rbp
         c3                              ret
         e8 fb 0f 00 00                  8: call .+0x1000
         eb e4                           jmp .-0x1a
        ",
        Ok((0x12, Emulated, vec![(0x14, Return)])),
    );
}

#[test]
fn go_leaf_without_check() {
    check(
        GO,
        "
         48 01 d8                        add %rbx,%rax
         c3                              ret
        ",
        Ok((0, SingleStep, vec![(3, Return)])),
    );
}

#[test]
fn go_old_check() {
    check(
        GO,
        "
         64 48 8b 0c 25 f8 ff ff ff      mov %fs:-8,%rcx
         48 3b 61 10                     cmp 0x10(%rcx),%rsp
         76 09                           jbe 8f
         48 83 ec 18                     sub $0x18,%rsp
         48 83 c4 18                     add $0x18,%rsp
         c3                              ret
         e8 fb 0f 00 00                  8: call .+0x1000
         eb e1                           jmp .-0x1d
        ",
        Err(GoStackCheck),
    );
}

#[test]
fn go_loop_to_start() {
    check(
        GO,
        "
         48 8b 08                        mov (%rax),%rcx
         48 85 c9                        test %rcx,%rcx
         75 f8                           jne .-6
         c3                              ret
        ",
        Err(LoopsToStart { address: START + 6 }),
    );
}

#[test]
fn go_may_fault_before_the_branch() {
    check(
        GO,
        "
         84 00                           test %al,(%rax)
         85 db                           test %ebx,%ebx
         74 01                           je 1f
         90                              nop
         c3                              1: ret
        ",
        Ok((0, SingleStep, vec![(4, epilogue(None, StackPointer(0)))])),
    );
}

#[test]
fn go_jump_table() {
    check(
        GO,
        "
         48 83 f8 09                     cmp $9,%rax
         77 0a                           ja 9f
         48 8d 0d 00 10 00 00            lea 0x1000(%rip),%rcx
         ff 24 c1                        jmp *(%rcx,%rax,8)
         c3                              9: ret
        ",
        Ok((4, Emulated, vec![(0x10, Return)])),
    );
}

#[test]
fn go_method_wrapper() {
    check(
        GO,
        "
         48 8b 40 08                     mov 8(%rax),%rax
         e9 fb 0f 00 00                  jmp .+0x1000
        ",
        Ok((0, SingleStep, vec![(4, TailJump)])),
    );
}
