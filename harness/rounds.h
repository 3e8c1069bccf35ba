/* The schedule: whole rounds, every arm once per case in each, in a recorded order; rounds that cannot be trusted are run again. */
#ifndef HM_HARNESS_ROUNDS_H
#define HM_HARNESS_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "harness/clock.h"

/* Orders of the arms within a round: rows of name and meaning. */
#define HM_ORDERS(X)                                                       \
    X(ABBA, "abba", "a random permutation, in the next round its reverse") \
    X(RANDOM, "random", "a fresh permutation in each round")               \
    X(SERIAL, "serial", "as the arms are named")

typedef enum hm_order {
#define HM_ORDER_ENUM(id, name, text) HM_ORDER_##id,
    HM_ORDERS(HM_ORDER_ENUM)
#undef HM_ORDER_ENUM
    HM_ORDER_COUNT
} hm_order;

extern const char *const hm_order_names[HM_ORDER_COUNT + 1]; /* NULL at the end */
/* -1: there is none of this name. */
int hm_order_parse(const char *name);

/* `arms` things in one round of one case: order[slot] = which. Permutations come from Philox (key seed; counter of round and case). ABBA:
 * rounds 2k draw, rounds 2k + 1 run it backwards, so that a slow drift of the machine cancels in each pair; two arms: AB,BA or BA,AB. */
void hm_rounds_order(hm_order kind, uint64_t seed, int case_index, int round, int arms, int *order);

/* Rounds that were set aside make the whole measurement invalid when they are more than one and more than this share of all. */
#define HM_ROUNDS_DROPPED_MOST 0.2
bool hm_rounds_too_many_dropped(int dropped, int kept);

typedef struct hm_rounds {
    int cases, arms;
    int rounds; /* wanted */
    hm_order order;
    uint64_t seed;
    int dropped;         /* before: of a session that goes on */
    int64_t max_time_ns; /* no round starts that would end later, by the longest so far; 0: no limit. The first always starts. */
    const hm_clock *clock;
    void *self;
    /* False: this arm has nothing to do with the case: it has no slot in it. NULL: all have. */
    bool (*applies)(void *self, int case_index, int arm);
    /* False: this one is not run (done already, refused). */
    bool (*wanted)(void *self, int case_index, int arm, int round);
    /* A failed run is recorded and returns HM_OK; anything else ends the schedule. */
    hm_status (*run)(void *self, int case_index, int arm, int round, int slot, hm_error *err);
    /* After the last run of a case's round: *drop sets it aside, and it is run again (wanted has to say so). NULL: none is. */
    hm_status (*judge)(void *self, int case_index, int round, bool *drop, hm_error *err);
    /* After each round of a case that was kept: true ends the case. NULL: none ends early. */
    bool (*decided)(void *self, int case_index, int rounds_done);
} hm_rounds;

typedef struct hm_rounds_outcome {
    int rounds;   /* complete ones: all cases that were not decided */
    int kept;     /* rounds of cases that count */
    int dropped;  /* rounds of cases that were set aside and run again */
    bool invalid; /* too many were: the schedule ended there */
    bool decided; /* all cases ended early */
} hm_rounds_outcome;

hm_status hm_rounds_run(const hm_rounds *rounds, hm_rounds_outcome *out, hm_error *err);

#endif
