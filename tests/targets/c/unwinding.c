/* A traced function that is reached through a callback of the C library, from a thread of its own
 * and from the initial one, on a stack of known depth; and that waits inside the C library.
 * Valid as C and as C++. */
#define _GNU_SOURCE
#include "harness.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long sink;
static int pipe_ends[2];

/* Where a debugger stops. */
TRACED void waits(int how)
{
    /* More registers than are free, so that callers' are saved. */
    long values[16];

    for (int i = 0; i < 16; i++)
        values[i] = sink + i * how;
    BARRIER();
    if (how == 1) {
        struct timespec time = {0, 30000000};
        nanosleep(&time, 0);
    } else if (how == 2) {
        struct timespec time = {0, 30000000};
        int word = 0;
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time, 0, 0);
    } else if (how == 3) {
        char byte;
        sink += read(pipe_ends[0], &byte, 1);
    }
    for (int i = 0; i < 16; i++)
        sink += values[i];
    BARRIER();
}

static int how_now;

/* Compares, and waits on the way. */
__attribute__((noinline)) static int compares(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;

    waits(how_now);
    BARRIER();
    return (a > b) - (a < b);
}

/* A frame whose size is known at run time only, and an aligned one. */
__attribute__((noinline)) static void sorts(int count)
{
    int numbers[count];
    long aligned[8] __attribute__((aligned(64)));

    for (int i = 0; i < count; i++)
        numbers[i] = count - i;
    aligned[0] = count;
    sink += (long)(aligned + sink % 2);
    qsort(numbers, (size_t)count, sizeof numbers[0], compares);
    sink += numbers[0] + aligned[0];
    BARRIER();
}

__attribute__((noinline)) static void descends(int depth, int count)
{
    long here[4];

    memset(here, depth, sizeof here);
    sink += here[depth & 3];
    if (depth == 0)
        sorts(count);
    else
        descends(depth - 1, count);
    sink += here[1];
    BARRIER();
}

static void *feeds(void *nothing)
{
    for (;;) {
        struct timespec time = {0, 10000000};
        nanosleep(&time, 0);
        if (write(pipe_ends[1], "x", 1) != 1)
            return nothing;
    }
}

static void *in_thread(void *nothing)
{
    descends(3, 2);
    return nothing;
}

int main(int argc, char **argv)
{
    int depth = argc > 1 ? atoi(argv[1]) : 5;
    long calls = 0;
    pthread_t thread;

    if (pipe(pipe_ends) != 0)
        return 1;
    ready();
    pthread_create(&thread, 0, feeds, 0);
    for (how_now = 0; how_now < 4; how_now++) {
        descends(depth, 2);
        calls++;
        pthread_create(&thread, 0, in_thread, 0);
        pthread_join(thread, 0);
        calls++;
    }
    truth("waits", calls, 0, 0);
    finish();
    return 0;
}
