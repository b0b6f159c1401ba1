/* A shared library. */
#include "../c/harness.h"

TRACED long library_inner(long x)
{
    return x + 2;
}

TRACED long library_work(long x)
{
    long y = library_inner(x);

    BARRIER();
    return y * 2;
}
