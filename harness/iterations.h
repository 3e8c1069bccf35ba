/* How many timed generations one process should make: from what a session with several in each cost, and how they spread. */
#ifndef HM_HARNESS_ITERATIONS_H
#define HM_HARNESS_ITERATIONS_H

#include "harness/store.h"

enum {
    HM_ITERATIONS_CAP = 20
};

typedef struct hm_iterations {
    int processes;       /* good ones with two generations and more; 0: none, then nothing else is known */
    double process_s;    /* mean time of a process beside its timed generations: start, load, warm-up */
    double iteration_s;  /* mean time of a generation */
    double process_sd;   /* of logarithms, between processes of one arm: what its generations' own spread does not explain */
    double iteration_sd; /* of logarithms, within a process */
    int best;            /* hm_best_iterations; 0: an arm needs two processes */
} hm_iterations;

/* Of a case, by all arms of a session: each arm's processes are compared with each other. */
hm_status hm_iterations_advise(hm_store *store, const char *session_id, const char *case_id, hm_iterations *out, hm_error *err);

#endif
