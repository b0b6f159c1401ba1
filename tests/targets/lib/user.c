/* A program that uses the shared library. */
#include "../c/harness.h"

#include <stdlib.h>

long library_work(long x);

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 1000, total = 0;

    ready();
    for (long i = 0; i < times; i++)
        total += library_work(i);
    truth("library_work", times, 0, 0);
    truth("library_inner", times, 0, 0);
    value("total", total);
    finish();
    return 0;
}
