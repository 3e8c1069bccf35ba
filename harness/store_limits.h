/* Limits of machines in the database, and how they drift. */
#ifndef HM_HARNESS_STORE_LIMITS_H
#define HM_HARNESS_STORE_LIMITS_H

#include "harness/limits.h"
#include "harness/store.h"

/* One transaction. The machine is there already. session_id: measured with it; NULL: alone. */
hm_status hm_store_put_limits(hm_store *store, const char *machine_id, const char *session_id, const hm_limits *limits, hm_error *err);

#define HM_LIMIT_DRIFT 0.10 /* beyond which a change against the median of earlier measurements is flagged */

/* The newest measurement of one limit against all earlier ones of the same machine, block, instructions and threads. */
typedef struct hm_limit_drift {
    hm_limit now;
    char measured_utc[HM_UTC_TEXT];
    int earlier;   /* how many */
    double median; /* of them; NaN: there are none */
    double change; /* now / median - 1; NaN: there is no median */
    bool flagged;
} hm_limit_drift;

/* malloc'ed into *out, by name, type, instructions and threads; caller frees. */
hm_status hm_store_get_limit_drift(hm_store *store, const char *machine_id, hm_limit_drift **out, int *count, hm_error *err);

#endif
