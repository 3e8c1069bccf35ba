#include "harness/verify_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hm_begins(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

bool hm_ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

void hm_verify_report(hm_verify *v, const hm_verify_row *row)
{
    if (row->outcome != HM_VERIFY_NOTE) {
        v->compared++;
        v->missed += row->outcome == HM_VERIFY_MISS;
    }
    v->row(v->self, row);
}

void hm_bench_tap(void *self, const hm_tap_value *value)
{
    hm_bench *b = self;
    bool result = !strcmp(value->name, "result") || !strcmp(value->name, "probs");
    const char *name = result && b->renamed ? b->renamed : value->name;
    const hm_safetensors_entry *e = hm_golden_find(&b->golden, b->prefix, name);
    if (e && !b->error.status && b->rows)
        hm_golden_compare_rows(&b->golden, e, value, &b->diffs[e - b->golden.file.entries], &b->error);
    else if (e && !b->error.status)
        hm_golden_compare(&b->golden, e, value, &b->diffs[e - b->golden.file.entries], &b->error);
}

hm_status hm_bench_open(hm_bench *b, hm_verify *v, const char *dir, const char *file,
                        double (*tolerance)(const hm_safetensors_entry *entry, const hm_golden_diff *diff),
                        bool (*is_input)(const char *tensor), hm_error *err)
{
    char path[4096];
    *b = (hm_bench){.verify = v, .name = file, .prefix = "", .tolerance = tolerance, .is_input = is_input};
    snprintf(path, sizeof path, "%s/%s", dir, file);
    hm_status st = hm_golden_open(&b->golden, path, err);
    if (st)
        return st;
    b->diffs = hm_calloc((size_t)b->golden.file.count, sizeof *b->diffs, file, err);
    if (!b->diffs)
        hm_golden_close(&b->golden);
    return b->diffs ? HM_OK : HM_EABSENT;
}

static void report_tensor(const hm_bench *b, const hm_safetensors_entry *e, const hm_golden_diff *d)
{
    char shape[96], text[64] = "ok";
    double tolerance = e->type == HM_I32 ? -1 : b->tolerance(e, d);
    bool whole = d->last_row_only ? d->compared > 0 : d->compared > 0 && d->compared >= d->expected;
    bool good = !d->shape_differs && whole && (tolerance < 0 ? d->exact : d->max_abs <= tolerance);
    if (d->shape_differs)
        snprintf(text, sizeof text, "shape differs");
    else if (!whole)
        snprintf(text, sizeof text, "not produced");
    else if (tolerance < 0)
        snprintf(text, sizeof text, "%s", good ? "exact" : "differs");
    else
        snprintf(text, sizeof text, "%s%s", good ? "ok" : "MISS", d->last_row_only ? " (last row, the only one computed)" : "");
    hm_verify_report(b->verify, &(hm_verify_row){.file = b->name,
                                                 .tensor = e->name,
                                                 .shape = hm_shape_text(shape, sizeof shape, e->rank, e->shape),
                                                 .max_abs = d->max_abs,
                                                 .max_rel = d->max_rel,
                                                 .tolerance = tolerance,
                                                 .outcome = good ? HM_VERIFY_OK : HM_VERIFY_MISS,
                                                 .text = text});
}

hm_status hm_bench_close(hm_bench *b, hm_status st, hm_error *err)
{
    for (int i = 0; i < b->golden.file.count && !st; i++)
        if (!b->is_input(b->golden.file.entries[i].name))
            report_tensor(b, &b->golden.file.entries[i], &b->diffs[i]);
    free(b->diffs);
    hm_golden_close(&b->golden);
    if (st)
        hm_fail_within(err, "%s", b->name);
    return st;
}

hm_status hm_bench_check(hm_bench *b, hm_engine *engine, const hm_check *check, hm_error *err)
{
    hm_status st = b->verify->api->check(engine, check, err);
    return st ? st : b->error.status ? hm_fail(err, b->error.status, "%s", b->error.text) : HM_OK;
}
