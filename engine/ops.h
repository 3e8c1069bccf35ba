/* The table of tensor operations that a backend fills: all that a model's forward may do with device memory.
 *
 * Conventions. Activations are float32, row-major, in device memory; a "row" is one position of one batch row, rows of batch
 * row b are b*S .. b*S+S-1. Weights keep their stored type. Pointers are device addresses (on the CPU: plain memory); pointer
 * arithmetic on them is allowed, dereferencing is not, except through upload/download. Outputs never alias inputs unless said.
 * Sums have a fixed order that depends on shapes only: another thread count or another run gives the same bytes.
 * Operations return nothing; the first failure is kept in op->error and later operations are skipped (hm_ops_status).
 * Every operation adds to op->count what it did and reports itself as a HM_SPAN_OP span. */
#ifndef HM_ENGINE_OPS_H
#define HM_ENGINE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/dtype.h"
#include "engine/base/error.h"
#include "engine/base/isa.h"
#include "engine/base/place.h"
#include "engine/base/probe.h"
#include "engine/base/reserve.h"
#include "engine/base/team.h"
#include "engine/panel.h"

typedef struct hm_ops hm_ops;
typedef struct hm_device hm_device; /* a backend's own state */

/* A weight matrix, whatever its precision: y = W x + b. Rows of W are outputs unless in_out is set.
 * A convolution over rows is the same thing with taps > 1: its input is the concatenation of `taps` input rows. */
typedef struct hm_linear {
    const void *w;     /* [out][taps*in] of `type`, or [taps*in][out] when in_out, element-aligned only; or panels, 64-byte aligned */
    const float *bias; /* [out], or NULL */
    hm_dtype type;     /* HM_F32, HM_BF16, HM_F16; of rows */
    int out, in, taps; /* taps >= 1 */
    bool in_out;
    hm_format panels; /* HM_FORMAT_ROWS: none; else engine/panel.h says what w is, and type and in_out say nothing */
} hm_linear;

/* The sums of a linear layer of up to this many rows are the same however many rows there are: what several requests do side by side
 * has the bytes that each has alone. */
#define HM_FEW_ROWS 16

/* What is done with a finished sum before it is stored. */
typedef enum hm_act {
    HM_ACT_NONE,
    HM_ACT_SILU,  /* z / (1 + exp(-z)) */
    HM_ACT_PRELU, /* z >= 0 ? z : slope*z */
    HM_ACT_GELU,  /* z/2 * (1 + erf(z / sqrt 2)) */
    HM_ACT_RELU,  /* max(z, 0) */
    HM_ACT_ELU,   /* z > 0 ? z : exp(z) - 1 */
    HM_ACT_TANH,
    HM_ACT_SIGMOID, /* 1 / (1 + exp(-z)) */
    HM_ACT_SNAKE    /* z + b[o]*sin(a[o]*z)^2: linear_ex only */
} hm_act;

/* General form of a linear layer or row convolution:
 *   z[m] = bias + sum over tap j, input i of W[.][j][i] * x[m*ldx + j*tap_stride + i]
 *   y[m*ldy + o] = act(z[m][o]) + residual[m*ldy + o]
 * A causal convolution of kernel k and dilation d over rows of C channels has x pointing (k-1)*d rows before row 0, ldx = C,
 * tap_stride = d*C; one of stride t and no dilation has ldx = t*C, tap_stride = C. A transposed one of stride u and kernel n*u has
 * taps = n, out = u*co, tap_stride = C, weights from fold_conv. */
typedef struct hm_linear_args {
    float *y;
    const float *x;
    const hm_linear *w;
    int M;                        /* rows */
    int64_t ldy, ldx, tap_stride; /* floats; 0 means contiguous: out, in, in */
    hm_act act;
    float slope;
    const float *snake_a, *snake_b; /* [out], with HM_ACT_SNAKE */
    const float *residual;          /* NULL: none; may equal y */
} hm_linear_args;

/* Attention sums over slots block by block: a caller that moves a window of slots keeps the bytes of its results when it moves them by
 * a multiple of this many. */
#define HM_ATTENTION_BLOCK 256

#define HM_KV_PANEL 32 /* slots of a panel */
#define HM_KV_LANES 16 /* elements of a head that lie side by side in a panel of values */

