#include "harness/gate_session.h"
#include "harness/metrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_SHARE 0.01
#define MEMORY_BYTES (16.0 * 1024 * 1024)

void hm_gate_label(const hm_gate *g, int c, char *out, size_t size)
{
    const hm_case_record *r = &hm_measure_plan_of(g->m)->cases[c];
    snprintf(out, size, "%s/%s", r->suite, r->name);
}

/* A case as `hmbench profile` finds it: suites that were named by their path need it. */
static void case_argument(const hm_gate *g, int c, char *out, size_t size)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    const char *suite = plan->cases[c].suite;
    for (int i = 0; i < plan->suite_count && i < g->o->measure.plan.suites.count; i++)
        if (!strcmp(plan->suites[i]->name, plan->cases[c].suite) && strchr(g->o->measure.plan.suites.items[i], '/'))
            suite = plan->suites[i]->path;
    snprintf(out, size, "%s/%s", suite, plan->cases[c].name);
}

/* A word as a shell takes it back, at the end of out. */
static void add_word(char *out, size_t size, const char *lead, const char *format, ...) __attribute__((format(printf, 4, 5)));
static void add_word(char *out, size_t size, const char *lead, const char *format, ...)
{
    char text[1024], word[4 * sizeof text + 3];
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hm_shell_word(word, text);
    snprintf(out + used, size - used, "%s%s", lead, word);
}

void hm_gate_next(const hm_gate *g, int c, char *out, size_t size)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    const hm_gate_case *k = &g->cases[c];
    const hm_plan_arm *arm = &plan->arms[k->arm];
    const char *db = g->o->measure.db;
    const char *metric = k->fat                          ? "mem"
                         : !strcmp(g->o->metric, "wall") ? "generate"
                                                         : g->o->metric; /* of wall, the part that moves it most */
    char what[400];
    case_argument(g, c, what, sizeof what);
    snprintf(out, size, "hmbench profile");
    add_word(out, size, " ", "%s", what);
    add_word(out, size, " --variant ", "%s", arm->variant);
    add_word(out, size, " --model ", "%s", arm->model);
    if (strcmp(arm->backend, "cpu"))
        add_word(out, size, " --backend ", "%s", arm->backend);
    if (*arm->device)
        add_word(out, size, " --device ", "%s", arm->device);
    add_word(out, size, " --trace ", "%s.json", plan->cases[c].name);
    if (k->base < 0 || g->o->counts)
        return;
    add_word(out, size, " ; hmbench compare ", "%.8s:%s", hm_measure_session(g->m), plan->arms[k->base].name);
    add_word(out, size, " ", "%.8s:%s", hm_measure_session(g->m), arm->name);
    add_word(out, size, " --metric ", "%s", metric);
    if (db)
        add_word(out, size, " --db ", "%s", db);
}

bool hm_gate_memory_fails(double base, double arm, char *reason, size_t size)
{
    double allowed = fmax(MEMORY_SHARE * base, MEMORY_BYTES);
    if (!(base > 0 && arm > 0) || arm - base <= allowed)
        return false;
    snprintf(reason, size, "peak memory %.1f MB against %.1f MB: more than %.1f MB above", arm / 1e6, base / 1e6, allowed / 1e6);
    return true;
}

/* ---- the plan ---- */

static bool is_base(const hm_gate *g, const hm_plan_arm *a)
{
    return g->o->kind == HM_BASE_PROGRAM ? a->program != NULL : g->o->kind == HM_BASE_VARIANT && !strcmp(a->variant, g->o->base);
}

static bool is_judged(const hm_gate *g, const hm_plan_arm *a)
{
    return !a->command && !a->program && !strcmp(a->variant, g->o->variant);
}

