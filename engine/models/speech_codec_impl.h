/* What the files of the speech decoder share: its bound weights. Private to engine/models/speech_codec*.c. */
#ifndef HM_ENGINE_MODELS_SPEECH_CODEC_IMPL_H
#define HM_ENGINE_MODELS_SPEECH_CODEC_IMPL_H

#include "engine/models/conv.h"
#include "engine/models/speech_codec.h"

#define HM_SPEECH_UNITS 3 /* residual units per block, of dilation 1, 3, 9 */
#define HM_SPEECH_USAGE_FLOOR 1e-5f
#define HM_SPEECH_NORM_EPS 1e-6f /* of the layer norm in ConvNeXt */

/* One codebook: rows sum[v] / max(usage[v], floor) of d; folded: the same times the projection, [Vc][D], made at load. */
typedef struct hm_speech_codebook {
    const void *sum; /* [Vc][d] */
    float *usage;    /* [Vc] */
    float *folded;   /* [Vc][D], or NULL */
} hm_speech_codebook;

/* SnakeBeta: parameters as stored (logarithms), and the factors that follow (see snake_factors in engine/ops.h). */
typedef struct hm_speech_snake {
    float *alpha, *beta; /* [C] */
    float *a, *b;        /* [C]: made at load, or at each use */
    int channels;
} hm_speech_snake;

typedef struct hm_speech_upsample {
    hm_conv up;
    float *depthwise, *depthwise_bias; /* [Z][7], [Z] */
    float *norm, *norm_bias, *gamma;   /* [Z] */
    hm_linear wide, narrow;            /* Z -> 4Z, 4Z -> Z */
} hm_speech_upsample;

typedef struct hm_speech_unit {
    hm_speech_snake act1, act2;
    hm_conv conv1, conv2;
    int dilation;
} hm_speech_unit;

typedef struct hm_speech_block {
    hm_speech_snake act;
    hm_conv up;
    hm_speech_unit unit[HM_SPEECH_UNITS];
} hm_speech_block;

struct hm_speech_codec {
    hm_speech_codec_shape shape;
    hm_speech_codebook book[HM_TTS_MAX_GROUPS];
    const void *tables[HM_TTS_MAX_GROUPS]; /* book[g].folded */
    hm_linear project[2];                  /* [D][d]: of the first codebook, of the others */
    hm_conv pre_conv, input, output;
    hm_linear into, out_of; /* Z -> h, h -> Z around the transformer */
    hm_transformer transformer;
    hm_speech_upsample upsample[HM_TTS_RATES];
    hm_speech_block block[HM_TTS_RATES];
    hm_speech_snake last;
};

enum {
    HM_SPEECH_DEPTHWISE = 7
}; /* taps */

/* The transformer of a codec, whose caches have `slots` slots. */
hm_transformer_config hm_speech_transformer_config(const hm_speech_codec_shape *g, int slots);
/* Table of codebook q: e[v] = sum / max(usage, floor) into `rows` [Vc][d]. */
void hm_speech_codebook_rows(hm_ctx *c, const hm_speech_codec *m, int q, float *rows);
/* Factors, made now when that is not done once. */
void hm_speech_snake_ready(hm_ctx *c, const hm_speech_snake *s);

/* Channels of block b's output (b = -1: of the convolution before them), rows per frame there. */
static inline int hm_speech_channels(const hm_speech_codec_shape *g, int b)
{
    return (int)(g->decoder.channels >> (b + 1));
}

/* Rows per frame after all of `ratios`. */
static inline int hm_speech_latent_rows(const hm_speech_codec_shape *g)
{
    int rows = 1;
    for (int u = 0; u < (int)g->decoder.ratio_count; u++)
        rows *= (int)g->decoder.ratios[u];
    return rows;
}

#endif
