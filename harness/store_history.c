#include "harness/store_history.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/env_profile.h"
#include "harness/model.h"
#include "harness/options.h"
#include "harness/series.h"
#include "harness/store_internal.h"
#include "harness/verdict_store.h"
#include "reports/stats.h"
#include "variants/variants.h"

enum {
    LEAST_COMMIT = 4
}; /* letters that name one */

/* What makes two sessions' values points of one series. */
typedef struct key {
    char case_id[HM_HASH_TEXT], toggles[1024], model_id[HM_HASH_TEXT], isa[16], warmup[16], build[256];
    char device[128], environment[HM_ENV_TEXT]; /* "": not known, or nothing */
    int threads;
} key;

/* All values of one commit so far. */
typedef struct values {
    double *x;
    int count;
    char last_session[HM_UUID_TEXT];
} values;

typedef struct session_row {
    char id[HM_UUID_TEXT], created_utc[HM_UTC_TEXT];
} session_row;

typedef struct reading {
    hm_store *store;
    const hm_history_filter *filter;
    hm_history *out;
    hm_error *err;
    key *keys;       /* of out->series */
    values **values; /* [series][points] */
    session_row *sessions;
    int session_count;
    char machine_id[HM_HASH_TEXT];
} reading;

static hm_status out_of_memory(reading *r)
{
    return hm_fail(r->err, HM_EABSENT, "history: out of memory");
}

/* One more element at the end of an array, zeroed; NULL without memory. */
static void *grow(void *array, int count, size_t size)
{
    char *grown = realloc(array, (size_t)(count + 1) * size);
    if (grown)
        memset(grown + (size_t)count * size, 0, size);
    return grown;
}

/* ---- what there is ---- */

#define FITS "(c.suite = :label OR c.suite || '/' || c.name = :label)"

static hm_status nothing_fits(reading *r)
{
    char found[400] = "", near[HM_SUGGESTION];
    const char *label = r->filter->label;
    hm_query q;
    hm_query_open(&q, r->store,
                  "SELECT DISTINCT c.suite || '/' || c.name FROM suite_case c JOIN run u ON u.case_id = c.id ORDER BY 1 LIMIT 12", r->err);
    while (hm_query_row(&q)) {
        size_t n = strlen(found);
        snprintf(found + n, sizeof found - n, "%s%s", n ? ", " : "", hm_query_text(&q, 0));
    }
    hm_status st = hm_query_close(&q);
    return st ? st
              : hm_fail(r->err, HM_EMISSING, "history: database %s has no runs of \"%.80s\"%s%s%s", r->store->path, label,
                        *found ? "; it has " : "", found, hm_store_did_you_mean(r->store, HM_NAMES_CASES, label, near));
}

/* The machine of the newest session, or the one asked for. */
static hm_status choose_machine(reading *r)
{
    hm_query q;
    hm_query_open(&q, r->store,
                  "SELECT m.id, m.cpu_model, m.cpus FROM session s JOIN machine m ON m.id = s.machine_id WHERE (:machine IS NULL OR "
                  "substr(m.id, 1, length(:machine)) = :machine) AND EXISTS (SELECT 1 FROM run u JOIN suite_case c ON c.id = u.case_id "
                  "WHERE u.session_id = s.id AND " FITS ") ORDER BY s.created_utc DESC, s.id LIMIT 1",
                  r->err);
    hm_bind_text(&q, ":label", r->filter->label);
    hm_bind_text(&q, ":machine", r->filter->machine);
    if (hm_query_row(&q)) {
        snprintf(r->machine_id, sizeof r->machine_id, "%s", hm_query_text(&q, 0));
        snprintf(r->out->machine, sizeof r->out->machine, "%.100s, %d CPUs (%.8s)", hm_query_text(&q, 1), (int)hm_query_int(&q, 2),
                 r->machine_id);
    }
    hm_status st = hm_query_close(&q);
    if (st || *r->machine_id)
        return st;
    st = nothing_fits(r);
    return st == HM_EMISSING && r->filter->machine
               ? hm_fail(r->err, HM_EMISSING, "history: no session of \"%.80s\" on a machine %.40s", r->filter->label, r->filter->machine)
               : st;
}

static hm_status list_sessions(reading *r)
{
    hm_query q;
    hm_query_open(&q, r->store,
                  "SELECT s.id, s.created_utc, s.machine_id = :machine FROM session s WHERE EXISTS (SELECT 1 FROM run u JOIN suite_case c "
                  "ON c.id = u.case_id WHERE u.session_id = s.id AND " FITS ") ORDER BY s.created_utc, s.id",
                  r->err);
    hm_bind_text(&q, ":label", r->filter->label);
    hm_bind_text(&q, ":machine", r->machine_id);
    while (hm_query_row(&q)) {
        if (!hm_query_int(&q, 2)) {
            r->out->other_machines++;
            continue;
        }
        session_row *grown = grow(r->sessions, r->session_count, sizeof *grown);
        if (!grown) {
            q.status = out_of_memory(r);
            break;
        }
        r->sessions = grown;
        snprintf(grown[r->session_count].id, sizeof grown->id, "%s", hm_query_text(&q, 0));
        snprintf(grown[r->session_count++].created_utc, sizeof grown->created_utc, "%s", hm_query_text(&q, 1));
    }
    return hm_query_close(&q);
}

