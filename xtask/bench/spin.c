/* What `cargo xtask bench` samples: for each number N on stdin, calls chunk() N times and prints the
 * nanoseconds of CPU time that this took, interrupts included, other programs not, and each time in which it
 * did not get on: when, by the monotonic clock, and for how many nanoseconds, as "when:ns". It looks at the
 * clock all the time: where a look comes later than its work explains, something has interrupted it. Left
 * out is when another program has run, and what took more than 100 microseconds: that is the host's.
 * BLOCKS says how long chunk() takes. It works twenty calls deep, on a stack of some kilobytes. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define LONGEST_NS 100000
/* Steps between two looks at the clock: a fraction of a microsecond. */
#define STEPS 100

/* Most times that are noted between two answers. */
#define MOST_GAPS (1 << 16)

static struct gap {
	uint64_t start_ns;
	uint64_t ns;
} gaps[MOST_GAPS];
static unsigned int noted;

static volatile uint64_t sink;
static uint64_t usual_ns, seen_ns;
static long switches;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t block(uint64_t value)
{
	for (int i = 0; i < STEPS; i++)
		value = value * 6364136223846793005u + 1442695040888963407u;
	return value;
}

/* Whether another program has run since the last question. */
static int was_switched(void)
{
	struct rusage usage;
	long before = switches;

	getrusage(RUSAGE_THREAD, &usage);
	switches = usage.ru_nivcsw + usage.ru_nvcsw;
	return switches != before;
}

__attribute__((noinline, noclone)) static uint64_t spin(uint64_t value)
{
	for (int i = 0; i < BLOCKS; i++) {
		uint64_t now, took;

		value = block(value);
		now = now_ns(CLOCK_MONOTONIC);
		took = now - seen_ns;
		if (took > 2 * usual_ns) {
			if (!was_switched() && took < LONGEST_NS && noted < MOST_GAPS)
				gaps[noted++] = (struct gap){ seen_ns, took - usual_ns };
			now = now_ns(CLOCK_MONOTONIC);
		}
		seen_ns = now;
	}
	return value;
}

__attribute__((noinline, noclone)) static uint64_t down(int depth, uint64_t value)
{
	volatile char here[150];
	uint64_t result;

	here[depth] = (char)depth;
	result = depth > 0 ? down(depth - 1, value) : spin(value);
	return result + (uint64_t)here[depth];
}

__attribute__((noinline, noclone)) void chunk(void)
{
	sink += down(20, sink);
}

/* What a block and a look take when nothing comes between. */
static uint64_t shortest_ns(void)
{
	uint64_t shortest = LONGEST_NS, before = now_ns(CLOCK_MONOTONIC);

	for (int i = 0; i < 100000; i++) {
		uint64_t now;

		sink += block(sink);
		now = now_ns(CLOCK_MONOTONIC);
		if (now - before < shortest)
			shortest = now - before;
		before = now;
	}
	return shortest;
}

int main(void)
{
	char line[64];

	usual_ns = shortest_ns();
	while (fgets(line, sizeof line, stdin)) {
		long times = atol(line);
		uint64_t start_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

		noted = 0;
		was_switched();
		seen_ns = now_ns(CLOCK_MONOTONIC);
		for (long i = 0; i < times; i++)
			chunk();
		printf("%llu", (unsigned long long)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns));
		for (unsigned int i = 0; i < noted; i++)
			printf(" %llu:%llu", (unsigned long long)gaps[i].start_ns, (unsigned long long)gaps[i].ns);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
