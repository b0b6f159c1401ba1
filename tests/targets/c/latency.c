/* Calls of known duration. Each is timed inside the function and around it, so that the truth is
 * an interval: inside <= what a tracer sees <= around. Times in ns of CLOCK_MONOTONIC. */
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

struct span {
    long long min, max, sum;
};

static void add(struct span *span, long long ns)
{
    if (span->sum == 0 || ns < span->min)
        span->min = ns;
    if (ns > span->max)
        span->max = ns;
    span->sum += ns;
}

static struct span inside_spin, inside_sleep;

TRACED void spins(long long ns)
{
    long long start = now(), end;

    do
        end = now();
    while (end - start < ns);
    add(&inside_spin, end - start);
    BARRIER();
}

TRACED void sleeps(long long ns)
{
    long long start = now();
    struct timespec time = {ns / 1000000000, ns % 1000000000};

    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
    add(&inside_sleep, now() - start);
    BARRIER();
}

static void report(const char *kind[3], struct span span)
{
    value(kind[0], span.min);
    value(kind[1], span.max);
    value(kind[2], span.sum);
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 50;
    struct span around_spin = {0}, around_sleep = {0};

    ready();
    for (long i = 0; i < times; i++) {
        long long ns = 100000 + i * 20000, start = now();

        spins(ns);
        add(&around_spin, now() - start);
        start = now();
        sleeps(ns);
        add(&around_sleep, now() - start);
    }
    truth("spins", times, 0, 0);
    truth("sleeps", times, 0, 0);
    report((const char *[]){"spins_inside_min", "spins_inside_max", "spins_inside_sum"}, inside_spin);
    report((const char *[]){"spins_around_min", "spins_around_max", "spins_around_sum"}, around_spin);
    report((const char *[]){"sleeps_inside_min", "sleeps_inside_max", "sleeps_inside_sum"}, inside_sleep);
    report((const char *[]){"sleeps_around_min", "sleeps_around_max", "sleeps_around_sum"}, around_sleep);
    finish();
    return 0;
}
