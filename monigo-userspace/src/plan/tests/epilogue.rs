//! Returns that cheaper sites stand for, and those that must keep their own.

use super::{C, GO, START, assemble, check, epilogue, outcome};
use crate::plan::{CostClass::*, Frame::*, SiteKind::*};

#[test]
fn early_return() {
    check(
        C,
        "
         53                              push %rbx
         85 ff                           test %edi,%edi
         74 05                           je 1f
         e8 00 10 00 00                  call .+0x1005
         5b                              1: pop %rbx
         c3                              ret
        ",
        // From the call, control falls into the same instructions.
        Ok((0, Emulated, vec![(0xb, Return)])),
    );
}

#[test]
fn early_return_of_its_own() {
    check(
        C,
        "
         53                              push %rbx
         85 ff                           test %edi,%edi
         74 07                           je 1f
         e8 00 10 00 00                  call .+0x1005
         5b                              pop %rbx
         c3                              ret
         31 c0                           1: xor %eax,%eax
         5b                              pop %rbx
         c3                              ret
        ",
        Ok((
            0,
            Emulated,
            vec![(3, epilogue(Some(4), StackPointer(1))), (0xb, Return)],
        )),
    );
}

#[test]
fn stack_protector() {
    check(
        C,
        "
         48 83 ec 18                     sub $0x18,%rsp
         48 8b 44 24 08                  mov 8(%rsp),%rax
         64 48 2b 04 25 28 00 00 00      sub %fs:0x28,%rax
         75 05                           jne 1f
         48 83 c4 18                     add $0x18,%rsp
         c3                              ret
         e8 00 10 00 00                  1: call .+0x1005
        ",
        Ok((
            0,
            SingleStep,
            vec![(0x12, epilogue(Some(4), StackPointer(3)))],
        )),
    );
}

#[test]
fn stack_protector_with_frame_pointer() {
    check(
        C,
        "
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         48 83 e4 e0                     and $-32,%rsp
         48 8b 45 f8                     mov -8(%rbp),%rax
         64 48 2b 04 25 28 00 00 00      sub %fs:0x28,%rax
         74 05                           je 1f
         e8 00 10 00 00                  call .+0x1005
         c9                              1: leave
         c3                              ret
        ",
        // The call of the failure function does not return, but nothing says so.
        Ok((0, Emulated, vec![(0x1d, Return)])),
    );
}

#[test]
fn jumps_to_one_epilogue() {
    check(
        C,
        "
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         85 ff                           test %edi,%edi
         74 07                           je 1f
         e8 00 10 00 00                  call .+0x1005
         eb 07                           jmp 2f
         e8 00 10 00 00                  1: call .+0x1005
         eb 00                           jmp 2f
         5d                              2: pop %rbp
         c3                              ret
        ",
        Ok((
            0,
            Emulated,
            vec![
                (0xd, epilogue(None, StackPointer(1))),
                (0x14, epilogue(None, StackPointer(1))),
            ],
        )),
    );
}

#[test]
fn unknown_stack_pointer_but_frame_pointer() {
    check(
        C,
        "
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         48 29 fc                        sub %rdi,%rsp
         e8 00 10 00 00                  call .+0x1005
         eb 00                           jmp 1f
         c9                              1: leave
         c3                              ret
        ",
        Ok((0, Emulated, vec![(0xc, epilogue(None, FramePointer(1)))])),
    );
}

#[test]
fn nop_before_the_epilogue() {
    check(
        C,
        "
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         e8 00 10 00 00                  call .+0x1005
         90                              nop
         5d                              pop %rbp
         c3                              ret
        ",
        Ok((0, Emulated, vec![(9, epilogue(None, StackPointer(1)))])),
    );
}

#[test]
fn result_through_the_frame() {
    // As GCC without optimisation returns one of two values.
    check(
        C,
        "
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         85 ff                           test %edi,%edi
         74 09                           je 1f
         c7 45 fc 01 00 00 00            movl $1,-4(%rbp)
         eb 07                           jmp 2f
         c7 45 fc 02 00 00 00            1: movl $2,-4(%rbp)
         8b 45 fc                        2: mov -4(%rbp),%eax
         5d                              pop %rbp
         c3                              ret
        ",
        // Nothing but these is left to do from the first jump on.
        Ok((0, Emulated, vec![(6, epilogue(None, StackPointer(1)))])),
    );
}

#[test]
fn a_store_elsewhere_is_work() {
    check(
        C,
        "
         53                              push %rbx
         85 ff                           test %edi,%edi
         74 02                           je 1f
         89 3e                           mov %edi,(%rsi)
         5b                              1: pop %rbx
         c3                              ret
        ",
        Ok((0, Emulated, vec![(8, Return)])),
    );
}

