/* hmbench compare: two arms of a session, or two sessions, as ratios with intervals. Reads what is stored, runs nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/output_options.h"
#include "harness/verdicts.h"

typedef struct compare_args {
    const char *db, *metric, *stat, *session;
    hm_output_options output;
    bool per_frame, force, percentiles;
} compare_args;

/* An arm on a case, beside the same case of the base. */
typedef struct row {
    const hm_group *base, *arm;
    hm_ratio ratio;
    const hm_series *unhealthy;
    char forced[400]; /* what forbids it, when --force-compare lets it pass */
    char note[1300];
} row;

typedef struct comparison {
    const compare_args *args;
    hm_store *store;
    hm_side base, arm;
    hm_group *base_groups, *arm_groups;
    int base_count, arm_count;
    row *rows;
    int count;
    bool paired;
    char forced[400]; /* what forbids it, when --force-compare lets it pass */
    hm_document *document;
} comparison;

static void close_all(comparison *c)
{
    hm_groups_free(&c->base_groups, c->base_count);
    hm_groups_free(&c->arm_groups, c->arm_count);
    hm_side_close(&c->base);
    hm_side_close(&c->arm);
    hm_store_close(&c->store);
    hm_document_free(&c->document);
    free(c->rows);
}

/* ---- sides ---- */

/* Two arms of one session when there is one that has both, else two names of sessions. */
static hm_status open_sides(comparison *c, const char *a, const char *b, hm_error *err)
{
    char id[HM_UUID_TEXT], near[HM_SUGGESTION], *session = NULL;
    hm_session_list named = {0};
    bool arms = false, several = false;
    hm_status st = HM_OK;
    if (c->args->session) {
        st = c->store ? hm_store_find_sessions(c->store, c->args->session, &named, err)
                      : hm_fail(err, HM_EMISSING, "--session: there is no database %s", hm_store_path(c->args->db));
        session = st ? NULL : named.ids[0];
        several = !st && named.count > 1;
    }
    if (several) { /* all of them: each has its cases or its arms */
        hm_session_list_free(&named);
        st = hm_side_of_arm(&c->base, c->store, c->args->session, a, err);
        return st ? st : hm_side_of_arm(&c->arm, c->store, c->args->session, b, err);
    }
    if (!st && c->store)
        st = hm_store_find_arms(c->store, session, a, b, id, &arms, err);
    if (!st && session && !arms)
        st = hm_fail(err, HM_EMISSING, "session %s: has no two arms \"%.80s\" and \"%.80s\" with runs (hmbench journal --session %.8s)%s",
                     session, a, b, session,
                     *hm_store_did_you_mean(c->store, HM_NAMES_ARMS, a, near) ? near
                                                                              : hm_store_did_you_mean(c->store, HM_NAMES_ARMS, b, near));
    hm_session_list_free(&named);
    if (st)
        return st;
    st = arms ? hm_side_of_arm(&c->base, c->store, id, a, err) : hm_side_open(&c->base, c->store, a, err);
    if (!st)
        st = arms ? hm_side_of_arm(&c->arm, c->store, id, b, err) : hm_side_open(&c->arm, c->store, b, err);
    return st;
}

static bool same_sessions(const hm_session_list *a, const hm_session_list *b)
{
    bool same = a->count == b->count;
    for (int i = 0; i < a->count && same; i++)
        same = !strcmp(a->ids[i], b->ids[i]);
    return same;
}

static hm_status read_sides(comparison *c, hm_error *err)
{
    hm_status st = hm_side_read(&c->base, c->args->metric, err);
    if (!st)
        st = hm_side_read(&c->arm, c->args->metric, err);
    if (!st)
        st = hm_side_groups(&c->base, &c->base_groups, &c->base_count, err);
    if (!st)
        st = hm_side_groups(&c->arm, &c->arm_groups, &c->arm_count, err);
    c->paired = !st && same_sessions(&c->base.sessions, &c->arm.sessions);
    if (!st && c->paired && (!*c->base.arm || !*c->arm.arm || !strcmp(c->base.arm, c->arm.arm)))
        st = hm_fail(err, HM_EUSAGE, "both are session %s: name two of its arms, as in \"hmbench compare %.8s:naive %.8s:best\"",
                     c->base.sessions.ids[0], c->base.sessions.ids[0], c->base.sessions.ids[0]);
    return st;
}

