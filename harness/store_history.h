/* How a metric of a case went from commit to commit, out of the database. */
#ifndef HM_HARNESS_STORE_HISTORY_H
#define HM_HARNESS_STORE_HISTORY_H

#include "harness/store.h"
#include "reports/history.h"

typedef struct hm_history_filter {
    const char *label;   /* "short/plain", or a suite: all its cases */
    const char *metric;  /* as for hm_store_get_series */
    const char *arm;     /* its name or variant; NULL: all */
    const char *since;   /* a UTC date (2006-01-02), or a commit: points from there on; NULL: all */
    const char *machine; /* its id or the first letters of it; NULL: that of the newest session */
} hm_history_filter;

/* A point per commit and series; a series is one case, arm (toggles, threads, instruction set, warm-up), model fingerprint and kind of
 * build on one machine. Toggles that are off do not tell arms apart: a build from before a toggle was made has it off. Of a case that was
 * changed under its name, the newest request alone. Arms whose audio is bad are left out. HM_EMISSING: nothing fits, and what there is;
 * HM_EUSAGE: metric, since. */
hm_status hm_store_get_history(hm_store *store, const hm_history_filter *filter, hm_history *out, hm_error *err);

#endif
