/* Loads a library, and is called back by it. The library can be removed before it is used. */
#include "harness.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef long (*callback)(long);

TRACED long called_back(long x)
{
    BARRIER();
    return x * 3;
}

int main(int argc, char **argv)
{
    long times = 100, total = 0;
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    long (*call_back)(callback, long);

    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    call_back = (long (*)(callback, long))dlsym(library, "call_back");
    ready();
    for (long i = 0; i < times; i++)
        total += call_back(called_back, i);
    truth("called_back", times, 0, 0);
    value("total", total);
    finish();
    return 0;
}