/* Cases that both have; of all arms those of one name, when none was named. */
static hm_status match_rows(comparison *c, hm_error *err)
{
    bool named = *c->base.arm && *c->arm.arm;
    c->rows = hm_calloc((size_t)c->base_count * (size_t)c->arm_count, sizeof *c->rows, "comparison", err);
    if (!c->rows)
        return HM_EABSENT;
    for (int i = 0; i < c->base_count; i++)
        for (int k = 0; k < c->arm_count; k++) {
            const hm_group *a = &c->base_groups[i], *b = &c->arm_groups[k];
            if (!strcmp(a->label, b->label) && (named ? hm_groups_are_of_one_model(a, b) : !strcmp(a->arm, b->arm)))
                c->rows[c->count++] = (row){.base = a, .arm = b};
        }
    if (!c->count)
        return hm_fail(err, HM_ECOMPARE, "%s and %s have no %s in common; the first has %s on %s, the other %s on %s", c->base.text,
                       c->arm.text, named ? "case" : "arm and case", c->base_groups[0].arm, c->base_groups[0].label, c->arm_groups[0].arm,
                       c->arm_groups[0].label);
    return HM_OK;
}

/* ---- what forbids it ---- */

static hm_status check_rows(comparison *c, hm_error *err)
{
    char text[400];
    hm_status st = HM_OK;
    for (int i = 0; i < c->count && !st; i++) {
        row *r = &c->rows[i];
        st = hm_first_difference(r->base, r->arm, c->args->per_frame ? HM_MAY_LENGTH : 0, text, sizeof text, err);
        if (!st && *text && !c->args->force)
            st = hm_fail(err, HM_ECOMPARE, "%s: %s and %s cannot be compared: %s%s (--force-compare does it all the same, and says so)",
                         r->base->label, c->base.text, c->arm.text, text,
                         strncmp(text, "frames:", 7) ? "" : "; --per-frame compares time per frame");
        snprintf(r->forced, sizeof r->forced, "%s", text);
        if (!st && *text && !*c->forced)
            snprintf(c->forced, sizeof c->forced, "%s", text);
        hm_output_difference(r->base, r->arm, text, sizeof text);
        if (!st && *text)
            st = hm_fail(err, HM_EDIFFERS, "%s: a toggle that says bitwise is not, or a run was other than it says", text);
        r->unhealthy = hm_group_unhealthy(r->base) ? hm_group_unhealthy(r->base) : hm_group_unhealthy(r->arm);
    }
    return st;
}

/* ---- figures ---- */

static const hm_series_set *set_of(const hm_group *g)
{
    return &g->side->sets[g->set[0]];
}

/* Log ratios of a paired row, of each session by itself; malloc'ed. */
static hm_status pairs_of(const row *r, double **y, int *n, hm_error *err)
{
    size_t room = 1;
    *n = 0;
    for (int i = 0; i < r->base->count; i++)
        room += (size_t)r->base->side->sets[r->base->set[i]].rounds;
    *y = hm_calloc(room, sizeof **y, "pairs", err);
    for (int i = 0; i < r->base->count && *y; i++)
        for (int k = 0; k < r->arm->count; k++)
            if (r->base->set[i] == r->arm->set[k]) /* both sides have the same sessions in the same order */
                *n += hm_series_log_ratios(&r->base->side->sets[r->base->set[i]], r->base->series[i], r->arm->series[k], *y + *n);
    return *y ? HM_OK : HM_EABSENT;
}

/* Ratio of means with Fieller's interval. */
static hm_status ratio_of_means(const comparison *c, row *r, hm_error *err)
{
    double *x = NULL, *y = NULL;
    int n = 0, m = 0;
    hm_status st = hm_group_values(r->base, c->args->per_frame, &x, &n, err);
    if (!st)
        st = hm_group_values(r->arm, c->args->per_frame, &y, &m, err);
    if (!st && n > 1 && m > 1) {
        hm_interval f = hm_fieller(y, m, x, n, 0.05);
        double direction = set_of(r->base)->direction;
        r->ratio.ratio = f.estimate;
        r->ratio.low = f.low;
        r->ratio.high = f.high;
        r->ratio.worse = direction > 0 ? f.estimate : 1 / f.estimate;
    }
    free(x);
    free(y);
    return st;
}

