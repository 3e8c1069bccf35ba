#include "engine/models/conv.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/backend.h"

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

static void fold(const hm_ops *op, const hm_conv *conv, float *dst)
{
    op->fold_conv(op, &(hm_fold_args){.dst = dst,
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
    if (hm_t(c)->precompute != HM_PRECOMPUTE_ONCE && !conv->linear.panels)
        fold(&c->ops, conv, (float *)conv->linear.w);
    return &conv->linear;
}

/* The tensors v and g (NULL: none). */
static hm_status bind_source(const hm_binder *b, hm_conv *conv, const char *v, const char *g)
{
    hm_status st = hm_bind_tensor(b, &conv->v, &conv->type, NULL, "%s", v);
    return st || !g ? st : hm_bind_f32(b, &conv->g, "%s", g);
}

/* Room for the folded weights, and the folding itself when it is done once. */
static hm_status bind_folded(const hm_binder *b, hm_conv *conv, const char *v, const char *g)
{
    hm_status st = bind_source(b, conv, v, g);
    if (st)
        return st;
    float *folded = hm_bind_alloc(b->c, hm_conv_folded_bytes(conv), b->err);
    if (!folded)
        return HM_EABSENT;
    conv->linear.w = folded;
    if (hm_t(b->c)->precompute == HM_PRECOMPUTE_ONCE)
        fold(&b->c->ops, conv, folded);
    return HM_OK;
}

/* The tensors v and g where the host reads them; g is malloc'ed. */
static hm_status host_source(const hm_binder *b, hm_conv *conv, const char *v, const char *g)
{
    const hm_tensor *t;
    hm_status st = hm_bind_host(b, &t, v);
    if (st)
        return st;
    conv->v = t->data;
    conv->type = t->type;
    st = g ? hm_bind_host(b, &t, g) : HM_OK;
    if (st || !g)
        return st;
    size_t n = t->bytes / hm_dtype_bytes(t->type);
    conv->g = hm_calloc(n, sizeof *conv->g, "weight norm", b->err);
    if (conv->g)
        hm_to_f32(conv->g, t->data, t->type, n);
    return conv->g ? HM_OK : HM_EABSENT;
}

/* Packs are the same whatever computes with them: where the device's memory is apart, the CPU folds. */
static hm_status fold_on_host(const hm_binder *b, const hm_conv *conv, float *rows)
{
    hm_ctx *host = hm_calloc(1, sizeof *host, "folded weights", b->err);
    if (!host)
        return HM_EABSENT;
    host->toggles = b->c->toggles;
    hm_status st = hm_backend_open(host, "cpu", &(hm_device_options){.threads = hm_team_size(b->c->team), .isa = hm_isa_detect()}, b->err);
    if (!st) {
        fold(&host->ops, conv, rows);
        b->c->counters.table_values += host->counters.table_values;
        st = host->error.status ? hm_fail(b->err, host->error.status, "%s", host->error.text) : HM_OK;
        hm_backend_close(host);
    }
    free(host);
    return st;
}

static hm_status fold_and_pack_apart(const hm_binder *b, hm_conv *conv, const hm_pack_layer *layer, const char *v, const char *g)
{
    const void *panels = NULL;
    float *rows = NULL;
    hm_status st = host_source(b, conv, v, g);
    if (!st) {
        rows = hm_calloc(hm_conv_folded_bytes(conv), 1, "folded weights", b->err);
        st = rows ? fold_on_host(b, conv, rows) : HM_EABSENT;
    }
    hm_panel_source source = {.w = rows, .type = HM_F32, .out = layer->out, .in = layer->in, .taps = layer->taps};
    if (!st)
        st = hm_pack_make(b->pack, &panels, layer, &source, &b->c->counters, b->err);
    free(rows);
    free(conv->g);
    conv->v = conv->g = NULL;
    conv->linear.w = panels;
    return st;
}

/* Folds into memory that is given back, and packs from there. */
static hm_status fold_and_pack(const hm_binder *b, hm_conv *conv, const hm_pack_layer *layer, const char *v, const char *g)
{
    const hm_ops *op = &b->c->ops;
    hm_status st = bind_source(b, conv, v, g);
    if (st)
        return st;
    float *rows = op->alloc(op, hm_conv_folded_bytes(conv));
    if (!rows)
        return hm_fail(b->err, HM_EABSENT, "%s: no memory for %llu bytes of folded weights", v,
                       (unsigned long long)hm_conv_folded_bytes(conv));
    fold(op, conv, rows);
    hm_panel_source source = {.w = rows, .type = HM_F32, .out = layer->out, .in = layer->in, .taps = layer->taps};
    st = hm_ops_status(op) ? hm_fail(b->err, b->c->error.status, "%s", b->c->error.text)
                           : hm_pack_make(b->pack, &conv->linear.w, layer, &source, &b->c->counters, b->err);
    op->free(op, rows);
    return st;
}

/* Values that folding computes are float32; those that it only moves stay as stored. */
static hm_status bind_panels(const hm_binder *b, hm_conv *conv, hm_dtype stored, const char *v, const char *g)
{
    hm_linear *l = &conv->linear;
    char key[256];
    l->panels = hm_layer_format(b->panels, g || conv->repeat ? HM_F32 : stored, l->in);
    snprintf(key, sizeof key, "%s/conv[%d:%d]*%d", v, conv->first, conv->first + conv->columns, conv->repeat ? conv->repeat : 1);
    hm_pack_layer layer = {key, l->panels, l->out, l->in, l->taps};
    l->w = hm_pack_find(b->pack, &layer);
    hm_status st = HM_OK;
    if (!l->w)
        st = b->c->ops.apart ? fold_and_pack_apart(b, conv, &layer, v, g) : fold_and_pack(b, conv, &layer, v, g);
    return st ? st : hm_bind_there(b->c, &l->w, l->w, hm_panels_bytes(l->panels, l->out, l->in, l->taps), b->err);
}

/* Sizes from the tensor v, and the weights, in the way that conv says already. */
static hm_status bind_weights(const hm_binder *b, hm_conv *conv, const char *v, const char *g)
{
    const hm_tensor *t;
    const hm_tensor_row *row;
    hm_status st = hm_bind_look(b, &t, &row, v);
    if (st)
        return st;
    conv->d0 = (int)row->shape[0];
    conv->d1 = (int)row->shape[1];
    conv->taps = (int)row->shape[2];
    conv->columns = conv->columns ? conv->columns : conv->d1;
    conv->linear = folded_shape(conv);
    return b->pack ? bind_panels(b, conv, t->type, v, g) : bind_folded(b, conv, v, g);
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
    char v[192];
    float *bias = NULL;
    snprintf(v, sizeof v, "%s.weight", prefix);
    hm_status st = bind_weights(b, conv, v, NULL);
    if (!st && biased && conv->stride)
        st = bind_bias(b, &bias, conv->stride, conv->d1, prefix);
    else if (!st && biased)
        st = bind_bias(b, &bias, conv->repeat, conv->d0, prefix);
    conv->linear.bias = bias;
    return st;
}

hm_status hm_conv_bind(const hm_binder *b, hm_conv *conv, int stride, bool biased, const char *prefix)
{
    *conv = (hm_conv){.stride = stride};
    return bind_stored(b, conv, biased, prefix);
}

hm_status hm_conv_bind_columns(const hm_binder *b, hm_conv *conv, int first, int columns, bool biased, const char *prefix)
{
    hm_binder stored = *b;
    stored.f32 = false; /* folding converts; the tensor is bound once for each of its ranges */
    *conv = (hm_conv){.first = first, .columns = columns};
    return bind_stored(&stored, conv, biased, prefix);
}

hm_status hm_conv_bind_repeated(const hm_binder *b, hm_conv *conv, int repeat, const char *prefix)
{
    *conv = (hm_conv){.repeat = repeat};
    return bind_stored(b, conv, true, prefix);
}

hm_status hm_conv_bind_normed(const hm_binder *b, hm_conv *conv, int stride, const char *prefix)
{
    char v[192], g[192];
    float *bias = NULL;
    *conv = (hm_conv){.stride = stride};
    snprintf(v, sizeof v, "%s.parametrizations.weight.original1", prefix);
    snprintf(g, sizeof g, "%s.parametrizations.weight.original0", prefix);
    hm_status st = bind_weights(b, conv, v, g);
    if (!st)
        st = bind_bias(b, &bias, stride, conv->d1, prefix);
    conv->linear.bias = bias;
    return st;
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
