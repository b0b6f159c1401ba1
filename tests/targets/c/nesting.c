/* Nested calls that spin for known times. What a function spends itself is measured in it, and the
 * whole around it, so that the truth of its self time is an interval. Times in ns. */
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

static long long spun(long long ns)
{
    long long start = now(), end;

    do
        end = now();
    while (end - start < ns);
    return end - start;
}

enum { OWN_NS = 400000, INNER_NS = 200000 };

static long long outer_inside, inner_inside, down_inside, ping_inside, pong_inside;

TRACED void inner(void)
{
    inner_inside += spun(INNER_NS);
    BARRIER();
}

TRACED void outer(long times)
{
    outer_inside += spun(OWN_NS / 2);
    for (long i = 0; i < times; i++)
        inner();
    outer_inside += spun(OWN_NS / 2);
    BARRIER();
}

TRACED void down(long depth)
{
    down_inside += spun(INNER_NS);
    if (depth > 1)
        down(depth - 1);
    BARRIER();
}

TRACED void pong(long depth);

TRACED void ping(long depth)
{
    ping_inside += spun(INNER_NS);
    if (depth > 1)
        pong(depth - 1);
    BARRIER();
}

TRACED void pong(long depth)
{
    pong_inside += spun(INNER_NS);
    if (depth > 1)
        ping(depth - 1);
    BARRIER();
}

int main(int argc, char **argv)
{
    long calls = argc > 1 ? atol(argv[1]) : 20, times = argc > 2 ? atol(argv[2]) : 5;
    long long start, outer_around = 0, down_around = 0, ping_around = 0;

    ready();
    for (long i = 0; i < calls; i++) {
        start = now();
        outer(times);
        outer_around += now() - start;
        start = now();
        down(times);
        down_around += now() - start;
        start = now();
        ping(2 * times);
        ping_around += now() - start;
    }
    truth("outer", calls, 0, 0);
    truth("inner", calls * times, 0, 0);
    truth("down", calls * times, 0, 0);
    truth("ping", calls * times, 0, 0);
    truth("pong", calls * times, 0, 0);
    value("outer_inside_ns", outer_inside);
    value("inner_inside_ns", inner_inside);
    value("down_inside_ns", down_inside);
    value("ping_inside_ns", ping_inside);
    value("pong_inside_ns", pong_inside);
    value("outer_around_ns", outer_around);
    value("down_around_ns", down_around);
    value("ping_around_ns", ping_around);
    finish();
    return 0;
}
