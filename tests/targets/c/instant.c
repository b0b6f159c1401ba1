/* Functions of one instruction, and one that begins with a jump out of itself. */
#include "harness.h"

#include <stdlib.h>

#define FUNCTION(name, code)                                                                       \
    __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" code "\n.size " #name \
            ", . - " #name "\n")

long only_returns(long x);
long pad_and_return(long x);
long only_jumps(long x);
long jumps_if_zero(long x);
long twice(long x);

FUNCTION(only_returns, "ret");
FUNCTION(pad_and_return, "endbr64; ret");
FUNCTION(only_jumps, "jmp twice");
/* The caller sets the flags. */
FUNCTION(jumps_if_zero, "je twice; lea 1(%rdi), %rax; ret");

TRACED long twice(long x)
{
    BARRIER();
    return x * 2;
}

/* Calls jumps_if_zero with the zero flag telling whether x is 0. */
static long branch(long x)
{
    long result;

    __asm__ volatile("test %%rdi, %%rdi; call jumps_if_zero"
                     : "=a"(result), "+D"(x)
                     :
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory");
    return result;
}

TRACED long around(long x)
{
    long y = only_jumps(x) + pad_and_return(x) * 0 + only_returns(x) * 0;

    BARRIER();
    return y;
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 1000, total = 0, zeros = 0;

    ready();
    for (long i = 0; i < times; i++) {
        total += around(i) + branch(i % 3);
        zeros += i % 3 == 0;
    }
    truth("only_returns", times, 0, 0);
    truth("pad_and_return", times, 0, 0);
    truth("only_jumps", times, 0, 0);
    truth("jumps_if_zero", times, 0, 0);
    truth("twice", times + zeros, 0, 0);
    truth("around", times, 0, 0);
    value("total", total);
    finish();
    return 0;
}
