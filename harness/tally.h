/* What a session has measured so far: a cell per case, arm and round. In memory; the database has it all. */
#ifndef HM_HARNESS_TALLY_H
#define HM_HARNESS_TALLY_H

#include "harness/plan.h"
#include "harness/steady.h"

typedef struct hm_tally_cell {
    bool done; /* its turn is over, whatever came of it; or there is none */
    bool failed;
    bool unhealthy;    /* output judged bad */
    double wall_ns;    /* median of the timed generations; NaN: none */
    double elapsed_ns; /* the turn with all around it; NaN: not run */
    hm_steady_turn steady;
} hm_tally_cell;

typedef struct hm_tally {
    const hm_plan *plan;
    int rounds;
    hm_tally_cell *cells; /* [rounds][cases][arms] */
    double *expected_ns;  /* [cases][arms] of a turn, as long as none was taken */
    bool *guessed;        /* [cases][arms] that is a rule of thumb alone */
    bool *decided;        /* [cases] */
    int dropped;          /* rounds of cases that were set aside */
    bool stolen_spoils;   /* stolen CPU time spoils a turn: where a verdict on a pair rests on each round. Elsewhere it is told, no more: of
                             many arms on a shared host one nearly always meets it */
    bool nothing_spoils;  /* whatever the machine does: exact figures do not depend on it */
} hm_tally;

/* Pairs without anything to do are done. */
hm_status hm_tally_open(hm_tally *t, const hm_plan *plan, int rounds, hm_error *err);
void hm_tally_close(hm_tally *t);
hm_tally_cell *hm_tally_at(const hm_tally *t, int case_index, int arm, int round);

/* What the database has of the session. */
hm_status hm_tally_load(hm_tally *t, hm_store *store, const char *session_id, hm_error *err);
/* A turn is over: samples are its own, threads those it used. */
void hm_tally_put(hm_tally *t, int case_index, int arm, int round, bool ok, const hm_sample *samples, int count, int threads,
                  double elapsed_ns);
/* The round of a case is to be run again. */
void hm_tally_drop(hm_tally *t, int case_index, int round);

/* True: a turn of the round was spoilt; reason says which and why. */
bool hm_tally_spoilt(const hm_tally *t, int case_index, int round, char *reason, size_t size);
/* Rounds of a case that are whole. */
int hm_tally_case_rounds(const hm_tally *t, int case_index);
/* The widest two-sided 95 % interval of a case: of every arm's times against those of the first one that runs it, round by round, or of the
 * times of the only one. Half of it as a share: 0.01 is +-1 %. INFINITY: too few rounds for one (6 are needed), or an arm has no times. */
double hm_tally_half_width(const hm_tally *t, int case_index);
bool hm_tally_healthy(const hm_tally *t, int case_index, int arm);
/* Expected duration of a turn: the median of those taken, else what was expected; a guess by as much longer or shorter as other guesses turned out. */
double hm_tally_turn_ns(const hm_tally *t, int case_index, int arm);
double hm_tally_seconds_left(const hm_tally *t);

/* Index of a case or arm by its id; -1: there is none. */
int hm_plan_find_case(const hm_plan *plan, const char *id);
int hm_plan_find_arm(const hm_plan *plan, const char *id);

#endif
