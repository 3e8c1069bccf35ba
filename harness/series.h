/* One metric of a session, arm by arm and round by round: what paired statistics work on. Comes from the database. */
#ifndef HM_HARNESS_SERIES_H
#define HM_HARNESS_SERIES_H

#include "harness/store.h"

/* One arm on one case. value[rounds]: median over the timed samples of the round's process; NaN: not run, failed, set aside. */
typedef struct hm_series {
    char case_id[HM_HASH_TEXT], arm_id[HM_UUID_TEXT];
    const char *label;   /* "short/plain" */
    const char *arm;     /* its name */
    int arm_position, frames;
    double *value;
    bool unhealthy;      /* a run's health is bad: no rank, no pass */
    const char *codes_hash, *audio_hash, *model_id, *toggles; /* of its first good run; NULL: not known */
} hm_series;

typedef struct hm_series_set {
    hm_series *items; /* by case (frames, suite, name), then arm position */
    int count, rounds;
    double direction; /* 1: less is better, -1: more is better */
    char unit[16];
    void *memory;
} hm_series_set;

/* metric: a name of `hmbench list metrics` that has a number per sample. HM_EUSAGE: unknown, with the nearest; HM_EMISSING: no session. */
hm_status hm_store_get_series(hm_store *store, const char *session_id, const char *metric, hm_series_set *out, hm_error *err);
void hm_series_set_free(hm_series_set *set);

/* ln(arm / base) * direction of the rounds that both have, into y[rounds]; returns how many. Positive: arm is worse. */
int hm_series_log_ratios(const hm_series_set *set, const hm_series *base, const hm_series *arm, double *y);

#endif
