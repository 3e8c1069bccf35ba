/* A gate on times: both arms in one session, looked at while the rounds come. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/gate_session.h"

#define DRIFT_P 0.001 /* Mann-Kendall, over all cases: ratios that move in one direction are no ratio */
#define POWER 0.8

/* Both series of a case. */
static hm_status series_of(const hm_gate *g, const hm_measure *m, int c, const char *metric, hm_series_set *set, const hm_series **base,
                           const hm_series **arm, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(m);
    hm_status st = hm_store_get_series(hm_measure_store(m), hm_measure_session(m), metric, set, err);
    *base = st ? NULL : hm_series_find(set, plan->cases[c].id, plan->arms[g->cases[c].base].id);
    *arm = st ? NULL : hm_series_find(set, plan->cases[c].id, plan->arms[g->cases[c].arm].id);
    return st;
}

/* What the rounds so far say. n: pairs. */
static hm_status look(hm_gate *g, const hm_measure *m, int c, double **y, int *n, hm_error *err)
{
    hm_series_set set;
    const hm_series *base, *arm;
    *n = 0;
    *y = NULL;
    hm_status st = series_of(g, m, c, g->o->metric, &set, &base, &arm, err);
    if (st)
        return st;
    *y = hm_calloc((size_t)set.rounds + 1, sizeof **y, "pairs", err);
    if (*y && base && arm)
        *n = hm_series_log_ratios(&set, base, arm, *y);
    hm_series_set_free(&set);
    if (*y)
        hm_gate_judge(&g->rule, *y, *n, &g->cases[c].finding);
    return *y ? HM_OK : HM_EABSENT;
}

static bool outputs_differ(const hm_gate *g, const hm_measure *m, int c, char *text, size_t size)
{
    hm_series_set set;
    const hm_series *base, *arm;
    *text = 0;
    if (g->o->other_output || series_of(g, m, c, "wall", &set, &base, &arm, NULL))
        return false;
    if (base && arm)
        hm_series_output_difference(base, arm, text, size);
    hm_series_set_free(&set);
    return *text != 0;
}

/* HM_ECOMPARE: a build of another type, other weights. */
hm_status hm_gate_comparable(const hm_gate *g, const hm_measure *m, int c, hm_error *err)
{
    char text[400] = "", label[200];
    hm_series_set set;
    const hm_series *base, *arm;
    hm_status st = series_of(g, m, c, "wall", &set, &base, &arm, err);
    if (st)
        return st;
    if (base && arm)
        st = hm_series_first_difference(hm_measure_store(m), &set, base, arm, text, sizeof text, err);
    hm_series_set_free(&set);
    snprintf(label, sizeof label, "%s", hm_measure_plan_of(m)->cases[c].name);
    return st || !*text
               ? st
               : hm_fail(err, HM_ECOMPARE, "%s: %.80s and %.80s cannot be compared: %.250s", label, g->o->base, g->o->variant, text);
}

/* A failure here is met again, and told, when all is judged. */
bool hm_gate_decided(void *self, const hm_measure *m, int c, int rounds_done)
{
    hm_gate *g = self;
    hm_gate_case *k = &g->cases[c];
    char text[400];
    double *y = NULL;
    int n;
    if (!hm_measure_healthy(m, c, k->base) || !hm_measure_healthy(m, c, k->arm))
        return true;
    if (rounds_done == 1 && (hm_gate_comparable(g, m, c, NULL) || outputs_differ(g, m, c, text, sizeof text)))
        return true;
    if (!hm_gate_is_look(&g->rule, rounds_done))
        return false;
    hm_status st = look(g, m, c, &y, &n, NULL);
    free(y);
    return !st && k->finding.verdict != HM_GATE_OPEN;
}

/* ---- before ---- */

static double suggestion(double mde)
{
    return ceil(mde * 200) / 200;
}

