/* What `cargo xtask bench` samples: for each number N on stdin, calls chunk() N times and prints
 * how many nanoseconds of CPU time that took, interrupts included, other programs not. chunk()
 * works for about a millisecond, twenty calls deep on a stack of a few kilobytes. Built without
 * frame pointers. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile uint64_t sink;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

__attribute__((noinline, noclone)) static uint64_t spin(uint64_t rounds)
{
	uint64_t value = rounds;

	for (uint64_t i = 0; i < rounds; i++)
		value = value * 6364136223846793005u + 1442695040888963407u;
	return value;
}

__attribute__((noinline, noclone)) static uint64_t down(int depth, uint64_t rounds)
{
	volatile char here[150];
	uint64_t result;

	here[depth] = (char)depth;
	result = depth > 0 ? down(depth - 1, rounds) : spin(rounds);
	return result + (uint64_t)here[depth];
}

__attribute__((noinline, noclone)) void chunk(void)
{
	sink += down(20, 800000);
}

int main(void)
{
	char line[64];

	while (fgets(line, sizeof line, stdin)) {
		long times = atol(line);
		uint64_t start_ns = now_ns();

		for (long i = 0; i < times; i++)
			chunk();
		printf("%llu\n", (unsigned long long)(now_ns() - start_ns));
		fflush(stdout);
	}
	return 0;
}
