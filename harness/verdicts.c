#include "harness/verdicts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "variants/variants.h"

/* ---- sides ---- */

/* Length of "FILE" in "FILE:rest", the longest that is a file; 0: there is none. */
static size_t file_part(const char *text)
{
    size_t best = 0;
    struct stat info;
    char path[256];
    for (const char *p = text; (p = strchr(p, ':')); p++) {
        snprintf(path, sizeof path, "%.*s", (int)(p - text), text);
        if (p > text && p - text < (int)sizeof path && !stat(path, &info) && S_ISREG(info.st_mode))
            best = (size_t)(p - text);
    }
    return best;
}

/* The whole text, or what stands before its first colon. */
static hm_status find_sessions(hm_side *side, const char *text, hm_error *err)
{
    char head[256];
    const char *colon = strchr(text, ':');
    hm_status st = hm_store_find_sessions(side->store, text, &side->sessions, err);
    if (st != HM_EMISSING || !colon)
        return st;
    snprintf(head, sizeof head, "%.*s", (int)(colon - text), text);
    snprintf(side->arm, sizeof side->arm, "%s", colon + 1);
    return hm_store_find_sessions(side->store, head, &side->sessions, err);
}

hm_status hm_side_open(hm_side *out, hm_store *store, const char *text, hm_error *err)
{
    size_t file = file_part(text);
    char path[256];
    hm_status st = HM_OK;
    *out = (hm_side){.store = store};
    if (!*text)
        return hm_fail(err, HM_EUSAGE, "an empty name: expected a session, a tag KEY=VALUE, a commit, a baseline, or \"last\"");
    if (strlen(text) >= sizeof out->text)
        return hm_fail(err, HM_EUSAGE, "\"%.60s...\": longer than %zu bytes", text, sizeof out->text - 1);
    snprintf(out->text, sizeof out->text, "%s", text);
    if (file) {
        snprintf(path, sizeof path, "%.*s", (int)file, text);
        st = hm_store_open(&out->store, path, HM_STORE_READ, err);
        out->own_store = !st;
        text += file + 1;
    } else if (!store) {
        return hm_fail(err, HM_EMISSING, "\"%s\": there is no database to look it up in; name one with --db", text);
    }
    if (!st)
        st = find_sessions(out, *text ? text : "last", err);
    if (st)
        hm_side_close(out);
    return st;
}

hm_status hm_side_of_arm(hm_side *out, hm_store *store, const char *session_id, const char *arm, hm_error *err)
{
    *out = (hm_side){.store = store};
    snprintf(out->text, sizeof out->text, "%s", arm);
    snprintf(out->arm, sizeof out->arm, "%s", arm);
    return hm_store_find_sessions(store, session_id, &out->sessions, err);
}

hm_status hm_side_read(hm_side *side, const char *metric, hm_error *err)
{
    hm_status st = HM_OK;
    side->sets = hm_calloc((size_t)side->sessions.count, sizeof *side->sets, "series", err);
    for (int i = 0; side->sets && i < side->sessions.count && !st; i++)
        st = hm_store_get_series(side->store, side->sessions.ids[i], metric, &side->sets[i], err);
    return side->sets ? st : HM_EABSENT;
}

void hm_side_close(hm_side *side)
{
    for (int i = 0; side->sets && i < side->sessions.count; i++)
        hm_series_set_free(&side->sets[i]);
    free(side->sets);
    hm_session_list_free(&side->sessions);
    if (side->own_store)
        hm_store_close(&side->store);
    *side = (hm_side){0};
}

/* ---- groups ---- */

/* Whether a series is one of the commit that named the side. */
static hm_status of_commit(const hm_side *side, const hm_series *s, bool *is, hm_error *err)
{
    char commit[64] = "";
    const char *wanted = side->sessions.commit;
    hm_status st =
        *wanted && s->build_id ? hm_store_get_fact(side->store, "build", "git_commit", s->build_id, commit, sizeof commit, err) : HM_OK;
    *is = !*wanted || !strncmp(commit, wanted, strlen(wanted));
    return st;
}

static hm_status join_group(hm_group **groups, int *count, hm_side *side, int set, const hm_series *s, hm_error *err)
{
    hm_group *g = NULL;
    for (int i = 0; i < *count && !g; i++)
        if (!strcmp((*groups)[i].label, s->label) && !strcmp((*groups)[i].arm, s->arm))
            g = &(*groups)[i];
    if (!g) {
        hm_group *grown = realloc(*groups, (size_t)(*count + 1) * sizeof *grown);
        if (!grown)
            return hm_fail(err, HM_EABSENT, "series: out of memory");
        *groups = grown;
        g = &grown[(*count)++];
        *g = (hm_group){.side = side, .label = s->label, .arm = s->arm};
    }
    const hm_series **series = realloc(g->series, (size_t)(g->count + 1) * sizeof *series);
    g->series = series ? series : g->series;
    int *sets = series ? realloc(g->set, (size_t)(g->count + 1) * sizeof *sets) : NULL;
    if (!sets)
        return hm_fail(err, HM_EABSENT, "series: out of memory");
    g->set = sets;
    series[g->count] = s;
    sets[g->count++] = set;
    return HM_OK;
}

