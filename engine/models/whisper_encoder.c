/* The encoder: log-mel to the rows that the decoder reads, and the keys and values that it reads of them (whisper.md steps 3 to 5). */
#include <math.h>
#include <stdio.h>

#include "engine/models/whisper_impl.h"

void hm_whisper_qkv(hm_ctx *c, float *q, float *k, float *v, const float *n, const hm_whisper_attention *w, int M)
{
    const hm_ops *op = &c->ops;
    if (hm_t(c)->fuse == HM_FUSE_ALL) {
        op->linear_multi(op, 3, (float *const[]){q, k, v}, n, (const hm_linear *const[]){&w->q, &w->k, &w->v}, M);
        return;
    }
    op->linear(op, q, n, &w->q, M);
    op->linear(op, k, n, &w->k, M);
    op->linear(op, v, n, &w->v, M);
}

void hm_whisper_add(hm_ctx *c, float *x, const float *y, const hm_linear *w, float *t, int M)
{
    const hm_ops *op = &c->ops;
    if (hm_t(c)->fuse == HM_FUSE_ALL) {
        op->linear_add(op, x, y, w, M);
        return;
    }
    op->linear(op, t, y, w, M);
    op->add(op, x, t, (size_t)M * (size_t)w->out);
}

void hm_whisper_ffn(hm_ctx *c, const hm_whisper *m, const hm_whisper_layer *l, float *x, float *n, float *hidden, float *t, int M)
{
    const hm_ops *op = &c->ops;
    hm_whisper_normalise(c, m, n, x, &l->ffn_norm, M);
    if (hm_t(c)->fuse == HM_FUSE_ALL && M > HM_FEW_ROWS) /* few rows go through what reads weights once, which ends in no function */
        op->linear_ex(op, &(hm_linear_args){.y = hidden, .x = n, .w = &l->fc1, .M = M, .act = HM_ACT_GELU});
    else {
        op->linear(op, hidden, n, &l->fc1, M);
        op->activate(op, hidden, HM_ACT_GELU, 0, (size_t)M * (size_t)l->fc1.out);
    }
    hm_whisper_add(c, x, hidden, &l->fc2, t, M);
}

/* A convolution of kernel 3 over rows between two rows of zeros, then GELU; add: onto what y is to be added to, once that is done. */
static void convolve(hm_ctx *c, float *y, const float *x, const hm_conv *conv, int M, int stride, const float *add)
{
    const hm_ops *op = &c->ops;
    const hm_linear *w = hm_conv_weights(c, conv);
    size_t count = (size_t)M * (size_t)w->out;
    bool fused = hm_t(c)->fuse == HM_FUSE_ALL;
    op->linear_ex(op, &(hm_linear_args){.y = y,
                                        .x = x,
                                        .w = w,
                                        .M = M,
                                        .ldx = (int64_t)stride * w->in,
                                        .tap_stride = w->in,
                                        .act = fused ? HM_ACT_GELU : HM_ACT_NONE,
                                        .residual = fused ? add : NULL});
    if (fused)
        return;
    op->activate(op, y, HM_ACT_GELU, 0, count);
    if (add)
        op->add(op, y, add, count);
}

/* Step 3: one window to x [source][D]. */
static void stem_forward(hm_ctx *c, hm_whisper_work *work, const hm_whisper_window *window, float *x)
{
    const hm_ops *op = &c->ops;
    const hm_whisper *m = work->m;
    hm_whisper_encoder_scratch *s = &work->e;
    size_t T = 2 * (size_t)m->shape.source_positions, mels = (size_t)m->shape.mels, D = (size_t)m->shape.width;
    size_t there = (size_t)window->frames < T ? (size_t)window->frames : T;
    op->fill(op, s->mel, 0.0f, mels);
    op->upload(op, s->mel + mels, window->mel, there * mels * sizeof(float));
    op->fill(op, s->mel + (there + 1) * mels, 0.0f, (T + 1 - there) * mels);
    op->fill(op, s->stem, 0.0f, D);
    op->fill(op, s->stem + (T + 1) * D, 0.0f, D);
    convolve(c, s->stem + D, s->mel, &m->conv1, (int)T, 1, NULL);
    convolve(c, x, s->stem, &m->conv2, (int)T / 2, 2, m->encoder_positions);
}

/* Keys and values of the group's rows: in panels, or where they are. */
static hm_kv_view own_view(hm_ctx *c, hm_whisper_work *work, int n)
{
    const hm_whisper_shape *g = &work->m->shape;
    hm_whisper_encoder_scratch *s = &work->e;
    int T = (int)g->source_positions, H = (int)g->encoder_heads;
    if (work->own.memory) {
        c->ops.kv_put(&c->ops, &work->own.layer[0], s->k, s->v, n, T, H, (int)g->width / H, 0);
        return work->own.layer[0];
    }
    return (hm_kv_view){.k = s->k, .v = s->v, .heads = H, .batch = (int64_t)T * g->width, .head = g->width / H, .slot = g->width};
}

