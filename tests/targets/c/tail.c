/* Calls of which one in fifty is slow, for a reason named by the first argument. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOW_MS 12

static pthread_mutex_t stock = PTHREAD_MUTEX_INITIALIZER;
static int start[2], held[2], slow_pipe[2];
static volatile unsigned sink;

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&time, &time) != 0)
        ;
}

static void must(int good)
{
    if (!good)
        abort();
}

/* Waits for a byte. */
static char take(int fd)
{
    char byte = 0;

    must(read(fd, &byte, 1) == 1);
    return byte;
}

static void give(int fd, char byte)
{
    must(write(fd, &byte, 1) == 1);
}

/* Holds the lock for a while each time it is told to, and says when it has it. */
TRACED void restock(void)
{
    pthread_mutex_lock(&stock);
    give(held[1], 'h');
    sleep_ms(SLOW_MS);
    pthread_mutex_unlock(&stock);
    BARRIER();
}

static void *holds(void *unused)
{
    pthread_setname_np(pthread_self(), "restocker");
    while (take(start[0]) == 'l')
        restock();
    return unused;
}

/* Lets its readers wait. */
static void *trickles(void *unused)
{
    pthread_setname_np(pthread_self(), "trickler");
    while (take(start[0]) == 'p') {
        sleep_ms(SLOW_MS);
        give(slow_pipe[1], 'x');
    }
    return unused;
}

TRACED void reserve_stock(void)
{
    pthread_mutex_lock(&stock);
    sink++;
    pthread_mutex_unlock(&stock);
    BARRIER();
}

TRACED void checksum(long long ns)
{
    long long begin = now();

    while (now() - begin < ns)
        for (int i = 0; i < 20000; i++)
            BARRIER();
    BARRIER();
}

TRACED void back_off(void)
{
    sleep_ms(SLOW_MS);
    BARRIER();
}

TRACED void read_answer(void)
{
    take(slow_pipe[0]);
    BARRIER();
}

TRACED void handle(const char *reason, int slow)
{
    checksum(100000);
    if (slow && strcmp(reason, "sleep") == 0)
        back_off();
    if (slow && strcmp(reason, "spin") == 0)
        checksum(SLOW_MS * 1000000LL);
    if (slow && strcmp(reason, "pipe") == 0)
        read_answer();
    reserve_stock();
    BARRIER();
}

int main(int argc, char **argv)
{
    const char *reason = argc > 1 ? argv[1] : "lock";
    long calls = argc > 2 ? atol(argv[2]) : 1000;
    pthread_t other;

    must(pipe(start) == 0 && pipe(held) == 0 && pipe(slow_pipe) == 0);
    if (strcmp(reason, "lock") == 0)
        must(pthread_create(&other, 0, holds, 0) == 0);
    if (strcmp(reason, "pipe") == 0)
        must(pthread_create(&other, 0, trickles, 0) == 0);
    ready();
    for (long i = 0; i < calls; i++) {
        int slow = i % 50 == 49;

        if (slow && strcmp(reason, "lock") == 0) {
            give(start[1], 'l');
            take(held[0]);
        }
        if (slow && strcmp(reason, "pipe") == 0)
            give(start[1], 'p');
        handle(reason, slow);
    }
    give(start[1], 'e');
    truth("handle", calls, 0, 0);
    value("slow", calls / 50);
    finish();
    return 0;
}
