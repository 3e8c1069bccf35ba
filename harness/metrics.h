/* What is measured: names, units, directions, meanings. */
#ifndef HM_HARNESS_METRICS_H
#define HM_HARNESS_METRICS_H

#include <stdbool.h>

typedef struct hm_metric {
    const char *name, *unit;
    const char *direction; /* "lower", "higher" is better; "exact": equal or not; "-": a fact */
    const char *column;    /* of the view `figure`: one number per sample, in the unit; NULL: text, or of a whole arm or phase */
    const char *meaning;
} hm_metric;

/* Ended by a row without a name. The exact counts of engine/base/probe.h are metrics too (unit "count" or "bytes", table `count`). */
extern const hm_metric hm_metrics[];

/* The row of a name, NULL when there is none (names of exact counts are not in it). */
const hm_metric *hm_metric_find(const char *name);

/* Whether it tells how fast the machine is, or what it did meanwhile: nothing that a software device can say of hardware. Names of exact
 * counts and unknown ones are not. */
bool hm_metric_timed(const char *name);

#endif
