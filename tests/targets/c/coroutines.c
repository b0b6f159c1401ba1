/* Coroutines with stacks of their own, suspended inside traced calls. With -DASSEMBLY stacks are
 * switched by a few instructions that no tool knows, otherwise by swapcontext. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { SIZE = 64 * 1024, PAGE = 4096, MOST = 64 };

struct coroutine {
    char *stack;
    int kind;
    long rounds, result;
    int done;
    /* Resumed from inside this one's traced call. */
    struct coroutine *inner;
#ifdef ASSEMBLY
    void *own, *back;
#else
    ucontext_t own, back;
#endif
};

static void body(struct coroutine *self);

static void start(struct coroutine *self)
{
    body(self);
    self->done = 1;
}

#ifdef ASSEMBLY
void switch_stack(void **save, void *load);
void first_entry(void);
__asm__(".text\n"
        ".globl switch_stack\n"
        ".type switch_stack, @function\n"
        "switch_stack:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size switch_stack, .-switch_stack\n"
        ".globl first_entry\n"
        ".type first_entry, @function\n"
        "first_entry:\n"
        "    mov %rbx, %rdi\n"
        "    call begin_on_own_stack\n"
        "    ud2\n"
        ".size first_entry, .-first_entry\n");

void begin_on_own_stack(struct coroutine *self)
{
    start(self);
    switch_stack(&self->own, self->back);
}

static void prepare(struct coroutine *self)
{
    void **top = (void **)(self->stack + SIZE) - 2;

    *--top = (void *)first_entry;
    *--top = 0;
    *--top = self;
    top -= 4;
    memset(top, 0, 4 * sizeof *top);
    self->own = top;
}

static void into(struct coroutine *self)
{
    switch_stack(&self->back, self->own);
}

static void out_of(struct coroutine *self)
{
    switch_stack(&self->own, self->back);
}
#else
static void begin_on_own_stack(unsigned high, unsigned low)
{
    struct coroutine *self = (struct coroutine *)((uintptr_t)high << 32 | low);

    start(self);
    setcontext(&self->back);
}

static void prepare(struct coroutine *self)
{
    uintptr_t number = (uintptr_t)self;

    getcontext(&self->own);
    self->own.uc_stack.ss_sp = self->stack;
    self->own.uc_stack.ss_size = SIZE;
    self->own.uc_link = 0;
    makecontext(&self->own, (void (*)(void))begin_on_own_stack, 2, (unsigned)(number >> 32),
                (unsigned)number);
}

static void into(struct coroutine *self)
{
    swapcontext(&self->back, &self->own);
}

static void out_of(struct coroutine *self)
{
    swapcontext(&self->own, &self->back);
}
#endif

TRACED long leaf(long x)
{
    return x * 3 + 1;
}

/* The traced call around the switch. */
TRACED int resumes(struct coroutine *other)
{
    into(other);
    BARRIER();
    return other->done;
}

/* Open while others run. */
TRACED long suspends(struct coroutine *self, long below)
{
    long sum = 0;

    if (below > 0) {
        sum = suspends(self, below - 1);
        BARRIER();
        return sum + 1;
    }
    for (long i = 0; i < self->rounds; i++) {
        sum += leaf(i);
        if (self->inner)
            resumes(self->inner);
        out_of(self);
        sum += leaf(i + 1);
    }
    return sum;
}

TRACED long meanwhile(long x)
{
    return leaf(x) + 1;
}

enum { DEPTH = 2 };

static void body(struct coroutine *self)
{
    self->result = suspends(self, DEPTH);
}

static char fixed[MOST][SIZE] __attribute__((aligned(PAGE)));

static struct coroutine *create(int index, long rounds)
{
    struct coroutine *self = calloc(1, sizeof *self);

