// C++20 coroutines, which have no stack of their own: a resumed one is an ordinary call.
#include "../c/harness.h"

#include <coroutine>
#include <cstdlib>
#include <exception>

struct Generator {
    struct promise_type {
        long current = 0;
        Generator get_return_object()
        {
            return Generator{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(long value) noexcept
        {
            current = value;
            return {};
        }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };

    explicit Generator(std::coroutine_handle<promise_type> handle) : handle(handle) {}
    Generator(const Generator &) = delete;
    ~Generator() { handle.destroy(); }

    std::coroutine_handle<promise_type> handle;
};

TRACED long step(long x)
{
    return x * 3 + 1;
}

static Generator numbers(long count)
{
    for (long i = 0; i < count; i++)
        co_yield step(i);
}

// Resumes; the traced step() runs inside.
TRACED long next(Generator &generator)
{
    generator.handle.resume();
    BARRIER();
    return generator.handle.done() ? -1 : generator.handle.promise().current;
}

int main(int argc, char **argv)
{
    long generators = argc > 1 ? atol(argv[1]) : 50, count = argc > 2 ? atol(argv[2]) : 20;
    long total = 0, resumed = 0, steps = 0;

    ready();
    for (long i = 0; i < generators; i++) {
        Generator one = numbers(count), two = numbers(count);
        // Interleaved; every other pair is destroyed half-way.
        long rounds = i % 2 ? count / 2 : count + 1;
        for (long j = 0; j < rounds; j++)
            total += next(one) - next(two) / 2;
        resumed += 2 * rounds;
        steps += 2 * (rounds < count ? rounds : count);
    }
    truth("next", resumed, 0, 0);
    truth("step", steps, 0, 0);
    value("total", total);
    finish();
    return 0;
}
