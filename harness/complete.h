/* What could come next on a command line: one list for all shells. */
#ifndef HM_HARNESS_COMPLETE_H
#define HM_HARNESS_COMPLETE_H

#include <stdio.h>

/* Words that may stand where args[count - 1] does (as far as it is typed, possibly ""), the command being args[0]: lines
 * "word<TAB>what it is". Words are whole, as in "--variant=naive,best"; one that ends in '=' or ':' goes on. Nothing: a file, or
 * anything. Whether they begin as typed is left to the shell. */
void hm_complete(char *const *args, int count, FILE *file);

/* The words that a command takes in its first place, from its usage: "list suites|variants [--json]" has "suites variants". Calls back
 * for each; returns how many. */
struct hm_command;
int hm_usage_words(const struct hm_command *command, void (*word)(void *self, const char *text), void *self);

/* The command's option table, or that of its sub-word (NULL: none), as hm_options_list_to was told to write it; 0: it has none. */
int hm_list_options(const struct hm_command *command, const char *word);

#endif
