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

TRACED int empty_function(int x);
__asm__(".globl empty_function\n.type empty_function, @function\nempty_function: ret\n"
        ".size empty_function, .-empty_function\n");

int main(void)
{
    ready();
    printf("%d\n", chosen_at_load(first_user(1)) + second_user(2) + handle_request(3) +
                       handle_response(4) + empty_function(5));
    finish();
    return 0;
}
