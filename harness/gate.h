/* The rule of `hmbench gate`: is this arm slower than the base by more than a margin? Pure: it knows pairs of times, rounds and looks, no
 * clock, no process, no database, so that simulations and the real gate run the same code. docs/statistics.md has its operating curves. */
#ifndef HM_HARNESS_GATE_H
#define HM_HARNESS_GATE_H

#include <stdbool.h>

#include "engine/base/error.h"

enum {
    HM_GATE_LOOKS = 8
};
#define HM_GATE_ALPHA \
    0.03 /* simulated gates keep both goals under every drift with it; 0.05 fails one by chance more often (docs/statistics.md) */

typedef struct hm_gate_rule {
    double margin;            /* slowdown that is let pass, 0.02: 2 % */
    double alpha;             /* HM_GATE_ALPHA unless asked for; spread over cases and looks */
    int cases;                /* gated together */
    int looks[HM_GATE_LOOKS]; /* rounds after which is judged, rising; hm_gate_rule_make fills them: 10, 20, 40 */
    int look_count;
} hm_gate_rule;

typedef enum hm_gate_verdict {
    HM_GATE_OPEN, /* more rounds */
    HM_GATE_PASS,
    HM_GATE_IMPROVED, /* passes, and is faster by more than the margin */
    HM_GATE_FAIL,
    HM_GATE_INCONCLUSIVE, /* undecided after the last look */
    HM_GATE_INVALID       /* the measurement itself cannot be trusted: dropped rounds, drift, unhealthy or failed runs */
} hm_gate_verdict;
const char *hm_gate_verdict_name(hm_gate_verdict verdict); /* "open", "pass", "improved", "fail", "inconclusive", "invalid" */

typedef struct hm_gate_finding {
    hm_gate_verdict verdict;
    int rounds;              /* pairs it rests on */
    double ratio, low, high; /* of times, arm to base: above 1 is slower; Hodges-Lehmann, two-sided 95 %, NaN below six */
    double sd;               /* 1.4826 MAD of the log-ratios */
    double mde;              /* least slowdown found with 80 % probability at the last look, from sd: 0.03 is 3 % */
} hm_gate_finding;

/* Looks at min_rounds (raised to the least that the level allows: ceil(log2(looks * cases / alpha))), doubling up to max_rounds, the last
 * of which is always a look. HM_EUSAGE: nonsense numbers, told by name. */
hm_status hm_gate_rule_make(hm_gate_rule *out, double margin, double alpha, int cases, int min_rounds, int max_rounds, hm_error *err);

/* Is it judged at n rounds? At every look, and at any number beyond the last. */
bool hm_gate_is_look(const hm_gate_rule *rule, int n);

/* One case at n rounds. y: ln(arm / base) per round, of a metric of which less is better (higher is better: negated). Between looks the
 * verdict is OPEN; values that are not finite do not count.
 *   FAIL:     L(alpha / (looks * cases)) > 0 and estimate > ln(1 + margin)
 *   IMPROVED: U(alpha / (looks * cases)) < 0 and estimate < -ln(1 + margin)
 *   PASS:     U(alpha / looks) <= ln(1 + margin) */
void hm_gate_judge(const hm_gate_rule *rule, const double *y, int n, hm_gate_finding *out);

/* All cases: FAIL if one fails, else INVALID, else INCONCLUSIVE, else OPEN, else IMPROVED if one is and all others pass, else PASS. INVALID
 * without any. */
hm_gate_verdict hm_gate_together(const hm_gate_finding *findings, int count);

#endif
