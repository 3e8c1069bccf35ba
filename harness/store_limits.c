#include "harness/store_limits.h"

#include <stdlib.h>
#include <string.h>

#include "harness/store_internal.h"
#include "reports/stats.h"

hm_status hm_store_put_limits(hm_store *store, const char *machine_id, const char *session_id, const hm_limits *limits, hm_error *err)
{
    hm_query q;
    char utc[HM_UTC_TEXT];
    hm_status st = hm_store_begin(store, err);
    if (st)
        return st;
    hm_utc_text(utc);
    hm_query_open(&q, store,
                  "INSERT OR REPLACE INTO machine_figure(machine_id, session_id, measured_utc, name, type, isa, threads, value, "
                  "block_bytes, how) VALUES(:machine_id, :session_id, :utc, :name, :type, :isa, :threads, :value, :block_bytes, :how)",
                  err);
    for (int i = 0; i < limits->count; i++) {
        const hm_limit *l = &limits->items[i];
        hm_bind_text(&q, ":machine_id", machine_id);
        hm_bind_text(&q, ":session_id", session_id);
        hm_bind_text(&q, ":utc", utc);
        hm_bind_text(&q, ":name", l->name);
        hm_bind_text(&q, ":type", l->type);
        hm_bind_text(&q, ":isa", l->isa);
        hm_bind_int(&q, ":threads", l->threads);
        hm_bind_real(&q, ":value", l->value);
        hm_bind_int(&q, ":block_bytes", l->block_bytes);
        hm_bind_text(&q, ":how", l->how[0] ? l->how : NULL);
        hm_query_run(&q);
    }
    st = hm_query_close(&q);
    return hm_store_finish(store, st, err);
}

/* Values of one limit, the newest first. */
typedef struct values {
    double *items;
    int count, room;
} values;

static bool keep(values *v, double value)
{
    if (v->count == v->room) {
        int room = v->room ? 2 * v->room : 64;
        double *grown = realloc(v->items, (size_t)room * sizeof *grown);
        if (!grown)
            return false;
        v->items = grown;
        v->room = room;
    }
    v->items[v->count++] = value;
    return true;
}

static void finish(hm_limit_drift *d, values *v)
{
    d->earlier = v->count;
    d->median = v->count ? hm_median(v->items, v->count) : NAN;
    d->change = d->median > 0 ? d->now.value / d->median - 1 : NAN;
    d->flagged = fabs(d->change) > HM_LIMIT_DRIFT;
    v->count = 0;
}

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static hm_limit row_limit(hm_query *q)
{
    int64_t threads = hm_query_int(q, 3);
    hm_limit l = {.value = hm_query_real(q, 4), .block_bytes = hm_query_int(q, 5)};
    l.threads = threads > 0 && threads < 1 << 20 ? (int)threads : 0;
    copy_text(l.name, sizeof l.name, hm_query_text(q, 0));
    copy_text(l.type, sizeof l.type, hm_query_text(q, 1));
    copy_text(l.isa, sizeof l.isa, hm_query_text(q, 2));
    copy_text(l.how, sizeof l.how, hm_query_text(q, 6));
    return l;
}

static bool same(const hm_limit *a, const hm_limit *b)
{
    return !strcmp(a->name, b->name) && !strcmp(a->type, b->type) && !strcmp(a->isa, b->isa) && a->threads == b->threads &&
           a->block_bytes == b->block_bytes;
}

hm_status hm_store_get_limit_drift(hm_store *store, const char *machine_id, hm_limit_drift **out, int *count, hm_error *err)
{
    enum {
        ROOM = 512
    };
    hm_query q;
    values v = {0};
    int n = 0;
    bool memory = true;
    *out = NULL;
    *count = 0;
    hm_limit_drift *list = hm_calloc(ROOM, sizeof *list, "limits", err);
    if (!list)
        return HM_EABSENT;
    hm_query_open(&q, store,
                  "SELECT name, type, isa, threads, value, block_bytes, how, measured_utc FROM machine_figure WHERE machine_id = :id "
                  "ORDER BY name = 'flops', type = 'int8', type = 'bf16', name <> 'memory', name <> 'cache', name DESC, isa, threads, "
                  "block_bytes, measured_utc DESC",
                  err);
    hm_bind_text(&q, ":id", machine_id);
    while (memory && hm_query_row(&q)) {
        hm_limit l = row_limit(&q);
        if (n && same(&list[n - 1].now, &l)) {
            memory = keep(&v, l.value);
            continue;
        }
        if (n)
            finish(&list[n - 1], &v);
        if (n == ROOM)
            break;
        list[n].now = l;
        copy_text(list[n++].measured_utc, sizeof list->measured_utc, hm_query_text(&q, 7));
    }
    if (n && n < ROOM)
        finish(&list[n - 1], &v);
    hm_status st = hm_query_close(&q);
    free(v.items);
    if (!memory && !st)
        st = hm_fail(err, HM_EABSENT, "limits: out of memory");
    if (st) {
        free(list);
        return st;
    }
    *out = list;
    *count = n;
    return HM_OK;
}
