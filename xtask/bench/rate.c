/* What `cargo xtask bench` records from: THREADS threads call work() RATE times a second in all,
 * in bursts of a millisecond, for SECONDS. Prints how many calls there were and how long they
 * took in nanoseconds. Waits for a line on stdin first.
 * Usage: rate THREADS RATE SECONDS */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const uint64_t second_ns = 1000000000, burst_ns = 1000000;
static unsigned long threads, rate, seconds;
static uint64_t start_ns;

__attribute__((noinline)) uint64_t work(uint64_t value)
{
	volatile uint64_t slots[4];

	slots[0] = value * 2654435761u;
	slots[1] = slots[0] ^ value;
	return slots[1];
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * second_ns + (uint64_t)now.tv_nsec;
}

static void *run(void *unused)
{
	uint64_t calls = 0, sum = 0, elapsed_ns;

	(void)unused;
	while ((elapsed_ns = now_ns() - start_ns) < seconds * second_ns) {
		uint64_t due = elapsed_ns / 1000 * rate / threads / 1000000;

		/* Behind by more than a tenth of a second: the rate cannot be had, do not chase it. */
		if (due > calls + rate / threads / 10)
			due = calls + rate / threads / 10;
		while (calls < due)
			sum += work(calls++);
		struct timespec pause = { 0, (long)burst_ns };
		nanosleep(&pause, NULL);
	}
	*(volatile uint64_t *)&sum = sum;
	return (void *)(uintptr_t)calls;
}

int main(int count, char **words)
{
	pthread_t handles[64];
	uint64_t calls = 0;

	if (count != 4)
		return 2;
	threads = strtoul(words[1], NULL, 10);
	rate = strtoul(words[2], NULL, 10);
	seconds = strtoul(words[3], NULL, 10);
	if (threads < 1 || threads > 64 || getchar() == EOF)
		return 2;
	start_ns = now_ns();
	for (unsigned long i = 0; i < threads; i++)
		if (pthread_create(&handles[i], NULL, run, NULL))
			return 1;
	for (unsigned long i = 0; i < threads; i++) {
		void *done;

		pthread_join(handles[i], &done);
		calls += (uintptr_t)done;
	}
	printf("%llu %llu\n", (unsigned long long)calls, (unsigned long long)(now_ns() - start_ns));
	fflush(stdout);
	/* Stays until told to go, so that what it did is read from a live process. */
	while (getchar() != EOF)
		;
	return 0;
}
