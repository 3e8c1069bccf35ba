/* One metric of a session, arm by arm and round by round: what paired statistics work on. Comes from the database. */
#ifndef HM_HARNESS_SERIES_H
#define HM_HARNESS_SERIES_H

#include "harness/store.h"

/* One arm on one case. value[rounds]: median over the timed samples of the round's process; NaN: not run, failed, set aside, or the metric
 * is not measured. */
typedef struct hm_series {
    char case_id[HM_HASH_TEXT], arm_id[HM_UUID_TEXT];
    const char *label; /* "short/plain" */
    const char *arm;   /* its name */
    const char *model; /* folder */
    int arm_position, frames;
    double *value;
    bool unhealthy;                                           /* a run's health is bad: no rank, no pass */
    const char *health_reasons;                               /* of the first such run; NULL: none */
    int failed, dropped;                                      /* runs that are not ok; good ones of rounds that are set aside */
    const char *codes_hash, *audio_hash, *model_id, *toggles; /* of its first good run; NULL: not known */
    const char *variant, *isa, *warmup;                       /* likewise */
    int threads;                                              /* used by that run; 0: not known */
    const char *build_id;                                     /* of the program that ran it */
    const char *device, *driver, *environment;                /* what it ran on (UUID, else name), and within; NULL: not known */
    bool software;                                            /* on a GPU that is a program: its times say nothing about hardware */
} hm_series;

typedef struct hm_series_set {
    char session_id[HM_UUID_TEXT], machine_id[HM_HASH_TEXT];
    uint64_t order_seed;
    hm_series *items; /* by case (frames, suite, name), then arm position; those that failed altogether too */
    int count, rounds;
    double direction; /* 1: less is better, -1: more is better */
    bool timed;       /* the metric is one of time: hm_metric_timed */
    char unit[16];
    void *memory;
} hm_series_set;

/* metric: a name of `hmbench list metrics` that has a number per sample, or of an exact count. HM_EUSAGE: unknown, with the nearest;
 * HM_EMISSING: no session. */
hm_status hm_store_get_series(hm_store *store, const char *session_id, const char *metric, hm_series_set *out, hm_error *err);
void hm_series_set_free(hm_series_set *set);

/* Whether there can be a verdict on it: HM_EUSAGE as above, and where neither less nor more is better. */
hm_status hm_series_check_metric(const char *metric, hm_error *err);

/* HM_EINVALID, in one sentence: the metric is one of time, and this series (NULL is fine) is of a software device. */
hm_status hm_series_check_hardware(const hm_series_set *set, const hm_series *series, hm_error *err);

/* The series of an arm on a case, NULL when there is none. */
const hm_series *hm_series_find(const hm_series_set *set, const char *case_id, const char *arm_id);

/* ln(arm / base) * direction of the rounds that both have, into y[rounds]; returns how many. Positive: arm is worse. */
int hm_series_log_ratios(const hm_series_set *set, const hm_series *base, const hm_series *arm, double *y);

/* The values there are, into x[rounds]; returns how many. */
int hm_series_values(const hm_series_set *set, const hm_series *series, double *x);

#endif
