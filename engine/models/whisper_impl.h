/* Whisper's files among themselves. */
#ifndef HM_ENGINE_MODELS_WHISPER_IMPL_H
#define HM_ENGINE_MODELS_WHISPER_IMPL_H

#include "engine/models/conv.h"
#include "engine/models/kv_cache.h"
#include "engine/models/transformer.h"
#include "engine/models/whisper.h"

#define HM_WHISPER_EPS 1e-5f
#define HM_WHISPER_ENCODED 4 /* windows that go through the encoder side by side */

typedef struct hm_whisper_norm {
    float *weight, *bias; /* [D] */
} hm_whisper_norm;

/* Attention from rows of the stack to itself or to what the encoder made. */
typedef struct hm_whisper_attention {
    hm_whisper_norm norm;
    hm_linear q, k, v, o; /* k has no bias */
} hm_whisper_attention;

typedef struct hm_whisper_layer {
    hm_whisper_attention self, cross; /* cross: of the decoder */
    hm_whisper_norm ffn_norm;
    hm_linear fc1, fc2;
} hm_whisper_layer;

struct hm_whisper {
    hm_whisper_shape shape;
    hm_whisper_generation generation;
    hm_conv conv1, conv2;
    float *encoder_positions; /* [source][D] */
    hm_whisper_layer *encoder, *decoder;
    hm_whisper_norm encoder_norm, decoder_norm;
    const void *embedding, *positions; /* [V][D], [target][D] as stored */
    hm_dtype embedding_type, positions_type;
    hm_linear head; /* the embedding, or a matrix of its own */
};

/* Buffers of the encoder for up to `group` windows at once. */
typedef struct hm_whisper_encoder_scratch {
    int group;
    float *mel;  /* [1 + frames + 1][mels]: a row of zeros at either end */
    float *stem; /* [1 + frames + 1][D], the same */
    float *x;    /* [group*source][D] */
    float *n, *q, *k, *v, *a, *t;
    float *hidden; /* [group*source][F] */
} hm_whisper_encoder_scratch;

typedef struct hm_whisper_decoder_scratch {
    int rows, head_rows;
    int32_t *ids; /* [rows] tokens, then [rows] positions; or pairs of them, where their rows are summed at once */
    float *x, *n, *q, *k, *v, *a, *t;
    float *hidden;      /* [rows][F] */
    float *mask;        /* [S][slots] when masks are built */
    float *picked;      /* [head_rows][D]: the rows whose logits are needed */
    float *logits;      /* [head_rows][V] */
    float *scores;      /* [V]: what one id is drawn from */
    int32_t *token;     /* the id */
    float *host_logits; /* host, like logits */
    int32_t *host_ids;  /* host, like ids */
} hm_whisper_decoder_scratch;

struct hm_whisper_work {
    const hm_whisper *m;
    int windows, beams, positions;
    int encoded; /* windows that are there */
    hm_whisper_passes passes;
    float *out;        /* [windows][source][D]: what the encoder made; where cross keys and values are not made once */
    hm_kv_cache own;   /* of the encoder, preallocated: keys and values of one layer and group */
    hm_kv_cache cross; /* batch row w: window w */
    hm_kv_cache self;  /* batch row: request * beams + row */
    hm_whisper_encoder_scratch e;
    hm_whisper_decoder_scratch d;
    void *memory;
};

/* Caches of the three kinds, as kv_cache.h takes them. */
hm_transformer_config hm_whisper_self_config(const hm_whisper_shape *g, int positions);
hm_transformer_config hm_whisper_cross_config(const hm_whisper_shape *g);
hm_transformer_config hm_whisper_own_config(const hm_whisper_shape *g);

/* y[M][D] = norm(x) */
static inline void hm_whisper_normalise(hm_ctx *c, const hm_whisper *m, float *y, const float *x, const hm_whisper_norm *norm, int M)
{
    c->ops.layernorm(&c->ops, y, x, norm->weight, norm->bias, M, (int)m->shape.width, HM_WHISPER_EPS);
}

/* q, k, v of M rows. */
void hm_whisper_qkv(hm_ctx *c, float *q, float *k, float *v, const float *n, const hm_whisper_attention *w, int M);
/* x += W y, t a buffer like x. */
void hm_whisper_add(hm_ctx *c, float *x, const float *y, const hm_linear *w, float *t, int M);
/* x += fc2(gelu(fc1(norm(x)))) */
void hm_whisper_ffn(hm_ctx *c, const hm_whisper *m, const hm_whisper_layer *l, float *x, float *n, float *hidden, float *t, int M);

/* Keys and values of every decoder layer of windows first .. first+count-1 from their encoder output [count][source][D]. */
void hm_whisper_cross_kv(hm_ctx *c, hm_whisper_work *work, const float *out, int first, int count);

/* --- the decoder --- */

/* A sequence of a pass: S rows of ids that go to its batch row of the self cache and read a window. */
typedef struct hm_whisper_sequence {
    int row, window;
} hm_whisper_sequence;

/* One pass: ids [n][S] (host) at positions from work->self.length on; x of work->d has the rows after the last layer, before the final norm.
 * Sequences come by ascending row, those of a window together. */
void hm_whisper_forward(hm_ctx *c, hm_whisper_work *work, const int32_t *ids, const hm_whisper_sequence *sequences, int n, int S);
/* Logits of chosen rows of the pass, on the host: every `step`-th row from `first` on, `count` of them, to rows `to` and on. */
void hm_whisper_logits(hm_ctx *c, hm_whisper_work *work, int first, int step, int count, int to);

/* --- rules (step 9) --- */

typedef struct hm_whisper_rules {
    const hm_whisper_generation *g;
    int V;
    bool timestamps, no_end; /* no_end: the end is suppressed */
    float *mask;             /* [V]: suppressed ids as a list of -infinity made anew; NULL: they are written one by one */
} hm_whisper_rules;

/* scores [V] (logits, or their log_softmax) after `count` generated ids, in place. Returns bytes of masks built. */
uint64_t hm_whisper_apply_rules(const hm_whisper_rules *r, float *scores, const int32_t *ids, int count);
/* log of the sum of exponentials of n scores; -infinity when there is none above it. */
double hm_whisper_log_sum(const float *scores, int n);
/* The lowest index of the greatest of n scores; the next one of them. */
int hm_whisper_greatest(const float *scores, int n, float *second);

#endif
