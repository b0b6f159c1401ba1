/* Signals at a high rate, at any instruction of traced functions, with handlers that call traced
 * functions themselves, on the normal stack. Each thread has a timer of its own. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static long wanted, iterations, interval_ns;
static __thread volatile long handled;
static __thread volatile long answers;

TRACED long leaf(long x)
{
    return x * 3 + 1;
}

TRACED long in_handler(long x)
{
    return leaf(x) + 1;
}

static void handler(int signal)
{
    (void)signal;
    if (handled >= wanted)
        return;
    handled++;
    answers += in_handler(handled);
}

TRACED long recurse(long depth)
{
    long below = depth > 0 ? recurse(depth - 1) : 0;

    BARRIER();
    return below + leaf(depth);
}

TRACED long outer(long x)
{
    long sum = 0;

    /* Long enough that most signals come in here, also when nobody watches. */
    for (volatile int i = 0; i < 2000; i++)
        sum += i;
    return sum + recurse(x % 4);
}

static void *run(void *unused)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec interval = {{0, interval_ns}, {0, interval_ns}};
    sigset_t none;
    timer_t timer;
    long sum = 0;

    (void)unused;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
        abort();
    timer_settime(timer, 0, &interval, 0);
    for (long i = 0; i < iterations; i++)
        sum += outer(i);
    sigemptyset(&none);
    while (handled < wanted)
        ;
    timer_delete(timer);
    return (void *)(sum + answers);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    long threads = argc > 3 ? atol(argv[3]) : 2, total = 0;
    pthread_t ids[16];

    wanted = argc > 1 ? atol(argv[1]) : 1000;
    iterations = argc > 2 ? atol(argv[2]) : 20000;
    interval_ns = argc > 4 ? atol(argv[4]) : 100000;
    sigaction(SIGUSR1, &action, 0);
    ready();
    for (long i = 0; i < threads; i++)
        pthread_create(&ids[i], 0, run, 0);
    for (long i = 0; i < threads; i++) {
        void *sum;

        pthread_join(ids[i], &sum);
        total += (long)sum;
    }
    long levels = iterations / 4 * (1 + 2 + 3 + 4);
    truth("outer", threads * iterations, 0, 0);
    truth("recurse", threads * levels, 0, 0);
    truth("in_handler", threads * wanted, 0, 0);
    truth("leaf", threads * (levels + wanted), 0, 0);
    value("total", total);
    finish();
    return 0;
}
