/* A plain program, and, by -D, one thing in it that decides how the ends of calls can be seen. */
#define _GNU_SOURCE
#include "harness.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unwind.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

TRACED long work(long x)
{
    BARRIER();
    return x * 3 + 1;
}

#ifdef RECURSION
TRACED long recurse(long depth)
{
    long below = depth > 1 ? recurse(depth - 1) : 0;

    BARRIER();
    return below + 1;
}

TRACED long is_odd(long n);

TRACED long is_even(long n)
{
    long result = n == 0 ? 1 : is_odd(n - 1);

    BARRIER();
    return result;
}

TRACED long is_odd(long n)
{
    long result = n == 0 ? 0 : is_even(n - 1);

    BARRIER();
    return result;
}
#endif

#ifdef POINTER
/* Recursion that cannot be seen in the code. */
TRACED long hops(long depth);
static long (*volatile next)(long) = hops;

TRACED long hops(long depth)
{
    long below = depth > 1 ? next(depth - 1) : 0;

    BARRIER();
    return below + 1;
}
#endif

#ifdef TAIL
/* Both calls return to the same place. */
TRACED long passes_on(long x)
{
    return work(x + 1);
}
#endif

#ifdef JUMP
static jmp_buf landing;

TRACED long jumps(long x)
{
    long result;

    if (x % 2)
        longjmp(landing, 1);
    result = work(x);
    BARRIER();
    return result;
}

TRACED long passes(long x)
{
    long result = jumps(x);

    BARRIER();
    return result + 1;
}

TRACED long lands(long x)
{
    if (setjmp(landing))
        return -1;
    return passes(x);
}
#endif

#ifdef ASSEMBLY
/* Nothing says what this does but its instructions. */
void switch_stack(void **save, void *load);
__asm__(".text\n"
        ".globl switch_stack\n"
        ".type switch_stack, @function\n"
        "switch_stack:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size switch_stack, .-switch_stack\n");
#endif

#ifdef SECCOMP
static void confine(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = 1, .filter = &allow};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        abort();
}
#endif

#ifdef UNWIND
static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *count)
{
    (void)context;
    ++*(long *)count;
    return _URC_NO_REASON;
}
#endif

#ifdef LIBRARY
void leaves_thread(void);
#endif

/* Imports what it never does. */
static void never(void)
{
#ifdef PTHREAD_EXIT
    pthread_exit(0);
#endif
#ifdef PTHREAD_CANCEL
    pthread_cancel(pthread_self());
#endif
#ifdef CONTEXT
    ucontext_t here, there;

    getcontext(&here);
    makecontext(&there, never, 0);
    swapcontext(&here, &there);
#endif
#ifdef ALTERNATE
    stack_t stack = {.ss_flags = SS_DISABLE};

    sigaltstack(&stack, 0);
#endif
#ifdef DLOPEN
    dlopen("libm.so.6", RTLD_NOW);
#endif
#ifdef RAISE
    static struct _Unwind_Exception exception;

    _Unwind_RaiseException(&exception);
#endif
#ifdef UNWIND
    long frames = 0;

    _Unwind_Backtrace(visit, &frames);
#endif
#ifdef BACKTRACE
    void *frames[8];

    backtrace(frames, 8);
#endif
#ifdef ASSEMBLY
    void *saved, *other = 0;

    switch_stack(&saved, other);
#endif
#ifdef LIBRARY
    leaves_thread();
#endif
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 100, depth = argc > 2 ? atol(argv[2]) : 200, total = 0;

    if (argc > 9)
        never();
#ifdef SECCOMP
    confine();
#endif
    ready();
    for (long i = 0; i < times; i++)
        total += work(i);
#ifdef RECURSION
    for (long i = 0; i < times; i++)
        total += recurse(depth) + is_even(2 * depth);
    truth("recurse", times * depth, 0, 0);
    truth("is_even", times * (depth + 1), 0, 0);
    truth("is_odd", times * depth, 0, 0);
#endif
#ifdef POINTER
    for (long i = 0; i < times; i++)
        total += hops(depth);
    truth("hops", times * depth, 0, 0);
#endif
#ifdef JUMP
    for (long i = 0; i < times; i++)
        total += lands(i);
    truth("lands", times, 0, 0);
    truth("passes", times - times / 2, times / 2, 0);
    truth("jumps", times - times / 2, times / 2, 0);
    truth("work", times + times - times / 2, 0, 0);
#elif defined TAIL
    for (long i = 0; i < times; i++)
        total += passes_on(i);
    truth("passes_on", times, 0, 0);
    truth("work", 2 * times, 0, 0);
#else
    truth("work", times, 0, 0);
#endif
    value("total", total);
    value("depth", depth);
    finish();
    return 0;
}
