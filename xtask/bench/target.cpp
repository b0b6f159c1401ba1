// What `cargo xtask bench` probes in C++: like target.c, and the line `unwind` makes it throw an
// exception through work().
#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <string>
#include <time.h>

static volatile uint64_t sink;

[[gnu::noinline]] uint64_t leaf(uint64_t value)
{
	if (value == UINT64_MAX)
		throw std::runtime_error("unwind");
	sink = value;
	return value * 2654435761u;
}

[[gnu::noinline]] uint64_t work(uint64_t value)
{
	return leaf(value) ^ value;
}

static uint64_t now_ns()
{
	timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000u + now.tv_nsec;
}

int main()
{
	std::string line;
	while (std::getline(std::cin, line)) {
		if (line == "unwind") {
			try {
				sink = work(UINT64_MAX);
			} catch (const std::runtime_error &) {
			}
			std::cout << 0 << std::endl;
			continue;
		}
		uint64_t calls = std::stoull(line), sum = 0;
		uint64_t start = now_ns();
		for (uint64_t call = 0; call < calls; call++)
			sum += work(call);
		uint64_t taken = now_ns() - start;
		sink = sum;
		std::cout << taken << std::endl;
	}
}
