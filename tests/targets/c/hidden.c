/* Functions that cannot be probed as such: chosen at load time, or inlined everywhere. */
#include "harness.h"

#include <stdio.h>

static int plain(int x)
{
    return x + 1;
}

static int (*choose(void))(int)
{
    return plain;
}

int chosen_at_load(int x) __attribute__((ifunc("choose")));

__attribute__((always_inline)) static inline int inlined_everywhere(int x)
{
    return x * 7;
}

TRACED int first_user(int x)
{
    return inlined_everywhere(x) + 1;
}

TRACED int second_user(int x)
{
    return inlined_everywhere(x) + 2;
}

/* Two functions that a pattern can mean at once. */
TRACED int handle_request(int x)
{
    return x + 2;
}

TRACED int handle_response(int x)
{
    return x + 3;
}

/* Data that no instruction begins with, behind a jump. */
TRACED int mixed_function(int x);
__asm__(".globl mixed_function\n.type mixed_function, @function\n"
        "mixed_function: push %rbx\njmp 1f\n.byte 6, 6, 6, 6\n1: lea 1(%rdi), %eax\npop %rbx\nret\n"
        ".size mixed_function, .-mixed_function\n");

int main(void)
{
    ready();
    printf("%d\n", chosen_at_load(first_user(1)) + second_user(2) + handle_request(3) +
                       handle_response(4) + mixed_function(5));
    finish();
    return 0;
}
