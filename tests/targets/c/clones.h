/* What the two files of the target `clones` share. */
#ifndef CLONES_H
#define CLONES_H

extern long work;
extern long twins_elsewhere;

/* Calls this file's `twin`. */
long first_of_two(long x);

#endif