static hm_status find_arms(hm_gate *g, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    g->cases = hm_calloc((size_t)plan->case_count, sizeof *g->cases, "gate", err);
    if (!g->cases)
        return HM_EABSENT;
    for (int c = 0; c < plan->case_count; c++) {
        hm_gate_case *k = &g->cases[c];
        char label[200];
        *k = (hm_gate_case){.base = -1, .arm = -1, .calibrated_sd = NAN};
        for (int a = plan->arm_count - 1; a >= 0; a--) {
            if (!hm_plan_runs(plan, c, a))
                continue;
            k->base = is_base(g, &plan->arms[a]) ? a : k->base;
            k->arm = is_judged(g, &plan->arms[a]) ? a : k->arm;
        }
        hm_gate_label(g, c, label, sizeof label);
        if (k->arm < 0 || (g->o->kind != HM_BASE_STORED && (k->base < 0 || k->base == k->arm)))
            return hm_fail(err, HM_EUSAGE,
                           "%s: \"%.80s\" and \"%.80s\" are one program for it: there is nothing to judge (hmbench calibrate measures a "
                           "program against itself)",
                           label, g->o->base, g->o->variant);
        k->base_arm_id = k->base < 0 ? NULL : plan->arms[k->base].id;
    }
    return HM_OK;
}

static hm_status make_rule(hm_gate *g, int cases, int max_rounds, hm_error *err)
{
    int first = g->o->min_rounds < max_rounds ? g->o->min_rounds : max_rounds;
    return hm_gate_rule_make(&g->rule, g->o->margin, g->o->alpha, cases, first, max_rounds, err);
}

/* A plan ahead of the one that is measured: so many cases may need more rounds. */
static hm_status check_rule(hm_gate *g, const hm_measure_options *o, hm_error *err)
{
    hm_plan *plan = NULL;
    if (g->o->counts || o->resume)
        return HM_OK;
    hm_status st = hm_plan_make(&plan, &o->plan, err);
    if (!st)
        st = hm_gate_rule_make(&g->rule, g->o->margin, g->o->alpha, plan->case_count, g->o->min_rounds, g->o->max_rounds, err);
    hm_plan_close(&plan);
    return st;
}

static hm_status make_options(hm_gate *g, hm_measure_options *o, hm_error *err)
{
    *o = g->o->measure;
    if (g->o->kind == HM_BASE_VARIANT)
        o->plan.variants.items[o->plan.variants.count++] = g->o->base;
    o->plan.variants.items[o->plan.variants.count++] = g->o->variant;
    if (g->o->kind == HM_BASE_PROGRAM) {
        size_t size = strlen(g->o->base) + sizeof "base=";
        g->program = hm_calloc(1, size, "gate", err);
        if (!g->program)
            return HM_EABSENT;
        snprintf(g->program, size, "base=%s", g->o->base);
        o->plan.programs.items[o->plan.programs.count++] = g->program;
    }
    o->exact = g->o->counts;
    o->judges_times = !g->o->counts && hm_metric_timed(g->o->metric);
    if (g->o->kind != HM_BASE_STORED && !g->o->counts) {
        o->self = g;
        o->decided = hm_gate_decided;
    }
    o->rounds = g->o->counts                   ? 1
                : g->o->kind != HM_BASE_STORED ? g->o->max_rounds
                                               : (g->o->min_rounds > HM_LEAST_UNPAIRED ? g->o->min_rounds : HM_LEAST_UNPAIRED);
    return check_rule(g, o, err);
}

/* ---- the verdict of all ---- */

static bool any(const hm_gate *g, const char *verdict)
{
    for (int i = 0; i < g->report.row_count; i++)
        if (!strcmp(g->report.rows[i].verdict, verdict))
            return true;
    return false;
}

static const hm_gate_row *first(const hm_gate *g, const char *verdict)
{
    for (int i = 0; i < g->report.row_count; i++)
        if (!strcmp(g->report.rows[i].verdict, verdict))
            return &g->report.rows[i];
    return NULL;
}

