/* What every forward has at hand: the op table, the toggles, the counts, and the first failure. */
#ifndef HM_ENGINE_CTX_H
#define HM_ENGINE_CTX_H

#include "engine/base/part.h"
#include "engine/base/log.h"
#include "engine/ops.h"
#include "engine/pack.h"
#include "engine/shapes.h"
#include "engine/weights.h"
#include "variants/toggles.h"

#define HM_OWNED_MAX 4096
#define HM_SCORE_PADDING 48 /* estimates: slots that kernels may round a row of scores up by */

typedef struct hm_backend hm_backend; /* engine/backend.h */

typedef struct hm_ctx {
    hm_ops ops;
    hm_toggles toggles; /* read through hm_t(c) only */
    hm_counters counters;
    hm_places places; /* of the call */
    hm_reserve reserve;
    hm_error error; /* first failure of an operation */
    hm_device *dev;
    const hm_backend *backend;
    hm_team *team;     /* threads of the host: for what is packed or made there */
    hm_team *own_team; /* the same, where the device has none */
    hm_pack *pack;     /* of the weights that are being bound; NULL: they stay in rows */
    const hm_probe *probe;
    const hm_log *log;
    void *owned[HM_OWNED_MAX];          /* device memory of bound weights, freed by hm_bind_release */
    const void *owned_of[HM_OWNED_MAX]; /* of which host memory it is a copy as it stands there; NULL: of none */
    uint8_t owned_part[HM_OWNED_MAX];   /* whose weights: `binding` when it was taken */
    int owned_count, binding;           /* binding: 0, of what draws frames; 1, of what makes audio of them */
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
    hm_places_begin(&c->places, name, c->counters.weight_bytes);
    hm_span_begin(c->probe, HM_SPAN_PART, name, index);
}

static inline void hm_part_end(hm_ctx *c, const char *name)
{
    hm_span_end(c->probe, HM_SPAN_PART, name);
    hm_places_end(&c->places, c->counters.weight_bytes);
}

/* Tells how far a phase is; a watcher that wants to stop makes the context fail with HM_EINTERRUPTED. */
static inline void hm_progress(hm_ctx *c, const char *phase, int64_t done, int64_t total)
{
    if (c->probe && c->probe->progress && c->probe->progress(c->probe->self, phase, done, total) && !c->error.status)
        hm_fail(&c->error, HM_EINTERRUPTED, "%s: interrupted at %lld of %lld", phase, (long long)done, (long long)total);
}

/* Memory of a call. What its decoder will need is set aside before the first frame: `bytes` in at most so many pieces, which serve those
 * who draw frames until then. Taken from it, while there is room, is what ops.alloc and hm_call_calloc give; the rest comes from the heap
 * and, while the call is timed, counts as timed_allocations. */
hm_status hm_call_reserve(hm_ctx *c, size_t bytes, int pieces, hm_error *err);
void hm_call_release(hm_ctx *c);
void hm_call_timed(hm_ctx *c, bool timed);
/* Host memory, zeroed; a reserve must be there for as long as what came from it. */
void *hm_call_calloc(hm_ctx *c, size_t count, size_t size, const char *what, hm_error *err);
void hm_call_free(hm_ctx *c, void *p);

/* Weights into the shapes that forwards use. Every tensor is a row of the model's table (engine/shapes.h), which says its shape:
 * a name that is no row is a bug of ours (HM_EBUG), a file that has another shape is refused. */
typedef struct hm_binder {
    hm_ctx *c;
    hm_weights *w;
    const hm_tensor_table *table;
    bool f32;         /* convert what is stored narrower */
    hm_pack *pack;    /* linear layers and folded convolutions go into panels from here; NULL: they stay in rows ... */
    hm_format panels; /* ... of this format; HM_FORMAT_ROWS: of the one that keeps what is stored */
    hm_error *err;
} hm_binder;

