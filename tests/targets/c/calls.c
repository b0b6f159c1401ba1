/* Calls that just return: in many threads, nested, deep, leaving by a jump. */
#include "harness.h"
#include "scenarios.h"

#include <pthread.h>
#include <stdlib.h>

TRACED long leaf(long x)
{
    return x * 3 + 1;
}

TRACED long caller(long x)
{
    long y = leaf(x);

    BARRIER();
    return y + leaf(y & 7);
}

static void *call_many(void *sum)
{
    long calls = argument(1, 1000);

    for (long i = 0; i < calls; i++)
        *(long *)sum += caller(i);
    return 0;
}

void plain_calls(void)
{
    long threads = argument(0, 8), calls = argument(1, 1000), total = 0;
    pthread_t *ids = calloc(threads, sizeof *ids);
    long *sums = calloc(threads, sizeof *sums);

    ready();
    for (long i = 0; i < threads; i++)
        pthread_create(&ids[i], 0, call_many, &sums[i]);
    for (long i = 0; i < threads; i++) {
        pthread_join(ids[i], 0);
        total += sums[i];
    }
    truth("caller", threads * calls, 0, 0);
    truth("leaf", threads * calls * 2, 0, 0);
    value("total", total);
}

TRACED long recurse(long depth)
{
    long below;

    if (depth <= 1)
        return 1;
    below = recurse(depth - 1);
    BARRIER();
    return below + 1;
}

void recursion(void)
{
    long depth = argument(0, 5000), times = argument(1, 3), total = 0;

    ready();
    for (long i = 0; i < times; i++)
        total += recurse(depth);
    truth("recurse", depth * times, 0, 0);
    value("total", total);
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

void mutual_recursion(void)
{
    long n = argument(0, 100), times = argument(1, 10), even = 0;

    ready();
    for (long i = 0; i < times; i++)
        even += is_even(n);
    truth("is_even", (n / 2 + 1) * times, 0, 0);
    truth("is_odd", (n + 1) / 2 * times, 0, 0);
    value("even", even);
}

TRACED long last(long x)
{
    return x ^ 0x55;
}

/* A sibling call when optimised, an ordinary one when not. */
TRACED long passes_on(long x)
{
    return last(x + 1);
}

/* Compilers make a conditional jump to another function only now and then. */
long sometimes_passes_on(long x);
__asm__(".text\n"
        ".globl sometimes_passes_on\n"
        ".type sometimes_passes_on, @function\n"
        "sometimes_passes_on:\n"
        "    mov %rdi, %rax\n"
        "    test $1, %edi\n"
        "    jne last\n"
        "    ret\n"
        ".size sometimes_passes_on, .-sometimes_passes_on\n");

long (*volatile pointer)(long) = last;

TRACED long passes_on_through_pointer(long x)
{
    return pointer(x ^ 1);
}

void tail_calls(void)
{
    long times = argument(0, 1000), total = 0;

    ready();
    for (long i = 0; i < times; i++)
        total += passes_on(i) + sometimes_passes_on(i) + passes_on_through_pointer(i);
    truth("passes_on", times, 0, 0);
    truth("sometimes_passes_on", times, 0, 0);
    truth("passes_on_through_pointer", times, 0, 0);
    truth("last", times * 2 + times / 2, 0, 0);
    value("total", total);
}

TRACED long dispatch(long n)
{
    switch (n % 10) {
    case 0: return leaf(n);
    case 1: return n + 17;
    case 2: return leaf(leaf(n));
    case 3: return n ^ 99;
    case 4: return n * n;
    case 5: return leaf(n + 5);
    case 6: return n << 3;
    case 7: return leaf(n) - 1;
    case 8: return ~n;
    default: return 0;
    }
}

void jump_table(void)
{
    long times = argument(0, 100) * 10, total = 0;

    ready();
    for (long i = 0; i < times; i++)
        total += dispatch(i);
    truth("dispatch", times, 0, 0);
    truth("leaf", times / 10 * 5, 0, 0);
    value("total", total);
}

static volatile long complaints;

__attribute__((cold, noinline)) static void complain(long n)
{
    complaints += n;
}

/* When optimised, the unlikely branch and its return move to another section. */
TRACED long usually_quick(long n)
{
    if (__builtin_expect(n % 64 == 0, 0)) {
        complain(n);
        complain(n + 1);
        return -n;
    }
    return n + leaf(n);
}

void cold_parts(void)
{
    long times = argument(0, 64) * 64, total = 0;

    ready();
    for (long i = 0; i < times; i++)
        total += usually_quick(i);
    truth("usually_quick", times, 0, 0);
    truth("leaf", times - times / 64, 0, 0);
    value("total", total + complaints);
}