hm_status hm_gate_calibrated(hm_gate *g, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    double level = g->rule.alpha / ((double)g->rule.look_count * g->rule.cases), worst = 0;
    int last = g->rule.looks[g->rule.look_count - 1], unknown = 0;
    hm_status st = HM_OK;
    if (strcmp(g->o->metric, "wall")) /* calibrations are of wall times: what can be found of others is told by the data */
        return HM_OK;
    for (int c = 0; c < plan->case_count && !st; c++) {
        hm_gate_case *k = &g->cases[c];
        const hm_plan_arm *a = &plan->arms[k->arm];
        hm_calibration_key key = {hm_measure_machine(g->m)->id, plan->cases[c].id, a->toggles_text, a->backend, a->device, a->threads};
        st = hm_store_get_calibration(hm_measure_store(g->m), &key, &k->calibrated_sd, err);
        double mde = expm1(hm_detectable(k->calibrated_sd, last, level, POWER));
        unknown += isnan(mde);
        worst = fmax(worst, mde); /* NaN: the other one */
    }
    if (worst > g->rule.margin)
        snprintf(g->report.warning, sizeof g->report.warning,
                 "Warning: by its calibration this machine shows slowdowns from %.1f %% on in %d rounds, and the margin is %.1f %%: expect "
                 "INCONCLUSIVE; --margin %.1f%% or more rounds would do.",
                 100 * worst, last, 100 * g->rule.margin, 100 * suggestion(worst));
    if (*g->report.warning && !g->o->measure.quiet)
        fprintf(stderr, "%s\n", g->report.warning);
    else if (unknown && !g->o->measure.quiet)
        fprintf(stderr, "%d of %d cases were never calibrated here: what can be found is told by the data (hmbench calibrate)\n", unknown,
                plan->case_count);
    return st;
}

/* ---- after ---- */

static void tell(hm_gate_row *r, const char *verdict, const char *reason)
{
    r->verdict = verdict;
    snprintf(r->reason, sizeof r->reason, "%.490s", reason);
}

static hm_status memory_of(const hm_gate *g, int c, double *base_bytes, double *arm_bytes, hm_error *err)
{
    hm_series_set set;
    const hm_series *base, *arm;
    hm_status st = series_of(g, g->m, c, "mem", &set, &base, &arm, err);
    *base_bytes = *arm_bytes = NAN;
    if (st)
        return st;
    double *x = hm_calloc((size_t)set.rounds + 1, sizeof *x, "memory", err);
    for (int i = 0; x && i < 2; i++) {
        const hm_series *s = i ? arm : base;
        int n = s ? hm_series_values(&set, s, x) : 0;
        *(i ? arm_bytes : base_bytes) = n ? hm_median(x, n) * 1e6 : NAN;
    }
    hm_series_set_free(&set);
    free(x);
    return x ? HM_OK : HM_EABSENT;
}

/* Failed and unhealthy runs. True: there is no verdict on times. */
static hm_status spoilt(hm_gate *g, int c, hm_gate_row *r, bool *is, hm_error *err)
{
    char text[500];
    hm_series_set set;
    const hm_series *both[2];
    hm_status st = series_of(g, g->m, c, "wall", &set, &both[0], &both[1], err);
    if (st)
        return st;
    *is = true;
    if (outputs_differ(g, g->m, c, text, sizeof text)) {
        g->cases[c].differs = true;
        tell(r, "differs", text);
        hm_series_set_free(&set);
        return HM_OK;
    }
    for (int i = 0; i < 2; i++) {
        const hm_series *s = both[i];
        if (!s || s->failed) {
            g->cases[c].failed = true;
            snprintf(text, sizeof text, "%d runs of %s failed", s ? s->failed : 0, s ? s->arm : i ? r->arm : r->base);
        } else if (s->unhealthy) {
            snprintf(text, sizeof text, "the output of %s is bad: %.300s", s->arm,
                     s->health_reasons ? s->health_reasons : "no reason was stored");
        } else {
            continue;
        }
        tell(r, "invalid", text);
        hm_series_set_free(&set);
        return HM_OK;
    }
    *is = false;
    hm_series_set_free(&set);
    return HM_OK;
}

