#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    else {
        c->owned_of[c->owned_count] = NULL;
        c->owned_part[c->owned_count] = (uint8_t)c->binding;
        c->owned[c->owned_count++] = p;
    }
    return p;
}

void hm_bind_release(hm_ctx *c)
{
    while (c->owned_count)
        c->ops.free(&c->ops, c->owned[--c->owned_count]);
}

void hm_bind_release_part(hm_ctx *c, int part)
{
    int kept = 0;
    for (int i = 0; i < c->owned_count; i++) {
        if (c->owned_part[i] == part) {
            c->ops.free(&c->ops, c->owned[i]);
            continue;
        }
        c->owned[kept] = c->owned[i];
        c->owned_of[kept] = c->owned_of[i];
        c->owned_part[kept++] = c->owned_part[i];
    }
    c->owned_count = kept;
}

static size_t elements(const hm_tensor *t)
{
    return t->bytes / hm_dtype_bytes(t->type);
}

/* Host bytes to new device memory. The first failure of an operation is told. */
static hm_status send(hm_ctx *c, void **out, const void *host, size_t bytes, hm_error *err)
{
    void *p = hm_bind_alloc(c, bytes, err);
    if (!p)
        return err ? err->status : HM_EABSENT;
    c->ops.upload(&c->ops, p, host, bytes);
    if (hm_ops_status(&c->ops))
        return hm_fail(err, c->error.status, "%s", c->error.text);
    *out = p;
    return HM_OK;
}

hm_status hm_bind_there(hm_ctx *c, const void **out, const void *host, size_t bytes, hm_error *err)
{
    void *p = NULL;
    *out = host;
    if (!c->ops.apart)
        return HM_OK;
    for (int i = 0; i < c->owned_count; i++)
        if (c->owned_of[i] == host) {
            *out = c->owned[i];
            return HM_OK;
        }
    hm_status st = send(c, &p, host, bytes, err);
    if (!st)
        c->owned_of[c->owned_count - 1] = host;
    *out = p;
    return st;
}

/* Device float32 copy of a tensor. */
static hm_status convert(hm_ctx *c, const hm_tensor *t, float **out, hm_error *err)
{
    size_t n = elements(t);
    void *p = c->ops.apart ? hm_calloc(n, sizeof(float), "converted weights", err) : hm_bind_alloc(c, n * sizeof(float), err);
    hm_status st = HM_OK;
    if (!p)
        return err ? err->status : HM_EABSENT;
    hm_to_f32(p, t->data, t->type, n);
    if (t->type != HM_F32)
        c->counters.converted_bytes += t->bytes;
    if (c->ops.apart) {
        void *host = p;
        st = send(c, &p, host, n * sizeof(float), err);
        free(host);
    }
    *out = p;
    return st;
}

/* Older files store weight norm under other names. */
static void name_in_file(const hm_weights *w, const char *name, char *out, size_t size)
{
    static const char now[] = ".parametrizations.weight.original";
    const char *at = strstr(name, now);
    snprintf(out, size, "%s", name);
    if (at && !hm_weights_peek(w, name))
        snprintf(out, size, "%.*s.weight_%s", (int)(at - name), name, at[sizeof now - 1] == '0' ? "g" : "v");
}

/* The row called `name` of the model's table, and its tensor. */
static hm_status look(const hm_binder *b, const char *name, const hm_tensor_row **row, const hm_tensor **t)
{
    char stored[sizeof b->table->rows->name + 16];
    for (int i = 0; i < b->table->count; i++)
        if (!strcmp(b->table->rows[i].name, name)) {
            *row = &b->table->rows[i];
            name_in_file(b->w, name, stored, sizeof stored);
            return hm_weights_look(b->w, stored, (*row)->rank, (*row)->shape, t, b->err);
        }
    return hm_fail(b->err, HM_EBUG, "weights: the model's table has no tensor %s", name);
}

/* The same, with data. */
static hm_status find(const hm_binder *b, const char *name, const hm_tensor_row **row, const hm_tensor **t)
{
    hm_status st = look(b, name, row, t);
    return st ? st : hm_weights_find(b->w, (*t)->name, (*row)->rank, (*row)->shape, &b->c->counters, t, b->err);
}

hm_status hm_bind_host(const hm_binder *b, const hm_tensor **out, const char *name)
{
    const hm_tensor_row *row;
    return find(b, name, &row, out);
}

hm_status hm_bind_look(const hm_binder *b, const hm_tensor **out, const hm_tensor_row **row, const char *name)
{
    return look(b, name, row, out);
}

static hm_status bind_named(const hm_binder *b, const void **out, hm_dtype *type, const hm_tensor_row **row, const char *name)
{
    const hm_tensor *t;
    float *copy;
    hm_status st = find(b, name, row, &t);
    if (st)
        return st;
    *type = t->type;
    if (!b->f32 || t->type == HM_F32)
        return hm_bind_there(b->c, out, t->data, t->bytes, b->err);
    st = convert(b->c, t, &copy, b->err);
    if (st)
        return st;
    *out = copy;
    *type = HM_F32;
    return HM_OK;
}

hm_status hm_bind_tensor(const hm_binder *b, const void **out, hm_dtype *type, const hm_tensor_row **row, const char *format, ...)
{
    char name[256];
    const hm_tensor_row *ignored;
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    return bind_named(b, out, type, row ? row : &ignored, name);
}

/* --- linear layers --- */

/* A matrix in a tensor: its first element, and its sizes. */
typedef struct matrix {
    size_t first;
    int out, in;
    bool in_out;
} matrix;

