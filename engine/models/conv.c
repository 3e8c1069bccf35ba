#include "engine/models/conv.h"

/* The layout that folding gives (see fold_conv in ops.h). */
static hm_linear folded_shape(const hm_conv *c)
{
    if (c->stride)
        return (hm_linear){.type = HM_F32, .out = c->d1 * c->stride, .in = c->d0, .taps = c->taps / c->stride};
    if (c->repeat > 1)
        return (hm_linear){.type = HM_F32, .out = c->d0 * c->repeat, .in = c->d1, .taps = (c->taps + c->repeat - 2) / c->repeat + 1};
    return (hm_linear){.type = HM_F32, .out = c->d0, .in = c->columns, .taps = c->taps};
}

hm_conv hm_conv_describe(int d0, int d1, int taps, int stride)
{
    hm_conv c = {.d0 = d0, .d1 = d1, .taps = taps, .stride = stride, .columns = d1};
    c.linear = folded_shape(&c);
    return c;
}

hm_conv hm_conv_describe_repeated(int d0, int d1, int taps, int repeat)
{
    hm_conv c = {.d0 = d0, .d1 = d1, .taps = taps, .repeat = repeat, .columns = d1};
    c.linear = folded_shape(&c);
    return c;
}

uint64_t hm_conv_folded_bytes(const hm_conv *c)
{
    return (uint64_t)c->linear.out * (uint64_t)c->linear.in * (uint64_t)c->linear.taps * sizeof(float);
}

static void fold(hm_ctx *c, const hm_conv *conv)
{
    c->ops.fold_conv(&c->ops, &(hm_fold_args){.dst = (float *)conv->linear.w,
                                              .v = conv->v,
                                              .type = conv->type,
                                              .g = conv->g,
                                              .d0 = conv->d0,
                                              .d1 = conv->d1,
                                              .taps = conv->taps,
                                              .stride = conv->stride,
                                              .repeat = conv->repeat,
                                              .first = conv->first,
                                              .columns = conv->columns});
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
    conv->columns = conv->columns ? conv->columns : conv->d1;
    conv->linear = folded_shape(conv);
    float *folded = hm_bind_alloc(c, hm_conv_folded_bytes(conv), err);
    if (!folded)
        return HM_EABSENT;
    conv->linear.bias = bias;
    conv->linear.w = folded;
    if (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE)
        fold(c, conv);
    return HM_OK;
}

/* prefix.bias [out]; where a row of input gives several of output: once for each of these phases. */
static hm_status bind_bias(const hm_binder *b, float **bias, int phases, int out, const char *prefix)
{
    float *all;
    hm_status st = hm_bind_f32(b, bias, "%s.bias", prefix);
    if (st || phases < 1)
        return st;
    all = hm_bind_alloc(b->c, (size_t)phases * (size_t)out * sizeof *all, b->err);
    if (!all)
        return HM_EABSENT;
    b->c->ops.copy_2d(&b->c->ops, all, out, *bias, 0, out, phases);
    *bias = all;
    return HM_OK;
}

/* prefix.weight, in the way that conv says already. */
static hm_status bind_stored(const hm_binder *b, hm_conv *conv, bool biased, const char *prefix)
{
    const hm_tensor_row *row;
    float *bias = NULL;
    hm_status st = hm_bind_tensor(b, &conv->v, &conv->type, &row, "%s.weight", prefix);
    if (!st && biased && conv->stride)
        st = bind_bias(b, &bias, conv->stride, (int)row->shape[1], prefix);
    else if (!st && biased)
        st = bind_bias(b, &bias, conv->repeat, (int)row->shape[0], prefix);
    return st ? st : finish(b->c, conv, row, bias, b->err);
}

hm_status hm_conv_bind(const hm_binder *b, hm_conv *conv, int stride, bool biased, const char *prefix)
{
    *conv = (hm_conv){.stride = stride};
    return bind_stored(b, conv, biased, prefix);
}

hm_status hm_conv_bind_columns(const hm_binder *b, hm_conv *conv, int first, int columns, bool biased, const char *prefix)
{
    *conv = (hm_conv){.first = first, .columns = columns};
    return bind_stored(b, conv, biased, prefix);
}

hm_status hm_conv_bind_repeated(const hm_binder *b, hm_conv *conv, int repeat, const char *prefix)
{
    *conv = (hm_conv){.repeat = repeat};
    return bind_stored(b, conv, true, prefix);
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