/* ---- one arm of one session ---- */

/* toggle=value pairs without those that are off. */
static void only_set_toggles(const char *text, char *out, size_t size)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    size_t used = 0;
    out[0] = 0;
    for (const char *p = text ? text : ""; *p;) {
        size_t n = strcspn(p, ",");
        bool off = false;
        for (int i = 0; i < count && !off; i++) {
            char zero[128], value[64];
            hm_toggle_value_name(&list[i], 0, value, sizeof value);
            snprintf(zero, sizeof zero, "%s=%s", list[i].name, value);
            off = strlen(zero) == n && !strncmp(p, zero, n);
        }
        if (!off && used < size)
            used += (size_t)snprintf(out + used, size - used, "%.*s,", (int)n, p);
        p += n + (p[n] == ',');
    }
}

/* Commit and kind of the build that ran it, name of the model and its folder. */
static hm_status read_facts(reading *r, const hm_series *s, key *k, hm_history_point *point, hm_history_series *series)
{
    hm_query q;
    hm_query_open(
        &q, r->store,
        "SELECT b.git_commit, b.git_dirty, b.build_type || ' ' || coalesce(b.sanitizer, ''), a.model, m.name FROM build b, arm a LEFT "
        "JOIN model m ON m.id = :model WHERE b.id = :build AND a.id = :arm",
        r->err);
    hm_bind_text(&q, ":build", s->build_id);
    hm_bind_text(&q, ":arm", s->arm_id);
    hm_bind_text(&q, ":model", s->model_id);
    if (hm_query_row(&q)) {
        const char *commit = hm_query_text(&q, 0), *build = hm_query_text(&q, 2), *folder = hm_query_text(&q, 3),
                   *model = hm_query_text(&q, 4);
        snprintf(point->commit, sizeof point->commit, "%s", commit ? commit : "");
        point->dirty = hm_query_int(&q, 1) != 0;
        snprintf(k->build, sizeof k->build, "%s", build ? build : "");
        snprintf(series->model_path, sizeof series->model_path, "%s", folder ? folder : "");
        snprintf(series->model, sizeof series->model, "%s", model ? model : "unknown model");
    }
    return hm_query_close(&q);
}

static bool same_key(const key *a, const key *b)
{
    return !strcmp(a->case_id, b->case_id) && !strcmp(a->toggles, b->toggles) && !strcmp(a->model_id, b->model_id) &&
           !strcmp(a->isa, b->isa) && !strcmp(a->warmup, b->warmup) && !strcmp(a->build, b->build) && a->threads == b->threads &&
           !strcmp(a->device, b->device) && !strcmp(a->environment, b->environment);
}

/* Index of the series, made when it is new; -1 without memory. */
static int find_series(reading *r, const key *k)
{
    hm_history *h = r->out;
    for (int i = 0; i < h->count; i++)
        if (same_key(&r->keys[i], k))
            return i;
    hm_history_series *series = grow(h->series, h->count, sizeof *series);
    h->series = series ? series : h->series;
    key *keys = grow(r->keys, h->count, sizeof *keys);
    r->keys = keys ? keys : r->keys;
    values **lists = grow(r->values, h->count, sizeof *lists);
    r->values = lists ? lists : r->values;
    if (!series || !keys || !lists)
        return -1;
    keys[h->count] = *k;
    return h->count++;
}

/* The series' point of a commit, made when it is new; -1 without memory. */
static int find_point(reading *r, int series, const hm_history_point *like)
{
    hm_history_series *s = &r->out->series[series];
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->points[i].commit, like->commit) && s->points[i].dirty == like->dirty)
            return i;
    hm_history_point *points = grow(s->points, s->count, sizeof *points);
    s->points = points ? points : s->points;
    values *lists = grow(r->values[series], s->count, sizeof *lists);
    r->values[series] = lists ? lists : r->values[series];
    if (!points || !lists)
        return -1;
    points[s->count] = *like;
    return s->count++;
}

static hm_status add_values(reading *r, int series, int point, const session_row *session, const hm_series_set *set, const hm_series *from)
{
    values *v = &r->values[series][point];
    hm_history_point *p = &r->out->series[series].points[point];
    double *x = realloc(v->x, (size_t)(v->count + set->rounds) * sizeof *x);
    if (!x)
        return out_of_memory(r);
    v->x = x;
    int n = hm_series_values(set, from, x + v->count);
    v->count += n;
    p->rounds += n;
    p->sessions += strcmp(v->last_session, session->id) != 0;
    memcpy(v->last_session, session->id, sizeof v->last_session);
    return HM_OK;
}

