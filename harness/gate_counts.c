/* A gate on exact figures: one run of each arm, integers against integers. Sound on any machine, however busy. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/probe.h"
#include "harness/gate_session.h"

#define SPAN "span "

hm_status hm_gate_tolerance(const hm_strings *tolerances, const char *name, double *out, hm_error *err)
{
    *out = 0;
    for (int i = 0; i < tolerances->count; i++) {
        const char *text = tolerances->items[i], *equals = strrchr(text, '=');
        char *end = NULL;
        double share = equals ? strtod(equals + 1, &end) : NAN;
        if (!equals || equals == text || end == equals + 1 || (strcmp(end, "%") && *end) || !(share >= 0 && share <= 1000))
            return hm_fail(err, HM_EUSAGE, "--tolerance \"%.80s\": expected NAME=PERCENT, as in launches=1%%", text);
        if (strlen(name) == (size_t)(equals - text) && !strncmp(name, text, strlen(name)))
            *out = share / 100;
    }
    return HM_OK;
}

/* NAME of a tolerance that is well formed. */
static void name_of(const char *tolerance, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)(strrchr(tolerance, '=') - tolerance), tolerance);
}

static hm_status refuse(const char *tolerance, const char *name, const char *const *names, hm_error *err)
{
    char near[HM_SUGGESTION];
    return hm_fail(err, HM_EUSAGE, "--tolerance \"%.80s\": no exact figure is called so%s (gate --counts-only names those that move)",
                   tolerance, hm_did_you_mean(near, name, names));
}

hm_status hm_gate_check_tolerances(const hm_strings *tolerances, hm_error *err)
{
    char loading[HM_COUNTER_COUNT][64], drawing[HM_COUNTER_COUNT][64], name[200];
    const char *names[3 * HM_COUNTER_COUNT + 64];
    int n = 0;
    for (int i = 0; hm_exact_columns[i] && n < 63; i++)
        names[n++] = hm_exact_columns[i];
    for (int i = 0; i < HM_COUNTER_COUNT; i++) {
        snprintf(loading[i], sizeof loading[i], "load: %s", hm_counter_name(i));
        names[n++] = hm_counter_name(i);
        names[n++] = loading[i];
        snprintf(drawing[i], sizeof drawing[i], HM_FRAMES "%s", hm_counter_name(i));
        names[n++] = drawing[i];
    }
    names[n] = NULL;
    for (int i = 0; i < tolerances->count; i++) {
        int k = 0;
        name_of(tolerances->items[i], name, sizeof name);
        while (names[k] && strcmp(names[k], name))
            k++;
        if (!names[k] && strncmp(name, SPAN, strlen(SPAN)))
            return refuse(tolerances->items[i], name, names, err);
    }
    return HM_OK;
}

static const hm_exact *find(const hm_exact_list *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->items[i].name, name))
            return &list->items[i];
    return NULL;
}

static hm_status add_moved(hm_gate *g, const hm_gate_row *r, const char *name, int64_t base, int64_t arm, double tolerance, bool failed,
                           hm_error *err)
{
    hm_gate_report *report = &g->report;
    hm_gate_moved *grown = realloc(report->moved, (size_t)(report->moved_count + 1) * sizeof *grown);
    if (!grown)
        return hm_fail(err, HM_EABSENT, "gate: out of memory");
    report->moved = grown;
    hm_gate_moved *m = &grown[report->moved_count++];
    *m = (hm_gate_moved){.base = base, .arm = arm, .tolerance = tolerance, .failed = failed};
    snprintf(m->label, sizeof m->label, "%s", r->label);
    snprintf(m->name, sizeof m->name, "%s", name);
    return HM_OK;
}

/* Spans of a decoder that works beside the frames are as many as time allows. */
static bool depends_on_time(const char *name, const char *toggles)
{
    return !strncmp(name, "span ", 5) && toggles && strstr(toggles, "decode=overlap");
}

typedef struct tally {
    int failed, less;
    char first[300];
} tally;

