/* Calls `step` at a steady rate, in time slices of 10 ms, so that any part of the time holds its share
 * of the calls. Says how long the calls took by its own clock. */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { SLICE_NS = 10 * 1000 * 1000 };

static long long now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void sleep_until(long long ns)
{
    struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, 0) == EINTR)
        ;
}

/* Spins for some microseconds. */
TRACED long step(long spin_ns)
{
    long long end = now_ns() + spin_ns;
    long rounds = 0;

    while (now_ns() < end)
        rounds++;
    BARRIER();
    return rounds;
}

TRACED long seldom(long x)
{
    BARRIER();
    return x + 1;
}

int main(int argc, char **argv)
{
    long slices = argc > 1 ? atol(argv[1]) : 100, each = argc > 2 ? atol(argv[2]) : 10;
    long spin_ns = argc > 3 ? atol(argv[3]) : 20000;
    long long start, total = 0;

    ready();
    start = now_ns();
    for (long slice = 0; slice < slices; slice++) {
        long long before;

        sleep_until(start + slice * SLICE_NS);
        before = now_ns();
        for (long i = 0; i < each; i++)
            step(spin_ns);
        total += now_ns() - before;
        if (slice % 50 == 0)
            seldom(slice);
    }
    truth("step", slices * each, 0, 0);
    truth("seldom", (slices + 49) / 50, 0, 0);
    value("step_around_ns", total);
    finish();
    return 0;
}
