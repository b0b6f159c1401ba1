/* Makes code as it runs and tells profilers its name, as runtimes with a compiler do; and reads the
 * clock, which is code of the kernel in user space. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static char map_path[64];

TRACED long from_jit(long x)
{
    BARRIER();
    return x + 1;
}

/* Of `ms` milliseconds. */
TRACED long reads_clock(long ms)
{
    struct timespec now, start;
    long reads = 0;

    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        reads++;
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
    return reads;
}

/* push rbp; mov rbp, rsp; movabs rax, from_jit; call rax; pop rbp; ret */
static long (*compile(void))(long)
{
    static const unsigned char head[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8 };
    static const unsigned char tail[] = { 0xff, 0xd0, 0x5d, 0xc3 };
    long (*target)(long) = from_jit;
    unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t size = 0;

    if (code == MAP_FAILED)
        abort();
    memcpy(code, head, sizeof head);
    size += sizeof head;
    memcpy(code + size, &target, sizeof target);
    size += sizeof target;
    memcpy(code + size, tail, sizeof tail);
    size += sizeof tail;

    snprintf(map_path, sizeof map_path, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(map_path, "w");

    if (!map)
        abort();
    fprintf(map, "%lx %zx JS:*made_while_running shop.js:12\n", (unsigned long)code, size);
    fclose(map);
    return (long (*)(long))code;
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? atol(argv[1]) : 100, total = 0;

    ready();
    long (*made)(long) = compile();

    for (long i = 0; i < times; i++)
        total += made(i);
    value("reads", reads_clock(300));
    truth("from_jit", times, 0, 0);
    truth("reads_clock", 1, 0, 0);
    value("total", total);
    finish();
    unlink(map_path);
    return 0;
}