#[test]
fn a_string_move_is_work() {
    check(
        C,
        "
         53                              push %rbx
         85 ff                           test %edi,%edi
         74 02                           je 1f
         f3 a5                           rep movsl
         5b                              1: pop %rbx
         c3                              ret
        ",
        Ok((0, Emulated, vec![(8, Return)])),
    );
}

#[test]
fn loop_before_the_epilogue() {
    // A site on the jump would be passed in each iteration.
    check(
        C,
        "
         53                              push %rbx
         ff cf                           1: dec %edi
         75 fc                           jne 1b
         5b                              pop %rbx
         c3                              ret
        ",
        Ok((0, Emulated, vec![(6, Return)])),
    );
}

#[test]
fn too_many_checks_on_the_way() {
    // One call would pass three sites, or four: more than a return costs.
    check(
        C,
        "
         53                              push %rbx
         85 ff                           test %edi,%edi
         74 13                           je 1f
         e8 00 10 00 00                  call .+0x1005
         85 f6                           test %esi,%esi
         74 0a                           je 1f
         85 d2                           test %edx,%edx
         74 06                           je 1f
         e8 00 10 00 00                  call .+0x1005
         90                              nop
         5b                              1: pop %rbx
         c3                              ret
        ",
        Ok((0, Emulated, vec![(0x19, Return)])),
    );
}

#[test]
fn jump_table_in_the_function() {
    check(
        C,
        "
         53                              push %rbx
         48 8b 04 f7                     mov (%rdi,%rsi,8),%rax
         ff e0                           jmp *%rax
         e8 00 10 00 00                  call .+0x1005
         eb 00                           jmp 1f
         5b                              1: pop %rbx
         c3                              ret
        ",
        Ok((0, Emulated, vec![(0xf, Return)])),
    );
}

#[test]
fn entry_is_the_only_way() {
    check(
        C,
        "
         85 ff                           test %edi,%edi
         74 06                           je 1f
         e8 00 10 00 00                  call .+0x1005
         c3                              ret
         31 c0                           1: xor %eax,%eax
         c3                              ret
        ",
        // One address carries the entry, so it cannot be an exit.
        Ok((2, Emulated, vec![(9, Return), (0xc, Return)])),
    );
}

#[test]
fn called_from_inside() {
    // `call 1f; 1: pop` reads the instruction pointer.
    check(
        C,
        "
         53                              push %rbx
         e8 02 00 00 00                  call 1f
         eb 00                           jmp 1f
         58                              1: pop %rax
         c3                              ret
        ",
        Ok((0, Emulated, vec![(9, Return)])),
    );
}

#[test]
fn landing_pad_in_the_epilogue() {
    let code = assemble(
        "
         53                              push %rbx
         e8 00 10 00 00                  call .+0x1005
         eb 00                           jmp 1f
         5b                              1: pop %rbx
         c3                              ret
        ",
    );
    let parts: [(u64, &[u8]); 1] = [(START, &code)];
    let with = |pads: Option<&[u64]>| super::outcome_with(&parts, C, &[], pads);
    let cheap = Ok((0, Emulated, vec![(6, epilogue(None, StackPointer(1)))]));
    let kept = Ok((0, Emulated, vec![(9, Return)]));
    assert_eq!(outcome(&parts, C, &[]), cheap);
    // Elsewhere in the function.
    assert_eq!(with(Some(&[START + 1])), cheap);
    assert_eq!(with(Some(&[START + 8])), kept);
    assert_eq!(with(Some(&[START + 9])), kept);
    // In a piece of code that is not known.
    assert_eq!(with(Some(&[START + 0x1000])), kept);
    assert_eq!(with(None), kept);
}

#[test]
fn go_early_return() {
    check(
        GO,
        "
         49 3b 66 10                     cmp 0x10(%r14),%rsp
         76 1a                           jbe 8f
         55                              push %rbp
         48 89 e5                        mov %rsp,%rbp
         48 83 ec 08                     sub $8,%rsp
         48 85 c0                        test %rax,%rax
         74 07                           je 1f
         e8 00 10 00 00                  call .+0x1005
         eb 00                           jmp 1f
         48 83 c4 08                     1: add $8,%rsp
         5d                              pop %rbp
         c3                              ret
         e8 fb 0f 00 00                  8: call .+0x1000
         eb d9                           jmp .-0x25
        ",
        Ok((
            6,
            Emulated,
            vec![
                (0x11, epilogue(Some(4), StackPointer(2))),
                (0x18, epilogue(None, StackPointer(2))),
            ],
        )),
    );
}

#[test]
fn go_current_goroutine_must_stay() {
    check(
        GO,
        "
         53                              push %rbx
         e8 00 10 00 00                  call .+0x1005
         eb 00                           jmp 1f
         49 89 c6                        1: mov %rax,%r14
         5b                              pop %rbx
         c3                              ret
        ",
        Ok((0, Emulated, vec![(0xc, Return)])),
    );
}