/* What is not told where it is 0. Any other figure that one build does not tell is none that it counts. */
static bool told_unless_zero(const char *name)
{
    return !strncmp(name, "load: ", 6) || !strncmp(name, "span ", 5);
}

static hm_status compare_one(hm_gate *g, const hm_gate_row *r, const hm_exact *a, const hm_exact *b, tally *t, hm_error *err)
{
    double tolerance;
    hm_status st = hm_gate_tolerance(&g->o->tolerances, b->name, &tolerance, err);
    int64_t before = a ? a->value : 0;
    if (st || before == b->value || (!a && !told_unless_zero(b->name)))
        return st;
    bool failed = (double)b->value > (double)before * (1 + tolerance);
    t->failed += failed;
    t->less += b->value < before;
    if (failed && !t->first[0])
        snprintf(t->first, sizeof t->first, "%s %lld -> %lld", b->name, (long long)before, (long long)b->value);
    return add_moved(g, r, b->name, before, b->value, tolerance, failed, err);
}

static hm_status compare_lists(hm_gate *g, const hm_gate_row *r, const hm_exact_list *base, const hm_exact_list *arm, const char *toggles,
                               tally *t, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < arm->count && !st; i++)
        if (!depends_on_time(arm->items[i].name, toggles))
            st = compare_one(g, r, find(base, arm->items[i].name), &arm->items[i], t, err);
    for (int i = 0; i < base->count && !st; i++) { /* what is not there any more */
        hm_exact gone = {.value = 0};
        if (find(arm, base->items[i].name) || !told_unless_zero(base->items[i].name) || depends_on_time(base->items[i].name, toggles))
            continue;
        snprintf(gone.name, sizeof gone.name, "%s", base->items[i].name);
        st = compare_one(g, r, &base->items[i], &gone, t, err);
    }
    return st;
}

static bool hashes_differ(const char *a, const char *b)
{
    return a[0] && b[0] && strcmp(a, b);
}

static hm_status judge_lists(hm_gate *g, int c, const hm_exact_list *base, const hm_exact_list *arm, bool same_output, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    hm_gate_row *r = &g->report.rows[c];
    tally t = {0};
    char memory[200] = "";
    bool codes = hashes_differ(base->codes_hash, arm->codes_hash);
    if (same_output && !g->o->other_output && (codes || hashes_differ(base->audio_hash, arm->audio_hash))) {
        g->cases[c].differs = true;
        r->verdict = "differs";
        snprintf(r->reason, sizeof r->reason, "%s and %s must give the same %s and do not: %.8s against %.8s", r->base, r->arm,
                 codes ? "codes" : "audio", codes ? base->codes_hash : base->audio_hash, codes ? arm->codes_hash : arm->audio_hash);
        return HM_OK;
    }
    hm_status st = compare_lists(g, r, base, arm, plan->arms[g->cases[c].arm].toggles_text, &t, err);
    bool fat = base->memory_bytes != HM_UNKNOWN && arm->memory_bytes != HM_UNKNOWN &&
               hm_gate_memory_fails((double)base->memory_bytes, (double)arm->memory_bytes, memory, sizeof memory);
    r->rounds = 1;
    r->verdict = t.failed || fat ? "fail" : t.less ? "improved" : "pass";
    if (t.failed)
        snprintf(r->reason, sizeof r->reason, "%d exact figures rose, the first: %.255s%s%s", t.failed, t.first, fat ? "; " : "", memory);
    else if (fat)
        snprintf(r->reason, sizeof r->reason, "%s", memory);
    else if (t.less)
        snprintf(r->reason, sizeof r->reason, "%d exact figures fell", t.less);
    return st;
}

/* The base's figures: of this session, or of the newest stored one. */
static hm_status base_list(const hm_gate *g, int c, hm_exact_list *out, hm_error *err)
{
    const hm_gate_case *k = &g->cases[c];
    const char *case_id = hm_measure_plan_of(g->m)->cases[c].id;
    if (!k->stored)
        return hm_store_get_exact(hm_measure_store(g->m), hm_measure_session(g->m), k->base_arm_id, case_id, out, err);
    const hm_series_set *set = &k->stored->side->sets[k->stored->set[0]];
    return hm_store_get_exact(g->reading, set->session_id, k->stored->series[0]->arm_id, case_id, out, err);
}

