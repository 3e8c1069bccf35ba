/* Series out of the database. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/probe.h"
#include "harness/health.h"
#include "harness/metrics.h"
#include "harness/options.h"
#include "harness/series.h"
#include "harness/store_internal.h"
#include "reports/stats.h"

/* All that a set points at. */
typedef struct block {
    struct block *next;
    double data[];
} block;

typedef struct reading {
    hm_store *store;
    hm_series_set *set;
    hm_error *err;
    const char *column; /* of the view figure; NULL: an exact count */
    const char *metric;
} reading;

static void *take(reading *r, size_t bytes)
{
    block *b = hm_calloc(1, sizeof *b + bytes, "series", r->err);
    if (!b)
        return NULL;
    b->next = r->set->memory;
    r->set->memory = b;
    return b->data;
}

/* A copy that lives with the set; NULL stays NULL. */
static const char *keep(reading *r, const char *text)
{
    char *copy = text ? take(r, strlen(text) + 1) : NULL;
    if (copy)
        strcpy(copy, text);
    return copy;
}

void hm_series_set_free(hm_series_set *set)
{
    for (block *b = set->memory, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(set->items);
    *set = (hm_series_set){0};
}

static hm_status unknown_metric(const char *name, hm_error *err)
{
    const char *names[256] = {0};
    char near[HM_SUGGESTION];
    int n = 0;
    for (const hm_metric *m = hm_metrics; m->name && n < 200; m++)
        if (m->column)
            names[n++] = m->name;
    for (int i = 0; i < HM_COUNTER_COUNT && n < 255; i++)
        names[n++] = hm_counter_name(i);
    return hm_fail(err, HM_EUSAGE, "metric \"%s\": has no number per sample%s (hmbench list metrics)", name,
                   hm_did_you_mean(near, name, names));
}

static hm_status find_metric(reading *r)
{
    const hm_metric *m = hm_metric_find(r->metric);
    r->set->direction = 1;
    r->set->timed = hm_metric_timed(r->metric);
    if (m && m->column) {
        r->column = m->column;
        r->set->direction = !strcmp(m->direction, "higher") ? -1 : 1;
        snprintf(r->set->unit, sizeof r->set->unit, "%s", m->unit);
        return HM_OK;
    }
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        if (!strcmp(r->metric, hm_counter_name(i))) {
            snprintf(r->set->unit, sizeof r->set->unit, "%s", strstr(r->metric, "bytes") ? "bytes" : "count");
            return HM_OK;
        }
    return unknown_metric(r->metric, r->err);
}

hm_status hm_series_check_metric(const char *metric, hm_error *err)
{
    hm_series_set set = {0};
    reading r = {.set = &set, .err = err, .metric = metric};
    const hm_metric *m = hm_metric_find(metric);
    hm_status st = find_metric(&r);
    if (!st && m && !strcmp(m->direction, "-"))
        st = hm_fail(err, HM_EUSAGE, "metric \"%s\": neither less nor more of it is better, so there is no verdict on it", metric);
    return st;
}

static hm_status read_session(reading *r, const char *id)
{
    hm_query q;
    hm_series_set *s = r->set;
    hm_query_open(&q, r->store,
                  "SELECT id, machine_id, order_seed, max(rounds, coalesce((SELECT max(round) + 1 FROM run WHERE session_id = :id), 0)) "
                  "FROM session WHERE id = :id",
                  r->err);
    hm_bind_text(&q, ":id", id);
    if (hm_query_row(&q)) {
        snprintf(s->session_id, sizeof s->session_id, "%s", hm_query_text(&q, 0));
        snprintf(s->machine_id, sizeof s->machine_id, "%s", hm_query_text(&q, 1));
        s->order_seed = (uint64_t)hm_query_int(&q, 2);
        s->rounds = (int)hm_query_int(&q, 3);
    } else if (!q.status) {
        q.status = hm_fail(r->err, HM_EMISSING, "database %s: no session %s", r->store->path, id);
    }
    return hm_query_close(&q);
}

static hm_series *add_item(reading *r)
{
    hm_series_set *s = r->set;
    hm_series *grown = realloc(s->items, (size_t)(s->count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    s->items = grown;
    hm_series *out = &grown[s->count];
    *out = (hm_series){.value = take(r, (size_t)(s->rounds ? s->rounds : 1) * sizeof *out->value)};
    if (!out->value)
        return NULL;
    for (int i = 0; i < s->rounds; i++)
        out->value[i] = NAN;
    s->count++;
    return out;
}

/* Every arm and case that had a run, good or not. */
static hm_status read_items(reading *r)
{
    hm_query q;
    hm_query_open(&q, r->store,
                  "SELECT u.case_id, u.arm_id, c.suite || '/' || c.name, a.name, a.position, c.frames, sum(u.status <> 'ok'), "
                  "sum(u.status = 'ok' AND u.dropped_reason IS NOT NULL), a.toggles, a.variant, coalesce(a.build_id, s.build_id), a.model, "
                  "a.environment, max(coalesce(u.software, 0)), max(coalesce(u.device_uuid, u.device)), max(u.device_driver) "
                  "FROM run u JOIN suite_case c ON c.id = u.case_id JOIN arm a ON a.id = u.arm_id JOIN session s ON s.id = u.session_id "
                  "WHERE u.session_id = :id AND u.round >= 0 GROUP BY u.case_id, u.arm_id ORDER BY c.frames, c.suite, c.name, c.id, "
                  "a.position",
                  r->err);
    hm_bind_text(&q, ":id", r->set->session_id);
    while (hm_query_row(&q)) {
        hm_series *s = add_item(r);
        if (!s) {
            q.status = hm_fail(r->err, HM_EABSENT, "series: out of memory");
            break;
        }
        snprintf(s->case_id, sizeof s->case_id, "%s", hm_query_text(&q, 0));
        snprintf(s->arm_id, sizeof s->arm_id, "%s", hm_query_text(&q, 1));
        s->label = keep(r, hm_query_text(&q, 2));
        s->arm = keep(r, hm_query_text(&q, 3));
        s->arm_position = (int)hm_query_int(&q, 4);
        s->frames = (int)hm_query_int(&q, 5);
        s->failed = (int)hm_query_int(&q, 6);
        s->dropped = (int)hm_query_int(&q, 7);
        s->toggles = keep(r, hm_query_text(&q, 8));
        s->variant = keep(r, hm_query_text(&q, 9));
        s->build_id = keep(r, hm_query_text(&q, 10));
        s->model = keep(r, hm_query_text(&q, 11));
        s->environment = keep(r, hm_query_text(&q, 12));
        s->software = hm_query_int(&q, 13) == 1;
        s->device = keep(r, hm_query_text(&q, 14));
        s->driver = keep(r, hm_query_text(&q, 15));
        if (!s->label || !s->arm || !s->model)
            q.status = hm_fail(r->err, HM_EABSENT, "series: out of memory");
    }
    return hm_query_close(&q);
}

/* Samples of one run, the median of which is the round's value. */
enum {
    MOST_SAMPLES = 4096
};
typedef struct gathered {
    hm_series *series;
    int round, n;
    double x[MOST_SAMPLES];
} gathered;

static void end_round(gathered *g)
{
    if (g->series && g->n)
        g->series->value[g->round] = hm_median(g->x, g->n);
    g->n = 0;
}

static void take_facts(reading *r, hm_series *s, hm_query *q)
{
    if (!s->warmup) { /* every run has one */
        s->model_id = keep(r, hm_query_text(q, 4));
        s->codes_hash = keep(r, hm_query_text(q, 5));
        s->audio_hash = keep(r, hm_query_text(q, 6));
        s->isa = keep(r, hm_query_text(q, 9));
        s->warmup = keep(r, hm_query_text(q, 10));
        s->threads = hm_query_int(q, 11) == HM_UNKNOWN ? 0 : (int)hm_query_int(q, 11);
    }
    if (!s->unhealthy && !hm_health_ranks(hm_query_text(q, 7))) {
        s->unhealthy = true;
        s->health_reasons = keep(r, hm_query_text(q, 8));
    }
}

static hm_status read_values(reading *r, gathered *g)
{
    char sql[900], value[160];
    hm_query q;
    snprintf(value, sizeof value,
             r->column ? "f.%s" : "(SELECT n.value FROM count n WHERE n.sample_id = f.sample_id AND n.name = '%s' AND NOT n.load)",
             r->column ? r->column : r->metric);
    snprintf(sql, sizeof sql,
             "SELECT f.case_id, f.arm_id, f.round, %s, u.model_id, f.codes_hash, f.audio_hash, f.health, s.health_reasons, "
             "u.isa, u.warmup, u.threads FROM figure f JOIN run u ON u.id = f.run_id JOIN sample s ON s.id = f.sample_id "
             "WHERE f.session_id = :id AND NOT f.warmup AND f.round >= 0 ORDER BY f.case_id, f.arm_id, f.round, f.run_id, f.ordinal",
             value);
    hm_query_open(&q, r->store, sql, r->err);
    hm_bind_text(&q, ":id", r->set->session_id);
    while (hm_query_row(&q)) {
        hm_series *s = (hm_series *)hm_series_find(r->set, hm_query_text(&q, 0), hm_query_text(&q, 1));
        int round = (int)hm_query_int(&q, 2);
        double x = hm_query_real(&q, 3);
        if (!s || round >= r->set->rounds)
            continue;
        if (s != g->series || round != g->round)
            end_round(g);
        g->series = s;
        g->round = round;
        take_facts(r, s, &q);
        if (isfinite(x) && g->n < MOST_SAMPLES)
            g->x[g->n++] = x;
    }
    end_round(g);
    return hm_query_close(&q);
}

hm_status hm_store_get_series(hm_store *store, const char *session_id, const char *metric, hm_series_set *out, hm_error *err)
{
    reading r = {.store = store, .set = out, .err = err, .metric = metric};
    gathered *g = hm_calloc(1, sizeof *g, "series", err);
    *out = (hm_series_set){0};
    hm_status st = g ? find_metric(&r) : HM_EABSENT;
    if (!st)
        st = read_session(&r, session_id);
    if (!st)
        st = read_items(&r);
    if (!st)
        st = read_values(&r, g);
    free(g);
    if (st)
        hm_series_set_free(out);
    return st;
}
