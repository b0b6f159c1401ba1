/* The scenarios of the C target; each is told its numbers on the command line. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

/* Argument `index` of the scenario, or `otherwise`. */
long argument(int index, long otherwise);

void plain_calls(void);
void recursion(void);
void mutual_recursion(void);
void tail_calls(void);
void long_jumps(void);
void thread_churn(void);
void thread_ends(void);
void forks(void);
void fork_child(void);
void open_calls(void);
void began_before(void);
void jump_table(void);
void cold_parts(void);
void signals(void);

#endif
