/* ECAPA-TDNN: the voice in a recording as one vector; voice_encoder.md section 2. Rows are mel frames, channels last. Weights are stored
 * in BF16 and computed with in float32. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/models/conv.h"
#include "engine/models/voice_encoder.h"

#define STD_FLOOR 1e-12f
#define POOL_ROWS 1024 /* of a piece: [x; mean; std] is three times the widest activation */

/* A block between the first and the last; its convolutions over time are those of the parts, out_i = B_i(part_i + out_{i-1}). */
struct block {
    hm_linear tdnn1, tdnn2, squeeze, excite;
    hm_conv part[64]; /* 1 .. scale-1 */
};

struct hm_speaker_encoder {
    hm_speaker_encoder_shape shape;
    hm_conv input;
    struct block *blocks; /* [shape.blocks]: 1 .. blocks-2 */
    hm_linear mfa, pool_in, pool_out, fc;
};

enum {
    MAX_PARTS = sizeof(((struct block *)0)->part) / sizeof(hm_conv)
};

/* --- binding --- */

static hm_status bind_block(const hm_binder *stored, const hm_binder *f32, struct block *to, int k, int parts)
{
    const struct {
        hm_linear *to;
        const char *name;
    } linears[] = {
        {&to->tdnn1, "tdnn1.conv"}, {&to->tdnn2, "tdnn2.conv"}, {&to->squeeze, "se_block.conv1"}, {&to->excite, "se_block.conv2"}};
    char name[128];
    hm_status st = HM_OK;
    for (size_t i = 0; i < sizeof linears / sizeof *linears && !st; i++) {
        snprintf(name, sizeof name, "speaker_encoder.blocks.%d.%s", k, linears[i].name);
        st = hm_bind_biased(f32, linears[i].to, name);
    }
    for (int i = 1; i < parts && !st; i++) {
        snprintf(name, sizeof name, "speaker_encoder.blocks.%d.res2net_block.blocks.%d.conv", k, i - 1);
        st = hm_conv_bind(stored, &to->part[i], 0, true, name);
    }
    return st;
}

static hm_status bind_all(const hm_binder *stored, const hm_binder *f32, hm_speaker_encoder *m)
{
    const hm_speaker_encoder_shape *s = &m->shape;
    hm_status st = hm_conv_bind(stored, &m->input, 0, true, "speaker_encoder.blocks.0.conv");
    for (int k = 1; k < (int)s->blocks - 1 && !st; k++)
        st = bind_block(stored, f32, &m->blocks[k], k, (int)s->res2net_scale);
    if (!st)
        st = hm_bind_biased(f32, &m->mfa, "speaker_encoder.mfa.conv");
    if (!st)
        st = hm_bind_biased(f32, &m->pool_in, "speaker_encoder.asp.tdnn.conv");
    if (!st)
        st = hm_bind_biased(f32, &m->pool_out, "speaker_encoder.asp.conv");
    return st ? st : hm_bind_biased(f32, &m->fc, "speaker_encoder.fc");
}

hm_status hm_speaker_encoder_bind(hm_ctx *c, hm_speaker_encoder **out, const hm_talker_shape *shape, hm_weights *w, hm_error *err)
{
    hm_tensor_table table = {0};
    hm_binder stored = hm_binder_at(c, w, &table, HM_FORMAT_ROWS, err), f32 = hm_binder_at(c, w, &table, HM_FORMAT_F32, err);
    if (!shape->speaker.mel)
        return hm_fail(err, HM_EUSAGE, "%s: a %s model has no speaker encoder; cloning needs a base model", hm_weights_path(w),
                       hm_tts_kind_name(shape->kind));
    if (shape->speaker.res2net_scale > MAX_PARTS)
        return hm_fail(err, HM_EFORMAT, "%s: enc_res2net_scale: expected at most %d, found %lld", hm_weights_path(w), MAX_PARTS,
                       (long long)shape->speaker.res2net_scale);
    hm_speaker_encoder *m = hm_calloc(1, sizeof *m, "speaker encoder", err);
    if (!m)
        return HM_EABSENT;
    m->shape = shape->speaker;
    m->blocks = hm_calloc((size_t)m->shape.blocks, sizeof *m->blocks, "speaker encoder blocks", err);
    hm_status st = m->blocks ? hm_talker_table(&table, shape, err) : HM_EABSENT;
    if (!st)
        st = bind_all(&stored, &f32, m);
    hm_tensor_table_close(&table);
    if (!st && hm_ops_status(&c->ops))
        st = hm_fail(err, c->error.status, "%s", c->error.text);
    if (st)
        hm_speaker_encoder_release(&m);
    else
        *out = m;
    return st;
}

void hm_speaker_encoder_release(hm_speaker_encoder **encoder)
{
    if (*encoder) {
        free((*encoder)->blocks);
        free(*encoder);
    }
    *encoder = NULL;
}

/* --- forward --- */