/* Step 4 for n windows. */
static void layer_forward(hm_ctx *c, hm_whisper_work *work, const hm_whisper_layer *l, int n)
{
    const hm_whisper *m = work->m;
    hm_whisper_encoder_scratch *s = &work->e;
    int T = (int)m->shape.source_positions, H = (int)m->shape.encoder_heads, Dh = (int)m->shape.width / H, M = n * T;
    hm_whisper_normalise(c, m, s->n, s->x, &l->self.norm, M);
    hm_whisper_qkv(c, s->q, s->k, s->v, s->n, &l->self, M);
    c->ops.attention(&c->ops, &(hm_attention_args){.out = s->a,
                                                   .q = s->q,
                                                   .kv = own_view(c, work, n),
                                                   .B = n,
                                                   .S = T,
                                                   .H = H,
                                                   .Dh = Dh,
                                                   .slots = T,
                                                   .scale = 1.0f / sqrtf((float)Dh)});
    hm_whisper_add(c, s->x, s->a, &l->self.o, s->t, M);
    hm_whisper_ffn(c, m, l, s->x, s->n, s->hidden, s->t, M);
}

static void tap_windows(hm_ctx *c, const hm_whisper_work *work, const char *name, const float *value, int first, int n)
{
    size_t T = (size_t)work->m->shape.source_positions, D = (size_t)work->m->shape.width;
    for (int i = 0; i < n && hm_tapping(c); i++)
        hm_tap(c, name, value + (size_t)i * T * D, first + i, 1, (int64_t)T, (int64_t)D, false);
}

/* Windows first .. first+n-1, at most a group; the last norm's rows go to out. */
static void group_forward(hm_ctx *c, hm_whisper_work *work, const hm_whisper_window *windows, int first, int n, float *out)
{
    const hm_whisper *m = work->m;
    hm_whisper_encoder_scratch *s = &work->e;
    size_t each = (size_t)m->shape.source_positions * (size_t)m->shape.width;
    char name[32];
    for (int i = 0; i < n; i++)
        stem_forward(c, work, &windows[i], s->x + (size_t)i * each);
    tap_windows(c, work, "enc.embed", s->x, first, n);
    c->counters.forward_passes++;
    for (int i = 0; i < (int)m->shape.encoder_layers && !hm_ops_status(&c->ops); i++) {
        layer_forward(c, work, &m->encoder[i], n);
        snprintf(name, sizeof name, "enc.layer%d", i);
        tap_windows(c, work, name, s->x, first, n);
    }
    hm_whisper_normalise(c, m, out, s->x, &m->encoder_norm, n * (int)m->shape.source_positions);
    tap_windows(c, work, "enc.out", out, first, n);
}

void hm_whisper_cross_kv(hm_ctx *c, hm_whisper_work *work, const float *out, int first, int count)
{
    const hm_ops *op = &c->ops;
    const hm_whisper_shape *g = &work->m->shape;
    hm_whisper_encoder_scratch *s = &work->e;
    int T = (int)g->source_positions, H = (int)g->decoder_heads, M = count * T;
    hm_part_begin(c, "cross_kv", -1);
    for (int i = 0; i < (int)g->decoder_layers && !hm_ops_status(op); i++) {
        const hm_whisper_attention *w = &work->m->decoder[i].cross;
        hm_kv_view view = hm_kv_from(&work->cross.layer[i], first, 0);
        if (hm_t(c)->fuse == HM_FUSE_ALL)
            op->linear_multi(op, 2, (float *const[]){s->k, s->v}, out, (const hm_linear *const[]){&w->k, &w->v}, M);
        else {
            op->linear(op, s->k, out, &w->k, M);
            op->linear(op, s->v, out, &w->v, M);
        }
        op->kv_put(op, &view, s->k, s->v, count, T, H, (int)g->width / H, 0);
        c->counters.table_values += 2 * (uint64_t)M * (uint64_t)g->width;
    }
    hm_part_end(c, "cross_kv");
}

hm_status hm_whisper_encode(hm_ctx *c, hm_whisper_work *work, const hm_whisper_window *windows, int count, hm_error *err)
{
    const hm_whisper_shape *g = &work->m->shape;
    size_t each = (size_t)g->source_positions * (size_t)g->width;
    if (count < 1 || count > work->windows)
        return hm_fail(err, HM_EBUG, "encode: %d windows where there is room for %d", count, work->windows);
    work->encoded = 0;
    if (!work->cross.memory && !work->cross.layer[0].k) /* rows, as many as panels would hold */
        for (int i = 0; i < work->cross.layers; i++)
            hm_kv_grow(c, &work->cross, i, (int)g->source_positions);
    for (int at = 0; at < count && !hm_ops_status(&c->ops); at += work->e.group) {
        int n = count - at < work->e.group ? count - at : work->e.group;
        float *out = work->out ? work->out + (size_t)at * each : work->e.n;
        hm_part_begin(c, "encoder", at);
        group_forward(c, work, windows + at, at, n, out);
        work->passes.groups++;
        hm_part_end(c, "encoder");
        if (!work->out)
            hm_whisper_cross_kv(c, work, out, at, n);
        hm_progress(c, "encode", at + n, count);
    }
    if (hm_ops_status(&c->ops))
        return hm_fail(err, c->error.status, "%s", c->error.text);
    work->encoded = count;
    return HM_OK;
}
