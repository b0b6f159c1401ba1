/* What `cargo xtask bench` probes in C. For each number read from stdin it calls work() that many
 * times and prints the nanoseconds of CPU time that took, which other programs on the host disturb
 * less than the time of day. The bench compiles it several times, so that work()
 * begins with the instructions that compilers begin functions with. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static volatile uint64_t sink;

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
		uint64_t end = now_ns();
		sink = sum;
		printf("%llu\n", (unsigned long long)(end - start));
	}
	return 0;
}
