/* Calls that are slow for two reasons: they spin, then they sleep. */
#define _GNU_SOURCE
#include "harness.h"

#include <stdlib.h>
#include <time.h>

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

__attribute__((noinline, noclone, noipa)) void spins(long long ns)
{
    long long start = now();

    while (now() - start < ns)
        /* Most of the time here and not in the clock. */
        for (int i = 0; i < 20000; i++)
            BARRIER();
    BARRIER();
}

__attribute__((noinline, noclone, noipa)) void naps(long long ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};

    nanosleep(&time, 0);
    BARRIER();
}

TRACED void slow_call(void)
{
    spins(10000000);
    naps(20000000);
    BARRIER();
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 10;

    ready();
    for (long i = 0; i < times; i++)
        slow_call();
    truth("slow_call", times, 0, 0);
    finish();
    return 0;
}
