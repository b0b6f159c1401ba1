/* Runs the scenario named by the first argument. */
#include "harness.h"
#include "scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **arguments;
static int count;

long argument(int index, long otherwise)
{
    return index + 2 < count ? atol(arguments[index + 2]) : otherwise;
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"calls", plain_calls},     {"recursion", recursion},   {"mutual", mutual_recursion},
    {"tail", tail_calls},       {"longjmp", long_jumps},    {"churn", thread_churn},
    {"ends", thread_ends},      {"fork", forks},            {"open", open_calls},
    {"before", began_before},   {"switch", jump_table},     {"cold", cold_parts},
    {"signals", signals},
};

int main(int argc, char **argv)
{
    count = argc;
    arguments = argv;
    if (argc > 1 && strcmp(argv[1], "fork-child") == 0) {
        fork_child();
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            scenarios[i].run();
            finish();
            return 0;
        }
    }
    fprintf(stderr, "usage: %s SCENARIO [NUMBER...]\n", argv[0]);
    return 2;
}