/* Keys and values of one layer, of every batch row b and stored head h.
 * As rows: float32, element i of a slot at b*batch + h*head + slot*(stride `slot`) + i.
 * As panels of HM_KV_PANEL slots, so that neither has to be turned before it is used: panel p begins at b*batch + h*head +
 * p*HM_KV_PANEL*(stride `slot`), where `slot` is hm_kv_padded(Dh). In it keys lie [i][slot], values [i / HM_KV_LANES][slot][i % HM_KV_LANES];
 * there are panels for all slots attended over. HM_I8: an element is scale * value, and the scale of a slot, one for keys and one for
 * values, lies at (b*batch + h*head) / (stride `slot`) + slot. */
typedef struct hm_kv_view {
    void *k, *v;
    hm_dtype type;             /* HM_F32; of panels also HM_BF16 and HM_I8 */
    bool panels;               /* else rows */
    int heads;                 /* heads stored: KV heads, or all query heads when expanded */
    int64_t batch, head, slot; /* strides in elements */
    float *k_scale, *v_scale;  /* HM_I8 */
} hm_kv_view;

/* Elements that a slot of a head takes in panels. */
static inline int64_t hm_kv_padded(int Dh)
{
    return (Dh + HM_KV_LANES - 1) / HM_KV_LANES * HM_KV_LANES;
}

/* The view from batch row b and a slot on, the first of a panel. */
static inline hm_kv_view hm_kv_from(const hm_kv_view *kv, int b, int slot)
{
    hm_kv_view from = *kv;
    int64_t at = b * kv->batch + slot * kv->slot, bytes = at * (int64_t)hm_dtype_bytes(kv->type);
    from.k = (char *)kv->k + bytes;
    from.v = (char *)kv->v + bytes;
    if (kv->k_scale) {
        from.k_scale = kv->k_scale + at / kv->slot;
        from.v_scale = kv->v_scale + at / kv->slot;
    }
    return from;
}

typedef struct hm_attention_args {
    float *out;     /* [B*S][H*Dh] */
    const float *q; /* [B*S][H*Dh] */
    hm_kv_view kv;  /* query head h reads stored head h / (H / kv.heads) */
    int B, S, H, Dh;
    int slots;         /* slots attended over: 0 .. slots-1 */
    int pos;           /* position of the first query row; row s sits at pos + s */
    bool causal;       /* row s sees slots 0 .. pos+s only */
    int window;        /* with causal: of those the last `window` only; 0: all. Slots that no row sees are not read, but for up to
                       * 31 before the first one, which need only be finite */
    const float *mask; /* [S][slots], added to the scaled scores: 0 or -inf; NULL: none. With a mask, causal is false */
    float scale;       /* 1/sqrt(Dh) */
} hm_attention_args;

/* Convolution weights as stored, and which layout of hm_linear they go into. W = v*(g/||v||), norm over all but the first dimension.
 * plain: out = d0, in = d1:                           dst[out][taps][in]
 * stride u: transposed, in = d0, out = d1, kernel `taps` = n*u: dst[u*out][n][in], row r*out+o: tap j = v[.][o][r + (n-1-j)*u],
 * the part of the input row n-1-j back. So for n = 2 tap 0 meets the previous row and tap 1 this one; for n = 1 nothing overlaps.
 * repeat r: plain and causal, of an input of which every row is repeated r times: dst[r*out][n][in], n = ceil((taps-1)/r) + 1, row p*out+o:
 * tap j sums the taps of v that phase p meets in the input row n-1-j back. */
typedef struct hm_fold_args {
    float *dst;
    const void *v; /* [d0][d1][taps] of type */
    hm_dtype type;
    const float *g; /* [d0], or NULL */
    int d0, d1, taps;
    int stride;         /* 0: plain */
    int repeat;         /* 0 and 1: no row is repeated */
    int first, columns; /* plain: of inputs first .. first+columns-1 alone; columns 0: of all */
} hm_fold_args;

/* A step of a decoder stack between its projections: q and k are normalised over every head, where weights are given, and rotated, k and v
 * join the cache, and a is attended over. All as rmsnorm, rope, kv_put and attention do it. */
typedef struct hm_step_args {
    hm_attention_args a; /* causal; slots = pos + S. q and k [B*S][heads*Dh] as they leave their layers, where they stay so */
    const float *k, *v;
    const float *q_norm, *k_norm; /* [Dh], or NULL */
    float eps;
    const float *cos, *sin; /* of the first row's position, as in rope */
    bool half;
} hm_step_args;