static const char MODEL[] = " model=";

bool hm_arm_is(const char *arm, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(arm, name, n))
        return false;
    return !arm[n] || (!strncmp(arm + n, MODEL, strlen(MODEL)) && !strchr(arm + n + 1, ' '));
}

bool hm_groups_are_of_one_model(const hm_group *a, const hm_group *b)
{
    const char *x = strstr(a->arm, MODEL), *y = strstr(b->arm, MODEL);
    return !x || !y || strstr(a->side->arm, MODEL) || strstr(b->side->arm, MODEL) || !strcmp(x, y);
}

hm_status hm_side_groups(hm_side *side, hm_group **out, int *count, hm_error *err)
{
    hm_status st = HM_OK;
    *out = NULL;
    *count = 0;
    for (int k = 0; k < side->sessions.count && !st; k++)
        for (int i = 0; i < side->sets[k].count && !st; i++) {
            const hm_series *s = &side->sets[k].items[i];
            bool meant = true;
            if (*side->arm && !hm_arm_is(s->arm, side->arm))
                continue;
            st = of_commit(side, s, &meant, err);
            if (!st && meant)
                st = join_group(out, count, side, k, s, err);
        }
    if (!st && !*count)
        st = hm_fail(err, HM_EMISSING, "%s: has no runs%s%s", side->text, *side->arm ? " of an arm " : "", side->arm);
    if (st)
        hm_groups_free(out, *count);
    return st;
}

void hm_groups_free(hm_group **groups, int count)
{
    for (int i = 0; i < count && *groups; i++) {
        free((*groups)[i].series);
        free((*groups)[i].set);
    }
    free(*groups);
    *groups = NULL;
}

hm_status hm_group_values(const hm_group *g, bool per_frame, double **x, int *n, hm_error *err)
{
    size_t room = 1;
    *n = 0;
    for (int i = 0; i < g->count; i++)
        room += (size_t)g->side->sets[g->set[i]].rounds;
    *x = hm_calloc(room, sizeof **x, "values", err);
    for (int i = 0; i < g->count && *x; i++) {
        int got = hm_series_values(&g->side->sets[g->set[i]], g->series[i], *x + *n);
        for (int k = 0; per_frame && k < got; k++)
            (*x)[*n + k] /= g->series[i]->frames;
        *n += got;
    }
    return *x ? HM_OK : HM_EABSENT;
}

const hm_series *hm_group_unhealthy(const hm_group *g)
{
    for (int i = 0; i < g->count; i++)
        if (g->series[i]->unhealthy)
            return g->series[i];
    return NULL;
}

hm_status hm_group_check_hardware(const hm_group *g, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < g->count && !st; i++)
        st = hm_series_check_hardware(&g->side->sets[g->set[i]], g->series[i], err);
    return st;
}

/* ---- what forbids a comparison ---- */

/* One series of a group and where it comes from. */
typedef struct member {
    hm_store *store;
    const hm_series_set *set;
    const hm_series *series;
} member;

static member member_of(const hm_group *g, int i)
{
    return (member){g->side->store, &g->side->sets[g->set[i]], g->series[i]};
}

/* A column of a row that both name, if it differs. */
static hm_status differing_fact(const member *a, const member *b, const char *table, const char *column, const char *id_a, const char *id_b,
                                const char *name, char *out, size_t size, hm_error *err)
{
    char x[600], y[600];
    hm_status st = hm_store_get_fact(a->store, table, column, id_a ? id_a : "", x, sizeof x, err);
    if (!st)
        st = hm_store_get_fact(b->store, table, column, id_b ? id_b : "", y, sizeof y, err);
    if (!st && strcmp(x, y))
        snprintf(out, size, "%s: %.160s against %.160s", name, *x ? x : "unknown", *y ? y : "unknown");
    return st;
}

