#include "harness/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hm_status hm_golden_open(hm_golden *out, const char *path, hm_error *err)
{
    *out = (hm_golden){0};
    hm_status st = hm_safetensors_open(&out->file, path, err);
    if (!st)
        st = hm_map_open(&out->map, path, err);
    if (!st && !(out->copies = hm_calloc((size_t)out->file.count, sizeof *out->copies, path, err)))
        st = HM_EABSENT;
    if (st)
        hm_golden_close(out);
    return st;
}

void hm_golden_close(hm_golden *g)
{
    for (int i = 0; g->copies && i < g->file.count; i++)
        free(g->copies[i]);
    free(g->copies);
    g->copies = NULL;
    hm_map_close(&g->map);
    hm_safetensors_close(&g->file);
}

const hm_safetensors_entry *hm_golden_find(const hm_golden *g, const char *prefix, const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s%s", prefix, *prefix ? "/" : "", name);
    for (int i = 0; i < g->file.count; i++)
        if (!strcmp(g->file.entries[i].name, full))
            return &g->file.entries[i];
    return NULL;
}

int64_t hm_golden_count(const hm_safetensors_entry *e)
{
    int64_t n = 1;
    for (int i = 0; i < e->rank; i++)
        n *= e->shape[i];
    return n;
}

static hm_status values(hm_golden *g, const hm_safetensors_entry *e, hm_dtype type, void **out, hm_error *err)
{
    const void *data = hm_map_at(&g->map, e->offset, e->bytes);
    void **copy = &g->copies[e - g->file.entries];
    if (e->type != type)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: expected %s, found %s", g->file.path, e->name, hm_dtype_name(type), e->type_name);
    if (!data)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: its bytes lie outside the file", g->file.path, e->name);
    if (!*copy && !(*copy = hm_calloc(1, e->bytes + 1, e->name, err)))
        return HM_EABSENT;
    memcpy(*copy, data, e->bytes);
    *out = *copy;
    return HM_OK;
}

hm_status hm_golden_f32(hm_golden *g, const hm_safetensors_entry *e, const float **out, hm_error *err)
{
    void *p;
    hm_status st = values(g, e, HM_F32, &p, err);
    if (!st)
        *out = p;
    return st;
}

hm_status hm_golden_i32(hm_golden *g, const hm_safetensors_entry *e, const int32_t **out, hm_error *err)
{
    void *p;
    hm_status st = values(g, e, HM_I32, &p, err);
    if (!st)
        *out = p;
    return st;
}

static hm_status need(const hm_golden *g, const char *prefix, const char *name, const hm_safetensors_entry **e, hm_error *err)
{
    *e = hm_golden_find(g, prefix, name);
    return *e ? HM_OK : hm_fail(err, HM_EFORMAT, "%s: tensor %s%s%s is missing", g->file.path, prefix, *prefix ? "/" : "", name);
}

hm_status hm_golden_need_f32(hm_golden *g, const char *prefix, const char *name, const float **out, int64_t *count, hm_error *err)
{
    const hm_safetensors_entry *e;
    hm_status st = need(g, prefix, name, &e, err);
    if (st)
        return st;
    *count = hm_golden_count(e);
    return hm_golden_f32(g, e, out, err);
}

hm_status hm_golden_need_i32(hm_golden *g, const char *prefix, const char *name, const int32_t **out, int64_t *count, hm_error *err)
{
    const hm_safetensors_entry *e;
    hm_status st = need(g, prefix, name, &e, err);
    if (st)
        return st;
    *count = hm_golden_count(e);
    return hm_golden_i32(g, e, out, err);
}

/* Three dimensions as the engine tells values: [a], [a, b], [a, b, c] become [1, 1, a], [a, 1, b], [a, b, c]. */
static bool three_dims(const hm_safetensors_entry *e, int64_t d[3])
{
    d[0] = e->rank > 1 ? e->shape[0] : 1;
    d[1] = e->rank > 2 ? e->shape[1] : 1;
    d[2] = e->rank ? e->shape[e->rank - 1] : 1;
    return e->rank <= 3;
}