hm_format hm_layer_format(hm_format asked, hm_dtype stored, int in)
{
    bool as_stored = asked == HM_FORMAT_ROWS || (hm_format_quantised(asked) && in < HM_PANEL_BLOCK);
    return as_stored ? hm_format_of(stored) : asked;
}

/* Panels under the name `key`. The tensor is read only when no file has them. */
static hm_status bind_panels(const hm_binder *b, hm_linear *out, const hm_tensor *t, const hm_tensor_row *row, const matrix *m,
                             const char *key)
{
    hm_pack_layer layer = {key, hm_layer_format(b->panels, t->type, m->in), m->out, m->in, 1};
    size_t bytes = hm_panels_bytes(layer.format, m->out, m->in, 1);
    *out = (hm_linear){.type = t->type, .out = m->out, .in = m->in, .taps = 1, .panels = layer.format};
    const void *panels = hm_pack_find(b->pack, &layer);
    if (panels)
        return hm_bind_there(b->c, &out->w, panels, bytes, b->err);
    hm_status st = hm_weights_find(b->w, t->name, row->rank, row->shape, &b->c->counters, &t, b->err);
    if (st)
        return st;
    hm_panel_source source = {.w = (const uint8_t *)t->data + m->first * hm_dtype_bytes(t->type),
                              .type = t->type,
                              .out = m->out,
                              .in = m->in,
                              .taps = 1,
                              .in_out = m->in_out};
    st = hm_pack_make(b->pack, &panels, &layer, &source, &b->c->counters, b->err);
    return st ? st : hm_bind_there(b->c, &out->w, panels, bytes, b->err);
}

static hm_status bind_rows(const hm_binder *b, hm_linear *out, const matrix *m, const char *name)
{
    const hm_tensor_row *row;
    *out = (hm_linear){.out = m->out, .in = m->in, .taps = 1, .in_out = m->in_out};
    hm_status st = bind_named(b, &out->w, &out->type, &row, name);
    if (!st)
        out->w = (const uint8_t *)out->w + m->first * hm_dtype_bytes(out->type);
    return st;
}

static hm_status bind_matrix(const hm_binder *b, hm_linear *out, const hm_tensor *t, const hm_tensor_row *row, const matrix *m,
                             const char *name, const char *key)
{
    return b->pack ? bind_panels(b, out, t, row, m, key) : bind_rows(b, out, m, name);
}

hm_status hm_bind_linear(const hm_binder *b, hm_linear *out, const char *format, ...)
{
    char name[256];
    const hm_tensor *t;
    const hm_tensor_row *row;
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    hm_status st = look(b, name, &row, &t);
    return st ? st : bind_matrix(b, out, t, row, &(matrix){.out = (int)row->shape[0], .in = (int)row->shape[1]}, name, name);
}

hm_status hm_bind_linear_rows(const hm_binder *b, hm_linear *out, int first, int rows, const char *name)
{
    char key[256];
    const hm_tensor *t;
    const hm_tensor_row *row;
    hm_status st = look(b, name, &row, &t);
    if (st)
        return st;
    int in = (int)row->shape[1];
    snprintf(key, sizeof key, "%s[%d:%d]", name, first, first + rows);
    return bind_matrix(b, out, t, row, &(matrix){(size_t)first * (size_t)in, rows, in, false}, name, key);
}

hm_status hm_bind_stacked(const hm_binder *b, hm_linear *out, int i, const char *name)
{
    char key[256];
    const hm_tensor *t;
    const hm_tensor_row *row;
    hm_status st = look(b, name, &row, &t);
    if (st)
        return st;
    int in = (int)row->shape[1], rows = (int)row->shape[2];
    snprintf(key, sizeof key, "%s[%d]", name, i);
    return bind_matrix(b, out, t, row, &(matrix){(size_t)i * (size_t)in * (size_t)rows, rows, in, true}, name, key);
}

hm_status hm_bind_f32(const hm_binder *b, float **out, const char *format, ...)
{
    char name[256];
    const hm_tensor_row *row;
    const hm_tensor *t;
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    hm_status st = find(b, name, &row, &t);
    return st ? st : convert(b->c, t, out, b->err);
}

hm_status hm_bind_biased(const hm_binder *b, hm_linear *out, const char *prefix)
{
    float *bias;
    hm_status st = hm_bind_linear(b, out, "%s.weight", prefix);
    if (!st)
        st = hm_bind_f32(b, &bias, "%s.bias", prefix);
    if (!st)
        out->bias = bias;
    return st;
}

/* --- formats --- */

const char *hm_formats_text(const hm_formats *f, char *out)
{
    int most = 0, next = -1;
    uint64_t all = 0;
    for (int i = 0; i < HM_FORMAT_COUNT; i++) {
        all += f->weights[i];
        most = f->weights[i] > f->weights[most] ? i : most;
    }
    for (int i = 0; i < HM_FORMAT_COUNT; i++)
        if (i != most && f->weights[i] > all / 10 && (next < 0 || f->weights[i] > f->weights[next]))
            next = i;
    snprintf(out, HM_PART_FORMAT, "%s%s%s", hm_format_name((hm_format)most), next < 0 ? "" : "+",
             next < 0 ? "" : hm_format_name((hm_format)next));
    return out;
}

void hm_formats_part(hm_parts *parts, const hm_formats *f, const hm_part_weights *part)
{
    hm_part_weights p = *part;
    hm_formats_text(f, p.format);
    hm_parts_add(parts, &p);
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