static hm_status differing_machine(const member *a, const member *b, char *out, size_t size, hm_error *err)
{
    static const char *const columns[][2] = {{"cpu_model", "machine"},
                                             {"cpus", "CPUs of the machine"},
                                             {"cores", "cores of the machine"},
                                             {"isa", "instruction set of the machine"},
                                             {"cpu_quota", "CPU quota"},
                                             {"memory_bytes", "memory of the machine"},
                                             {"smt", "SMT"},
                                             {"governor", "frequency governor"},
                                             {"kernel", "kernel"},
                                             {"os", "system"},
                                             {"container", "container"},
                                             {"host_id", "host"}};
    hm_status st = HM_OK;
    if (!strcmp(a->set->machine_id, b->set->machine_id))
        return HM_OK;
    for (size_t i = 0; i < sizeof columns / sizeof *columns && !st && !*out; i++)
        st = differing_fact(a, b, "machine", columns[i][0], a->set->machine_id, b->set->machine_id, columns[i][1], out, size, err);
    if (!st && !*out)
        snprintf(out, size, "machine: %s against %s", a->set->machine_id, b->set->machine_id);
    return st;
}

static void differing_text(const char *name, const char *a, const char *b, char *out, size_t size)
{
    if (!*out && a && b && strcmp(a, b))
        snprintf(out, size, "%s: %.160s against %.160s", name, a, b);
}

static void differing_number(const char *name, int a, int b, char *out, size_t size)
{
    if (!*out && a != b)
        snprintf(out, size, "%s: %d against %d", name, a, b);
}

static hm_status differing(const member *a, const member *b, unsigned may_differ, char *out, size_t size, hm_error *err)
{
    bool one_session = a->set == b->set || (a->store == b->store && !strcmp(a->set->session_id, b->set->session_id));
    const hm_series *x = a->series, *y = b->series;
    hm_status st = differing_machine(a, b, out, size, err);
    if (!st && !*out)
        st = differing_fact(a, b, "build", "build_type", x->build_id, y->build_id, "build type", out, size, err);
    if (!st && !*out)
        st = differing_fact(a, b, "build", "sanitizer", x->build_id, y->build_id, "sanitizer", out, size, err);
    differing_text("model", x->model_id, y->model_id, out, size);
    if (!(may_differ & HM_MAY_LENGTH)) {
        differing_number("frames", x->frames, y->frames, out, size);
        differing_text("case (what is asked for)", x->case_id, y->case_id, out, size);
    }
    if (!one_session && x->threads && y->threads)
        differing_number("threads", x->threads, y->threads, out, size);
    if (!one_session) { /* within one they were asked for, and the arms' names tell */
        differing_text("device", x->device, y->device, out, size);
        differing_text("driver", x->driver, y->driver, out, size);
        differing_text("environment",
                       x->environment && *x->environment ? x->environment
                       : x->environment                  ? "none"
                                                         : NULL,
                       y->environment && *y->environment ? y->environment
                       : y->environment                  ? "none"
                                                         : NULL,
                       out, size);
    }
    if (!(may_differ & HM_MAY_WARMUP))
        differing_text("warm-up", x->warmup, y->warmup, out, size);
    return st;
}

hm_status hm_series_first_difference(hm_store *store, const hm_series_set *set, const hm_series *a, const hm_series *b, char *out,
                                     size_t size, hm_error *err)
{
    member x = {store, set, a}, y = {store, set, b};
    *out = 0;
    return differing(&x, &y, 0, out, size, err);
}

hm_status hm_first_difference(const hm_group *a, const hm_group *b, unsigned may_differ, char *out, size_t size, hm_error *err)
{
    hm_status st = HM_OK;
    member first = member_of(a, 0);
    *out = 0;
    for (int i = 1; i < a->count && !st && !*out; i++) {
        member other = member_of(a, i);
        st = differing(&first, &other, may_differ, out, size, err);
    }
    for (int i = 0; i < b->count && !st && !*out; i++) {
        member other = member_of(b, i);
        st = differing(&first, &other, may_differ, out, size, err);
    }
    return st;
}

/* ---- outputs ---- */

/* Toggles as they are stored. False: there are some that this build does not know. */
static bool same_program_family(const hm_series *a, const hm_series *b)
{
    hm_toggles x, y;
    if (!a->toggles || !b->toggles || !a->model_id || !b->model_id || strcmp(a->model_id, b->model_id) || strcmp(a->case_id, b->case_id) ||
        !a->isa || !b->isa || strcmp(a->isa, b->isa))
        return false;
    if (!strcmp(a->toggles, b->toggles))
        return true;
    return !hm_toggles_parse(a->toggles, &x, NULL) && !hm_toggles_parse(b->toggles, &y, NULL) &&
           hm_toggles_distance(&x, &y) == HM_KIND_BITWISE;
}

void hm_series_output_difference(const hm_series *a, const hm_series *b, char *out, size_t size)
{
    *out = 0;
    if (!same_program_family(a, b))
        return;
    bool codes = a->codes_hash && b->codes_hash && strcmp(a->codes_hash, b->codes_hash);
    if (codes || (a->audio_hash && b->audio_hash && strcmp(a->audio_hash, b->audio_hash)))
        snprintf(out, size, "%s: %s and %s must give the same %s and do not", a->label, a->arm, b->arm, codes ? "codes" : "audio");
}

