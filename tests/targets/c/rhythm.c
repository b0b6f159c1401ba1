/* One traced call after another, and between them work that nothing traced is part of, from the same
 * place on the stack. */
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

__attribute__((noinline, noclone, noipa)) void naps(long long ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};

    nanosleep(&time, 0);
    BARRIER();
}

/* Short waits, and one of a millisecond and more. */
TRACED void works(long long ns)
{
    for (int i = 0; i < 10; i++)
        naps(20000);
    naps(ns);
    BARRIER();
}

__attribute__((noinline, noclone, noipa)) void elsewhere(long long ns)
{
    naps(ns);
    BARRIER();
}

int main(int argc, char **argv)
{
    long long ms = (argc > 1 ? atol(argv[1]) : 100) * 1000000LL, end;
    long times = 0;

    ready();
    for (end = now() + ms; now() < end; times++) {
        works(2000000);
        elsewhere(1500000);
    }
    truth("works", times, 0, 0);
    finish();
    return 0;
}