    self->kind = index % 3;
    self->rounds = rounds;
    if (self->kind == 0) {
        self->stack = aligned_alloc(16, SIZE);
    } else if (self->kind == 1) {
        self->stack = fixed[index % MOST];
    } else {
        char *pages = mmap(0, SIZE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        mprotect(pages, PAGE, PROT_NONE);
        self->stack = pages + PAGE;
    }
    prepare(self);
    return self;
}

static long destroy(struct coroutine *self)
{
    long result = self->result;

    if (self->kind == 0)
        free(self->stack);
    else if (self->kind == 2)
        munmap(self->stack - PAGE, SIZE + PAGE);
    free(self);
    return result;
}

static long total, resumed, suspended, destroyed, leaves, others;

/* Many in turn, while the thread itself calls traced functions in between. */
static void in_turn(long count, long rounds)
{
    struct coroutine *all[MOST];

    for (long i = 0; i < count; i++)
        all[i] = create((int)i, rounds);
    for (long round = 0; round <= rounds; round++) {
        for (long i = 0; i < count; i++) {
            resumes(all[i]);
            total += meanwhile(i);
        }
    }
    for (long i = 0; i < count; i++)
        total += destroy(all[i]);
    resumed += count * (rounds + 1);
    others += count * (rounds + 1);
    suspended += count * (DEPTH + 1);
    leaves += count * rounds * 2;
}

/* Each is resumed from inside the call of the one around it. */
static void nested(long count, long rounds)
{
    struct coroutine *all[MOST];

    for (long i = 0; i < count; i++) {
        /* The inner ones have a round left when the outermost ends. */
        all[i] = create((int)i, rounds + i);
        if (i > 0)
            all[i - 1]->inner = all[i];
    }
    for (long round = 0; round <= rounds; round++)
        resumes(all[0]);
    /* Outermost done; the others are where round `rounds` left them. */
    for (long i = 1; i < count; i++) {
        all[i]->inner = 0;
        while (!resumes(all[i]))
            resumed++;
        resumed++;
    }
    for (long i = 0; i < count; i++) {
        total += destroy(all[i]);
        leaves += 2 * (rounds + i);
    }
    suspended += count * (DEPTH + 1);
    resumed += rounds + 1 + (count - 1) * rounds;
}

/* Freed in the middle of a call; the next one may get the same memory. */
static void abandoned(long count)
{
    for (long i = 0; i < count; i++) {
        struct coroutine *self = create((int)i, 3);

        resumes(self);
        total += meanwhile(i);
        total += destroy(self);
    }
    resumed += count;
    others += count;
    destroyed += count * (DEPTH + 1);
    leaves += count;
}

struct job {
    struct coroutine **all;
    long count;
};

static void *resume_all(void *argument)
{
    struct job *job = argument;
    long sum = 0;

    for (long i = 0; i < job->count; i++) {
        resumes(job->all[i]);
        sum += meanwhile(i);
    }
    return (void *)sum;
}

/* Every round runs on a thread of its own. */
static void migrating(long count, long rounds)
{
    struct coroutine *all[MOST];
    struct job job = {all, count};

    for (long i = 0; i < count; i++)
        all[i] = create((int)i, rounds);
    for (long round = 0; round <= rounds; round++) {
        pthread_t id;
        void *sum;

        pthread_create(&id, 0, resume_all, &job);
        pthread_join(id, &sum);
        total += (long)sum;
    }
    for (long i = 0; i < count; i++)
        total += destroy(all[i]);
    resumed += count * (rounds + 1);
    others += count * (rounds + 1);
    suspended += count * (DEPTH + 1);
    leaves += count * rounds * 2;
}

int main(int argc, char **argv)
{
    const char *scenario = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 12, rounds = argc > 3 ? atol(argv[3]) : 10;

    ready();
    if (strcmp(scenario, "turns") == 0)
        in_turn(count, rounds);
    else if (strcmp(scenario, "nested") == 0)
        nested(count, rounds);
    else if (strcmp(scenario, "abandoned") == 0)
        for (long i = 0; i < rounds; i++)
            abandoned(count);
    else if (strcmp(scenario, "migrating") == 0)
        migrating(count, rounds);
    else
        return 2;
    truth("resumes", resumed, 0, 0);
    truth("suspends", suspended, destroyed, 0);
    truth("meanwhile", others, 0, 0);
    truth("leaf", leaves + others, 0, 0);
    value("total", total);
    finish();
    return 0;
}