/* Toggles and model that promise the same bytes. */
static bool promises_same(const hm_gate *g, int c)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    const hm_gate_case *k = &g->cases[c];
    if (k->base >= 0)
        return hm_plan_same_output(&plan->arms[k->base], &plan->arms[k->arm]);
    const char *stored = k->stored->series[0]->toggles;
    return stored && !strcmp(stored, plan->arms[k->arm].toggles_text);
}

/* The arm of a case whose output is bad; NULL: none. */
static const char *bad_arm(const hm_gate *g, int c)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    const hm_gate_case *k = &g->cases[c];
    const hm_series *stored = k->stored ? hm_group_unhealthy(k->stored) : NULL;
    if (stored)
        return stored->arm;
    if (k->base >= 0 && !hm_measure_healthy(g->m, c, k->base))
        return plan->arms[k->base].name;
    return hm_measure_healthy(g->m, c, k->arm) ? NULL : plan->arms[k->arm].name;
}

/* Marks tolerances of spans that a run had. */
static void mark_spans(const hm_strings *tolerances, const hm_exact_list *list, bool *seen)
{
    char name[200];
    for (int i = 0; i < tolerances->count; i++) {
        name_of(tolerances->items[i], name, sizeof name);
        seen[i] = seen[i] || strncmp(name, SPAN, strlen(SPAN)) || find(list, name);
    }
}

/* HM_EUSAGE: a tolerance is of a span that no case has; the first case's are what it may have meant. */
static hm_status check_spans(const hm_gate *g, const bool *seen, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    hm_exact_list list = {0};
    char name[200];
    int i = 0, n = 0;
    while (i < g->o->tolerances.count && seen[i])
        i++;
    if (i == g->o->tolerances.count)
        return HM_OK;
    hm_status st =
        hm_store_get_exact(hm_measure_store(g->m), hm_measure_session(g->m), plan->arms[g->cases[0].arm].id, plan->cases[0].id, &list, err);
    const char **names = st ? NULL : hm_calloc((size_t)list.count + 1, sizeof *names, "exact figures", err);
    for (int k = 0; names && k < list.count; k++)
        if (!strncmp(list.items[k].name, SPAN, strlen(SPAN)))
            names[n++] = list.items[k].name;
    name_of(g->o->tolerances.items[i], name, sizeof name);
    if (!st)
        st = names ? refuse(g->o->tolerances.items[i], name, names, err) : HM_EABSENT;
    free(names);
    hm_exact_list_free(&list);
    return st;
}

hm_status hm_gate_judge_counts(hm_gate *g, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    hm_status st = HM_OK;
    bool seen[sizeof g->o->tolerances.items / sizeof *g->o->tolerances.items] = {0}, failed = false;
    for (int c = 0; c < g->report.row_count && !st; c++) {
        hm_exact_list base = {0}, arm = {0};
        hm_gate_row *r = &g->report.rows[c];
        st = base_list(g, c, &base, err);
        if (!st)
            st = hm_store_get_exact(hm_measure_store(g->m), hm_measure_session(g->m), plan->arms[g->cases[c].arm].id, plan->cases[c].id,
                                    &arm, err);
        if (!st && base.found && arm.found) {
            mark_spans(&g->o->tolerances, &base, seen);
            mark_spans(&g->o->tolerances, &arm, seen);
            st = judge_lists(g, c, &base, &arm, promises_same(g, c), err);
            if (!st && !g->cases[c].differs && bad_arm(g, c)) { /* less of what is broken is no success */
                r->verdict = "invalid";
                snprintf(r->reason, sizeof r->reason, "the output of %s is bad", bad_arm(g, c));
            }
        } else if (!st) {
            g->cases[c].failed = failed = true;
            snprintf(r->reason, sizeof r->reason, "%s has no good run", base.found ? r->arm : r->base);
        }
        hm_exact_list_free(&base);
        hm_exact_list_free(&arm);
    }
    return st || failed ? st : check_spans(g, seen, err);
}
