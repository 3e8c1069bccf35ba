/* A gate against sessions of another time: only when the old program cannot run beside the new one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/gate_session.h"
#include "harness/machine.h"

/* Letters of --base before the arm that it may name. */
static int length_without_arm(const char *base, const char *arm)
{
    size_t whole = strlen(base), end = strlen(arm);
    bool named = end && whole > end && base[whole - end - 1] == ':' && !strcmp(base + whole - end, arm);
    return (int)(named ? whole - end - 1 : whole);
}

hm_status hm_gate_open_stored(hm_gate *g, hm_error *err)
{
    hm_machine_record machine;
    char near[HM_SUGGESTION];
    hm_status st = hm_store_open(&g->reading, hm_store_path(g->o->measure.db), HM_STORE_READ, err);
    if (!st)
        st = hm_side_open(&g->stored, g->reading, g->o->base, err);
    if (!st && g->stored.own_store)
        st = hm_fail(err, HM_EUSAGE,
                     "--base %s: a verdict is kept beside what it rests on; bring that file in first: hmbench db merge FILE", g->o->base);
    if (!st)
        st = hm_side_read(&g->stored, g->o->counts ? "wall" : g->o->metric, err);
    if (!st && !*g->stored.arm)
        snprintf(g->stored.arm, sizeof g->stored.arm, "%s", g->o->variant);
    if (!st)
        st = hm_side_groups(&g->stored, &g->groups, &g->group_count, err);
    if (st == HM_EMISSING && g->stored.sets)
        return hm_fail(err, HM_ECOMPARE,
                       "--base %s: its sessions have no runs of an arm %s; name one that they have, as in --base %.*s:naive%s", g->o->base,
                       g->stored.arm, length_without_arm(g->o->base, g->stored.arm), g->o->base,
                       hm_store_did_you_mean(g->reading, HM_NAMES_ARMS, g->stored.arm, near));
    hm_machine_read(&machine);
    for (int i = 0; !st && i < g->stored.sessions.count; i++)
        if (strcmp(g->stored.sets[i].machine_id, machine.id))
            st = hm_fail(err, HM_ECOMPARE, "--base %s: session %.8s is of another machine (or this one has changed): not comparable",
                         g->o->base, g->stored.sets[i].session_id);
    return st;
}

hm_status hm_gate_match_stored(hm_gate *g, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    for (int c = 0; c < plan->case_count; c++) {
        char label[200];
        hm_gate_case *k = &g->cases[c];
        hm_gate_label(g, c, label, sizeof label);
        for (int i = 0; i < g->group_count; i++)
            if (!strcmp(g->groups[i].label, label))
                k->stored = &g->groups[i];
        if (!k->stored)
            return hm_fail(err, HM_ECOMPARE, "--base %s: has no runs of %s; measure it, or leave it out with --filter", g->o->base, label);
        for (int i = 0; i < k->stored->count; i++)
            if (strcmp(k->stored->series[i]->case_id, plan->cases[c].id))
                return hm_fail(err, HM_ECOMPARE,
                               "--base %s: %s was another case then (frames %d, now %d; texts, seed or sampling may differ)", g->o->base,
                               label, k->stored->series[i]->frames, plan->cases[c].frames);
        k->base_arm_id = k->stored->series[0]->arm_id;
    }
    return HM_OK;
}

/* ---- judging ---- */

/* Standard deviation of the medians of the base's sessions, as logarithms. sessions: those that have one. */
static hm_status between_sessions(const hm_group *g, double *sd, int *sessions, hm_error *err)
{
    double *medians = hm_calloc((size_t)g->count, sizeof *medians, "sessions", err), *x = NULL;
    int n = 0;
    hm_status st = medians ? HM_OK : HM_EABSENT;
    for (int i = 0; i < g->count && !st; i++) {
        const hm_series_set *set = &g->side->sets[g->set[i]];
        x = hm_calloc((size_t)set->rounds + 1, sizeof *x, "sessions", err);
        int got = x ? hm_series_values(set, g->series[i], x) : 0;
        if (got && hm_median(x, got) > 0)
            medians[n++] = log(hm_median(x, got));
        st = x ? HM_OK : HM_EABSENT;
        free(x);
    }
    *sd = st ? NAN : hm_sd(medians, n);
    *sessions = n;
    free(medians);
    return st;
}

/* Logarithms of a group's values, a worse one larger; malloc'ed. */
static hm_status log_values(const hm_group *g, double **x, int *n, hm_error *err)
{
    double direction = g->side->sets[g->set[0]].direction;
    hm_status st = hm_group_values(g, false, x, n, err);
    int kept = 0;
    for (int i = 0; i < *n && !st; i++)
        if ((*x)[i] > 0)
            (*x)[kept++] = log((*x)[i]) * direction;
    *n = st ? 0 : kept;
    return st;
}

