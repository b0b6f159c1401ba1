/* Functions of which the compiler makes several: clones for constant arguments or without unused ones, a
 * part split off so that the rest can be inlined, and statics of one name in two files. */
#include "clones.h"

#include "harness.h"

#include <stdlib.h>

#define APART __attribute__((noinline))

static long pairs, splits, scalings, twins;

/* Called with a constant, which is worth a clone, and with others. */
APART long scaled(long x, int mode)
{
    long result = 0;

    scalings++;
    for (int i = 0; i < 10; i++) {
        if (mode == 3)
            result += x;
        else if (mode == 4)
            result *= x;
        else
            result ^= x + mode;
        work += result;
    }
    return result;
}

struct triple {
    long a, b, c;
};

/* Nobody looks at the second argument, and of the first only one field is wanted. */
static APART long reduced(const struct triple *of, long unused)
{
    (void)unused;
    pairs++;
    return of->a * 3 + work;
}

/* The test is inlined into direct callers, the rest is a part of its own. */
long guarded(const long *of)
{
    long sum = 0;

    if (__builtin_expect(!of, 1))
        return 0;
    splits++;
    for (volatile int i = 0; i < 30; i++) {
        sum += *of * i;
        work += sum;
        if (sum > 1000000000)
            abort();
    }
    for (volatile int i = 0; i < 30; i++) {
        sum -= *of * i / 2;
        work += sum;
        if (sum > 1000000000)
            abort();
    }
    return sum;
}

APART long guarded_elsewhere(const long *of)
{
    return guarded(of) + 1;
}

static APART long twin(long x)
{
    twins++;
    return x * 5 + work;
}

long (*volatile any_guarded)(const long *) = guarded;
long (*volatile any_scaled)(long, int) = scaled;
long work;

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 10, direct = argc > 2 ? atol(argv[2]) : 0;
    long one = argc, total = 0, whole = 0;
    struct triple triple = {argc, 2, 3};

    ready();
    for (long i = 0; i < times; i++) {
        total += scaled(total, 3) + scaled(i, 3) + any_scaled(i, argc);
        total += reduced(&triple, 3) + twin(i) + first_of_two(i) + first_of_two(total);
        total += any_guarded(i % 2 ? &one : 0) + any_guarded(&one);
        whole += 2;
    }
    for (long i = 0; i < direct; i++)
        total += guarded_elsewhere(&one);
    truth("scaled", scalings, 0, 0);
    truth("reduced", pairs, 0, 0);
    truth("twin", twins + twins_elsewhere, 0, 0);
    truth("guarded", whole, 0, 0);
    value("total", total);
    value("twins_here", twins);
    value("twins_elsewhere", twins_elsewhere);
    value("splits", splits);
    finish();
    return 0;
}
