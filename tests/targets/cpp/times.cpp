// Calls with a known time budget: they spin, sleep, wait for a lock and for a condition that
// another thread meets, and read a slow pipe and a slow connection.
#include "../c/harness.h"

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <semaphore>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <thread>
#include <time.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace shop {

static long long read_clock(clockid_t clock)
{
    timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long now()
{
    return read_clock(CLOCK_MONOTONIC);
}

struct Stopwatch {
    explicit Stopwatch(long long &sum) : sum(sum), start(now()) {}
    ~Stopwatch() { sum += now() - start; }

    long long &sum;
    long long start;
};

struct Desk {
    std::mutex mutex;
    std::binary_semaphore held{0}, wanted{0}, done{0}, byte_wanted{0}, order_wanted{0}, answer_wanted{0};
    std::mutex order_mutex;
    std::condition_variable ordered;
    int orders = 0, served = 0;
    int ends[2], line[2];
    long long slept_ns = 0, locked_ns = 0, read_ns = 0, received_ns = 0;

    TRACED void spins();
    TRACED void sleeps();
    TRACED void locks();
    TRACED void awaits();
    TRACED void reads();
    TRACED void receives();
    TRACED void work();
};

TRACED void Desk::spins()
{
    long long start = read_clock(CLOCK_THREAD_CPUTIME_ID);

    while (read_clock(CLOCK_THREAD_CPUTIME_ID) - start < 10000000)
        for (int i = 0; i < 20000; i++)
            BARRIER();
    BARRIER();
}

TRACED void Desk::sleeps()
{
    Stopwatch watch(slept_ns);
    std::this_thread::sleep_for(10ms);
}

TRACED void Desk::locks()
{
    held.acquire();
    Stopwatch watch(locked_ns);
    wanted.release();
    {
        std::lock_guard lock(mutex);
    }
    done.release();
    BARRIER();
}

TRACED void Desk::awaits()
{
    Stopwatch watch(locked_ns);
    order_wanted.release();
    std::unique_lock lock(order_mutex);
    served++;
    ordered.wait(lock, [this] { return orders >= served; });
}

TRACED void Desk::reads()
{
    char byte;
    Stopwatch watch(read_ns);
    byte_wanted.release();
    if (read(ends[0], &byte, 1) != 1)
        std::exit(4);
}

TRACED void Desk::receives()
{
    char byte;
    Stopwatch watch(received_ns);
    answer_wanted.release();
    if (recv(line[0], &byte, 1, 0) != 1)
        std::exit(7);
}

TRACED void Desk::work()
{
    spins();
    sleeps();
    locks();
    awaits();
    reads();
    receives();
    BARRIER();
}

} // namespace shop

int main(int argc, char **argv)
{
    long times = argc > 1 ? std::atol(argv[1]) : 10;
    shop::Desk desk;

    if (pipe(desk.ends) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, desk.line) != 0)
        return 6;
    ready();
    std::thread holder([&] {
        prctl(PR_SET_NAME, "holder");
        for (long i = 0; i < times; i++) {
            {
                std::lock_guard lock(desk.mutex);
                desk.held.release();
                desk.wanted.acquire();
                std::this_thread::sleep_for(10ms);
            }
            desk.done.acquire();
        }
    });
    std::thread clerk([&] {
        prctl(PR_SET_NAME, "holder");
        for (long i = 0; i < times; i++) {
            desk.order_wanted.acquire();
            std::this_thread::sleep_for(10ms);
            std::lock_guard lock(desk.order_mutex);
            desk.orders++;
            desk.ordered.notify_one();
        }
    });
    std::thread writer([&] {
        prctl(PR_SET_NAME, "writer");
        for (long i = 0; i < times; i++) {
            desk.byte_wanted.acquire();
            std::this_thread::sleep_for(10ms);
            if (write(desk.ends[1], "x", 1) != 1)
                std::exit(5);
        }
    });
    std::thread server([&] {
        prctl(PR_SET_NAME, "server");
        for (long i = 0; i < times; i++) {
            desk.answer_wanted.acquire();
            std::this_thread::sleep_for(10ms);
            if (send(desk.line[1], "x", 1, 0) != 1)
                std::exit(8);
        }
    });
    long long wall_ns = 0, cpu_ns = 0;
    for (long i = 0; i < times; i++) {
        long long start = shop::now(), cpu = shop::read_clock(CLOCK_THREAD_CPUTIME_ID);
        desk.work();
        cpu_ns += shop::read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
        wall_ns += shop::now() - start;
    }
    holder.join();
    clerk.join();
    writer.join();
    server.join();
    truth("shop::Desk::work", times, 0, 0);
    value("wall_ns", wall_ns);
    value("cpu_ns", cpu_ns);
    value("sleep_ns", desk.slept_ns);
    value("lock_ns", desk.locked_ns);
    value("io_ns", desk.read_ns);
    value("network_ns", desk.received_ns);
    finish();
    return 0;
}
