#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char functions[4096];
static char values[4096];

static void await(const char *word)
{
    char line[64];

    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, word) == 0)
            return;
    }
    if (strcmp(word, "go") == 0)
        exit(3);
}

void ready(void)
{
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    await("go");
}

void truth(const char *function, long calls, long unwound, long in_flight)
{
    size_t used = strlen(functions);

    snprintf(functions + used, sizeof functions - used,
             "%s\"%s\":{\"calls\":%ld,\"unwound\":%ld,\"in_flight\":%ld}",
             used ? "," : "", function, calls, unwound, in_flight);
}

void value(const char *name, long long number)
{
    size_t used = strlen(values);

    snprintf(values + used, sizeof values - used, "%s\"%s\":%lld", used ? "," : "", name, number);
}

void finish(void)
{
    printf("{\"functions\":{%s},\"values\":{%s}}\n", functions, values);
    fflush(stdout);
    await("exit");
}