typedef struct hm_sample_args {
    const float *logits;   /* [V] */
    int V, topk;           /* topk < 1 or >= V keeps all */
    float temperature;     /* > 0, unless greedy */
    float top_p;           /* 0 or 1: off */
    bool greedy;           /* the greatest, lowest index on ties, after penalty and dead indices; nothing is drawn */
    const uint32_t *seen;  /* device: bit i%32 of word i/32 set: index i is penalised; NULL: none */
    float penalty;         /* of seen ones: logit < 0 ? logit*penalty : logit/penalty */
    int live;              /* indices live .. V-1 are dead, `spared` left out; 0: all live */
    int spared, forbidden; /* both with live > 0 only; forbidden: one more dead index, the spared one too, or -1 */
    uint64_t seed;
    uint32_t frame, codebook; /* Philox counter of the draw */
    bool passes;              /* over the whole vocabulary, as the textbook, where the backend has that; the same index either way */
    int32_t *token;           /* device: the index drawn */
} hm_sample_args;

struct hm_ops {
    hm_device *dev;
    hm_counters *count;    /* never NULL */
    const hm_probe *probe; /* may be NULL */
    hm_error *error;       /* first failure of an operation; status HM_OK while there is none */
    hm_places *places;     /* where each operation notes its device; may be NULL */
    hm_reserve *reserve;   /* what alloc takes from while there is room; NULL: nothing is set aside */
    bool timed;            /* frames are being timed: what else is allocated counts as timed_allocations */
    bool apart;            /* the device's memory is not the host's, and operations go on after they return: waiting for them costs */

    /* Memory. alloc: 64-byte aligned, undefined contents, NULL with op->error set when there is none. */
    void *(*alloc)(const hm_ops *op, size_t bytes);
    void (*free)(const hm_ops *op, void *p);
    void (*copy)(const hm_ops *op, void *dst, const void *src, size_t bytes); /* device to device; no overlap */
    void (*fill)(const hm_ops *op, float *dst, float value, size_t count);
    void (*upload)(const hm_ops *op, void *dst, const void *host, size_t bytes);   /* counted as to_device */
    void (*download)(const hm_ops *op, void *host, const void *src, size_t bytes); /* counted as to_host; waits */
    void (*sync)(const hm_ops *op);                                                /* waits for all operations so far */
    /* A frame begins, or ends: from one to the next it is the same operations over the same memory, but for positions, counters and places
     * in arrays of codes. A device may record it once and replay it. */
    void (*frame)(const hm_ops *op, bool begins);

    /* Linear layers. */
    void (*linear)(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M);     /* y[M][out] = x[M][in] W^T + b */
    void (*linear_add)(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M); /* y += the same */
    void (*linear_ex)(const hm_ops *op, const hm_linear_args *args);
    /* n <= 3 layers that read the same x, in one launch: y[i][M][out_i]. Same sums as n calls of linear. */
    void (*linear_multi)(const hm_ops *op, int n, float *const y[], const float *x, const hm_linear *const w[], int M);
    /* y[M][F] = silu(gate x) * (up x), in one launch; gate and up have the same shape and no bias. */
    void (*linear_swiglu)(const hm_ops *op, float *y, const float *x, const hm_linear *gate, const hm_linear *up, int M);

    /* The same of rmsnorm(x), whose sums are in an order of their own; n [M][in] is room for it. NULL: the backend has none. */
    void (*linear_multi_norm)(const hm_ops *op, int count, float *const y[], const float *x, const float *weight, float eps, float *n,
                              const hm_linear *const w[], int M);
    void (*linear_swiglu_norm)(const hm_ops *op, float *y, const float *x, const float *weight, float eps, float *n, const hm_linear *gate,
                               const hm_linear *up, int M);

    /* Norms over rows of D. weight: [D] or NULL (all ones). */
    void (*rmsnorm)(const hm_ops *op, float *y, const float *x, const float *weight, int M, int D,
                    float eps); /* x*rsqrt(mean x^2 + eps)*w; y may be x */
    /* (x - mean)*rsqrt(biased var + eps)*weight + bias; weight and bias [D], or both NULL */
    void (*layernorm)(const hm_ops *op, float *y, const float *x, const float *weight, const float *bias, int M, int D, float eps);

