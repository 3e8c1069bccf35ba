/* The schedule: whole rounds, every arm once per case in each, in a recorded random order and then in its reverse. */
#ifndef HM_HARNESS_ROUNDS_H
#define HM_HARNESS_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "harness/clock.h"

/* `arms` things in one round of one case: order[slot] = which. Rounds 2k draw a permutation from Philox (key seed; counter k, case); rounds
 * 2k + 1 run it backwards, so that a slow drift of the machine cancels in each pair. */
void hm_rounds_order(uint64_t seed, int case_index, int round, int arms, int *order);

typedef struct hm_rounds {
    int cases, arms;
    int rounds; /* wanted */
    uint64_t seed;
    int64_t max_time_ns; /* no round starts that would end later, by the longest so far; 0: no limit. The first always starts. */
    const hm_clock *clock;
    void *self;
    /* False: this arm has nothing to do with the case: it has no slot in it. NULL: all have. */
    bool (*applies)(void *self, int case_index, int arm);
    /* False: this one is not run (done already, refused). */
    bool (*wanted)(void *self, int case_index, int arm, int round);
    /* A failed run is recorded and returns HM_OK; anything else ends the schedule. */
    hm_status (*run)(void *self, int case_index, int arm, int round, int slot, hm_error *err);
} hm_rounds;

/* *done: rounds that are complete. */
hm_status hm_rounds_run(const hm_rounds *rounds, int *done, hm_error *err);

#endif