static void write_note(row *r)
{
    char approx[300], doubt[300], rest[700];
    hm_approx_difference(r->base->series[0]->toggles, r->arm->series[0]->toggles, approx, sizeof approx);
    hm_ratio_doubt(&r->ratio, doubt, sizeof doubt);
    if (r->unhealthy)
        snprintf(rest, sizeof rest, "unhealthy: %s: %.300s", r->unhealthy->arm,
                 r->unhealthy->health_reasons ? r->unhealthy->health_reasons : "its output is bad");
    else
        snprintf(rest, sizeof rest, "%s%s%s%s", *approx ? "makes other numbers: " : "", approx, *approx && *doubt ? "; " : "", doubt);
    snprintf(r->note, sizeof r->note, "%s%s%s%s", *r->forced ? "forced, not comparable: " : "", r->forced, *r->forced && *rest ? "; " : "",
             rest);
}

static hm_status judge_row(const comparison *c, row *r, hm_error *err)
{
    double *y = NULL;
    int n = 0;
    hm_status st;
    if (c->paired) {
        st = pairs_of(r, &y, &n, err);
        r->ratio = hm_ratio_of_pairs(y, n, set_of(r->base)->direction);
        if (n < HM_LEAST_PAIRS)
            r->ratio.low = r->ratio.high = NAN;
        free(y);
    } else {
        st = hm_ratio_unpaired(r->base, r->arm, c->args->per_frame, &r->ratio, err);
    }
    if (!st && !strcmp(c->args->stat, "mean"))
        st = ratio_of_means(c, r, err);
    write_note(r);
    return st;
}

/* ---- report ---- */

static double median_of(const hm_group *g, bool per_frame)
{
    double *x = NULL, out = NAN;
    int n = 0;
    if (!hm_group_values(g, per_frame, &x, &n, NULL) && n)
        out = hm_median(x, n);
    free(x);
    return out;
}

static void add_ratio(hm_sheet *s, const hm_ratio *r)
{
    hm_sheet_number(s, r->ratio, 4);
    hm_sheet_number(s, r->low, 4);
    hm_sheet_number(s, r->high, 4);
    hm_sheet_cell(s, "%d", r->n);
}

static void write_rows(const comparison *c)
{
    static const char *const titles[] = {"case",
                                         "base",
                                         "arm",
                                         ">base_median|base median",
                                         ">arm_median|arm median",
                                         "unit",
                                         ">ratio",
                                         ">low|95 % low",
                                         ">high|95 % high",
                                         ">n",
                                         "paired",
                                         "finding",
                                         "note",
                                         NULL};
    hm_sheet *s = hm_sheet_new(titles);
    char unit[40];
    for (int i = 0; i < c->count; i++) {
        const row *r = &c->rows[i];
        const hm_ratio none = {.n = r->ratio.n, .ratio = NAN, .low = NAN, .high = NAN};
        bool per_frame = c->args->per_frame;
        hm_sheet_string(s, r->base->label);
        hm_sheet_string(s, c->paired ? r->base->arm : c->base.text);
        hm_sheet_string(s, c->paired ? r->arm->arm : c->arm.text);
        hm_sheet_number(s, median_of(r->base, per_frame), 3);
        hm_sheet_number(s, median_of(r->arm, per_frame), 3);
        snprintf(unit, sizeof unit, "%s%s", set_of(r->base)->unit, per_frame ? "/frame" : "");
        hm_sheet_string(s, unit);
        add_ratio(s, r->unhealthy ? &none : &r->ratio);
        hm_sheet_string(s, c->paired ? "paired" : "unpaired");
        hm_sheet_string(s, r->unhealthy ? "not ranked" : hm_ratio_word(&r->ratio));
        hm_sheet_string(s, r->note);
    }
    hm_document_sheet(c->document, "ratios", s);
}

