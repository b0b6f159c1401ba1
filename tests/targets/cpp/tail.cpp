// Calls of which one in fifty is slow, for a reason named by the first argument.
#include "../c/harness.h"

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <semaphore>
#include <string_view>
#include <sys/prctl.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace shop {

static constexpr auto slow_time = 12ms;
static constexpr auto fast_time = 100us;

class Stock {
public:
    TRACED void reserve();
    TRACED void restock();

    std::counting_semaphore<> wanted{0}, held{0};
    bool closed = false;

private:
    std::mutex mutex;
    volatile unsigned left = 0;
};

TRACED void Stock::reserve()
{
    std::lock_guard lock(mutex);
    left = left + 1;
    BARRIER();
}

// Holds the lock for a while, and says when it has it.
TRACED void Stock::restock()
{
    std::lock_guard lock(mutex);
    held.release();
    std::this_thread::sleep_for(slow_time);
    BARRIER();
}

TRACED void checksum(Clock::duration time)
{
    const auto end = Clock::now() + time;

    while (Clock::now() < end)
        for (int i = 0; i < 20000; i++)
            BARRIER();
    BARRIER();
}

TRACED void back_off()
{
    std::this_thread::sleep_for(slow_time);
    BARRIER();
}

TRACED void read_answer(int answers)
{
    char byte;

    if (read(answers, &byte, 1) != 1)
        std::abort();
    BARRIER();
}

TRACED void handle(std::string_view reason, bool slow, Stock &stock, int answers)
{
    checksum(fast_time);
    if (slow && reason == "sleep")
        back_off();
    if (slow && reason == "spin")
        checksum(slow_time);
    if (slow && reason == "pipe")
        read_answer(answers);
    stock.reserve();
    BARRIER();
}

} // namespace shop

int main(int argc, char **argv)
{
    const std::string_view reason = argc > 1 ? argv[1] : "lock";
    const long calls = argc > 2 ? std::atol(argv[2]) : 1000;
    shop::Stock stock;
    int ends[2];

    if (pipe(ends) != 0)
        return 6;
    std::thread other([&] {
        prctl(PR_SET_NAME, "restocker");
        for (;;) {
            stock.wanted.acquire();
            if (stock.closed)
                return;
            if (reason == "lock") {
                stock.restock();
                continue;
            }
            std::this_thread::sleep_for(shop::slow_time);
            if (write(ends[1], "x", 1) != 1)
                std::abort();
        }
    });
    ready();
    for (long i = 0; i < calls; i++) {
        const bool slow = i % 50 == 49;

        if (slow && (reason == "lock" || reason == "pipe"))
            stock.wanted.release();
        if (slow && reason == "lock")
            stock.held.acquire();
        shop::handle(reason, slow, stock, ends[0]);
    }
    stock.closed = true;
    stock.wanted.release();
    other.join();
    truth("shop::handle", calls, 0, 0);
    value("slow", calls / 50);
    finish();
    return 0;
}
