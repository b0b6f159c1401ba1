/* A library that calls its user back, through a function that only debug information names. */
#define INNER __attribute__((noinline, noclone))

typedef long (*callback)(long);

static INNER long hidden_step(callback function, long x)
{
    long y = function(x);

    __asm__ volatile("" ::: "memory");
    return y + 1;
}

long call_back(callback function, long x)
{
    long y = hidden_step(function, x);

    __asm__ volatile("" ::: "memory");
    return y + 1;
}
