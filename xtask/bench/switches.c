/* What `cargo xtask bench` watches switch: for each number read from stdin, two threads on one CPU hand
 * a byte back and forth that many times, and the nanoseconds of CPU time that took are printed. They are
 * those of a child process; the process itself is inside work(), where it sleeps for a millisecond at a
 * time. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int there[2], back[2];

__attribute__((noinline)) void work(void)
{
	struct timespec nap = {0, 1000000};

	for (int i = 0; i < 100; i++)
		nanosleep(&nap, NULL);
	__asm__ volatile("" ::: "memory");
}

static void *answers(void *unused)
{
	char byte;

	(void)unused;
	while (read(there[0], &byte, 1) == 1)
		if (write(back[1], &byte, 1) != 1)
			exit(2);
	return NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(void)
{
	unsigned long rounds;
	pthread_t thread;
	cpu_set_t one;
	char byte = 0;

	pid_t child = fork();

	if (child < 0)
		return 1;
	if (child > 0) {
		while (waitpid(child, NULL, WNOHANG) == 0)
			work();
		return 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof one, &one) != 0 || pipe(there) != 0 || pipe(back) != 0)
		return 1;
	pthread_create(&thread, NULL, answers, NULL);
	while (scanf("%lu", &rounds) == 1) {
		uint64_t start = now_ns();

		for (unsigned long round = 0; round < rounds; round++)
			if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
				return 1;
		printf("%llu\n", (unsigned long long)(now_ns() - start));
	}
	return 0;
}
