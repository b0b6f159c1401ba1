// Calls that an exception leaves, and what happens afterwards, until nothing traced is called any more.
#include "../c/harness.h"

#include <cstdlib>
#include <time.h>

static long long now()
{
    timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void busy(long long ns)
{
    for (long long start = now(); now() - start < ns;)
        for (int i = 0; i < 20000; i++)
            BARRIER();
}

static void nap(long long ns)
{
    timespec time = {ns / 1000000000, ns % 1000000000};

    nanosleep(&time, nullptr);
}

__attribute__((noinline, noipa)) void afterwards(long long ns)
{
    busy(ns);
    nap(ns / 4);
    BARRIER();
}

__attribute__((noinline, noipa)) void cleans_up(long long ns)
{
    busy(ns);
    nap(ns / 4);
    BARRIER();
}

TRACED void throws()
{
    throw 1;
}

TRACED void deeper(long depth)
{
    if (depth == 0)
        throws();
    else
        deeper(depth - 1);
    BARRIER();
}

TRACED void catches(long long ns)
{
    try {
        deeper(3);
    } catch (int) {
        cleans_up(ns);
    }
    BARRIER();
}

int main(int argc, char **argv)
{
    long long ns = (argc > 1 ? atol(argv[1]) : 100) * 1000000LL;

    ready();
    catches(ns);
    try {
        deeper(3);
    } catch (int) {
        afterwards(ns);
    }
    truth("catches", 1, 0, 0);
    truth("deeper", 0, 4, 4);
    truth("throws", 0, 1, 1);
    finish();
}
