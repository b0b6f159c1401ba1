/* Works from the start until told "go", calling two functions in turns of its own choice: SIGUSR1 goes on from
 * one to the other. Each is called from several depths, so that its calls have as many stacks. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define EARLY_DEPTHS 40
#define LATE_DEPTHS 3

static volatile int stop;
static volatile sig_atomic_t late;
static long early_calls, late_calls;

TRACED void early_work(void)
{
    early_calls++;
    BARRIER();
}

TRACED void late_work(void)
{
    late_calls++;
    BARRIER();
}

__attribute__((noinline, noclone, noipa)) static void early_path(long depth)
{
    if (depth > 1)
        early_path(depth - 1);
    else
        early_work();
    BARRIER();
}

__attribute__((noinline, noclone, noipa)) static void late_path(long depth)
{
    if (depth > 1)
        late_path(depth - 1);
    else
        late_work();
    BARRIER();
}

static void turn(int signal)
{
    (void)signal;
    late = !late;
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
    struct sigaction action = {.sa_handler = turn, .sa_flags = SA_RESTART};
    struct timespec pause = {0, 2000000};
    pthread_t waiter;

    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&waiter, NULL, wait_for_go, NULL);
    for (long i = 0; !stop; i++) {
        if (late)
            late_path(1 + i % LATE_DEPTHS);
        else
            early_path(1 + i % EARLY_DEPTHS);
        nanosleep(&pause, NULL);
    }
    pthread_join(waiter, NULL);
    truth("early_work", early_calls, 0, 0);
    truth("late_work", late_calls, 0, 0);
    finish();
    return 0;
}