/* Mean over cases of the log ratios of a round: a geometric mean that keeps the pairs. */
static hm_status suite_line(const comparison *c, hm_error *err)
{
    static const char *const titles[] = {"cases", ">ratio", ">low|95 % low", ">high|95 % high", ">n", "finding", NULL};
    const hm_series_set *set = set_of(c->rows[0].base);
    double *z = hm_calloc((size_t)set->rounds + 1, sizeof *z, "suite line", err);
    int n = 0;
    if (!z)
        return HM_EABSENT;
    for (int i = 0; i < c->count; i++)
        if (c->rows[i].unhealthy) { /* what does not rank takes no part in a rank */
            free(z);
            return HM_OK;
        }
    for (int round = 0; round < set->rounds; round++) {
        double sum = 0;
        for (int i = 0; i < c->count; i++)
            sum += log(c->rows[i].arm->series[0]->value[round] / c->rows[i].base->series[0]->value[round]);
        if (isfinite(sum))
            z[n++] = sum / c->count * set->direction;
    }
    hm_ratio ratio = hm_ratio_of_pairs(z, n, set->direction);
    free(z);
    if (n < HM_LEAST_PAIRS)
        ratio.low = ratio.high = NAN;
    if (!n)
        return HM_OK;
    hm_sheet *s = hm_sheet_new(titles);
    hm_sheet_cell(s, "%d", c->count);
    add_ratio(s, &ratio);
    hm_sheet_string(s, hm_ratio_word(&ratio));
    hm_document_text(c->document, "All cases together (geometric mean, case by case and round by round):");
    hm_document_sheet(c->document, "suite", s);
    return HM_OK;
}

static hm_status quantile_rows(hm_sheet *s, const hm_group *g, const char *name, bool per_frame, bool *refused, hm_error *err)
{
    static const double quantiles[] = {0.5, 0.9, 0.95, 0.99};
    double *x = NULL;
    int n = 0;
    hm_status st = hm_group_values(g, per_frame, &x, &n, err);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles && !st; i++) {
        double p = quantiles[i];
        int needs = p > 0.5 ? hm_quantile_needs(p) : 1;
        hm_interval q = n >= needs ? hm_quantile(x, n, p, 0.95) : (hm_interval){NAN, NAN, NAN};
        char title[16];
        snprintf(title, sizeof title, "p%.0f", 100 * p);
        hm_sheet_string(s, g->label);
        hm_sheet_string(s, name);
        hm_sheet_string(s, title);
        hm_sheet_number(s, q.estimate, 3);
        hm_sheet_number(s, q.low, 3);
        hm_sheet_number(s, q.high, 3);
        hm_sheet_cell(s, "%d", n);
        hm_sheet_cell(s, "%d", needs);
        *refused = *refused || n < needs;
    }
    free(x);
    return st;
}

/* Quantiles of the runs' figures: a description, no verdict. */
static hm_status percentiles(const comparison *c, hm_error *err)
{
    static const char *const titles[] = {"case",    "arm",    "quantile", ">value", ">low|95 % low", ">high|95 % high",
                                         ">n|runs", ">needs", NULL};
    hm_sheet *s = hm_sheet_new(titles);
    bool refused = false;
    hm_status st = HM_OK;
    for (int i = 0; i < c->count && !st; i++) {
        const row *r = &c->rows[i];
        st = quantile_rows(s, r->base, c->paired ? r->base->arm : c->base.text, c->args->per_frame, &refused, err);
        if (!st)
            st = quantile_rows(s, r->arm, c->paired ? r->arm->arm : c->arm.text, c->args->per_frame, &refused, err);
    }
    hm_document_text(c->document, "Percentiles of runs, pooled; they describe, the ratio above judges.%s",
                     refused ? " Those with fewer runs than they need are not told." : "");
    hm_document_sheet(c->document, "percentiles", s);
    return st;
}

static hm_status report(comparison *c, hm_error *err)
{
    const hm_series_set *set = set_of(c->rows[0].base);
    bool mean = !strcmp(c->args->stat, "mean");
    hm_status st = HM_OK;
    if (*c->forced)
        hm_document_text(c->document, "**Forced: these are not comparable (%s).**", c->forced);
    if (c->paired && c->base.sessions.count > 1)
        hm_document_text(c->document, "%d sessions: %s against %s, paired by the rounds of each. Ratio of %s (%s), %s is better.",
                         c->base.sessions.count, c->arm.text, c->base.text, c->args->metric, set->unit,
                         set->direction > 0 ? "less" : "more");
    else if (c->paired)
        hm_document_text(c->document, "Session %s, order seed %llu: %s against %s, paired by rounds. Ratio of %s (%s), %s is better.",
                         set->session_id, (unsigned long long)set->order_seed, c->arm.text, c->base.text, c->args->metric, set->unit,
                         set->direction > 0 ? "less" : "more");
    else
        hm_document_text(c->document,
                         "%s (%d sessions) against %s (%d), unpaired: drift of the machine between them counts as a difference. "
                         "Ratio of %s (%s), %s is better.",
                         c->arm.text, c->arm.sessions.count, c->base.text, c->base.sessions.count, c->args->metric, set->unit,
                         set->direction > 0 ? "less" : "more");
    hm_document_text(c->document, "%s",
                     mean        ? "Ratio of means, Fieller's 95 % interval."
                     : c->paired ? "Hodges-Lehmann estimate of paired log-ratios with its exact 95 % interval (from 6 rounds on)."
                                 : "Median of all ratios between the two, 95 % interval from the rank-sum distribution.");
    write_rows(c);
    if (c->paired && c->base.sessions.count == 1 && c->count > 1 && !mean && !c->args->per_frame)
        st = suite_line(c, err);
    if (!st && c->args->percentiles)
        st = percentiles(c, err);
    return st ? st : hm_output_write(&c->args->output, c->document, err);
}