/* Weights at a precision. Values of the toggles precision_* are those of hm_format, 0 being "as stored". With panels only the layers in
 * them have it; tables stay as they are stored, and are converted as rows are gathered. */
static inline hm_binder hm_binder_at(hm_ctx *c, hm_weights *w, const hm_tensor_table *table, int precision, hm_error *err)
{
    _Static_assert((int)HM_BACKBONE_F32 == (int)HM_FORMAT_F32 && (int)HM_BACKBONE_FP8 == (int)HM_FORMAT_FP8, "toggles name formats");
    return (hm_binder){.c = c,
                       .w = w,
                       .table = table,
                       .f32 = !c->pack && precision == HM_BACKBONE_F32,
                       .pack = c->pack,
                       .panels = (hm_format)precision,
                       .err = err};
}

/* What computes with weights as they are stored where others are coarse: what is small and sensitive. */
static inline hm_binder hm_binder_kept(const hm_binder *b)
{
    hm_binder kept = *b;
    kept.panels = hm_format_coarse(b->panels) ? HM_FORMAT_ROWS : b->panels;
    return kept;
}

/* The format of panels for a layer of so many inputs (of a tap), HM_FORMAT_ROWS asking for what is stored. Quantised formats fill blocks:
 * a layer of fewer inputs stays as stored. */
hm_format hm_layer_format(hm_format asked, hm_dtype stored, int in);

/* A matrix [out][in]. Names are formatted like printf. */
hm_status hm_bind_linear(const hm_binder *b, hm_linear *out, const char *name, ...) __attribute__((format(printf, 3, 4)));
/* Some of its rows, as a matrix of their own. */
hm_status hm_bind_linear_rows(const hm_binder *b, hm_linear *out, int first, int rows, const char *name);
/* Matrix i of a tensor [n][in][out]. */
hm_status hm_bind_stacked(const hm_binder *b, hm_linear *out, int i, const char *name);
/* prefix.weight with prefix.bias. */
hm_status hm_bind_biased(const hm_binder *b, hm_linear *out, const char *prefix);
/* A tensor of any floating type as float32 in device memory. */
hm_status hm_bind_f32(const hm_binder *b, float **out, const char *name, ...) __attribute__((format(printf, 3, 4)));
/* A tensor of the model's table, without its data. */
hm_status hm_bind_look(const hm_binder *b, const hm_tensor **out, const hm_tensor_row **row, const char *name);
/* The tensor where it lies; *type is what it holds afterwards, *row (may be NULL) its row. */
hm_status hm_bind_tensor(const hm_binder *b, const void **out, hm_dtype *type, const hm_tensor_row **row, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
/* The tensor with its data where the host reads it. */
hm_status hm_bind_host(const hm_binder *b, const hm_tensor **out, const char *name);
/* Host memory of weights where operations read it: as it is, or, with a device whose memory is apart, its copy there, made once. */
hm_status hm_bind_there(hm_ctx *c, const void **out, const void *host, size_t bytes, hm_error *err);
/* Device memory that lives as long as the bound weights. */
void *hm_bind_alloc(hm_ctx *c, size_t bytes, hm_error *err);
void hm_bind_release(hm_ctx *c);
/* Of one part's alone. */
void hm_bind_release_part(hm_ctx *c, int part);

/* How many weights of some layers have which format. */
typedef struct hm_formats {
    uint64_t weights[HM_FORMAT_COUNT];
} hm_formats;

static inline void hm_formats_add(hm_formats *f, const hm_linear *w)
{
    f->weights[w->panels ? w->panels : hm_format_of(w->type)] += (uint64_t)w->out * (uint64_t)w->in * (uint64_t)w->taps;
}

/* The format that most have, and the next one where it has more than a tenth of them: "int8", "f32+int8". out [HM_PART_FORMAT]. */
const char *hm_formats_text(const hm_formats *f, char *out);
/* A part whose weights have these formats, added to parts. */
void hm_formats_part(hm_parts *parts, const hm_formats *f, const hm_part_weights *part);

#endif
