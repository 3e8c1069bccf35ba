/* What every forward has at hand: the op table, the toggles, the counts, and the first failure. */
#ifndef HM_ENGINE_CTX_H
#define HM_ENGINE_CTX_H

#include "engine/base/log.h"
#include "engine/ops.h"
#include "engine/pack.h"
#include "engine/shapes.h"
#include "engine/weights.h"
#include "variants/toggles.h"

#define HM_OWNED_MAX 4096
#define HM_SCORE_PADDING 48 /* estimates: slots that kernels may round a row of scores up by */

typedef struct hm_ctx {
    hm_ops ops;
    hm_toggles toggles; /* read through hm_t(c) only */
    hm_counters counters;
    hm_places places; /* of the call */
    hm_error error;   /* first failure of an operation */
    hm_device *dev;
    const hm_probe *probe;
    const hm_log *log;
    void *owned[HM_OWNED_MAX]; /* device memory of bound weights, freed by hm_bind_release */
    int owned_count;
} hm_ctx;

/* Lays out device scratch: run once with base NULL to learn the size, once with memory of that size. */
typedef struct hm_layout {
    uint8_t *base;
    size_t used; /* bytes */
} hm_layout;

static inline void *hm_take(hm_layout *l, size_t bytes)
{
    void *p = l->base ? l->base + l->used : NULL;
    l->used += (bytes + 63) / 64 * 64;
    return p;
}

static inline float *hm_take_f32(hm_layout *l, size_t count)
{
    return hm_take(l, count * sizeof(float));
}

/* A value for verification: device float32 rows, under a name as in the golden files. batch_row: index of the first row along
 * the first dimension (guidance rows in two passes come one by one). channels_last: stored [d0][d2][d1], told as [d0][d1][d2]. */
void hm_tap(hm_ctx *c, const char *name, const float *value, int batch_row, int64_t d0, int64_t d1, int64_t d2, bool channels_last);
static inline bool hm_tapping(const hm_ctx *c)
{
    return c->probe && c->probe->tap;
}

/* A part of the model, in the trace and in the table of places. name: static text. */
static inline void hm_part_begin(hm_ctx *c, const char *name, int64_t index)
{
    hm_places_begin(&c->places, name);
    hm_span_begin(c->probe, HM_SPAN_PART, name, index);
}

static inline void hm_part_end(hm_ctx *c, const char *name)
{
    hm_span_end(c->probe, HM_SPAN_PART, name);
    hm_places_end(&c->places);
}

/* Tells how far a phase is; a watcher that wants to stop makes the context fail with HM_EINTERRUPTED. */
static inline void hm_progress(hm_ctx *c, const char *phase, int64_t done, int64_t total)
{
    if (c->probe && c->probe->progress && c->probe->progress(c->probe->self, phase, done, total) && !c->error.status)
        hm_fail(&c->error, HM_EINTERRUPTED, "%s: interrupted at %lld of %lld", phase, (long long)done, (long long)total);
}

/* Weights into the shapes that forwards use. Every tensor is a row of the model's table (engine/shapes.h), which says its shape:
 * a name that is no row is a bug of ours (HM_EBUG), a file that has another shape is refused. */
typedef struct hm_binder {
    hm_ctx *c;
    hm_weights *w;
    const hm_tensor_table *table;
    bool f32;         /* convert what is stored narrower */
    hm_format panels; /* linear layers and folded convolutions go into panels of this format; HM_FORMAT_ROWS: as they are stored */
    hm_pack *pack;    /* where panels come from */
    hm_error *err;
} hm_binder;

/* A matrix [out][in]. Names are formatted like printf. */
hm_status hm_bind_linear(const hm_binder *b, hm_linear *out, const char *name, ...) __attribute__((format(printf, 3, 4)));
/* prefix.weight with prefix.bias. */
hm_status hm_bind_biased(const hm_binder *b, hm_linear *out, const char *prefix);
/* A tensor of any floating type as float32 in device memory. */
hm_status hm_bind_f32(const hm_binder *b, float **out, const char *name, ...) __attribute__((format(printf, 3, 4)));
/* The tensor where it lies; *type is what it holds afterwards, *row (may be NULL) its row. */
hm_status hm_bind_tensor(const hm_binder *b, const void **out, hm_dtype *type, const hm_tensor_row **row, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
/* Device memory that lives as long as the bound weights. */
void *hm_bind_alloc(hm_ctx *c, size_t bytes, hm_error *err);
void hm_bind_release(hm_ctx *c);

/* Bytes of weights that the forward of this linear layer reads. */
static inline uint64_t hm_linear_bytes(const hm_linear *w)
{
    return (uint64_t)w->out * (uint64_t)w->in * (uint64_t)w->taps * hm_dtype_bytes(w->type) + (w->bias ? (uint64_t)w->out * 4 : 0);
}

#endif
