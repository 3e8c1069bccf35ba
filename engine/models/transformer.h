/* A Llama-style decoder-only transformer: the backbone and the small decoder of HeartMuLa. Steps as numbered in heartmula.md section 3. */
#ifndef HM_ENGINE_MODELS_TRANSFORMER_H
#define HM_ENGINE_MODELS_TRANSFORMER_H

#include "engine/ctx.h"

typedef struct hm_transformer_config {
    int layers, heads, kv_heads, dim, head_dim, ffn_dim, max_positions;
} hm_transformer_config;

typedef struct hm_transformer_layer {
    hm_linear q, k, v, o, gate, up, down;
    float *attn_norm, *mlp_norm; /* [D] */
} hm_transformer_layer;

typedef struct hm_transformer {
    hm_transformer_config config;
    hm_transformer_layer *layers;
    float *norm;  /* [D] */
    float *theta; /* [Dh/2], device */
} hm_transformer;

/* Keys and values of all layers for B batch rows. */
typedef struct hm_kv_cache {
    hm_kv_view *layer; /* [layers] */
    int layers, heads, head_dim, batch;
    int capacity;      /* slots per head that fit (prealloc), or that there are (concat) */
    int length;        /* slots filled */
    void *memory;      /* prealloc: one block */
    uint64_t peak_bytes;
} hm_kv_cache;

/* Buffers of one forward, for up to `rows` rows and `slots` slots. */
typedef struct hm_transformer_scratch {
    float *n, *q, *k, *v, *a, *t, *gate, *up; /* [rows][...] */
    float *x_last, *q_last;                   /* [B][D], [B][H*Dh]: the last layer's needed rows */
    float *cos, *sin;                         /* [positions][Dh/2] of this call, or of all positions */
    float *mask;                              /* [rows][slots] when masks are built */
    int table_positions;                      /* rows that cos and sin have */
} hm_transformer_scratch;

/* Names the positions' forward: taps are prefixed with it ("backbone" ...); NULL: no taps. */
typedef struct hm_transformer_pass {
    const char *tap;
    int batch_row; /* of the first row, for taps */
} hm_transformer_pass;

/* Weights `prefix`.layers.i.* as in heartmula.md section 2. theta follows from head_dim. */
hm_status hm_transformer_bind(const hm_binder *b, hm_transformer *m, const hm_transformer_config *config, const char *prefix);
void hm_transformer_release(hm_transformer *m);
/* Bytes of weights that one pass over all layers reads; and parameters in them. */
uint64_t hm_transformer_pass_bytes(const hm_transformer *m);

/* theta_j, j < half, of the scaled rotation (heartmula.md section 3), bit-equal to the original. Host memory. */
void hm_transformer_theta(float *theta, int head_dim);

/* prealloc: room for `slots` per head at once. concat: nothing yet. zero: slots are read before they are written. */
hm_status hm_kv_open(hm_ctx *c, hm_kv_cache *kv, const hm_transformer_config *config, int batch, int slots, bool zero, hm_error *err);
void hm_kv_close(hm_ctx *c, hm_kv_cache *kv);
/* Forgets all slots; concat frees them. */
void hm_kv_reset(hm_ctx *c, hm_kv_cache *kv);
uint64_t hm_kv_bytes(const hm_ctx *c, const hm_transformer_config *config, int batch, int slots);

/* Takes the buffers from the layout: at most `rows` rows (all batch rows together), `batch` batch rows, positions up to `positions`. */
void hm_transformer_layout(const hm_ctx *c, hm_layout *l, hm_transformer_scratch *s, const hm_transformer_config *config, int rows, int batch, int positions);
/* Fills the rotation tables for all positions when they are made once. */
void hm_transformer_prepare(hm_ctx *c, const hm_transformer *m, hm_transformer_scratch *s);

/* x [B*S][D] at positions kv->length .. : through all layers and the final norm into y, then kv->length += S.
 * y: [B*S][D], or [B][D] of each batch row's last position when only needed rows are computed (returns rows per batch row in y:
 * S or 1). x is overwritten. */
int hm_transformer_forward(hm_ctx *c, const hm_transformer *m, hm_transformer_scratch *s, hm_kv_cache *kv, float *y, float *x, int B, int S,
                     const hm_transformer_pass *pass);

#endif
