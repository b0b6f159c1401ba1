/* What every C and C++ target shares: it announces itself, waits for "go", runs, prints its own
 * ground truth as one JSON line and waits for "exit" or the end of its input. */
#ifndef HARNESS_H
#define HARNESS_H

#ifdef __cplusplus
extern "C" {
#endif

/* A function to trace: never inlined, cloned, or looked into by its callers. */
#define TRACED __attribute__((noinline, noclone, noipa))

/* Keeps a call from becoming a tail call and values from being folded. */
#define BARRIER() __asm__ volatile("" ::: "memory")

/* Prints "ready PID" and waits for the line "go". */
void ready(void);

/* Adds a function's truth to the JSON line. */
void truth(const char *function, long calls, long unwound, long in_flight);

/* Adds another number to the JSON line, under "values". */
void value(const char *name, long long number);

/* Prints the JSON line and waits for the line "exit" or the end of input. */
void finish(void);

#ifdef __cplusplus
}
#endif

#endif
