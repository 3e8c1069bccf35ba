/* A command of the program: one row of the table in main.c, one file cmd_<name>.c. */
#ifndef HM_HARNESS_COMMAND_H
#define HM_HARNESS_COMMAND_H

#include "engine/base/error.h"
#include "harness/options.h"

typedef struct hm_command hm_command;
struct hm_command {
    const char *name;
    /* argv[0] is the command's name. Data goes to stdout, everything for people to stderr. A failure returns its status with err
     * filled; main.c prints it and turns it into the exit code. */
    hm_status (*run)(const hm_command *self, int argc, char **argv, hm_error *err);
    const char *text;     /* one line of help */
    const char *usage;    /* "generate --tags T --lyrics FILE --seconds N [options] -o song.wav" */
    const char *examples; /* lines, each a full command; printed by --help */
};

#endif
