#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/ctx.h"

/* Like every source outside the variants, this one must not depend on the toggles in the context. */

void *hm_bind_alloc(hm_ctx *c, size_t bytes, hm_error *err)
{
    if (c->owned_count == HM_OWNED_MAX) {
        hm_fail(err, HM_EBUG, "weights: more than %d pieces of converted weights", HM_OWNED_MAX);
        return NULL;
    }
    void *p = c->ops.alloc(&c->ops, bytes ? bytes : 1);
    if (!p)
        hm_fail(err, HM_EABSENT, "weights: no memory for %zu bytes", bytes);
    else
        c->owned[c->owned_count++] = p;
    return p;
}

void hm_bind_release(hm_ctx *c)
{
    while (c->owned_count)
        c->ops.free(&c->ops, c->owned[--c->owned_count]);
}

static size_t elements(const hm_tensor *t)
{
    return t->bytes / hm_dtype_bytes(t->type);
}

/* Device float32 copy of a tensor. */
static hm_status convert(hm_ctx *c, const hm_tensor *t, float **out, hm_error *err)
{
    size_t n = elements(t);
    float *p = hm_bind_alloc(c, n * sizeof *p, err);
    if (!p)
        return err ? err->status : HM_EABSENT;
    hm_to_f32(p, t->data, t->type, n);
    if (t->type != HM_F32)
        c->counters.converted_bytes += t->bytes;
    *out = p;
    return HM_OK;
}

hm_status hm_bind_table(hm_ctx *c, hm_weights *w, const void **out, hm_dtype *type, int rank, const int64_t *shape, bool f32, hm_error *err,
                        const char *format, ...)
{
    char name[256];
    const hm_tensor *t;
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    hm_status st = hm_weights_find(w, name, rank, shape, &c->counters, &t, err);
    if (st)
        return st;
    *type = t->type;
    *out = t->data;
    if (f32 && t->type != HM_F32) {
        float *copy;
        st = convert(c, t, &copy, err);
        if (st)
            return st;
        *out = copy;
        *type = HM_F32;
    }
    return HM_OK;
}

hm_status hm_bind_linear(hm_ctx *c, hm_weights *w, hm_linear *out, int rows, int columns, bool f32, hm_error *err, const char *format, ...)
{
    char name[256];
    int64_t shape[2] = {rows, columns};
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    *out = (hm_linear){.out = rows, .in = columns, .taps = 1};
    return hm_bind_table(c, w, &out->w, &out->type, 2, shape, f32, err, "%s", name);
}

hm_status hm_bind_f32(hm_ctx *c, hm_weights *w, float **out, int rank, const int64_t *shape, hm_error *err, const char *format, ...)
{
    char name[256];
    const hm_tensor *t;
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    hm_status st = hm_weights_find(w, name, rank, shape, &c->counters, &t, err);
    return st ? st : convert(c, t, out, err);
}

void hm_tap(hm_ctx *c, const char *name, const float *value, int batch_row, int64_t d0, int64_t d1, int64_t d2, bool channels_last)
{
    size_t n = (size_t)(d0 * d1 * d2);
    float *host, *turned;
    if (!hm_tapping(c) || hm_ops_status(&c->ops))
        return;
    host = malloc(2 * n * sizeof *host + 1);
    if (!host)
        return;
    hm_counters before = c->counters; /* looking must not count */
    c->ops.download(&c->ops, host, value, n * sizeof *host);
    c->counters = before;
    turned = host;
    if (channels_last) {
        turned = host + n;
        for (int64_t i = 0; i < d0; i++)
            for (int64_t j = 0; j < d1; j++)
                for (int64_t k = 0; k < d2; k++)
                    turned[(i * d1 + j) * d2 + k] = host[(i * d2 + k) * d1 + j];
    }
    c->probe->tap(c->probe->self, &(hm_tap_value){.name = name, .data = turned, .batch_row = batch_row, .rank = 3, .shape = {d0, d1, d2}});
    free(host);
}
