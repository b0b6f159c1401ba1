/* A traced function that the C library calls back, on the initial thread and on another, and
 * from a signal handler, and that waits inside the C library. Valid as C and as C++. */
#define _GNU_SOURCE
#include "harness.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Ways to wait. */
enum { NOT_AT_ALL, SLEEPING, FUTEX, READING, SIGNALLED, WAYS };

static volatile long sink;
static volatile int way;
static int ends[2];
static int filler;

TRACED void waits(int how)
{
    struct timespec time = {0, 20000000};
    /* More registers than are free, so that those of callers are saved. */
    long values[16];
    char byte;
    int word = 0;

    for (int i = 0; i < 16; i++)
        values[i] = sink + i * how;
    BARRIER();
    if (how == SLEEPING)
        nanosleep(&time, 0);
    else if (how == FUTEX)
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, 0, 0);
    else if (how == READING)
        sink += read(ends[0], &byte, 1);
    for (int i = 0; i < 16; i++)
        sink += values[i];
    BARRIER();
}

static void handles(int signal)
{
    waits(SLEEPING + signal * 0);
    BARRIER();
}

static int compares(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;

    if (way == SIGNALLED)
        raise(SIGUSR1);
    else
        waits(way);
    BARRIER();
    return (a > b) - (a < b);
}

/* Frames whose size is known at run time only, and one that is aligned. */
TRACED void sorts(int count)
{
    int numbers[count];
    char fill[filler + 1];
    long aligned[8] __attribute__((aligned(64)));

    for (int i = 0; i < count; i++)
        numbers[i] = count - i;
    memset(fill, count, (size_t)filler + 1);
    aligned[0] = count + fill[filler / 2];
    sink += (long)(aligned + sink % 2);
    qsort(numbers, (size_t)count, sizeof numbers[0], compares);
    sink += numbers[0] + aligned[0];
    BARRIER();
}

TRACED void descends(int depth)
{
    long here[4];

    memset(here, depth, sizeof here);
    sink += here[depth & 3];
    if (depth == 0)
        sorts(4);
    else
        descends(depth - 1);
    sink += here[1];
    BARRIER();
}

static void *in_thread(void *nothing)
{
    descends(3);
    BARRIER();
    return nothing;
}

int main(int argc, char **argv)
{
    struct timeval patience = {0, 20000};
    pthread_t thread;

    filler = argc > 1 ? atoi(argv[1]) : 0;
    /* Nobody writes, so each read waits until it is out of patience. */
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ||
        setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return 1;
    signal(SIGUSR1, handles);
    ready();
    for (way = NOT_AT_ALL; way < WAYS; way = way + 1) {
        descends(5);
        pthread_create(&thread, 0, in_thread, 0);
        pthread_join(thread, 0);
    }
    truth("descends", 6 * WAYS + 4 * WAYS, 0, 0);
    finish();
    return 0;
}
