/* Works from the start until told "go": one function is called far more often than the others, one
 * takes most of the time, one is called about once a second, among a hundred others. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <time.h>

static volatile int stop;
static long hot_calls, slow_calls, rare_calls, other_calls;

TRACED long hot(long x)
{
    hot_calls++;
    BARRIER();
    return x + 1;
}

TRACED void slow(void)
{
    struct timespec time = {0, 3000000};

    slow_calls++;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
    BARRIER();
}

TRACED void rarely(void)
{
    rare_calls++;
    BARRIER();
}

#define OTHER(tens, ones)                                                                          \
    TRACED long other_##tens##ones(long x)                                                         \
    {                                                                                              \
        other_calls++;                                                                             \
        BARRIER();                                                                                 \
        return x + 1;                                                                              \
    }
#define TEN(tens)                                                                                  \
    OTHER(tens, 0) OTHER(tens, 1) OTHER(tens, 2) OTHER(tens, 3) OTHER(tens, 4)                     \
    OTHER(tens, 5) OTHER(tens, 6) OTHER(tens, 7) OTHER(tens, 8) OTHER(tens, 9)
TEN(0) TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9)

#define CALL(tens, ones) x = other_##tens##ones(x);
#define CALL_TEN(tens)                                                                             \
    CALL(tens, 0) CALL(tens, 1) CALL(tens, 2) CALL(tens, 3) CALL(tens, 4)                          \
    CALL(tens, 5) CALL(tens, 6) CALL(tens, 7) CALL(tens, 8) CALL(tens, 9)

static long others(long x)
{
    CALL_TEN(0) CALL_TEN(1) CALL_TEN(2) CALL_TEN(3) CALL_TEN(4)
    CALL_TEN(5) CALL_TEN(6) CALL_TEN(7) CALL_TEN(8) CALL_TEN(9)
    return x;
}

static void *wait_for_go(void *unused)
{
    (void)unused;
    ready();
    stop = 1;
    return NULL;
}

int main(void)
{
    pthread_t waiter;
    struct timespec now;
    long x = 0;
    time_t rare_at = 0;

    pthread_create(&waiter, NULL, wait_for_go, NULL);
    while (!stop) {
        for (int i = 0; i < 5000; i++)
            x = hot(x);
        x = others(x);
        slow();
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec != rare_at) {
            rarely();
            rare_at = now.tv_sec;
        }
    }
    pthread_join(waiter, NULL);
    truth("hot", hot_calls, 0, 0);
    truth("slow", slow_calls, 0, 0);
    truth("rarely", rare_calls, 0, 0);
    value("sum", x);
    value("expected", hot_calls + other_calls);
    finish();
    return 0;
}