    /* Elementwise. Rows of batch row b use vectors at b*stride (stride 0: the same for all). rows: rows per batch row. */
    void (*modulate)(const hm_ops *op, float *y, const float *x, const float *shift, const float *scale, int B, int rows, int D,
                     int64_t stride); /* y = x*(1+scale)+shift; y may be x */
    void (*gate_add)(const hm_ops *op, float *x, const float *delta, const float *gate, int B, int rows, int D,
                     int64_t stride); /* x += gate*delta */
    /* rmsnorm then modulate, one launch; weight as in rmsnorm */
    void (*rmsnorm_modulate)(const hm_ops *op, float *y, const float *x, const float *weight, const float *shift, const float *scale, int B,
                             int rows, int D, int64_t stride, float eps);
    void (*add)(const hm_ops *op, float *y, const float *x, size_t n); /* y += x */
    void (*axpy)(const hm_ops *op, float *y, float a, const float *x,
                 size_t n);                                       /* y = y + a*x (rounded product, then sum: no fused operation) */
    void (*scale)(const hm_ops *op, float *y, float a, size_t n); /* y *= a */
    void (*activate)(const hm_ops *op, float *y, hm_act act, float slope, size_t n);            /* y = act(y), any but HM_ACT_SNAKE */
    void (*silu_mul)(const hm_ops *op, float *y, const float *gate, const float *up, size_t n); /* y = silu(gate)*up; y may be gate */
    void (*clamp)(const hm_ops *op, float *y, float low, float high, size_t n);
    void (*guide)(const hm_ops *op, float *y, const float *cond, const float *uncond, float scale,
                  size_t n);                                              /* y = u + (c-u)*scale; y may be cond */
    void (*round9)(const hm_ops *op, float *y, const float *x, size_t n); /* y = rint(9x)/9, half to even; y may be x */
    /* y[r][0..width) = x[r][0..width) for r < rows, with row strides in floats: columns in and out of wider rows */
    void (*copy_2d)(const hm_ops *op, float *y, int64_t ldy, const float *x, int64_t ldx, int width, int rows);

    /* Positions. Table of angles: cos, sin [count][half] for positions first.. : angle = (float)pos * theta[j] in float32. */
    void (*rope_table)(const hm_ops *op, float *cos, float *sin, const float *theta, int half, int first, int count);
    /* Rotates pairs of every head of x [B*S][heads*Dh], interleaved (2j, 2j+1), or with `half` (j, j + Dh/2); row s of each batch row
     * uses table row s (tables point at the first position's row; row stride Dh/2). In place. */
    void (*rope)(const hm_ops *op, float *x, const float *cos, const float *sin, int B, int S, int heads, int Dh, bool half);

    /* Caches and attention. kv_put stores rows k, v [B*S][stored_from*Dh] at slots pos.. ; when kv->heads > stored_from every
     * row head is written kv->heads/stored_from times (expanded). HM_I8: scale = max|x| / 127 of a slot's head, value = rint(x / scale);
     * what is not finite stays so. */
    void (*kv_put)(const hm_ops *op, const hm_kv_view *kv, const float *k, const float *v, int B, int S, int stored_from, int Dh, int pos);
    void (*attention)(const hm_ops *op, const hm_attention_args *args);
    /* false: it does not suit, and nothing was done. NULL: the backend has none. */
    bool (*step)(const hm_ops *op, const hm_step_args *args);
    /* mask[S][slots]: 0 where slot <= pos+s (and, with window > 0, slot > pos+s-window), else -inf. Counted as mask_bytes. */
    void (*causal_mask)(const hm_ops *op, float *mask, int S, int slots, int pos, int window);

    /* Embeddings: table [rows][D] of type; ids on the device, each checked by the caller. */
    void (*gather)(const hm_ops *op, float *y, const void *table, hm_dtype type, int D, const int32_t *ids, int M);
    /* y[m] = sum over k < K of table[ids[m*K+k]], in order of k, one launch */
    void (*gather_sum)(const hm_ops *op, float *y, const void *table, hm_dtype type, int D, const int32_t *ids, int M, int K);
    /* y[m] = sum over c < C of mask[m*C+c] * x[m*C+c], rows of D, in order of c */
    void (*masked_sum)(const hm_ops *op, float *y, const float *x, const float *mask, int M, int C, int D);
    /* ids[i] += add[i], n small: codebook offsets to embedding rows */
    void (*ids_add)(const hm_ops *op, int32_t *ids, const int32_t *tokens, const int32_t *offsets, int n); /* ids = tokens + offsets */

