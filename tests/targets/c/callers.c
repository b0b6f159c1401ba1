/* One function that spins and sleeps, called in turns from two others. */
#define _GNU_SOURCE
#include "harness.h"

#include <time.h>

#define TURNS 10
#define SPIN_NS 30000000
#define NAP_NS 5000000

static long long used(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void nap(void)
{
    struct timespec time = {0, NAP_NS};

    nanosleep(&time, 0);
    BARRIER();
}

TRACED void work(void)
{
    long long start = used();

    /* Two naps and two spins, so that the first of either kind is not the only one of a call. */
    nap();
    while (used() - start < SPIN_NS / 2)
        BARRIER();
    nap();
    while (used() - start < SPIN_NS)
        BARRIER();
    BARRIER();
}

TRACED void one(void)
{
    work();
    BARRIER();
}

TRACED void other(void)
{
    work();
    BARRIER();
}

int main(void)
{
    ready();
    for (int i = 0; i < TURNS; i++) {
        one();
        other();
    }
    truth("work", 2 * TURNS, 0, 0);
    value("spun_ns", (long long)TURNS * SPIN_NS);
    value("slept_ns", 2LL * TURNS * NAP_NS);
    finish();
    return 0;
}
