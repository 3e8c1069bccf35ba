/* Convolutions of a model's file, in the layout of hm_linear: rows are time steps, channels last, so that a convolution is a linear layer
 * over a few rows. */
#ifndef HM_ENGINE_MODELS_CONV_H
#define HM_ENGINE_MODELS_CONV_H

#include "engine/ctx.h"

/* Folded into the layout of hm_linear (fold_conv in engine/ops.h) at load (precompute=once) or at each use; or once into panels. */
typedef struct hm_conv {
    const void *v; /* [d0][d1][taps], as stored; NULL: a file has its panels */
    float *g;      /* [d0]: weight norm; NULL: none, or panels */
    hm_dtype type;
    int d0, d1, taps, stride; /* stride > 0: transposed */
    int repeat;               /* > 1: of an input of which every row counts so often; a row gives so many rows of outputs */
    int first, columns;       /* of inputs first .. first+columns-1 of d1 alone */
    hm_linear linear;         /* w is where the folded weights are, or go, or their panels */
} hm_conv;

/* A convolution prefix.weight [d0][d1][taps], with prefix.bias when biased. stride > 0: transposed, of kernel stride or 2*stride. */
hm_status hm_conv_bind(const hm_binder *b, hm_conv *conv, int stride, bool biased, const char *prefix);
/* The same, plain, of some of its inputs alone: convolutions of all ranges, one of them biased, add up to the whole. */
hm_status hm_conv_bind_columns(const hm_binder *b, hm_conv *conv, int first, int columns, bool biased, const char *prefix);
/* The same, plain and causal, with a bias, of rows that are repeated `repeat` times, without repeating them. */
hm_status hm_conv_bind_repeated(const hm_binder *b, hm_conv *conv, int repeat, const char *prefix);
/* A weight-normed one with a bias: prefix.parametrizations.weight.original0 and 1. */
hm_status hm_conv_bind_normed(const hm_binder *b, hm_conv *conv, int stride, const char *prefix);
/* Sizes alone, without weights: of all inputs, each row once; of rows that are repeated. */
hm_conv hm_conv_describe(int d0, int d1, int taps, int stride);
hm_conv hm_conv_describe_repeated(int d0, int d1, int taps, int repeat);
/* Bytes of the folded weights in rows. */
uint64_t hm_conv_folded_bytes(const hm_conv *conv);
/* The folded weights, folding them now when that is not done once. */
const hm_linear *hm_conv_weights(hm_ctx *c, const hm_conv *conv);

/* One causal convolution over `rows` rows, what is done with its sums, and the rows that it carries from call to call: the bytes of a
 * sequence do not depend on how it is cut into calls. */
typedef struct hm_conv_call {
    float *y;
    float *x;       /* [rows][in], with room for hm_conv_history(conv, dilation) floats before it */
    float *history; /* hm_conv_history floats; zero before the first row. NULL when that is 0 */
    int rows, dilation;
    hm_act act; /* fuse=fused: act and residual in the same pass */
    float slope;
    const float *snake_a, *snake_b; /* [out], with HM_ACT_SNAKE */
    bool add;                       /* the result onto y, instead of in its place */
    float *spare;                   /* [rows][out], with add */
} hm_conv_call;

/* Floats of input rows that a convolution reads before the first one; dilation is 1 for transposed ones. */
int64_t hm_conv_history(const hm_conv *conv, int dilation);
void hm_conv_forward(hm_ctx *c, const hm_conv *conv, const hm_conv_call *call);

#endif
