/* A decoder stack: backbone and decoder of HeartMuLa, talker and code predictor of Qwen3-TTS, and the transformers of its speech
 * tokenizer. Steps as numbered in heartmula.md section 3; what differs between models is in the config. */
#ifndef HM_ENGINE_MODELS_TRANSFORMER_H
#define HM_ENGINE_MODELS_TRANSFORMER_H

#include "engine/models/kv_cache.h"

/* Tensor names after "PREFIX.layers.I.", and of the final norm after "PREFIX."; NULL where the model has none. */
typedef struct hm_transformer_names {
    const char *q, *k, *v, *o, *gate, *up, *down;
    const char *attn_norm, *mlp_norm, *norm;
    const char *attn_norm_bias, *mlp_norm_bias; /* LayerNorm instead of RMS when given */
    const char *q_norm, *k_norm;                /* [Dh], over every head */
    const char *attn_scale, *mlp_scale;         /* [D], on what a sublayer adds */
} hm_transformer_names;

/* Names that the Hugging Face models have in common. */
#define HM_TRANSFORMER_HF_NAMES                                                                                                     \
    .q = "self_attn.q_proj.weight", .k = "self_attn.k_proj.weight", .v = "self_attn.v_proj.weight", .o = "self_attn.o_proj.weight", \
    .attn_norm = "input_layernorm.weight", .mlp_norm = "post_attention_layernorm.weight"
/* Their gated feed-forward layer and final norm; the scales on what a sublayer adds. */
#define HM_TRANSFORMER_HF_GATED \
    .gate = "mlp.gate_proj.weight", .up = "mlp.up_proj.weight", .down = "mlp.down_proj.weight", .norm = "norm.weight"
#define HM_TRANSFORMER_HF_SCALES .attn_scale = "self_attn_layer_scale.scale", .mlp_scale = "mlp_layer_scale.scale"

struct hm_transformer_config {
    int layers, heads, kv_heads, dim, head_dim, ffn_dim, max_positions;
    float eps;
    bool half_rope; /* pairs (j, j + Dh/2) instead of (2j, 2j+1) */
    int window;     /* slots that a row sees, itself included; 0: all */
    bool plain_mlp; /* down(gelu(up x)) instead of down(silu(gate x) * up x); names->gate NULL */
    bool typed_kv;  /* caches are of the type that kv_type says; others are float32 */
    bool cut_free;  /* the bytes of a row do not depend on how many rows a call has: streaming decoders (linear_ex throughout) */
    const hm_transformer_names *names;
};

typedef struct hm_transformer_layer {
    hm_linear q, k, v, o, gate, up, down;
    float *attn_norm, *mlp_norm, *attn_norm_bias, *mlp_norm_bias; /* [D] */
    float *q_norm, *k_norm;                                       /* [Dh], or NULL */
    float *attn_scale, *mlp_scale;                                /* [D], or NULL */
} hm_transformer_layer;

typedef struct hm_transformer {
    hm_transformer_config config;
    hm_transformer_layer *layers;
    float *norm;  /* [D], or NULL: no final norm */
    float *theta; /* [Dh/2], device */
} hm_transformer;

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
    int batch_row;         /* of the first row, for taps */
    const char *first_out; /* the tap of layer 0's output alone, [rows][D]; NULL: none */
    float *hidden;         /* keeps every layer's output, [layers][rows][D], of the rows that it computes (Q21); NULL: not kept */
    bool alike; /* the last batch row has the same input at all S positions, of which x has the first alone; one sequence, empty */
} hm_transformer_pass;

/* Weights "`prefix`.layers.i.*" under config->names. theta [Dh/2] (host) is copied to the device. */
hm_status hm_transformer_bind(const hm_binder *b, hm_transformer *m, const hm_transformer_config *config, const float *theta,
                              const char *prefix);
/* The same with the plain rotation of this base (hm_rope_theta). */
hm_status hm_transformer_bind_rope(const hm_binder *b, hm_transformer *m, const hm_transformer_config *config, double base,
                                   const char *prefix);
void hm_transformer_release(hm_transformer *m);
/* Bytes of weights that one pass over all layers reads; and parameters in them. */
uint64_t hm_transformer_pass_bytes(const hm_transformer *m);
void hm_transformer_formats(const hm_transformer *m, hm_formats *formats);

/* theta_j = base^(-2j/head_dim), j < head_dim/2, in float32 as the originals compute it. Host memory. */
void hm_rope_theta(float *theta, int head_dim, double base);

/* Takes the buffers from the layout: at most `rows` rows (all batch rows together), `batch` batch rows, positions up to `positions`. */
void hm_transformer_layout(const hm_ctx *c, hm_layout *l, hm_transformer_scratch *s, const hm_transformer_config *config, int rows,
                           int batch, int positions);
/* Fills the rotation tables for all positions when they are made once. */
void hm_transformer_prepare(hm_ctx *c, const hm_transformer *m, hm_transformer_scratch *s);

/* Rows that a forward computes of one sequence: those of x, and of y when all are computed. */
static inline int hm_transformer_rows(int B, int S, bool alike)
{
    return alike ? (B - 1) * S + 1 : B * S;
}

/* A tap of rows [n*B*S][width] of a pass: positions that are alike are told one by one. */
void hm_transformer_tap(hm_ctx *c, const char *name, const float *value, const hm_transformer_pass *pass, int B, int S, int width);

/* Sequences of unlike lengths side by side: sequence i has B batch rows, its own cache kv[i], and sits at kv[i]->length. x [n*B*S][D],
 * sequence by sequence, goes through all layers and the final norm into y, then every length grows by S. Linear layers run over all
 * rows together, so a row's bytes are those of its sequence alone as long as n*B*S is at most what a product of few rows takes.
 * y: [n*B*S][D], or [n*B][D] of each batch row's last position when only needed rows are computed (returns rows per batch row in y:
 * S or 1). x is overwritten.
 * pass->alike: equal inputs at all positions have equal values, equal keys but for their rotation, and so any weighted mean of values is
 * the value: the last batch row's one position is computed, its key rotated for each of them. x and y have hm_transformer_rows rows. */
int hm_transformer_forward(hm_ctx *c, const hm_transformer *m, hm_transformer_scratch *s, hm_kv_cache *const *kv, int n, float *y, float *x,
                           int B, int S, const hm_transformer_pass *pass);

#endif