void hm_output_difference(const hm_group *a, const hm_group *b, char *out, size_t size)
{
    *out = 0;
    for (int i = 0; i < a->count && !*out; i++)
        for (int k = 0; k < b->count && !*out; k++)
            hm_series_output_difference(a->series[i], b->series[k], out, size);
}

void hm_approx_difference(const char *toggles_a, const char *toggles_b, char *out, size_t size)
{
    hm_toggles x, y;
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    *out = 0;
    if (hm_toggles_parse(toggles_a, &x, NULL) || hm_toggles_parse(toggles_b, &y, NULL))
        return;
    for (int i = 0; i < n; i++) {
        char from[64], to[64];
        int a = hm_toggle_get(&x, &list[i]), b = hm_toggle_get(&y, &list[i]);
        if (a == b || list[i].kind != HM_KIND_APPROX)
            continue;
        hm_toggle_value_name(&list[i], a, from, sizeof from);
        hm_toggle_value_name(&list[i], b, to, sizeof to);
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s %s -> %s", used ? ", " : "", list[i].name, from, to);
    }
}

/* ---- figures ---- */

/* From "how much worse" to the metric itself. */
static void turn(hm_ratio *out, hm_interval worse, double direction)
{
    double a = exp(worse.low), b = exp(worse.high);
    bool known = isfinite(worse.low) && isfinite(worse.high);
    out->worse = exp(worse.estimate);
    out->ratio = direction > 0 ? out->worse : 1 / out->worse;
    out->low = !known ? NAN : direction > 0 ? a : 1 / b;
    out->high = !known ? NAN : direction > 0 ? b : 1 / a;
}

hm_ratio hm_ratio_of_pairs(const double *y, int n, double direction)
{
    hm_ratio out = {
        .paired = true, .n = n, .base_n = n, .sessions = 1, .base_sessions = 1, .ratio = NAN, .low = NAN, .high = NAN, .worse = NAN};
    if (n > 0)
        turn(&out, hm_hodges_lehmann(y, n, 0.025), direction);
    return out;
}

/* Sessions with a value. */
static int sessions_of(const hm_group *g)
{
    int n = 0;
    for (int i = 0; i < g->count; i++) {
        const hm_series_set *set = &g->side->sets[g->set[i]];
        bool any = false;
        for (int r = 0; r < set->rounds && !any; r++)
            any = isfinite(g->series[i]->value[r]);
        n += any;
    }
    return n;
}

/* Logarithms of those above zero, in place. */
static int logarithms(double *x, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (x[i] > 0)
            x[kept++] = log(x[i]);
    return kept;
}

hm_status hm_ratio_unpaired(const hm_group *base, const hm_group *arm, bool per_frame, hm_ratio *out, hm_error *err)
{
    double *x = NULL, *y = NULL, direction = base->side->sets[base->set[0]].direction;
    int n = 0, m = 0;
    hm_status st = hm_group_values(base, per_frame, &x, &n, err);
    if (!st)
        st = hm_group_values(arm, per_frame, &y, &m, err);
    if (!st) {
        n = logarithms(x, n);
        m = logarithms(y, m);
        *out = (hm_ratio){.n = m,
                          .base_n = n,
                          .sessions = sessions_of(arm),
                          .base_sessions = sessions_of(base),
                          .ratio = NAN,
                          .low = NAN,
                          .high = NAN,
                          .worse = NAN};
        if (n && m) {
            hm_interval shift = hm_shift(x, n, y, m, 0.025);
            if (direction < 0)
                shift = (hm_interval){-shift.estimate, -shift.high, -shift.low};
            turn(out, shift, direction);
        }
    }
    free(x);
    free(y);
    return st;
}

const char *hm_ratio_word(const hm_ratio *r)
{
    if (isnan(r->low) || isnan(r->high))
        return "no interval";
    if (r->low <= 1 && r->high >= 1)
        return "no difference seen";
    return r->worse > 1 ? "worse" : "better";
}

void hm_ratio_doubt(const hm_ratio *r, char *out, size_t size)
{
    *out = 0;
    if (!r->paired && (r->n < HM_LEAST_UNPAIRED || r->base_n < HM_LEAST_UNPAIRED || r->sessions < HM_LEAST_SESSIONS ||
                       r->base_sessions < HM_LEAST_SESSIONS))
        snprintf(out, size, "not to be believed: %d and %d runs from %d and %d sessions; %d from %d are needed on each side", r->base_n,
                 r->n, r->base_sessions, r->sessions, HM_LEAST_UNPAIRED, HM_LEAST_SESSIONS);
}
