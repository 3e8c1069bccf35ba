/* Runs gnuplot. */
#ifndef HM_HARNESS_GNUPLOT_H
#define HM_HARNESS_GNUPLOT_H

#include <stddef.h>

#include "engine/base/error.h"

/* Feeds the script to gnuplot's standard input and waits. HM_EABSENT when there is no gnuplot, with the line that installs it; HM_EIO with
 * gnuplot's own words when it fails. */
hm_status hm_gnuplot_run(const char *script, size_t size, hm_error *err);

#endif
