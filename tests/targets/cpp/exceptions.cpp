// Exceptions through traced frames, with destructors on the way, and methods.
#include "../c/harness.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static thread_local long destroyed;

struct Guard {
    ~Guard() { destroyed++; }
};

namespace shop {

class Order {
public:
    explicit Order(long size) : size(size) {}
    TRACED long total(long price) const;

private:
    long size;
};

TRACED long Order::total(long price) const
{
    if (price < 0)
        throw std::invalid_argument("price " + std::to_string(price));
    return size * price;
}

} // namespace shop

TRACED long nested(long depth, bool fails)
{
    Guard guard;
    if (depth == 0) {
        if (fails)
            throw std::runtime_error("deep");
        return 0;
    }
    long below = nested(depth - 1, fails);
    BARRIER();
    return below + 1;
}

TRACED long catches(long depth, bool fails)
{
    try {
        return nested(depth, fails);
    } catch (const std::runtime_error &) {
        return -1;
    }
}

static long run(long depth, long times)
{
    long total = 0;
    for (long i = 0; i < times; i++) {
        total += catches(depth, i % 2 != 0);
        try {
            total += shop::Order(i).total(i % 4 == 3 ? -1 : 5);
        } catch (const std::invalid_argument &error) {
            total += (long)std::string(error.what()).size();
        }
    }
    // Ends the calls that the last exception left.
    return total + catches(0, false);
}

int main(int argc, char **argv)
{
    long depth = argc > 1 ? atol(argv[1]) : 10;
    long times = argc > 2 ? atol(argv[2]) : 100;
    long threads = argc > 3 ? atol(argv[3]) : 3;
    std::vector<std::thread> running;
    std::vector<long> totals(threads), guards(threads);

    ready();
    for (long i = 0; i < threads; i++)
        running.emplace_back([&, i] {
            totals[i] = run(depth, times);
            guards[i] = destroyed;
        });
    long total = 0, guard = 0;
    for (long i = 0; i < threads; i++) {
        running[i].join();
        total += totals[i];
        guard += guards[i];
    }
    long failing = times / 2, good = times - failing, refused = times / 4;
    truth("catches", threads * (times + 1), 0, 0);
    truth("nested", threads * ((depth + 1) * good + 1), threads * (depth + 1) * failing, 0);
    truth("shop::Order::total", threads * (times - refused), threads * refused, 0);
    value("total", total);
    value("destroyed", guard);
    finish();
    return 0;
}