struct scratch {
    float *mel, *padded;                                 /* [T][mel]; [T + twice the widest padding][in] */
    float *x, *a, *t;                                    /* [T][C] */
    float *part, *last;                                  /* [T][C/scale] */
    float *joined, *mfa;                                 /* [T][sum of C]; [T][Cm], Cm the same */
    int pool;                                            /* rows that [x; mean; std] is there for at a time */
    float *wide, *attention;                             /* [pool][3*Cm]; [pool][attention] */
    float *mean, *gate, *squeezed, *moments, *embedding; /* [C], [C], [se], [2*Cm], [width] */
};

/* Frames that a convolution sees on either side. */
static int side(const hm_speaker_encoder_shape *s, int block)
{
    return (int)((s->kernels[block] - 1) / 2 * s->dilations[block]);
}

static int widest_side(const hm_speaker_encoder_shape *s)
{
    int most = 0;
    for (int k = 0; k < (int)s->blocks - 1; k++)
        most = side(s, k) > most ? side(s, k) : most;
    return most;
}

static void lay_out(const hm_ctx *c, hm_layout *l, struct scratch *s, const hm_speaker_encoder_shape *g, int T)
{
    size_t n = (size_t)T, C = (size_t)g->channels[0], Cm = (size_t)g->channels[g->blocks - 1], w = C / (size_t)g->res2net_scale;
    size_t mel = (size_t)g->mel, in = mel > w ? mel : w;
    s->pool = hm_t(c)->decode == HM_DECODE_WHOLE || T < POOL_ROWS ? T : POOL_ROWS;
    s->mel = hm_take_f32(l, n * mel);
    s->padded = hm_take_f32(l, (n + 2 * (size_t)widest_side(g)) * in);
    s->x = hm_take_f32(l, n * C);
    s->a = hm_take_f32(l, n * C);
    s->t = hm_take_f32(l, n * C);
    s->part = hm_take_f32(l, n * w);
    s->last = hm_take_f32(l, n * w);
    s->joined = hm_take_f32(l, n * Cm);
    s->mfa = hm_take_f32(l, n * Cm);
    s->wide = hm_take_f32(l, (size_t)s->pool * 3 * Cm);
    s->attention = hm_take_f32(l, (size_t)s->pool * (size_t)g->attention);
    s->mean = hm_take_f32(l, C);
    s->gate = hm_take_f32(l, C);
    s->squeezed = hm_take_f32(l, (size_t)g->se);
    s->moments = hm_take_f32(l, 2 * Cm);
    s->embedding = hm_take_f32(l, (size_t)g->width);
}

/* y [M][out] = act(W x + b). */
static void layer(hm_ctx *c, float *y, const float *x, const hm_linear *w, int M, int dilation, hm_act act)
{
    const hm_ops *op = &c->ops;
    bool fused = hm_t(c)->fuse == HM_FUSE_ALL;
    op->linear_ex(
        op, &(hm_linear_args){
                .y = y, .x = x, .w = w, .M = M, .ldx = w->in, .tap_stride = (int64_t)dilation * w->in, .act = fused ? act : HM_ACT_NONE});
    if (!fused && act != HM_ACT_NONE)
        op->activate(op, y, act, 0, (size_t)M * (size_t)w->out);
}

/* A convolution of "same" length over mirrored edges, then ReLU. */
static void tdnn(hm_ctx *c, struct scratch *s, float *y, const float *x, const hm_conv *conv, int T, int pad, int dilation)
{
    const hm_linear *w = hm_conv_weights(c, conv);
    c->ops.pad_reflect(&c->ops, s->padded, x, T, w->in, pad, pad);
    layer(c, y, s->padded, w, T, dilation, HM_ACT_RELU);
}

static void tap_rows(hm_ctx *c, const char *name, const float *value, int channels, int T)
{
    hm_tap(c, name, value, 0, 1, channels, T, true);
}

/* Block k: x [T][C] in place. */
static void block_forward(hm_ctx *c, const hm_speaker_encoder *m, struct scratch *s, int k, int T)
{
    const hm_ops *op = &c->ops;
    const struct block *b = &m->blocks[k];
    int C = (int)m->shape.channels[k], parts = (int)m->shape.res2net_scale, w = C / parts;
    layer(c, s->a, s->x, &b->tdnn1, T, 1, HM_ACT_RELU);
    for (int i = 1; i < parts; i++) { /* part 0 stays as it is */
        op->copy_2d(op, s->part, w, s->a + i * w, C, w, T);
        if (i > 1)
            op->add(op, s->part, s->last, (size_t)T * (size_t)w);
        tdnn(c, s, s->last, s->part, &b->part[i], T, side(&m->shape, k), (int)m->shape.dilations[k]);
        op->copy_2d(op, s->a + i * w, C, s->last, w, w, T);
    }
    layer(c, s->t, s->a, &b->tdnn2, T, 1, HM_ACT_RELU);
    op->moments(op, s->mean, NULL, s->t, NULL, T, C, STD_FLOOR); /* squeeze and excitation: a factor per channel */
    layer(c, s->squeezed, s->mean, &b->squeeze, 1, 1, HM_ACT_RELU);
    layer(c, s->gate, s->squeezed, &b->excite, 1, 1, HM_ACT_SIGMOID);
    op->scale_columns(op, s->t, s->t, s->gate, T, C);
    op->add(op, s->x, s->t, (size_t)T * (size_t)C);
}

