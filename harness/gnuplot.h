/* Runs gnuplot. */
#ifndef HM_HARNESS_GNUPLOT_H
#define HM_HARNESS_GNUPLOT_H

#include <stddef.h>
#include <stdio.h>

#include "engine/base/error.h"

/* Feeds the script to gnuplot's standard input and waits. HM_EABSENT when there is no gnuplot, with the line that installs it; HM_EIO with
 * gnuplot's own words when it fails. */
hm_status hm_gnuplot_run(const char *script, size_t size, hm_error *err);

/* A picture: `write` gives its script for the output it is told, a temporary name of the same suffix that takes the place of `output` when
 * all went well. HM_EUSAGE unless output ends in .svg or .png; HM_ECREATE. */
hm_status hm_gnuplot_draw(const char *output, hm_status (*write)(void *self, const char *output, FILE *script, hm_error *err), void *self,
                          hm_error *err);

#endif
