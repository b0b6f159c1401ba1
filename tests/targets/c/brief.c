/* Processes that end soon after their only call. */
#define _GNU_SOURCE
#include "harness.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

TRACED void work(long ms)
{
    long long end = cpu_ns() + ms * 1000000LL;

    while (cpu_ns() < end)
        BARRIER();
}

TRACED void lives(long ms)
{
    work(ms);
    BARRIER();
}

int main(int argc, char **argv)
{
    long processes = atol(argv[1]), ms = atol(argv[2]);

    (void)argc;
    ready();
    for (long i = 0; i < processes; i++) {
        pid_t child = fork();

        if (child == 0) {
            lives(ms);
            _exit(0);
        }
        waitpid(child, 0, 0);
    }
    truth("work", processes, 0, 0);
    finish();
    return 0;
}