/* Attentive statistics of s->mfa into s->moments: mean and standard deviation over time, weighted per channel. The weights, which go where
 * the joined outputs were, are a softmax of what [x; mean; std] of each frame says. */
static void pool_forward(hm_ctx *c, const hm_speaker_encoder *m, struct scratch *s, int T)
{
    const hm_ops *op = &c->ops;
    int C = (int)m->shape.channels[m->shape.blocks - 1];
    op->moments(op, s->moments, s->moments + C, s->mfa, NULL, T, C, STD_FLOOR);
    for (int at = 0; at < T; at += s->pool) {
        int n = T - at < s->pool ? T - at : s->pool;
        op->copy_2d(op, s->wide, 3 * (int64_t)C, s->mfa + (size_t)at * (size_t)C, C, C, n);
        op->copy_2d(op, s->wide + C, 3 * (int64_t)C, s->moments, 0, 2 * C, n);
        layer(c, s->attention, s->wide, &m->pool_in, n, 1, HM_ACT_RELU);
        op->activate(op, s->attention, HM_ACT_TANH, 0, (size_t)n * (size_t)m->shape.attention);
        layer(c, s->joined + (size_t)at * (size_t)C, s->attention, &m->pool_out, n, 1, HM_ACT_NONE);
    }
    op->softmax_columns(op, s->joined, T, C);
    op->moments(op, s->moments, s->moments + C, s->mfa, s->joined, T, C, STD_FLOOR);
}

static void forward(hm_ctx *c, const hm_speaker_encoder *m, struct scratch *s, int T)
{
    const hm_ops *op = &c->ops;
    const hm_speaker_encoder_shape *g = &m->shape;
    char name[32];
    int last = (int)g->blocks - 1, C = (int)g->channels[0], Cm = (int)g->channels[last];
    hm_tap(c, "mel", s->mel, 0, 1, T, g->mel, false);
    tdnn(c, s, s->x, s->mel, &m->input, T, side(g, 0), (int)g->dilations[0]); /* 1 block 0                                  */
    tap_rows(c, "block0", s->x, C, T);
    for (int k = 1; k < last; k++) { /* 2 blocks with squeeze and excitation       */
        block_forward(c, m, s, k, T);
        op->copy_2d(op, s->joined + (size_t)(k - 1) * (size_t)C, Cm, s->x, C, C, T);
        snprintf(name, sizeof name, "block%d", k);
        tap_rows(c, name, s->x, C, T);
    }
    layer(c, s->mfa, s->joined, &m->mfa, T, 1, HM_ACT_RELU); /* 3 their outputs, joined                    */
    tap_rows(c, "mfa", s->mfa, Cm, T);
    pool_forward(c, m, s, T); /* 4 weighted mean and deviation over time    */
    tap_rows(c, "asp", s->moments, 2 * Cm, 1);
    layer(c, s->embedding, s->moments, &m->fc, 1, 1, HM_ACT_NONE); /* 5 x-vector                                 */
    tap_rows(c, "embedding", s->embedding, (int)g->width, 1);
}

uint64_t hm_speaker_embed_estimate(const hm_ctx *c, const hm_speaker_encoder_shape *shape, int64_t samples)
{
    hm_layout l = {0};
    struct scratch s;
    int64_t frames = samples / HM_MEL_HOP;
    if (frames < 1 || frames > INT_MAX || !shape->mel)
        return 0;
    lay_out(c, &l, &s, shape, (int)frames);
    return l.used + (uint64_t)frames * (uint64_t)shape->mel * sizeof(float);
}

hm_status hm_speaker_embed(hm_ctx *c, const hm_speaker_encoder *m, const float *mel, int frames, float *embedding, hm_error *err)
{
    const hm_ops *op = &c->ops;
    hm_layout l = {0};
    struct scratch s;
    int width = (int)m->shape.width;
    if (frames <= widest_side(&m->shape))
        return hm_fail(err, HM_EUSAGE, "speaker encoder: %d mel frames (of %d samples); its convolutions need %d", frames, HM_MEL_HOP,
                       widest_side(&m->shape) + 1);
    lay_out(c, &l, &s, &m->shape, frames);
    void *memory = op->alloc(op, l.used);
    if (memory) {
        l = (hm_layout){.base = memory};
        lay_out(c, &l, &s, &m->shape, frames);
        op->upload(op, s.mel, mel, (size_t)frames * (size_t)m->shape.mel * sizeof *mel);
        hm_part_begin(c, "speaker encoder", -1);
        forward(c, m, &s, frames);
        hm_part_end(c, "speaker encoder");
        op->download(op, embedding, s.embedding, (size_t)width * sizeof *embedding);
        op->free(op, memory);
    }
    if (hm_ops_status(op))
        return hm_fail(err, c->error.status, "%s", c->error.text);
    for (int i = 0; i < width; i++)
        if (!isfinite(embedding[i]))
            return hm_fail(err, HM_EINVALID, "speaker embedding: value %d is not finite; the weights or a kernel are broken", i);
    return HM_OK;
}