static hm_status verdict(const comparison *c, hm_error *err)
{
    for (int i = 0; i < c->count; i++)
        if (c->rows[i].unhealthy)
            return hm_fail(err, HM_EINVALID, "%s: %s is not ranked: its output is bad (%.300s)", c->rows[i].base->label,
                           c->rows[i].unhealthy->arm,
                           c->rows[i].unhealthy->health_reasons ? c->rows[i].unhealthy->health_reasons : "no reason was stored");
    return HM_OK;
}

static hm_status compare(comparison *c, const hm_strings *names, hm_error *err)
{
    hm_status st = hm_series_check_metric(c->args->metric, err);
    if (!st)
        st = open_sides(c, names->items[0], names->items[1], err);
    if (!st)
        st = read_sides(c, err);
    if (!st && c->args->per_frame && strcmp(set_of(&c->base_groups[0])->unit, "ms"))
        st = hm_fail(err, HM_EUSAGE, "--per-frame: is for times, and %s is in %s", c->args->metric, set_of(&c->base_groups[0])->unit);
    if (!st)
        st = match_rows(c, err);
    if (!st)
        st = check_rows(c, err);
    for (int i = 0; i < c->count && !st; i++) {
        st = hm_group_check_hardware(c->rows[i].base, err);
        if (!st)
            st = hm_group_check_hardware(c->rows[i].arm, err);
    }
    for (int i = 0; i < c->count && !st; i++)
        st = judge_row(c, &c->rows[i], err);
    if (!st)
        st = report(c, err);
    return st ? st : verdict(c, err);
}

hm_status hm_cmd_compare(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const stats[] = {"hl", "mean", NULL};
    compare_args a = {.metric = "wall", .stat = "hl", .output.format = "md"};
    const hm_option options[] = {
        {"metric", 0, HM_OPT_STRING, &a.metric, "NAME", "what is compared (hmbench list metrics)", 0, 0, NULL},
        {"stat", 0, HM_OPT_STRING, &a.stat, "KIND", "hl: Hodges-Lehmann; mean: ratio of means, Fieller's interval", 0, 0, stats},
        {"session", 0, HM_OPT_STRING, &a.session, "ID",
         "the session whose arms are named (default: the newest that has both); KEY=VALUE: all that have this tag", 0, 0, NULL},
        {"per-frame", 0, HM_OPT_FLAG, &a.per_frame, NULL, "times per frame: cases may differ in length", 0, 0, NULL},
        {"percentiles", 0, HM_OPT_FLAG, &a.percentiles, NULL, "p50, p90, p95, p99 of the runs as well", 0, 0, NULL},
        {"force-compare", 0, HM_OPT_FLAG, &a.force, NULL, "what is not comparable too; the report says so", 0, 0, NULL},
        {"db", 0, HM_OPT_STRING, &a.db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
        HM_OUTPUT_OPTIONS(a.output),
        {0}};
    hm_strings names = {.count = 0};
    comparison c = {.args = &a};
    hm_error missing = {0};
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, &names, 2, &helped, err);
    if (st || helped)
        return st;
    if (names.count != 2)
        return hm_fail(err, HM_EUSAGE,
                       "compare: expected two names, as in \"hmbench compare naive best\" or \"hmbench compare main last\"");
    st = hm_output_options_check(&a.output, "compare", err);
    if (!st) {
        st = hm_store_open(&c.store, hm_store_path(a.db), HM_STORE_READ, &missing);
        if (st == HM_EMISSING && !a.db)
            st = HM_OK; /* both may name files */
        else if (st)
            st = hm_fail(err, st, "%s", missing.text);
    }
    c.document = hm_document_new("compare");
    if (!st)
        st = compare(&c, &names, err);
    close_all(&c);
    return st;
}
