/* Calls that end by something else than a return, and calls that do not end. */
#define _GNU_SOURCE
#include "harness.h"
#include "scenarios.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static jmp_buf landing;

TRACED long descend(long depth, long jump)
{
    long below;

    if (depth == 0) {
        if (jump)
            longjmp(landing, 1);
        return 0;
    }
    below = descend(depth - 1, jump);
    BARRIER();
    return below + 1;
}

/* Its return is what makes the jumped-over calls known. */
TRACED long lands(long depth, long jump)
{
    if (setjmp(landing))
        return -1;
    return descend(depth, jump);
}

void long_jumps(void)
{
    long depth = argument(0, 10), times = argument(1, 100), total = 0;

    ready();
    for (long i = 0; i < times; i++)
        total += lands(depth, i % 2);
    truth("lands", times, 0, 0);
    truth("descend", (depth + 1) * (times - times / 2), (depth + 1) * (times / 2), 0);
    value("total", total);
}

TRACED long short_work(long x)
{
    return x + 1;
}

static void *short_thread(void *times)
{
    long total = 0;

    for (long i = 0; i < (long)times; i++)
        total += short_work(i);
    return (void *)total;
}

void thread_churn(void)
{
    long threads = argument(0, 2000), times = argument(1, 5), total = 0;

    ready();
    for (long i = 0; i < threads; i += 4) {
        pthread_t ids[4];

        for (int j = 0; j < 4; j++)
            pthread_create(&ids[j], 0, short_thread, (void *)times);
        for (int j = 0; j < 4; j++) {
            void *result;

            pthread_join(ids[j], &result);
            total += (long)result;
        }
    }
    truth("short_work", (threads + 3) / 4 * 4 * times, 0, 0);
    value("total", total);
}

TRACED void leaves_its_thread(long how)
{
    if (how)
        pthread_exit(0);
    BARRIER();
}

static sem_t inside;

TRACED void waits_for_cancellation(void)
{
    sem_post(&inside);
    for (;;)
        pause();
}

static void *exiting(void *how)
{
    leaves_its_thread((long)how);
    return 0;
}

static void *cancelled(void *unused)
{
    waits_for_cancellation();
    return unused;
}

void thread_ends(void)
{
    long times = argument(0, 20);

    sem_init(&inside, 0, 0);
    ready();
    for (long i = 0; i < times; i++) {
        pthread_t id;

        pthread_create(&id, 0, exiting, (void *)(i % 2));
        pthread_join(id, 0);
        pthread_create(&id, 0, cancelled, 0);
        sem_wait(&inside);
        pthread_cancel(id);
        pthread_join(id, 0);
    }
    truth("leaves_its_thread", times - times / 2, times / 2, 0);
    truth("waits_for_cancellation", 0, times, 0);
}

TRACED long in_a_process(long x)
{
    return x ^ 3;
}

static long some_calls(long times)
{
    long total = 0;

    for (long i = 0; i < times; i++)
        total += in_a_process(i);
    return total;
}

void fork_child(void)
{
    some_calls(argument(0, 10));
}

void forks(void)
{
    long children = argument(0, 10), times = argument(1, 10);

    ready();
    for (long i = 0; i < children; i++) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            if (i % 2) {
                char text[24];
                char *arguments[] = {"target", "fork-child", text, 0};
                int length = 0;
                char digits[24];

                /* Only what is allowed between fork and exec. */
                for (long n = times; n; n /= 10)
                    digits[length++] = (char)('0' + n % 10);
                for (int j = 0; j < length; j++)
                    text[j] = digits[length - 1 - j];
                text[length] = 0;
                execv("/proc/self/exe", arguments);
                _exit(1);
            }
            some_calls(times);
            _exit(0);
        }
        waitpid(child, &status, 0);
        if (status != 0)
            exit(1);
    }
    value("total", some_calls(times));
    truth("in_a_process", (children + 1) * times, 0, 0);
    value("own", times);
}

TRACED void stays(sem_t *end)
{
    sem_post(&inside);
    sem_wait(end);
    BARRIER();
}

static sem_t released;

static void *staying(void *unused)
{
    stays(&released);
    return unused;
}

void open_calls(void)
{
    long threads = argument(0, 5), returned = argument(1, 3);
    pthread_t id;

    sem_init(&inside, 0, 0);
    sem_init(&released, 0, 0);
    ready();
    for (long i = 0; i < returned; i++) {
        sem_post(&released);
        pthread_create(&id, 0, staying, 0);
        pthread_join(id, 0);
        sem_wait(&inside);
    }
    for (long i = 0; i < threads; i++) {
        pthread_create(&id, 0, staying, 0);
        sem_wait(&inside);
    }
    truth("stays", returned, 0, threads);
}

TRACED void begins_early(int early)
{
    if (early)
        ready();
    BARRIER();
}

void began_before(void)
{
    long times = argument(0, 3);

    begins_early(1);
    for (long i = 0; i < times; i++)
        begins_early(0);
    truth("begins_early", times, 0, 0);
}

static volatile long handled;

TRACED long in_handler(long x)
{
    return x + 1;
}

static void handler(int signal)
{
    handled += in_handler(signal);
}

TRACED long interrupted(long x)
{
    raise(SIGUSR1);
    BARRIER();
    return x + 1;
}

void signals(void)
{
    long times = argument(0, 100), total = 0;

    signal(SIGUSR1, handler);
    ready();
    for (long i = 0; i < times; i++)
        total += interrupted(i);
    truth("interrupted", times, 0, 0);
    truth("in_handler", times, 0, 0);
    value("total", total + handled);
}