    /* *flag = 1 when any of tokens[0..n) >= limit, else 0: the end-of-song rule on the device. */
    void (*any_at_least)(const hm_ops *op, int32_t *flag, const int32_t *tokens, int n, int32_t limit);
    /* *y = x[*index] */
    void (*pick)(const hm_ops *op, float *y, const float *x, const int32_t *index);
    /* Convolution weights into the layout of hm_linear; weight norm folded. Counted as table_values. */
    void (*fold_conv)(const hm_ops *op, const hm_fold_args *args);

    /* One draw (engine/sampling.h): penalty, dead indices, threshold at the topk-th largest, top_p, softmax over survivors, exponential
     * race; or the greatest. */
    void (*sample)(const hm_ops *op, const hm_sample_args *args);
    /* seen: sets the bit of *token. */
    void (*mark_seen)(const hm_ops *op, uint32_t *seen, const int32_t *token);
    /* y[id] = x[id] penalised, for the n ids of the list; ids may repeat; y and x differ and are equal before. */
    void (*penalize_ids)(const hm_ops *op, float *y, const float *x, const int32_t *ids, int n, float penalty);

    /* SnakeBeta. Factors of channel c: a = exp(alpha), b = 1/(exp(beta) + 1e-9), counted as table_values; y = x + b*sin(a*x)^2 over rows of
     * C, y may be x. */
    void (*snake_factors)(const hm_ops *op, float *a, float *b, const float *alpha, const float *beta, int C);
    void (*snake)(const hm_ops *op, float *y, const float *x, const float *a, const float *b, int M, int C);
    /* Depthwise convolution over rows of C: y[m][c] = bias[c] + sum over j < taps of w[c][j]*x[(m + j*step)*C + c]; w [C][taps]. */
    void (*depthwise)(const hm_ops *op, float *y, const float *x, const float *w, const float *bias, int M, int C, int taps, int step);
    /* y[m] = sum over g < G of tables[g][ids[m*G+g]], in order of g, one launch; tables: host array of device tables, all [..][D] of type */
    void (*gather_tables)(const hm_ops *op, float *y, const void *const *tables, hm_dtype type, int D, const int32_t *ids, int M, int G);

    /* What encoders of audio need. Rows are time, columns channels. */
    /* y [left + M + right][C]: x with mirrored rows before and behind, the edge row itself not repeated; left, right < M */
    void (*pad_reflect)(const hm_ops *op, float *y, const float *x, int M, int C, int left, int right);
    /* mean[c] = sum_m w*x, std[c] = sqrt(max(sum_m w*(x-mean)^2, floor)), w = weights[m][c], or 1/M when NULL; std may be NULL */
    void (*moments)(const hm_ops *op, float *mean, float *std, const float *x, const float *weights, int M, int C, float floor);
    void (*softmax_columns)(const hm_ops *op, float *y, int M, int C); /* over the rows of each column, in place */
    void (*scale_columns)(const hm_ops *op, float *y, const float *x, const float *s, int M,
                          int C); /* y[m][c] = x[m][c]*s[c]; y may be x */
    /* ids[m] = the row of table [V][D] nearest to x[m] (Euclid), the lowest on ties */
    void (*nearest)(const hm_ops *op, int32_t *ids, const float *x, const float *table, int M, int V, int D);
    /* y[v] = x[v] / max(usage[v], floor), rows of D: codebooks from their running sums. Counted as table_values. */
    void (*divide_rows)(const hm_ops *op, float *y, const float *x, const float *usage, float floor, int V, int D);

    /* From what was before to y, over `whole` samples: y[i] = before[i]*(1 - w) + y[i]*w, w = i/(whole - 1), for i < n <= whole. */
    void (*crossfade)(const hm_ops *op, float *y, const float *before, int64_t n, int64_t whole);
};

/* Bytes of weights that the forward of this linear layer reads. */
static inline uint64_t hm_linear_bytes(const hm_linear *w)
{
    uint64_t weights = w->panels ? hm_panels_bytes(w->panels, w->out, w->in, w->taps)
                                 : (uint64_t)w->out * (uint64_t)w->in * (uint64_t)w->taps * hm_dtype_bytes(w->type);
    return weights + (w->bias ? (uint64_t)w->out * sizeof(float) : 0);
}

/* What every backend counts of a linear layer over M rows. */
void hm_ops_count_linear(const hm_ops *op, const hm_linear *w, int M);

/* Whether fold_conv knows this layout (columns are set); else the operation fails. */
bool hm_ops_foldable(const hm_ops *op, const hm_fold_args *f);

/* The first failure so far. */
static inline hm_status hm_ops_status(const hm_ops *op)
{
    return op->error->status;
}

#endif