static bool label_fits(const char *label, const char *asked)
{
    size_t n = strlen(asked);
    return !strncmp(label, asked, n) && (!label[n] || label[n] == '/');
}

static hm_status add_arm(reading *r, const session_row *session, const hm_series_set *set, const hm_series *s)
{
    key k = {.threads = s->threads};
    hm_history_point point = {0};
    hm_history_series like = {.direction = set->direction, .threads = s->threads};
    double *x = malloc((size_t)(set->rounds ? set->rounds : 1) * sizeof *x);
    int n = x ? hm_series_values(set, s, x) : 0;
    free(x);
    if (!x)
        return out_of_memory(r);
    if (!n || !s->toggles || !s->model_id || !s->build_id) /* another program, or nothing measured */
        return HM_OK;
    if (s->unhealthy || (s->software && set->timed)) {
        r->out->unhealthy += s->unhealthy;
        r->out->software += !s->unhealthy;
        return HM_OK;
    }
    snprintf(k.case_id, sizeof k.case_id, "%s", s->case_id);
    snprintf(k.model_id, sizeof k.model_id, "%s", s->model_id);
    snprintf(k.isa, sizeof k.isa, "%s", s->isa ? s->isa : "");
    snprintf(k.warmup, sizeof k.warmup, "%s", s->warmup ? s->warmup : "");
    snprintf(k.device, sizeof k.device, "%s",
             s->isa && !strncmp(s->isa, "ze", 2) && s->device ? s->device : ""); /* a CPU is the machine's */
    snprintf(k.environment, sizeof k.environment, "%s", s->environment ? s->environment : "");
    only_set_toggles(s->toggles, k.toggles, sizeof k.toggles);
    hm_status st = read_facts(r, s, &k, &point, &like);
    if (st)
        return st;
    snprintf(like.label, sizeof like.label, "%s", s->label);
    snprintf(like.suite, sizeof like.suite, "%.*s", (int)strcspn(s->label, "/"), s->label);
    snprintf(like.arm, sizeof like.arm, "%s", s->arm);
    snprintf(like.variant, sizeof like.variant, "%s", s->variant ? s->variant : "");
    snprintf(like.unit, sizeof like.unit, "%s", set->unit);
    snprintf(point.first_utc, sizeof point.first_utc, "%s", session->created_utc);
    int at = find_series(r, &k), p;
    if (at < 0)
        return out_of_memory(r);
    hm_history_series *to = &r->out->series[at];
    like.points = to->points; /* texts are those of the newest session */
    like.count = to->count;
    *to = like;
    p = find_point(r, at, &point);
    return p < 0 ? out_of_memory(r) : add_values(r, at, p, session, set, s);
}

static hm_status read_session(reading *r, const session_row *session)
{
    hm_series_set set = {0};
    const char *arm = r->filter->arm;
    hm_status st = hm_store_get_series(r->store, session->id, r->filter->metric, &set, r->err);
    for (int i = 0; i < set.count && !st; i++) {
        const hm_series *s = &set.items[i];
        if (label_fits(s->label, r->filter->label) && (!arm || !strcmp(arm, s->arm) || (s->variant && !strcmp(arm, s->variant))))
            st = add_arm(r, session, &set, s);
    }
    hm_series_set_free(&set);
    return st;
}

/* ---- what is left of it ---- */

static void drop_series(reading *r, int i)
{
    hm_history *h = r->out;
    for (int p = 0; p < h->series[i].count; p++)
        free(r->values[i][p].x);
    free(r->values[i]);
    free(h->series[i].points);
    size_t after = (size_t)(h->count - i - 1);
    memmove(&h->series[i], &h->series[i + 1], after * sizeof *h->series);
    memmove(&r->keys[i], &r->keys[i + 1], after * sizeof *r->keys);
    memmove(&r->values[i], &r->values[i + 1], after * sizeof *r->values);
    h->count--;
}

static const char *newest_point(const hm_history_series *s)
{
    return s->count ? s->points[s->count - 1].first_utc : "";
}

/* Of cases of one label, those with the newest request. */
static void drop_older_requests(reading *r)
{
    for (int i = r->out->count - 1; i >= 0; i--)
        for (int j = 0; j < r->out->count; j++)
            if (!strcmp(r->out->series[i].label, r->out->series[j].label) && strcmp(r->keys[i].case_id, r->keys[j].case_id) &&
                strcmp(newest_point(&r->out->series[i]), newest_point(&r->out->series[j])) < 0) {
                drop_series(r, i);
                break;
            }
}

