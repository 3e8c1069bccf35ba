#include "harness/ablate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/model.h"

#define MIN_PAIRS 6
#define ONE_SIDE 0.025

static int value_of(const hm_toggles *set, const hm_toggle_info *t)
{
    return hm_toggle_get(set, t);
}

static void copy_value(hm_toggles *to, const hm_toggles *from, const hm_toggle_info *t)
{
    ((uint8_t *)to)[t->offset] = ((const uint8_t *)from)[t->offset];
}

static bool possible(const hm_toggles *set)
{
    hm_error ignored = {0};
    return !hm_toggles_check(set, &ignored);
}

/* The base with toggle t of the whole and the least of the others that makes it possible: the whole, less all that can go. */
static hm_toggles put_on(const hm_toggles *base, const hm_toggles *whole, const hm_toggle_info *t)
{
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    hm_toggles set = *base;
    copy_value(&set, whole, t);
    if (possible(&set))
        return set;
    set = *whole;
    for (bool shrank = true; shrank;) {
        shrank = false;
        for (int i = n - 1; i >= 0; i--) {
            hm_toggles less = set;
            copy_value(&less, base, &list[i]);
            if (&list[i] == t || value_of(&set, &list[i]) == value_of(base, &list[i]) || !possible(&less))
                continue;
            set = less;
            shrank = true;
        }
    }
    return set;
}

/* The whole without toggle t and the least of the others that makes it possible: the base, and all that can be added. */
static hm_toggles leave_out(const hm_toggles *base, const hm_toggles *whole, const hm_toggle_info *t)
{
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    hm_toggles set = *whole;
    copy_value(&set, base, t);
    if (possible(&set))
        return set;
    set = *base;
    for (bool grew = true; grew;) {
        grew = false;
        for (int i = 0; i < n; i++) {
            hm_toggles more = set;
            copy_value(&more, whole, &list[i]);
            if (&list[i] == t || value_of(&set, &list[i]) == value_of(whole, &list[i]) || !possible(&more))
                continue;
            set = more;
            grew = true;
        }
    }
    return set;
}

static hm_status check_only(const hm_toggles *base, const hm_toggles *whole, const hm_strings *only, hm_error *err)
{
    int n;
    char near[HM_SUGGESTION];
    const char *names[128] = {0};
    const hm_toggle_info *list = hm_toggle_list(&n);
    for (int i = 0; i < n && i < 127; i++)
        names[i] = list[i].name;
    for (int k = 0; only && k < only->count; k++) {
        int i = 0;
        while (i < n && strcmp(list[i].name, only->items[k]))
            i++;
        if (i == n)
            return hm_fail(err, HM_EUSAGE, "no toggle \"%.40s\"%s (hmbench list toggles)", only->items[k],
                           hm_did_you_mean(near, only->items[k], names));
        if (value_of(base, &list[i]) == value_of(whole, &list[i]))
            return hm_fail(err, HM_EUSAGE, "toggle %s: base and variant have the same value, there is nothing to take away", list[i].name);
    }
    return HM_OK;
}

static bool chosen(const hm_strings *only, const char *name)
{
    for (int k = 0; only && k < only->count; k++)
        if (!strcmp(only->items[k], name))
            return true;
    return !only || !only->count;
}

hm_status hm_ablate_plan(const hm_toggles *base, const hm_toggles *whole, const hm_strings *only, hm_ablate_step *out, int *count,
                         hm_error *err)
{
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    *count = 0;
    hm_status st = check_only(base, whole, only, err);
    for (int i = 0; i < n && !st; i++) {
        if (value_of(base, &list[i]) == value_of(whole, &list[i]) || !chosen(only, list[i].name))
            continue;
        if (*count == HM_ABLATE_STEPS)
            return hm_fail(err, HM_EBUG, "more than %d toggles", HM_ABLATE_STEPS);
        hm_ablate_step *s = &out[(*count)++];
        s->toggle = &list[i];
        s->alone = s->before = put_on(base, whole, &list[i]);
        copy_value(&s->before, base, &list[i]);
        s->left_out = leave_out(base, whole, &list[i]);
    }
    if (!st && !*count)
        st = hm_fail(err, HM_EUSAGE, "base and variant are the same program: there is nothing to take away");
    return st;
}

/* `name` with what set has otherwise, in the runtime build whatever it is: fixed and runtime builds are not to be compared here. */
static void write_spec(const char *name, const hm_toggles *of_name, const hm_toggles *set, char out[HM_VARIANT_SPEC])
{
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    bool settings = strchr(name, ':') && name[strlen(name) - 1] != ':';
    size_t used = (size_t)snprintf(out, HM_VARIANT_SPEC, "%s%s", name, strchr(name, ':') ? "" : ":");
    for (int i = 0; i < n && used < HM_VARIANT_SPEC; i++) {
        char value[64];
        if (value_of(of_name, &list[i]) == value_of(set, &list[i]))
            continue;
        hm_toggle_value_name(&list[i], value_of(set, &list[i]), value, sizeof value);
        used += (size_t)snprintf(out + used, HM_VARIANT_SPEC - used, "%s%s=%s", settings ? "," : "", list[i].name, value);
        settings = true;
    }
}

