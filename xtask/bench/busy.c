/* What `cargo xtask bench` samples: for each number read from stdin it calls work() that many times,
 * which takes some 50 ms each, so that its probes cost nothing, and prints the nanoseconds of CPU time that took. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static volatile uint64_t sink;

__attribute__((noinline)) uint64_t part(uint64_t value)
{
	for (int i = 0; i < 100000; i++)
		value = value * 6364136223846793005u + 1442695040888963407u;
	return value;
}

__attribute__((noinline)) uint64_t work(uint64_t value)
{
	for (int i = 0; i < 400; i++)
		value ^= part(value);
	return value;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(void)
{
	unsigned long calls;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (scanf("%lu", &calls) == 1) {
		uint64_t start = now_ns(), sum = 0;

		for (unsigned long call = 0; call < calls; call++)
			sum += work(call);
		sink = sum;
		printf("%llu\n", (unsigned long long)(now_ns() - start));
	}
	return 0;
}
