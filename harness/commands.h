/* The commands: one file cmd_<name>.c each, one row each in the table of main.c. */
#ifndef HM_HARNESS_COMMANDS_H
#define HM_HARNESS_COMMANDS_H

#include <stdio.h>

#include "harness/command.h"

/* The table of main.c, ended by a row without a name. */
extern const hm_command hm_commands[];

/* The row of a name, NULL when there is none. */
const hm_command *hm_command_find(const char *name);

hm_status hm_cmd_generate(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_speak(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_transcribe(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_decode(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_suite(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_batch(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_compare(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_gate(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_calibrate(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_baseline(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_profile(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_trace(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_journal(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_report(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_plot(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_ablate(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_history(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_list(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_synth(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_inspect(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_verify(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_kernels(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_limits(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_db(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_worker(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_peers(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_cache(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_doctor(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_help(const hm_command *self, int argc, char **argv, hm_error *err);
hm_status hm_cmd_completion(const hm_command *self, int argc, char **argv, hm_error *err);

/* HM_EUSAGE with the nearest name. */
hm_status hm_command_unknown(const char *name, hm_error *err);

/* The table of all commands, as `hmbench help` prints it. */
void hm_commands_print(FILE *file);

#endif
