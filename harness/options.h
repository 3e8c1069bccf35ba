/* Declarative option tables: parsing, --help and completion come from the same rows. */
#ifndef HM_HARNESS_OPTIONS_H
#define HM_HARNESS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "engine/base/words.h"

typedef enum hm_option_kind {
    HM_OPT_FLAG,    /* bool *: --name, --no-name */
    HM_OPT_INT,     /* int64_t *: min..max checked */
    HM_OPT_DOUBLE,  /* double *: min..max checked */
    HM_OPT_STRING,  /* const char ** */
    HM_OPT_LIST,    /* hm_strings *: may be given again; commas are not split */
    HM_OPT_DURATION /* int64_t * seconds: 90, 90s, 30m, 2h */
} hm_option_kind;

#define HM_OPTION_NO_MAX 9.2e18 /* as max: only min counts */

typedef struct hm_strings {
    const char *items[256];
    int count;
} hm_strings;

typedef struct hm_option {
    const char *name; /* long name without dashes; NULL ends the table */
    char letter;      /* short name or 0 */
    hm_option_kind kind;
    void *value; /* where it goes; holds the default before parsing, which --help prints */
    const char *metavar;
    const char *text;
    double min, max;            /* for numbers; both 0: any */
    const char *const *choices; /* HM_OPT_STRING: NULL-terminated allowed values, or NULL */
} hm_option;

struct hm_command;

/* Parses argv[1..]: --name value, --name=value, -n value, flags, "--" ends options. What is no option goes to positional (may be
 * NULL: then none are allowed), at most max_positional. -h/--help prints help to stdout and sets *helped (the caller returns HM_OK).
 * Unknown options and values out of range are HM_EUSAGE with the nearest name. */
hm_status hm_options_parse(const struct hm_command *command, const hm_option *options, int argc, char **argv, hm_strings *positional,
                           int max_positional, bool *helped, hm_error *err);

/* Calls back for every option of a command line that hm_options_parse has taken, in its order: value NULL for a flag, then on tells which.
 * What is no option is left out. */
void hm_options_each(const hm_option *options, int argc, char **argv, void *self,
                     void (*given)(void *self, const char *name, const char *value, bool on));

/* What `COMMAND --list-options` prints, and where: for completion and the manual, which ask commands for their tables. */
typedef enum hm_option_listing {
    HM_LIST_LINES, /* "--name<TAB>choices, metavar or -<TAB>text<TAB>letter" a line (the default, on stdout) */
    HM_LIST_ROFF   /* entries of a manual page */
} hm_option_listing;
void hm_options_list_to(FILE *file, hm_option_listing listing);

/* "2%" or "2" of --NAME as 0.02. HM_EUSAGE: no percentage from 0 (none: 0 itself is one) to 1000. */
hm_status hm_option_percent(const char *name, const char *text, bool none, double *share, hm_error *err);

/* Text within a manual page. */
void hm_roff_put(const char *text, FILE *file);

#endif
