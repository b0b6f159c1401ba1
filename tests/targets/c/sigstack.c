/* Signal handlers on alternate stacks: below the interrupted stack in memory, above it, in static
 * memory, on the heap. They call traced functions and may leave with a jump. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PART = 256 * 1024 };

static __thread sigjmp_buf landing;
static __thread long leaves, depth, handled;
static __thread char *alternate;

TRACED long leaf(long x)
{
    return x * 3 + 1;
}

TRACED long on_alternate(long below)
{
    long sum = below == 0 ? leaf(depth) : on_alternate(below - 1);

    BARRIER();
    return sum + 1;
}

/* Runs on the alternate stack as well, above the frames of the first handler. */
TRACED long in_second_handler(long x)
{
    return leaf(x) + 1;
}

static void second_handler(int signal)
{
    handled += in_second_handler(signal);
}

/* Its frame is what a jump leaves, on a stack that nothing else unwinds. */
TRACED long in_handler(int signal)
{
    long sum = on_alternate(depth);

    raise(SIGUSR2);
    if (leaves)
        siglongjmp(landing, 1);
    BARRIER();
    return sum + signal;
}

static void handler(int signal)
{
    char here;

    if ((uintptr_t)&here - (uintptr_t)alternate >= PART)
        abort();
    handled += in_handler(signal);
}

TRACED long on_normal(long below)
{
    long sum;

    if (below == 0) {
        raise(SIGUSR1);
        sum = leaf(1);
    } else {
        sum = on_normal(below - 1);
    }
    BARRIER();
    return sum + leaf(below);
}

TRACED long begins(long below)
{
    if (sigsetjmp(landing, 1))
        return -1;
    return on_normal(below);
}

static long times, normal_depth = 3;

static void *run(void *stack)
{
    stack_t description = {.ss_sp = stack, .ss_size = PART}, none = {.ss_flags = SS_DISABLE};
    long total = 0;

    alternate = stack;
    depth = 5;
    if (sigaltstack(&description, 0) != 0)
        abort();
    for (long i = 0; i < times; i++) {
        leaves = i % 3 == 1;
        total += begins(normal_depth);
        total += on_alternate(2);
    }
    sigaltstack(&none, 0);
    return (void *)(total + handled);
}

/* A thread whose stack is in the middle of `region`, between two alternate ones. */
static long in_thread(char *region, long above)
{
    pthread_attr_t attributes;
    pthread_t id;
    void *total;

    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, region + PART, PART);
    if (pthread_create(&id, &attributes, run, above ? region + 2 * PART : region) != 0)
        abort();
    pthread_join(id, &total);
    return (long)total;
}

int main(int argc, char **argv)
{
    static char fixed[PART];
    char *heap = malloc(PART);
    char *region = mmap(0, 3 * PART, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    long total = 0, left, stayed, runs = 6;

    times = argc > 1 ? atol(argv[1]) : 30;
    sigaction(SIGUSR1, &action, 0);
    action.sa_handler = second_handler;
    sigaction(SIGUSR2, &action, 0);
    ready();
    for (long i = 0; i < 2; i++) {
        total += in_thread(region, 0);
        total += in_thread(region, 1);
    }
    total += (long)run(fixed);
    handled = 0;
    total += (long)run(heap);
    left = runs * ((times + 1) / 3);
    stayed = runs * times - left;
    truth("begins", runs * times, 0, 0);
    truth("on_normal", stayed * (normal_depth + 1), left * (normal_depth + 1), 0);
    truth("in_handler", stayed, left, 0);
    truth("in_second_handler", runs * times, 0, 0);
    truth("on_alternate", runs * times * (6 + 3), 0, 0);
    truth("leaf", runs * times * 3 + stayed * (normal_depth + 2), 0, 0);
    value("total", total);
    finish();
    return 0;
}