static bool is_commit(const hm_history_point *p, const char *since)
{
    size_t n = strlen(since);
    return n >= LEAST_COMMIT && !strncmp(p->commit, since, n);
}

static bool is_date(const char *text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    size_t n = strlen(text);
    if (n != 4 && n != 7 && n != 10 && n < 16)
        return false;
    for (size_t i = 0; i < n && i < sizeof form - 1; i++)
        if (form[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
            return false;
    return true;
}

/* Where the points that are asked for begin, as a UTC time. */
static hm_status find_since(reading *r, char out[HM_UTC_TEXT])
{
    const char *since = r->filter->since;
    out[0] = 0;
    for (int i = 0; i < r->out->count && since; i++)
        for (int p = 0; p < r->out->series[i].count; p++) {
            const hm_history_point *point = &r->out->series[i].points[p];
            if (is_commit(point, since) && (!*out || strcmp(point->first_utc, out) < 0))
                snprintf(out, HM_UTC_TEXT, "%s", point->first_utc);
        }
    if (!since || *out)
        return HM_OK;
    if (!is_date(since))
        return hm_fail(r->err, HM_EUSAGE,
                       "--since \"%.60s\": expected a UTC date (2006-01-02) or the beginning of a commit with sessions here", since);
    snprintf(out, HM_UTC_TEXT, "%s", since);
    return HM_OK;
}

static hm_status finish(reading *r)
{
    char since[HM_UTC_TEXT];
    drop_older_requests(r);
    hm_status st = find_since(r, since);
    for (int i = r->out->count - 1; i >= 0 && !st; i--) {
        hm_history_series *s = &r->out->series[i];
        int kept = 0;
        for (int p = 0; p < s->count; p++) {
            double value = hm_median(r->values[i][p].x, r->values[i][p].count);
            free(r->values[i][p].x);
            r->values[i][p].x = NULL;
            if (strcmp(s->points[p].first_utc, since) < 0)
                continue;
            s->points[kept] = s->points[p];
            s->points[kept++].value = value;
        }
        s->count = kept;
    }
    return st;
}

static void drop_empty(reading *r)
{
    for (int i = r->out->count - 1; i >= 0; i--)
        if (!r->out->series[i].count)
            drop_series(r, i);
}

static int by_label_and_arm(const void *pa, const void *pb)
{
    const hm_history_series *a = pa, *b = pb;
    int c = strcmp(a->label, b->label);
    c = c ? c : strcmp(a->arm, b->arm);
    return c ? c : strcmp(a->model, b->model);
}

static void close_reading(reading *r)
{
    for (int i = 0; i < r->out->count && r->values; i++) {
        for (int p = 0; p < r->out->series[i].count && r->values[i]; p++)
            free(r->values[i][p].x);
        free(r->values[i]);
    }
    free(r->values);
    free(r->keys);
    free(r->sessions);
}

/* What may be mistyped: the case, else the arm. */
static const char *suggest(hm_store *store, const hm_history_filter *filter, char near[HM_SUGGESTION])
{
    hm_store_did_you_mean(store, HM_NAMES_CASES, filter->label, near);
    return *near || !filter->arm ? near : hm_store_did_you_mean(store, HM_NAMES_ARMS, filter->arm, near);
}

hm_status hm_store_get_history(hm_store *store, const hm_history_filter *filter, hm_history *out, hm_error *err)
{
    reading r = {.store = store, .filter = filter, .out = out, .err = err};
    char near[HM_SUGGESTION];
    *out = (hm_history){0};
    snprintf(out->metric, sizeof out->metric, "%s", filter->metric);
    hm_status st = choose_machine(&r);
    if (!st)
        st = list_sessions(&r);
    for (int i = 0; i < r.session_count && !st; i++)
        st = read_session(&r, &r.sessions[i]);
    if (!st)
        st = finish(&r);
    if (!st)
        drop_empty(&r);
    if (!st && !out->count && out->software && !out->unhealthy)
        st = hm_fail(err, HM_EINVALID,
                     "history: \"%.80s\" ran on a software device alone, whose %.40s says nothing about hardware (a count "
                     "has a history: --metric launches)",
                     filter->label, filter->metric);
    if (!st && !out->count)
        st = hm_fail(err, HM_EMISSING, "history: no good runs of \"%.80s\"%s%s%s%s on %s%s%s", filter->label,
                     filter->arm ? " by the arm " : "", filter->arm ? filter->arm : "", filter->since ? " since " : "",
                     filter->since ? filter->since : "", out->machine, out->unhealthy ? ": the audio of all is bad" : "",
                     suggest(store, filter, near));
    close_reading(&r);
    if (st)
        hm_history_free(out);
    else
        qsort(out->series, (size_t)out->count, sizeof *out->series, by_label_and_arm);
    return st;
}