static hm_status say(hm_gate *g, hm_status status, const char *word, const char *verdict)
{
    const hm_gate_row *r = first(g, verdict);
    g->report.verdict = word;
    hm_fail(&g->sentence, status, "gate: %s%s%s%s%.330s", word, r ? ": " : "", r ? r->label : "", r && r->reason[0] ? ": " : "",
            r ? r->reason : "");
    return status;
}

/* What differs comes first, then what makes the whole measurement worthless, then what is proved; what is undecided, and may be mapped to a
 * pass, last. */
static hm_status conclude(hm_gate *g)
{
    const hm_suite_outcome *o = hm_measure_outcome(g->m);
    bool failed_runs = false, suspected = g->o->kind == HM_BASE_STORED && !g->o->counts && !g->o->trust_history;
    for (int c = 0; c < hm_measure_plan_of(g->m)->case_count; c++)
        failed_runs = failed_runs || g->cases[c].failed;
    if (any(g, "differs"))
        return say(g, HM_EDIFFERS, "OUTPUT DIFFERS", "differs");
    if (o->difference[0] && !g->o->other_output) {
        g->report.verdict = "OUTPUT DIFFERS";
        return hm_fail(&g->sentence, HM_EDIFFERS, "gate: %.480s", o->difference);
    }
    if (o->invalid) {
        g->report.verdict = "INVALID";
        return hm_fail(&g->sentence, HM_EINVALID,
                       "gate: INVALID: %d rounds were set aside, %d are good (at most %.0f %% may be); the first: %.300s", o->dropped,
                       o->kept, 100 * HM_ROUNDS_DROPPED_MOST, o->first_dropped);
    }
    if (any(g, "fail") && !suspected)
        return say(g, HM_EFAILED, "FAIL", "fail");
    if (failed_runs) {
        g->report.verdict = "A CASE FAILED";
        return hm_fail(&g->sentence, HM_ECASE, "gate: %d run%s failed; the first: %.400s", o->failed, o->failed == 1 ? "" : "s",
                       o->first_failure);
    }
    if (any(g, "invalid"))
        return say(g, HM_EINVALID, "INVALID", "invalid");
    if (any(g, "fail"))
        return say(g, HM_EINCONCLUSIVE, "SUSPECTED, UNPAIRED", "fail");
    if (any(g, "inconclusive"))
        return say(g, HM_EINCONCLUSIVE, "INCONCLUSIVE", "inconclusive");
    g->report.verdict = any(g, "improved") ? "IMPROVED" : "PASS";
    return HM_OK;
}

static hm_status put_verdicts(hm_gate *g, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    hm_status st = HM_OK;
    for (int c = 0; c < plan->case_count && !st; c++) {
        const hm_gate_row *r = &g->report.rows[c];
        hm_verdict_record v = {.session_id = hm_measure_session(g->m),
                               .case_id = plan->cases[c].id,
                               .base_arm_id = g->cases[c].base_arm_id,
                               .arm_id = plan->arms[g->cases[c].arm].id,
                               .metric = g->o->counts ? "counts" : g->o->metric,
                               .rounds = r->rounds,
                               .ratio = r->ratio,
                               .low = r->low,
                               .high = r->high,
                               .margin = r->margin,
                               .mde = r->mde,
                               .verdict = r->verdict,
                               .reason = r->reason[0] ? r->reason : NULL};
        st = hm_store_put_verdict(hm_measure_store(g->m), &v, err);
    }
    return st;
}

static void write_intro(hm_gate *g)
{
    hm_gate_report *r = &g->report;
    const char *session = hm_measure_session(g->m);
    if (g->o->counts)
        snprintf(r->intro, sizeof r->intro, "Exact figures of %s against %.200s, one run each, session %s.", g->o->variant, g->o->base,
                 session);
    else if (g->o->kind == HM_BASE_STORED)
        snprintf(r->intro, sizeof r->intro,
                 "%s against %.200s (%d stored sessions), unpaired: drift of the machine between them counts as a difference. %s, "
                 "margin %.1f %%, alpha %g, session %s.",
                 g->o->variant, g->o->base, g->stored.sessions.count, g->o->metric, 100 * g->o->margin, g->o->alpha, session);
    else
        snprintf(
            r->intro, sizeof r->intro,
            "%s against %.200s, interleaved in one session (%s), paired by rounds. Ratio of %s, above 1 is worse; margin %.1f %%, alpha "
            "%g over %d cases and %d looks.",
            g->o->variant, g->o->base, session, g->o->metric, 100 * g->o->margin, g->o->alpha, g->rule.cases, g->rule.look_count);
}

