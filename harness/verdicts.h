/* What compare, gate and calibrate share: the two sides of a comparison, what forbids it, and its figures. */
#ifndef HM_HARNESS_VERDICTS_H
#define HM_HARNESS_VERDICTS_H

#include "harness/series.h"
#include "harness/verdict_store.h"
#include "reports/stats.h"

/* What a user named: sessions, and of their arms one or all. */
typedef struct hm_side {
    char text[256]; /* as it was named */
    hm_store *store;
    bool own_store;
    hm_session_list sessions;
    char arm[192];       /* name; empty: all arms */
    hm_series_set *sets; /* one per session */
} hm_side;

/* text: what hm_store_find_sessions takes, with ":ARM" behind it, and with "FILE:" of another database in front of it. The store is
 * borrowed. */
hm_status hm_side_open(hm_side *out, hm_store *store, const char *text, hm_error *err);
/* One arm of one session, or of all that have a tag. */
hm_status hm_side_of_arm(hm_side *out, hm_store *store, const char *session_id, const char *arm, hm_error *err);
hm_status hm_side_read(hm_side *side, const char *metric, hm_error *err);
void hm_side_close(hm_side *side);

/* One arm of a side on one case, in all its sessions. */
typedef struct hm_group {
    hm_side *side;
    const char *label, *arm;
    const hm_series **series; /* [count] */
    int *set;                 /* [count]: whose */
    int count;
} hm_group;

/* Whether an arm has this name: "best" is "best" and, in a session of several models, "best model=NAME" of each. */
bool hm_arm_is(const char *arm, const char *name);
/* Of arms that are meant for all models at once, only those of one model belong together. */
bool hm_groups_are_of_one_model(const hm_group *a, const hm_group *b);

/* In the order of the first session. Freed by hm_groups_free. HM_EMISSING: the side has no arm of that name. */
hm_status hm_side_groups(hm_side *side, hm_group **out, int *count, hm_error *err);
void hm_groups_free(hm_group **groups, int count);

/* Values of all sessions; malloc'ed. per_frame: divided by the frames of the case. */
hm_status hm_group_values(const hm_group *group, bool per_frame, double **x, int *n, hm_error *err);
const hm_series *hm_group_unhealthy(const hm_group *group); /* the first series that is; NULL: none */
/* hm_series_check_hardware of all of them. */
hm_status hm_group_check_hardware(const hm_group *group, hm_error *err);

/* What may differ, as bits. */
enum {
    HM_MAY_LENGTH = 1, /* the case */
    HM_MAY_WARMUP = 2
};
/* The first thing that forbids comparing them, as "model: A against B"; empty: nothing. In one session threads may differ: they were asked
 * for. */
hm_status hm_first_difference(const hm_group *a, const hm_group *b, unsigned may_differ, char *out, size_t size, hm_error *err);
/* The same of two series of one session. */
hm_status hm_series_first_difference(hm_store *store, const hm_series_set *set, const hm_series *a, const hm_series *b, char *out,
                                     size_t size, hm_error *err);

/* Outputs that must be equal and are not, as a sentence; empty: none. */
void hm_output_difference(const hm_group *a, const hm_group *b, char *out, size_t size);
void hm_series_output_difference(const hm_series *a, const hm_series *b, char *out, size_t size);
/* What differs that makes other numbers, as "flow_steps 10 -> 5"; empty: nothing. */
void hm_approx_difference(const char *toggles_a, const char *toggles_b, char *out, size_t size);

/* An arm against a base: of the metric itself, b to a. */
typedef struct hm_ratio {
    bool paired;
    int n, base_n; /* values of the arm and of the base; paired: pairs */
    int sessions, base_sessions;
    double ratio, low, high; /* low, high NaN: no interval */
    double worse;            /* > 1: the arm is worse, whatever the metric's direction */
} hm_ratio;

enum {
    HM_LEAST_PAIRS = 6,
    HM_LEAST_UNPAIRED = 10,
    HM_LEAST_SESSIONS = 3
}; /* for an interval to be told; to be believed */

/* ln ratios of pairs, arm worse is positive; direction: of the metric. */
hm_ratio hm_ratio_of_pairs(const double *y, int n, double direction);
/* Medians of processes measured apart. HM_EABSENT. */
hm_status hm_ratio_unpaired(const hm_group *base, const hm_group *arm, bool per_frame, hm_ratio *out, hm_error *err);
/* "worse", "better", "no difference seen", "no interval". */
const char *hm_ratio_word(const hm_ratio *ratio);

/* One paragraph in markdown about why an unpaired interval is not to be believed; empty: it is. */
void hm_ratio_doubt(const hm_ratio *ratio, char *out, size_t size);

#endif
