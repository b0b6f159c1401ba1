/* Functions whose return is preceded by jumps and nops behind which nothing is left to do, in the
 * shapes that compilers make, written in assembly so that every compiler flag gives the same. */
#include "harness.h"

#include <setjmp.h>
#include <stdlib.h>

static jmp_buf landing;

/* Called by the functions below; may leave them by a jump, or call them again. */
__attribute__((used, noinline)) static long inner(long x)
{
    if (x == 13)
        longjmp(landing, 1);
    return x + 1;
}

#define FUNCTION(name, body)                                                                       \
    long name(long, long);                                                                         \
    __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n"                    \
            ".cfi_startproc\n" body ".cfi_endproc\n.size " #name ", . - " #name "\n")

#define PUSH "push %rbx\n.cfi_adjust_cfa_offset 8\nmov %rdi, %rbx\n"
#define POP "pop %rbx\n.cfi_adjust_cfa_offset -8\nret\n.cfi_adjust_cfa_offset 8\n"

/* Taken and not taken, for each condition: an early return, or a call and a return of its own. */
#define CONDITION(cc)                                                                              \
    FUNCTION(early_##cc, PUSH "cmp %rsi, %rdi\nj" #cc " 1f\ncall inner\njmp 2f\n"                  \
                              "1: xor %eax, %eax\n" POP "2: add %rbx, %rax\n" POP)
#define CONDITIONS(of)                                                                             \
    of(o) of(no) of(b) of(ae) of(e) of(ne) of(be) of(a) of(s) of(ns) of(p) of(np) of(l) of(ge)     \
        of(le) of(g)
#define DEFINE(cc) CONDITION(cc);
CONDITIONS(DEFINE)

/* The return follows the jump that is not taken, as behind a stack protector's check. */
FUNCTION(checked, PUSH "call inner\ncmp %rbx, %rax\nje 1f\n" POP "1: ud2\n");

/* Several jumps to one epilogue. */
FUNCTION(joined, PUSH "test %rsi, %rsi\nje 1f\ncall inner\njmp 3f\n"
                      "1: cmp $5, %rdi\nja 2f\nlea 1(%rdi), %rax\njmp 3f\n"
                      "2: call inner\nmov %rax, %rbx\njmp 3f\n"
                      "3: add %rbx, %rax\n" POP);

/* Both ways of a jump end the call. */
FUNCTION(both, PUSH "call inner\ntest $1, %al\nje 1f\nadd %rbx, %rax\n" POP
                    "1: mov %rbx, %rax\n" POP);

/* A nop, as without optimisation. */
FUNCTION(nop, PUSH "call inner\nnop\n" POP);

/* Leaves by a jump to another function, or returns. */
FUNCTION(leaves_or_returns, PUSH "call inner\nadd %rbx, %rax\nmov %rax, %rdi\n"
                                 "pop %rbx\n.cfi_adjust_cfa_offset -8\n"
                                 "test $3, %dil\njne inner\nret\n");

/* The frame's size is only known from the frame pointer. */
FUNCTION(sized_at_run_time, "push %rbp\nmov %rsp, %rbp\nshl $4, %rsi\nsub %rsi, %rsp\n"
                            "and $-32, %rsp\n"
                            "call inner\ncmp $7, %rax\njb 1f\ncall inner\njmp 1f\n1: leave\nret\n");

/* Calls itself on both sides of the epilogue's jump. */
FUNCTION(recursive, PUSH "sub $16, %rsp\nmov %rsi, (%rsp)\ntest %rdi, %rdi\njle 1f\n"
                         "dec %rdi\ncall recursive\nmov (%rsp), %rsi\nlea -3(%rbx), %rdi\n"
                         "cmp $0, %rsi\nje 1f\ncall recursive\njmp 1f\n"
                         "1: add $16, %rsp\n" POP);

static struct {
    const char *name;
    long (*function)(long, long);
    long calls, unwound;
} functions[] = {
#define ENTRY(cc) {"early_" #cc, early_##cc, 0, 0},
    CONDITIONS(ENTRY)
    {"checked", checked, 0, 0},
    {"joined", joined, 0, 0},
    {"both", both, 0, 0},
    {"nop", nop, 0, 0},
    {"leaves_or_returns", leaves_or_returns, 0, 0},
    {"sized_at_run_time", sized_at_run_time, 0, 0},
};

enum { COUNT = sizeof functions / sizeof *functions };

/* Calls a function that may leave by a jump, and counts which way it took. */
static __attribute__((noinline)) long call(int which, long x, long y)
{
    if (setjmp(landing)) {
        /* A jump to `inner` is an end like any other, whatever `inner` does then. */
        if (functions[which].function == leaves_or_returns && x != 13)
            functions[which].calls++;
        else
            functions[which].unwound++;
        return -1;
    }
    y = functions[which].function(x, y);
    functions[which].calls++;
    return y;
}

/* How many calls `recursive` makes of itself, with the first. */
static long count_recursive(long x, long y)
{
    if (x <= 0)
        return 1;
    return 1 + count_recursive(x - 1, y) + (y ? count_recursive(x - 3, y) : 0);
}

int main(int argc, char **argv)
{
    static const long extremes[] = {-1, 1L << 62, -(1L << 62), 0x7fffffffffffffff};
    long times = argc > 1 ? atol(argv[1]) : 100, total = 0, recursions = 0;

    ready();
    for (long i = 0; i < times; i++) {
        for (int which = 0; which < COUNT; which++) {
            for (long x = 0; x < 15; x++)
                total += call(which, x, (x + i) % 7 * 3);
            for (int e = 0; e < 16 && which < 16; e++)
                total ^= call(which, extremes[e % 4], extremes[e / 4]);
        }
        total += recursive(i % 9, i % 2);
        recursions += count_recursive(i % 9, i % 2);
    }
    for (int which = 0; which < COUNT; which++) {
        /* Ends what a jump left. */
        total += call(which, 2, 2);
        truth(functions[which].name, functions[which].calls, functions[which].unwound, 0);
    }
    truth("recursive", recursions, 0, 0);
    value("total", total);
    finish();
    return 0;
}
