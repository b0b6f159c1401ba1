/* A program that uses the shared library. */
#include "../c/harness.h"

#include <stdlib.h>

long library_work(long x);

TRACED long use_library(long x)
{
    long y = library_work(x);

    BARRIER();
    return y + 1;
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 1000, total = 0;

    ready();
    for (long i = 0; i < times; i++)
        total += use_library(i);
    truth("library_work", times, 0, 0);
    truth("library_inner", times, 0, 0);
    value("use_library", times);
    value("total", total);
    finish();
    return 0;
}