static hm_status judge(hm_gate *g, hm_error *err)
{
    const hm_plan *plan = hm_measure_plan_of(g->m);
    g->report.counts = g->o->counts;
    g->report.row_count = plan->case_count;
    g->report.rows = hm_calloc((size_t)plan->case_count, sizeof *g->report.rows, "gate", err);
    if (!g->report.rows)
        return HM_EABSENT;
    for (int c = 0; c < plan->case_count; c++) {
        hm_gate_row *r = &g->report.rows[c];
        const hm_gate_case *k = &g->cases[c];
        *r = (hm_gate_row){.ratio = NAN, .low = NAN, .high = NAN, .margin = NAN, .mde = NAN, .verdict = "invalid"};
        hm_gate_label(g, c, r->label, sizeof r->label);
        snprintf(r->base, sizeof r->base, "%s", k->base >= 0 ? plan->arms[k->base].name : g->o->base);
        snprintf(r->arm, sizeof r->arm, "%s", plan->arms[k->arm].name);
    }
    hm_status st = HM_OK;
    for (int c = 0; c < plan->case_count && g->o->kind != HM_BASE_STORED && !st; c++)
        st = hm_gate_comparable(g, g->m, c, err);
    if (!st && g->o->kind == HM_BASE_STORED)
        st = hm_gate_comparable_stored(g, err);
    if (!st)
        st = g->o->counts                   ? hm_gate_judge_counts(g, err)
             : g->o->kind == HM_BASE_STORED ? hm_gate_judge_stored(g, err)
                                            : hm_gate_judge_times(g, err);
    for (int c = 0; c < plan->case_count && !st; c++)
        if (!strcmp(g->report.rows[c].verdict, "fail"))
            hm_gate_next(g, c, g->report.rows[c].next, sizeof g->report.rows[c].next);
    if (st)
        return st;
    write_intro(g);
    g->verdict = conclude(g);
    return put_verdicts(g, err);
}

hm_status hm_gate_run(hm_gate *g, const hm_gate_options *options, hm_error *err)
{
    hm_measure_options *o = hm_calloc(1, sizeof *o, "gate", err);
    *g = (hm_gate){.o = options};
    if (!o)
        return HM_EABSENT;
    hm_status st = make_options(g, o, err);
    if (!st && options->kind == HM_BASE_STORED)
        st = hm_gate_open_stored(g, err);
    if (!st)
        st = hm_measure_begin(&g->m, o, err);
    if (!st && !options->counts) /* a session that goes on has its own rounds */
        st = make_rule(g, hm_measure_plan_of(g->m)->case_count,
                       options->kind == HM_BASE_STORED ? options->max_rounds : hm_measure_rounds(g->m), err);
    if (!st)
        st = find_arms(g, err);
    if (!st && options->kind == HM_BASE_STORED)
        st = hm_gate_match_stored(g, err);
    if (!st && !options->counts && options->kind != HM_BASE_STORED)
        st = hm_gate_calibrated(g, err);
    if (!st)
        st = hm_measure_run(g->m, err);
    if (!st)
        st = judge(g, err);
    free(o);
    return st;
}

void hm_gate_close(hm_gate *g)
{
    hm_groups_free(&g->groups, g->group_count);
    hm_side_close(&g->stored);
    hm_store_close(&g->reading);
    hm_measure_close(&g->m);
    free(g->program);
    free(g->cases);
    free(g->report.rows);
    free(g->report.moved);
    *g = (hm_gate){0};
}