hm_status hm_ablate_variants(const char *base, const char *whole, const hm_ablate_step *steps, int count, char **buffer, hm_strings *out,
                             hm_error *err)
{
    enum {
        ROOM = (int)(sizeof out->items / sizeof *out->items)
    };
    hm_toggles base_set, whole_set;
    int n = 0;
    char(*specs)[HM_VARIANT_SPEC] = hm_calloc((size_t)(2 + 3 * count), sizeof *specs, "variants", err);
    *buffer = (char *)specs;
    if (!specs)
        return HM_EABSENT;
    hm_status st = hm_variant_parse(base, &base_set, NULL, err);
    if (!st)
        st = hm_variant_parse(whole, &whole_set, NULL, err);
    if (!st && 2 + 3 * count > ROOM)
        st = hm_fail(err, HM_EUSAGE, "too many toggles at once: choose some with --toggle");
    if (st)
        return st;
    write_spec(base, &base_set, &base_set, specs[n++]);
    write_spec(whole, &whole_set, &whole_set, specs[n++]);
    for (int i = 0; i < count; i++) {
        write_spec(base, &base_set, &steps[i].before, specs[n++]);
        write_spec(base, &base_set, &steps[i].alone, specs[n++]);
        write_spec(whole, &whole_set, &steps[i].left_out, specs[n++]);
    }
    for (out->count = 0; out->count < n; out->count++)
        out->items[out->count] = specs[out->count];
    return HM_OK;
}

/* --- judging --- */

/* The arms of one case and model. */
typedef struct group {
    const hm_series_set *set;
    const hm_series *const *arms;
    const hm_toggles *toggles;
    int count;
} group;

static const hm_series *arm_of(const group *g, const hm_toggles *set)
{
    for (int i = 0; i < g->count; i++)
        if (!memcmp(&g->toggles[i], set, sizeof *set))
            return g->arms[i];
    return NULL;
}

/* y[n]: ln of a speed-up. */
static hm_worth worth_of(const double *y, int n)
{
    hm_worth w = {n, NAN, NAN, NAN};
    if (!n)
        return w;
    hm_interval i = hm_hodges_lehmann(y, n, ONE_SIDE);
    w.ratio = exp(i.estimate);
    if (n >= MIN_PAIRS && isfinite(i.low) && isfinite(i.high)) {
        w.low = exp(i.low);
        w.high = exp(i.high);
    }
    return w;
}

/* ln speed-ups of `after` against `before` by round, NaN where one of them is missing; NULL series, and bad output: all NaN. */
static void speed_ups(const group *g, const hm_series *before, const hm_series *after, double *y)
{
    if ((before && before->unhealthy) || (after && after->unhealthy))
        before = NULL;
    for (int r = 0; r < g->set->rounds; r++) {
        double b = before ? before->value[r] : NAN, a = after ? after->value[r] : NAN;
        y[r] = a > 0 && b > 0 ? log(b / a) * g->set->direction : NAN;
    }
}

static hm_worth worth_of_rounds(const double *y, int rounds, double *room)
{
    int n = 0;
    for (int r = 0; r < rounds; r++)
        if (isfinite(y[r]))
            room[n++] = y[r];
    return worth_of(room, n);
}

/* Names of the toggles, t left out, in which a and b differ. */
static void names_between(const hm_toggles *a, const hm_toggles *b, const hm_toggle_info *t, char *out, size_t size)
{
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    out[0] = 0;
    for (int i = 0; i < n; i++)
        if (&list[i] != t && value_of(a, &list[i]) != value_of(b, &list[i]))
            snprintf(out + strlen(out), size - strlen(out), "%s%s", out[0] ? ", " : "", list[i].name);
}

static int by_cost(const void *pa, const void *pb)
{
    const hm_ablation_row *a = pa, *b = pb;
    double x = isfinite(a->left_out.ratio) ? a->left_out.ratio : 0, y = isfinite(b->left_out.ratio) ? b->left_out.ratio : 0;
    return x < y ? 1 : x > y ? -1 : strcmp(a->toggle, b->toggle);
}

static void judge_step(const group *g, const hm_ablate_step *s, double *sum, double *y, double *room, hm_ablation_row *row)
{
    const hm_toggles *base = &g->toggles[0], *whole = &g->toggles[1];
    int rounds = g->set->rounds;
    snprintf(row->toggle, sizeof row->toggle, "%s", s->toggle->name);
    hm_toggle_value_name(s->toggle, value_of(whole, s->toggle), row->value, sizeof row->value);
    snprintf(row->kind, sizeof row->kind, "%s", hm_toggle_kind_name(s->toggle->kind));
    names_between(base, &s->before, s->toggle, row->needs, sizeof row->needs);
    names_between(whole, &s->left_out, s->toggle, row->takes_along, sizeof row->takes_along);
    speed_ups(g, arm_of(g, &s->before), arm_of(g, &s->alone), y);
    for (int r = 0; r < rounds; r++)
        sum[r] += y[r];
    row->alone = worth_of_rounds(y, rounds, room);
    speed_ups(g, arm_of(g, &s->left_out), g->arms[1], y);
    row->left_out = worth_of_rounds(y, rounds, room);
}

