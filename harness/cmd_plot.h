/* Pictures that two commands draw: `hmbench plot KIND` and the --plot of the command that has the figures. */
#ifndef HM_HARNESS_CMD_PLOT_H
#define HM_HARNESS_CMD_PLOT_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "harness/store_history.h"

typedef struct hm_picture {
    const char *output; /* .svg or .png */
    bool script;        /* print gnuplot's script instead of running it */
} hm_picture;

hm_status hm_picture_make(const hm_picture *picture, hm_status (*write)(void *self, const char *output, FILE *script, hm_error *err),
                          void *self, hm_error *err);

/* `hmbench history`'s. margin: "2%", as for --margin. */
hm_status hm_plot_history(const hm_picture *picture, const char *db, const hm_history_filter *filter, const char *margin, hm_error *err);

/* `hmbench ablate`'s, of a stored session. */
hm_status hm_plot_ablation(const hm_picture *picture, const char *db, const char *session, const char *metric, hm_error *err);

#endif
