/* Calls with a known time budget: they spin, sleep, wait for a lock that another thread holds, and
 * read a slow pipe and a slow connection. What each took is measured here and printed. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000LL

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t lock_wanted, lock_held, lock_done, byte_wanted, answer_wanted;
static int ends[2], line[2];
static long holder_tid;
static long long slept_ns, locked_ns, read_ns, received_ns;

static long long read_clock(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static void nap(long long ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};

    nanosleep(&time, 0);
}

TRACED void spins(long long ns)
{
    long long start = read_clock(CLOCK_THREAD_CPUTIME_ID);

    while (read_clock(CLOCK_THREAD_CPUTIME_ID) - start < ns)
        for (int i = 0; i < 20000; i++)
            BARRIER();
    BARRIER();
}

TRACED void sleeps(long long ns)
{
    long long start = now();

    nap(ns);
    slept_ns += now() - start;
    BARRIER();
}

TRACED void locks(void)
{
    long long start;

    sem_wait(&lock_held);
    start = now();
    sem_post(&lock_wanted);
    pthread_mutex_lock(&mutex);
    locked_ns += now() - start;
    pthread_mutex_unlock(&mutex);
    sem_post(&lock_done);
    BARRIER();
}

TRACED void reads(void)
{
    char byte;
    long long start = now();

    sem_post(&byte_wanted);
    if (read(ends[0], &byte, 1) != 1)
        exit(4);
    read_ns += now() - start;
    BARRIER();
}

TRACED void receives(void)
{
    char byte;
    long long start = now();

    sem_post(&answer_wanted);
    if (recv(line[0], &byte, 1, 0) != 1)
        exit(7);
    received_ns += now() - start;
    BARRIER();
}

TRACED void work(void)
{
    spins(10 * MS);
    sleeps(10 * MS);
    locks();
    reads();
    receives();
    BARRIER();
}

/* Takes the lock before it is wanted, and keeps it for a while after. */
static void *holds(void *times)
{
    prctl(PR_SET_NAME, "holder");
    holder_tid = syscall(SYS_gettid);
    for (long i = 0; i < (long)times; i++) {
        pthread_mutex_lock(&mutex);
        sem_post(&lock_held);
        sem_wait(&lock_wanted);
        nap(10 * MS);
        pthread_mutex_unlock(&mutex);
        sem_wait(&lock_done);
    }
    return 0;
}

static void *writes(void *times)
{
    prctl(PR_SET_NAME, "writer");
    for (long i = 0; i < (long)times; i++) {
        sem_wait(&byte_wanted);
        nap(10 * MS);
        if (write(ends[1], "x", 1) != 1)
            exit(5);
    }
    return 0;
}

static void *answers(void *times)
{
    prctl(PR_SET_NAME, "server");
    for (long i = 0; i < (long)times; i++) {
        sem_wait(&answer_wanted);
        nap(10 * MS);
        if (send(line[1], "x", 1, 0) != 1)
            exit(8);
    }
    return 0;
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 10;
    pthread_t holder, writer, server;
    long long start, cpu, wall_ns = 0, cpu_ns = 0;

    if (pipe(ends) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, line) != 0)
        return 6;
    sem_init(&lock_wanted, 0, 0);
    sem_init(&lock_held, 0, 0);
    sem_init(&lock_done, 0, 0);
    sem_init(&byte_wanted, 0, 0);
    sem_init(&answer_wanted, 0, 0);
    ready();
    pthread_create(&holder, 0, holds, (void *)times);
    pthread_create(&writer, 0, writes, (void *)times);
    pthread_create(&server, 0, answers, (void *)times);
    for (long i = 0; i < times; i++) {
        start = now();
        cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
        work();
        cpu_ns += read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
        wall_ns += now() - start;
    }
    pthread_join(holder, 0);
    pthread_join(writer, 0);
    pthread_join(server, 0);
    for (int i = 0; i < 6; i++) {
        static const char *const names[] = {"work", "spins", "sleeps", "locks", "reads", "receives"};
        truth(names[i], times, 0, 0);
    }
    value("wall_ns", wall_ns);
    value("cpu_ns", cpu_ns);
    value("sleep_ns", slept_ns);
    value("lock_ns", locked_ns);
    value("io_ns", read_ns);
    value("network_ns", received_ns);
    value("holder_tid", holder_tid);
    finish();
    return 0;
}
