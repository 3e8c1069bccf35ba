#include "harness/gate.h"

#include <math.h>
#include <stdlib.h>

#include "reports/stats.h"

#define POWER 0.8      /* of the least detectable slowdown */
#define ONE_SIDE 0.025 /* of the interval that is shown */
#define SD_OF_MAD 1.4826

const char *hm_gate_verdict_name(hm_gate_verdict verdict)
{
    static const char *const names[] = {"open", "pass", "improved", "fail", "inconclusive", "invalid"};
    return (unsigned)verdict < sizeof names / sizeof *names ? names[verdict] : "invalid";
}

/* Looks at `first`, doubled up to `last`; returns how many, one more than fit at most. */
static int make_looks(int *looks, int first, int last)
{
    int count = 0;
    for (int64_t n = first;; n *= 2) {
        if (count == HM_GATE_LOOKS)
            return count + 1;
        looks[count++] = n < last ? (int)n : last;
        if (n >= last)
            return count;
    }
}

/* Pairs that all have to agree in sign before a bound at this level exists: 2^-n <= alpha / (looks * cases). */
static int least_rounds(double alpha, int looks, int cases)
{
    int n = 1;
    while (ldexp(1, -n) > alpha / ((double)looks * cases))
        n++;
    return n;
}

hm_status hm_gate_rule_make(hm_gate_rule *out, double margin, double alpha, int cases, int min_rounds, int max_rounds, hm_error *err)
{
    hm_gate_rule rule = {.margin = margin, .alpha = alpha, .cases = cases};
    int first = min_rounds, needed = 1;
    if (!(margin > 0 && margin <= 10))
        return hm_fail(err, HM_EUSAGE, "gate: margin %g %%: expected more than 0 and at most 1000 %%", 100 * margin);
    if (!(alpha > 0 && alpha < 0.5))
        return hm_fail(err, HM_EUSAGE, "gate: alpha %g: expected more than 0 and less than 0.5", alpha);
    if (cases < 1)
        return hm_fail(err, HM_EUSAGE, "gate: %d cases: expected at least 1", cases);
    if (min_rounds < 1)
        return hm_fail(err, HM_EUSAGE, "gate: min-rounds %d: expected at least 1", min_rounds);
    if (max_rounds < min_rounds)
        return hm_fail(err, HM_EUSAGE, "gate: max-rounds %d: expected at least min-rounds, %d", max_rounds, min_rounds);
    for (;; first++) { /* fewer looks need fewer rounds, but later first looks make fewer looks: the first that fits */
        rule.look_count = make_looks(rule.looks, first < max_rounds ? first : max_rounds, max_rounds);
        if (rule.look_count > HM_GATE_LOOKS)
            return hm_fail(err, HM_EUSAGE, "gate: from min-rounds %d to max-rounds %d are more than %d doublings: raise min-rounds",
                           min_rounds, max_rounds, HM_GATE_LOOKS - 1);
        needed = least_rounds(alpha, rule.look_count, cases);
        if (first >= needed || first >= max_rounds)
            break;
    }
    if (max_rounds < needed)
        return hm_fail(err, HM_EUSAGE, "gate: %d case(s) at alpha %g need at least %d rounds for a verdict: raise max-rounds from %d",
                       cases, alpha, needed, max_rounds);
    *out = rule;
    return HM_OK;
}

bool hm_gate_is_look(const hm_gate_rule *rule, int n)
{
    for (int i = 0; i < rule->look_count; i++)
        if (rule->looks[i] == n)
            return true;
    return n > rule->looks[rule->look_count - 1];
}

void hm_gate_judge(const hm_gate_rule *rule, const double *y, int n, hm_gate_finding *out)
{
    double *known = n > 0 ? malloc((size_t)n * sizeof *known) : NULL;
    double fail_level = rule->alpha / ((double)rule->look_count * rule->cases), limit = log1p(rule->margin);
    double levels[] = {fail_level, rule->alpha / rule->look_count, ONE_SIDE};
    int last = rule->looks[rule->look_count - 1], count = 0;
    hm_interval at[3];
    for (int i = 0; known && i < n; i++)
        if (isfinite(y[i]))
            known[count++] = y[i];
    hm_hodges_lehmann_at(known, count, levels, 3, at);
    bool bounded = isfinite(at[2].low) && isfinite(at[2].high); /* else too few rounds for an interval: none, not from 0 */
    double sd = count > 1 ? SD_OF_MAD * hm_mad(known, count) : NAN;
    free(known);
    *out = (hm_gate_finding){HM_GATE_OPEN,
                             count,
                             exp(at[2].estimate),
                             bounded ? exp(at[2].low) : NAN,
                             bounded ? exp(at[2].high) : NAN,
                             sd,
                             expm1(hm_detectable(sd, last, fail_level, POWER))};
    if (!count || !hm_gate_is_look(rule, count) || isnan(at[0].estimate))
        return;
    if (at[0].low > 0 && at[0].estimate > limit)
        out->verdict = HM_GATE_FAIL;
    else if (at[0].high < 0 && at[0].estimate < -limit)
        out->verdict = HM_GATE_IMPROVED;
    else if (at[1].high <= limit)
        out->verdict = HM_GATE_PASS;
    else if (count >= last)
        out->verdict = HM_GATE_INCONCLUSIVE;
}

hm_gate_verdict hm_gate_together(const hm_gate_finding *findings, int count)
{
    static const hm_gate_verdict worst_first[] = {HM_GATE_FAIL, HM_GATE_INVALID, HM_GATE_INCONCLUSIVE, HM_GATE_OPEN, HM_GATE_IMPROVED};
    for (size_t w = 0; w < sizeof worst_first / sizeof *worst_first; w++)
        for (int i = 0; i < count; i++)
            if (findings[i].verdict == worst_first[w])
                return worst_first[w];
    return count > 0 ? HM_GATE_PASS : HM_GATE_INVALID;
}