static void tell_shift(const hm_gate *g, hm_gate_row *r, const double *x, int n, const double *y, int m, int sessions)
{
    double limit = log1p(r->margin);
    hm_interval all = hm_shift(x, n, y, m, 0.025), fail = hm_shift(x, n, y, m, g->rule.alpha / g->rule.cases),
                pass = hm_shift(x, n, y, m, g->rule.alpha);
    r->ratio = exp(all.estimate);
    bool bounded = isfinite(all.low) && isfinite(all.high); /* else too few runs for an interval */
    r->low = bounded ? exp(all.low) : NAN;
    r->high = bounded ? exp(all.high) : NAN;
    if (n < HM_LEAST_UNPAIRED || sessions < HM_LEAST_SESSIONS || m < HM_LEAST_UNPAIRED) {
        r->verdict = "inconclusive";
        snprintf(r->reason, sizeof r->reason,
                 "unpaired: the base has %d runs from %d sessions, this side %d; %d from %d, and %d, are needed", n, sessions, m,
                 HM_LEAST_UNPAIRED, HM_LEAST_SESSIONS, HM_LEAST_UNPAIRED);
    } else if (fail.low > 0 && fail.estimate > limit) {
        r->verdict = "fail";
        snprintf(r->reason, sizeof r->reason,
                 "unpaired: %.1f %% worse (%.1f to %.1f %%); confirm it against the old program (--base BIN)%s", 100 * (r->ratio - 1),
                 100 * (r->low - 1), 100 * (r->high - 1), g->o->trust_history ? "" : ", or take it (--trust-history)");
    } else if (fail.high < 0 && fail.estimate < -limit) {
        r->verdict = "improved";
        snprintf(r->reason, sizeof r->reason, "unpaired: %.1f %% better", 100 * (1 - r->ratio));
    } else if (pass.high <= limit) {
        r->verdict = "pass";
        snprintf(r->reason, sizeof r->reason, "unpaired");
    } else {
        r->verdict = "inconclusive";
        snprintf(r->reason, sizeof r->reason, "unpaired: undecided with %d and %d runs", n, m);
    }
}

static hm_status check_case(hm_gate *g, int c, const hm_group *arm, hm_error *err)
{
    char text[400] = "";
    unsigned may_differ = g->o->counts ? HM_MAY_WARMUP : 0; /* exact figures are those of the generation after it */
    hm_status st = arm ? hm_first_difference(g->cases[c].stored, arm, may_differ, text, sizeof text, err) : HM_OK;
    return st || !*text
               ? st
               : hm_fail(err, HM_ECOMPARE, "%s: %s and this session cannot be compared: %.300s", g->report.rows[c].label, g->o->base, text);
}

static hm_status judge_case(hm_gate *g, int c, const hm_group *arm, hm_error *err)
{
    hm_gate_row *r = &g->report.rows[c];
    const hm_group *base = g->cases[c].stored;
    char text[400];
    double *x = NULL, *y = NULL, sd = NAN;
    int n = 0, m = 0, sessions = 0;
    if (!arm || arm->series[0]->failed) {
        g->cases[c].failed = true;
        snprintf(r->reason, sizeof r->reason, "%d runs of %s failed", arm ? arm->series[0]->failed : 0, r->arm);
        return HM_OK;
    }
    hm_output_difference(base, arm, text, sizeof text);
    if (*text && !g->o->other_output) {
        g->cases[c].differs = true;
        r->verdict = "differs";
        snprintf(r->reason, sizeof r->reason, "%s", text);
        return HM_OK;
    }
    const hm_series *bad = hm_group_unhealthy(base) ? hm_group_unhealthy(base) : hm_group_unhealthy(arm);
    if (bad) {
        snprintf(r->reason, sizeof r->reason, "the output of %s is bad: %.300s", bad->arm, bad->health_reasons ? bad->health_reasons : "?");
        return HM_OK;
    }
    hm_status st = between_sessions(base, &sd, &sessions, err);
    if (!st)
        st = log_values(base, &x, &n, err);
    if (!st)
        st = log_values(arm, &y, &m, err);
    r->rounds = m;
    r->margin = fmax(g->rule.margin, expm1(3 * sd)); /* sd is of logarithms; NaN: the margin */
    if (!st && n && m)
        tell_shift(g, r, x, n, y, m, sessions);
    free(x);
    free(y);
    return st;
}

/* Every case with what this session measured of it; NULL: nothing. */
static hm_status each_case(hm_gate *g, hm_status (*step)(hm_gate *g, int c, const hm_group *arm, hm_error *err), hm_error *err)
{
    hm_side now;
    hm_group *groups = NULL;
    int count = 0;
    hm_status st = hm_side_of_arm(&now, hm_measure_store(g->m), hm_measure_session(g->m), "", err);
    if (!st)
        st = hm_side_read(&now, g->o->counts ? "wall" : g->o->metric, err);
    if (!st)
        st = hm_side_groups(&now, &groups, &count, err);
    for (int c = 0; c < g->report.row_count && !st; c++) {
        const hm_gate_row *r = &g->report.rows[c];
        const hm_group *mine = NULL;
        for (int i = 0; i < count && !mine; i++)
            mine = !strcmp(groups[i].label, r->label) && !strcmp(groups[i].arm, r->arm) ? &groups[i] : NULL;
        st = step(g, c, mine, err);
    }
    hm_groups_free(&groups, count);
    hm_side_close(&now);
    return st;
}

hm_status hm_gate_comparable_stored(hm_gate *g, hm_error *err)
{
    return each_case(g, check_case, err);
}

hm_status hm_gate_judge_stored(hm_gate *g, hm_error *err)
{
    return each_case(g, judge_case, err);
}
