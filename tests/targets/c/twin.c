/* The other file of the target `clones`: a static function of the same name. */
#include "clones.h"

long twins_elsewhere;

static __attribute__((noinline)) long twin(long x)
{
    twins_elsewhere++;
    return x * 7 - work;
}

long first_of_two(long x)
{
    return twin(x) + 1;
}
