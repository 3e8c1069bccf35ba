#include "engine/models/conv.h"

/* The layout that folding gives (see fold_conv in ops.h). */
static hm_linear folded_shape(const hm_conv *c)
{
    if (c->stride)
        return (hm_linear){.type = HM_F32, .out = c->d1 * c->stride, .in = c->d0, .taps = c->taps / c->stride};
    return (hm_linear){.type = HM_F32, .out = c->d0, .in = c->d1, .taps = c->taps};
}

hm_conv hm_conv_describe(int d0, int d1, int taps, int stride)
{
    hm_conv c = {.d0 = d0, .d1 = d1, .taps = taps, .stride = stride};
    c.linear = folded_shape(&c);
    return c;
}

uint64_t hm_conv_folded_bytes(const hm_conv *c)
{
    return (uint64_t)c->d0 * (uint64_t)c->d1 * (uint64_t)c->taps * sizeof(float);
}

static void fold(hm_ctx *c, const hm_conv *conv)
{
    c->ops.fold_conv(&c->ops, (float *)conv->linear.w, conv->v, conv->type, conv->g, conv->d0, conv->d1, conv->taps, conv->stride);
}

const hm_linear *hm_conv_weights(hm_ctx *c, const hm_conv *conv)
{
    if (hm_t(c)->precompute != HM_PRECOMPUTE_ONCE)
        fold(c, conv);
    return &conv->linear;
}

/* Sizes from the row of v, room for the folded weights, and the folding itself when it is done once. */
static hm_status finish(hm_ctx *c, hm_conv *conv, const hm_tensor_row *v, const float *bias, hm_error *err)
{
    conv->d0 = (int)v->shape[0];
    conv->d1 = (int)v->shape[1];
    conv->taps = (int)v->shape[2];
    float *folded = hm_bind_alloc(c, hm_conv_folded_bytes(conv), err);
    if (!folded)
        return HM_EABSENT;
    conv->linear = folded_shape(conv);
    conv->linear.bias = bias;
    conv->linear.w = folded;
    if (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE)
        fold(c, conv);
    return HM_OK;
}

/* prefix.bias [out]; transposed: once for every one of the `stride` output phases. */
static hm_status bind_bias(const hm_binder *b, float **bias, int stride, int out, const char *prefix)
{
    float *phases;
    hm_status st = hm_bind_f32(b, bias, "%s.bias", prefix);
    if (st || !stride)
        return st;
    phases = hm_bind_alloc(b->c, (size_t)stride * (size_t)out * sizeof *phases, b->err);
    if (!phases)
        return HM_EABSENT;
    b->c->ops.copy_2d(&b->c->ops, phases, out, *bias, 0, out, stride);
    *bias = phases;
    return HM_OK;
}

hm_status hm_conv_bind(const hm_binder *b, hm_conv *conv, int stride, bool biased, const char *prefix)
{
    const hm_tensor_row *row;
    float *bias = NULL;
    *conv = (hm_conv){.stride = stride};
    hm_status st = hm_bind_tensor(b, &conv->v, &conv->type, &row, "%s.weight", prefix);
    if (!st && biased)
        st = bind_bias(b, &bias, stride, (int)row->shape[1], prefix);
    return st ? st : finish(b->c, conv, row, bias, b->err);
}

hm_status hm_conv_bind_normed(const hm_binder *b, hm_conv *conv, int stride, const char *prefix)
{
    const hm_tensor_row *row;
    float *bias;
    *conv = (hm_conv){.stride = stride};
    hm_status st = hm_bind_tensor(b, &conv->v, &conv->type, &row, "%s.parametrizations.weight.original1", prefix);
    if (!st)
        st = hm_bind_f32(b, &conv->g, "%s.parametrizations.weight.original0", prefix);
    if (!st)
        st = bind_bias(b, &bias, stride, (int)row->shape[1], prefix);
    return st ? st : finish(b->c, conv, row, bias, b->err);
}

int64_t hm_conv_history(const hm_conv *conv, int dilation)
{
    return (int64_t)(conv->linear.taps - 1) * dilation * conv->linear.in;
}

void hm_conv_forward(hm_ctx *c, const hm_conv *conv, const hm_conv_call *a)
{
    const hm_ops *op = &c->ops;
    const hm_linear *w = hm_conv_weights(c, conv);
    int64_t before = hm_conv_history(conv, a->dilation);
    size_t carried = (size_t)before * sizeof *a->x;
    bool fused = hm_t(c)->fuse == HM_FUSE_ALL;
    float *z = a->add && !fused ? a->spare : a->y;
    if (before)
        op->copy(op, a->x - before, a->history, carried);
    op->linear_ex(op, &(hm_linear_args){.y = z,
                                        .x = a->x - before,
                                        .w = w,
                                        .M = a->rows,
                                        .ldx = w->in,
                                        .tap_stride = (int64_t)a->dilation * w->in,
                                        .act = fused ? a->act : HM_ACT_NONE,
                                        .slope = a->slope,
                                        .snake_a = a->snake_a,
                                        .snake_b = a->snake_b,
                                        .residual = fused && a->add ? a->y : NULL});
    if (before)
        op->copy(op, a->history, a->x + (int64_t)a->rows * w->in - before, carried);
    if (fused)
        return;
    if (a->act == HM_ACT_SNAKE)
        op->snake(op, z, z, a->snake_a, a->snake_b, a->rows, w->out);
    else if (a->act != HM_ACT_NONE)
        op->activate(op, z, a->act, a->slope, (size_t)a->rows * (size_t)w->out);
    if (a->add)
        op->add(op, a->y, z, (size_t)a->rows * (size_t)w->out);
}