/* "best" of "best:": that it is the runtime build goes without saying here. */
static void plain_name(char *out, size_t size, const char *arm)
{
    size_t n = strlen(arm);
    snprintf(out, size, "%.*s", (int)(n && arm[n - 1] == ':' ? n - 1 : n), arm);
}

static hm_status judge_group(const group *g, const hm_strings *only, hm_ablation *out, hm_error *err)
{
    hm_ablate_step steps[HM_ABLATE_STEPS];
    int count, all = 0, rounds = g->set->rounds;
    hm_status st = hm_ablate_plan(&g->toggles[0], &g->toggles[1], only, steps, &count, err);
    double *room = st ? NULL : hm_calloc(3 * (size_t)rounds + 1, sizeof *room, "ablation", err), *sum = room + rounds, *y = sum + rounds;
    out->rows = room ? hm_calloc((size_t)count, sizeof *out->rows, "ablation", err) : NULL;
    if (!out->rows) {
        free(room);
        return st ? st : HM_EABSENT;
    }
    snprintf(out->label, sizeof out->label, "%s", g->arms[0]->label);
    hm_model_name(g->arms[0]->model, out->model, sizeof out->model);
    plain_name(out->base, sizeof out->base, g->arms[0]->arm);
    plain_name(out->whole, sizeof out->whole, g->arms[1]->arm);
    for (int i = 0; i < count; i++)
        judge_step(g, &steps[i], sum, y, room, &out->rows[out->count++]);
    for (int i = 0; i < g->count && !out->unhealthy[0]; i++)
        if (g->arms[i]->unhealthy)
            snprintf(out->unhealthy, sizeof out->unhealthy, "%.100s: %.180s", g->arms[i]->arm,
                     g->arms[i]->health_reasons ? g->arms[i]->health_reasons : "no reason was stored");
    st = hm_ablate_plan(&g->toggles[0], &g->toggles[1], NULL, steps, &all, err);
    out->part = count < all;
    out->product = worth_of_rounds(sum, rounds, room);
    speed_ups(g, g->arms[0], g->arms[1], y);
    out->total = worth_of_rounds(y, rounds, room);
    for (int r = 0; r < rounds; r++)
        y[r] = out->part ? NAN : y[r] - sum[r];
    out->interaction = worth_of_rounds(y, rounds, room);
    qsort(out->rows, (size_t)out->count, sizeof *out->rows, by_cost);
    free(room);
    return st;
}

static bool same_group(const hm_series *a, const hm_series *b)
{
    return !strcmp(a->case_id, b->case_id) && !strcmp(a->model, b->model);
}

/* Arms of item `first`'s case and model that come after it; marks them taken. */
static hm_status gather(const hm_series_set *set, int first, bool *taken, const hm_series **arms, hm_toggles *toggles, group *g,
                        hm_error *err)
{
    *g = (group){.set = set, .arms = arms, .toggles = toggles};
    for (int i = first; i < set->count; i++) {
        if (taken[i] || !same_group(&set->items[first], &set->items[i]))
            continue;
        taken[i] = true;
        hm_status st = hm_toggles_parse(set->items[i].toggles, &toggles[g->count], err);
        if (st)
            return st;
        arms[g->count++] = &set->items[i];
    }
    return HM_OK;
}

hm_status hm_ablate_judge(const hm_series_set *set, const hm_strings *only, hm_ablations *out, hm_error *err)
{
    size_t n = (size_t)set->count + 1;
    bool *taken = hm_calloc(n, sizeof *taken, "ablation", err);
    const hm_series **arms = hm_calloc(n, sizeof *arms, "ablation", err);
    hm_toggles *toggles = hm_calloc(n, sizeof *toggles, "ablation", err);
    hm_status st = HM_OK;
    out->count = 0;
    out->items = hm_calloc(n, sizeof *out->items, "ablation", err);
    if (!taken || !arms || !toggles || !out->items)
        st = HM_EABSENT;
    for (int i = 0; i < set->count && !st; i++) {
        group g;
        if (taken[i])
            continue;
        st = gather(set, i, taken, arms, toggles, &g, err);
        if (!st && g.count >= 2)
            st = judge_group(&g, only, &out->items[out->count++], err);
    }
    if (!st && !out->count)
        st = hm_fail(err, HM_EMISSING, "no case of this session has a base and a variant that ran");
    free(taken);
    free(arms);
    free(toggles);
    if (st)
        hm_ablations_free(out);
    return st;
}

void hm_ablations_free(hm_ablations *ablations)
{
    for (int i = 0; i < ablations->count; i++)
        free(ablations->items[i].rows);
    free(ablations->items);
    *ablations = (hm_ablations){0};
}