static double peak_of(const float *v, int64_t n)
{
    double peak = 0;
    for (int64_t i = 0; i < n; i++)
        peak = fabs((double)v[i]) > peak ? fabs((double)v[i]) : peak;
    return peak;
}

static void compare_row(hm_golden_diff *d, const float *golden, const float *ours, int64_t n, double floor_abs)
{
    for (int64_t i = 0; i < n; i++) {
        double difference = fabs((double)ours[i] - (double)golden[i]);
        if (!(difference <= 1e30)) /* NaN and infinity count as far away */
            difference = INFINITY;
        d->max_abs = difference > d->max_abs ? difference : d->max_abs;
        if (fabs((double)golden[i]) > floor_abs && difference / fabs((double)golden[i]) > d->max_rel)
            d->max_rel = difference / fabs((double)golden[i]);
        d->exact = d->exact && memcmp(&golden[i], &ours[i], sizeof *golden) == 0;
    }
}

hm_status hm_golden_compare(hm_golden *g, const hm_safetensors_entry *e, const hm_tap_value *v, hm_golden_diff *d, hm_error *err)
{
    int64_t dims[3], first, rows = v->shape[1];
    const float *golden = NULL;
    const int32_t *ints = NULL;
    if (!d->expected) {
        d->expected = hm_golden_count(e);
        d->exact = true;
    }
    if (!three_dims(e, dims) || dims[2] != v->shape[2] || v->batch_row + v->shape[0] > dims[0] || (rows != dims[1] && rows != 1)) {
        d->shape_differs = true;
        return HM_OK;
    }
    first = dims[1] - rows; /* a single row is the last one */
    d->last_row_only = d->last_row_only || first > 0;
    hm_status st = v->is_int ? hm_golden_i32(g, e, &ints, err) : hm_golden_f32(g, e, &golden, err);
    if (st)
        return st;
    d->peak = golden ? peak_of(golden, d->expected) : 0;
    double floor_abs = 1e-3 * d->peak;
    for (int64_t b = 0; b < v->shape[0]; b++) {
        int64_t at = ((v->batch_row + b) * dims[1] + first) * dims[2], from = b * rows * dims[2], n = rows * dims[2];
        if (golden)
            compare_row(d, golden + at, (const float *)v->data + from, n, floor_abs);
        else
            for (int64_t i = 0; i < n; i++)
                d->exact = d->exact && ints[at + i] == ((const int32_t *)v->data)[from + i];
        d->compared += n;
    }
    return HM_OK;
}

hm_status hm_golden_compare_rows(hm_golden *g, const hm_safetensors_entry *e, const hm_tap_value *v, hm_golden_diff *d, hm_error *err)
{
    int64_t all = hm_golden_count(e), width = e->rank ? e->shape[e->rank - 1] : 1, rows = width ? all / width : 0, wide = v->shape[2];
    int64_t first = v->batch_row * v->shape[1], count = v->shape[0] * v->shape[1];
    const float *golden = NULL;
    const int32_t *ints = NULL;
    if (e->rank == 1 && wide == 1 && count >= width) { /* a column: the golden tensor is one row of it */
        wide = count;
        count = 1;
    }
    if (!d->expected) {
        d->expected = all;
        d->exact = true;
    }
    if (wide < width || first < 0) {
        d->shape_differs = true;
        return HM_OK;
    }
    hm_status st = v->is_int ? hm_golden_i32(g, e, &ints, err) : hm_golden_f32(g, e, &golden, err);
    if (st)
        return st;
    d->peak = golden ? peak_of(golden, all) : 0;
    for (int64_t r = 0; r < count && first + r < rows; r++) {
        int64_t at = (first + r) * width;
        if (golden)
            compare_row(d, golden + at, (const float *)v->data + r * wide, width, 1e-3 * d->peak);
        else
            d->exact = d->exact && wide == width && !memcmp(ints + at, (const int32_t *)v->data + r * wide, (size_t)width * sizeof *ints);
        d->compared += width;
    }
    if (v->is_int && first + count > rows) /* more than the golden has: cut float tensors are told so, codes are not */
        d->exact = false;
    return HM_OK;
}
