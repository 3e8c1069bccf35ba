/* Was the machine itself while an arm ran? What throttles, slows the clock or takes the CPU away spoils a round; heat is waited for. Pure
 * policy: what the machine says comes in as numbers, so that tests need no hot machine. */
#ifndef HM_HARNESS_STEADY_H
#define HM_HARNESS_STEADY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/clock.h"
#include "harness/sample.h"

#define HM_STEADY_CLOCK 0.75   /* a CPU clock below this share of the arm's own session median spoils a round */
#define HM_STEADY_STEAL 0.10   /* so does stolen CPU time this much above the arm's own session median, as a share of its CPUs' time */
#define HM_STEADY_TICKS_NS 5e7 /* stolen time below this is none: systems count it in ticks of 10 ms */
#define HM_STEADY_WARMER_C 3.0 /* degrees above the hottest start of the first round are waited for */
enum {
    HM_STEADY_LEAST = 3
}; /* turns that a median needs before it judges */

/* What the machine did in one turn; NaN: it does not tell. */
typedef struct hm_steady_turn {
    double clock_khz;   /* lowest of its timed generations */
    double steal_share; /* stolen CPU time / (wall time x threads) */
    double throttled;   /* times */
} hm_steady_turn;

/* Of the timed samples of a turn with so many threads. */
hm_steady_turn hm_steady_of(const hm_sample *samples, int count, int threads);

/* True: this turn spoils its round; reason says why. clocks, steals: those of all turns of its arm in the session, this one too, NaN
 * where not known. */
bool hm_steady_spoilt(const hm_steady_turn *turn, const double *clocks, const double *steals, int n, char *reason, size_t size);

/* How long to wait for the machine to cool down. */
typedef struct hm_settle {
    const hm_clock *clock;
    int64_t longest_ns;                /* 0: never waits */
    double (*temperature)(void *self); /* degrees Celsius; NaN: not known */
    void *self;
    double hottest; /* at the starts of the first round; NaN: none yet */
} hm_settle;

/* Before a turn: in the first round takes the temperature, later waits until it is back in the first round's band, longest_ns at most.
 * stop: ends it early, or NULL. Returns the ns that it waited. */
int64_t hm_settle_wait(hm_settle *s, bool first_round, bool (*stop)(void));

#endif
