/* A process whose first thread ends, and that goes on. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

TRACED void work(void)
{
    usleep(5000);
    BARRIER();
}

static pthread_t leader;
static long calls;

static void *goes_on(void *unused)
{
    (void)unused;
    pthread_join(leader, 0);
    for (long i = 0; i < calls; i++)
        work();
    truth("work", calls, 0, 0);
    finish();
    exit(0);
}

int main(int argc, char **argv)
{
    pthread_t thread;

    (void)argc;
    calls = atol(argv[1]);
    leader = pthread_self();
    ready();
    pthread_create(&thread, 0, goes_on, 0);
    pthread_exit(0);
}