static void tell_times(hm_gate *g, int c, hm_gate_row *r, const double *y, int n)
{
    hm_gate_case *k = &g->cases[c];
    const hm_gate_finding *f = &k->finding;
    int last = g->rule.looks[g->rule.look_count - 1];
    char text[400];
    double p = hm_mann_kendall_p(y, n);
    int done = hm_measure_case_rounds(g->m, c);
    if (n < done) { /* never a pass, and no lack of time */
        snprintf(text, sizeof text, "%s has a ratio in %d of %d rounds: it was not measured, or is zero", g->o->metric, n, done);
        tell(r, "invalid", text);
    } else if (n >= 10 && p < DRIFT_P / g->rule.cases) {
        snprintf(text, sizeof text, "the ratio drifts (Mann-Kendall p = %.2g): something changed while it was measured", p);
        tell(r, "invalid", text);
    } else if (f->verdict == HM_GATE_FAIL) {
        if (isnan(f->low))
            snprintf(text, sizeof text, "%s is %.1f %% worse (%d rounds have no 95 %% interval)", g->o->metric, 100 * (f->ratio - 1), n);
        else
            snprintf(text, sizeof text, "%s is %.1f %% worse (%.1f to %.1f %%)", g->o->metric, 100 * (f->ratio - 1), 100 * (f->low - 1),
                     100 * (f->high - 1));
        tell(r, hm_gate_verdict_name(f->verdict), text);
    } else if (f->verdict == HM_GATE_PASS) {
        tell(r, hm_gate_verdict_name(f->verdict), "");
    } else if (f->verdict == HM_GATE_IMPROVED) {
        snprintf(text, sizeof text, "%s is %.1f %% better", g->o->metric, 100 * (1 - f->ratio));
        tell(r, hm_gate_verdict_name(f->verdict), text);
    } else if (n < last) {
        snprintf(text, sizeof text, "time ran out after %d of %d rounds (--max-time); hmbench gate ... --resume adds the others", n, last);
        tell(r, "inconclusive", text);
    } else {
        snprintf(text, sizeof text, "undecided after %d rounds with a spread of %.1f %%; a margin of %.1f %% could be decided", n,
                 100 * f->sd, 100 * suggestion(fmax(f->mde, g->rule.margin + 0.001)));
        tell(r, "inconclusive", text);
    }
}

static hm_status judge_case(hm_gate *g, int c, hm_error *err)
{
    hm_gate_row *r = &g->report.rows[c];
    hm_gate_case *k = &g->cases[c];
    double *y = NULL, base = NAN, arm = NAN, level = g->rule.alpha / ((double)g->rule.look_count * g->rule.cases);
    char reason[200];
    bool no_verdict;
    int n = 0;
    hm_status st = look(g, g->m, c, &y, &n, err);
    if (!st)
        st = spoilt(g, c, r, &no_verdict, err);
    if (!st && !no_verdict)
        st = memory_of(g, c, &base, &arm, err);
    if (st) {
        free(y);
        return st;
    }
    r->rounds = n;
    r->margin = g->rule.margin;
    r->mde = isnan(k->calibrated_sd) ? k->finding.mde
                                     : expm1(hm_detectable(k->calibrated_sd, g->rule.looks[g->rule.look_count - 1], level, POWER));
    if (!no_verdict) {
        r->ratio = n ? k->finding.ratio : NAN;
        r->low = n ? k->finding.low : NAN;
        r->high = n ? k->finding.high : NAN;
        tell_times(g, c, r, y, n);
        if (strcmp(r->verdict, "invalid") && hm_gate_memory_fails(base, arm, reason, sizeof reason)) {
            k->fat = true;
            tell(r, "fail", reason);
        }
    }
    free(y);
    return HM_OK;
}

hm_status hm_gate_judge_times(hm_gate *g, hm_error *err)
{
    hm_status st = HM_OK;
    for (int c = 0; c < g->report.row_count && !st; c++)
        st = judge_case(g, c, err);
    return st;
}
