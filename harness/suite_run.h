/* Carries out a plan: refuses arms that do not fit, makes the codes every arm is fed, runs the rounds, stores each run, compares what
 * came out. */
#ifndef HM_HARNESS_SUITE_RUN_H
#define HM_HARNESS_SUITE_RUN_H

#include "harness/hooks.h"
#include "harness/plan.h"
#include "harness/progress.h"
#include "harness/rounds.h"
#include "harness/tally.h"
#include "harness/turn.h"

#define HM_COLD_ROUND (-1) /* of the cold starts: before the rounds, and in no figure of them */

typedef struct hm_suite_options {
    const hm_plan *plan; /* its arms' ids are those in the database */
    hm_tally *tally;     /* opened for the plan and these rounds; gets what is measured */
    const char *session_id;
    const char *machine_id;
    const char *warmup;       /* first, full, none */
    int iterations;           /* timed generations per process */
    const char *audio_folder; /* where the first round's audio goes; NULL: nowhere */
    int rounds;
    int64_t max_time_ns, timeout_ns;
    int64_t settle_ns; /* longest wait before a turn for the machine to cool down; 0: none */
    hm_order order;
    uint64_t order_seed;
    hm_hooks hooks; /* prepare and conclude of the timed turns; setup and cleanup are the caller's */
    void *self;
    bool (*decided)(void *self, int case_index, int rounds_done); /* as in hm_rounds; NULL: never */
    bool cold;         /* before the rounds, each arm starts once per case with its model's files out of the page cache */
    bool stream;       /* arms that decode in pieces hand them over as they come */
    bool judges_times; /* as in hm_measure_options */
    bool quiet;
} hm_suite_options;

typedef struct hm_suite_outcome {
    int rounds;   /* complete ones */
    int kept;     /* rounds of cases that count */
    int dropped;  /* rounds of cases that the machine spoilt: set aside and run again */
    bool invalid; /* too many were */
    bool decided; /* all cases ended early */
    int failed;   /* runs that are not ok, in the whole session */
    int refused;
    char first_dropped[640]; /* "short/plain, round 2: best: a CPU was throttled" */
    char first_failure[640]; /* "short/plain, best: crash: ..." */
    char difference[640];    /* the first output that differs and must not; empty: none */
} hm_suite_outcome;

/* Asks every arm of ours what it needs for its longest case; fills `refusal` of those that do not fit into the memory there is. HM_EABSENT
 * and others when an arm cannot run at all (no module ...). */
hm_status hm_suite_estimate(hm_plan *plan, int64_t timeout_ns, hm_error *err);

/* Expected duration of one run of an arm on a case: from past runs here, else a guess by the audio's length (*known false). */
int64_t hm_suite_expected_ns(hm_store *store, const char *machine_id, const hm_plan *plan, int case_index, int arm, bool *known);

/* Goes on where the database says the session stands. HM_EINTERRUPTED: the user asked to stop; what is stored stays. */
hm_status hm_suite_run(hm_store *store, const hm_suite_options *options, hm_suite_outcome *out, hm_error *err);

/* HM_EINVALID, in one sentence: this arm's times cannot be judged. */
hm_status hm_suite_refuse_software(const char *arm, const char *device, hm_error *err);

/* Of everything stored in the session: counts failures, and compares hashes of arms that must give the same bytes. */
hm_status hm_suite_check(hm_store *store, const hm_plan *plan, const char *session_id, hm_suite_outcome *out, hm_error *err);

#endif
