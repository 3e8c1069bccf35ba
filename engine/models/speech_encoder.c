/* The encoding half of the speech tokenizer (Mimi): a recording to codes; voice_encoder.md section 3. Rows are time steps, channels last.
 * The convolutions at the sample rate are causal and run over pieces of the recording, carrying their last input rows. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/models/conv.h"
#include "engine/models/voice_encoder.h"

#define CHUNK_BYTES ((size_t)8 << 20) /* widest activation of a piece: enough rows at the slow end to be worth reading its weights */
#define USAGE_FLOOR 1e-5f
#define SEMANTIC "encoder.quantizer.semantic_residual_vector_quantizer"
#define ACOUSTIC "encoder.quantizer.acoustic_residual_vector_quantizer"

enum {
    MAX_UNITS = 8
};

/* Residual units x + conv2(elu(conv1(elu(x)))), then elu and a convolution of kernel 2*stride and that stride. */
struct level {
    hm_conv conv1[MAX_UNITS], conv2[MAX_UNITS], down;
    int dilation[MAX_UNITS], channels, stride;
};

struct codebook {
    const float *sum; /* [V][d] */
    float *usage;     /* [V] */
    float *table;     /* [V][d], where the quotients are, or go */
};

struct hm_speech_encoder {
    hm_speech_codec_shape shape;
    hm_conv first, last, downsample;
    struct level level[HM_TTS_RATES];
    int levels, units, hop; /* hop: samples per row of the transformer */
    int step;               /* of those rows per frame of codes */
    hm_transformer transformer;
    hm_linear project[2]; /* [d][D], semantic and acoustic */
    struct codebook codebook[HM_TTS_MAX_GROUPS];
};

/* What follows from the shape alone. */
static void describe(hm_speech_encoder *m, const hm_speech_codec_shape *g)
{
    int channels = (int)g->encoder.filters;
    m->shape = *g;
    m->levels = (int)g->encoder.ratio_count;
    m->hop = 1;
    for (int i = 0; i < m->levels; i++, channels *= 2) {
        m->level[i].channels = channels;
        m->level[i].stride = (int)g->encoder.ratios[m->levels - 1 - i];
        m->hop *= m->level[i].stride;
    }
    m->step = (int)(g->encode_rate / m->hop);
    m->transformer.config = (hm_transformer_config){
        .layers = (int)g->encoder.layers,
        .heads = (int)g->encoder.heads,
        .kv_heads = (int)g->encoder.kv_heads,
        .dim = (int)g->encoder.width,
        .head_dim = (int)g->encoder.head_dim,
        .ffn_dim = (int)g->encoder.hidden,
        .eps = (float)g->encoder.eps,
        .half_rope = true,
        .plain_mlp = true,
        .cut_free = true, /* every row of the last layer is needed */
    };
}

/* --- binding --- */

static hm_status bind_seanet(const hm_binder *b, hm_speech_encoder *m)
{
    const hm_speech_codec_shape *g = &m->shape;
    char name[128];
    int layer = 1;
    hm_status st = hm_conv_bind(b, &m->first, 0, true, "encoder.encoder.layers.0.conv");
    for (int i = 0; i < m->levels && !st; i++) {
        struct level *v = &m->level[i];
        int dilation = 1;
        for (int j = 0; j < m->units && !st; j++, layer++, dilation *= (int)g->encoder.dilation_growth) {
            v->dilation[j] = dilation;
            snprintf(name, sizeof name, "encoder.encoder.layers.%d.block.1.conv", layer);
            st = hm_conv_bind(b, &v->conv1[j], 0, true, name);
            snprintf(name, sizeof name, "encoder.encoder.layers.%d.block.3.conv", layer);
            if (!st)
                st = hm_conv_bind(b, &v->conv2[j], 0, true, name);
        }
        snprintf(name, sizeof name, "encoder.encoder.layers.%d.conv", layer + 1); /* an activation counts as a layer */
        if (!st)
            st = hm_conv_bind(b, &v->down, 0, true, name);
        layer += 2;
    }
    snprintf(name, sizeof name, "encoder.encoder.layers.%d.conv", layer + 1);
    return st ? st : hm_conv_bind(b, &m->last, 0, true, name);
}

static hm_status bind_transformer(const hm_binder *b, hm_speech_encoder *m)
{
    static const hm_transformer_names names = {HM_TRANSFORMER_HF_NAMES,
                                               HM_TRANSFORMER_HF_SCALES,
                                               .up = "mlp.fc1.weight",
                                               .down = "mlp.fc2.weight",
                                               .attn_norm_bias = "input_layernorm.bias",
                                               .mlp_norm_bias = "post_attention_layernorm.bias"};
    hm_transformer_config config = m->transformer.config;
    config.names = &names;
    return hm_transformer_bind_rope(b, &m->transformer, &config, m->shape.encoder.rope_theta, "encoder.encoder_transformer");
}

static void make_table(hm_ctx *c, const hm_speech_encoder *m, const struct codebook *k)
{
    int V = (int)m->shape.encoder.codebook, d = (int)m->shape.encoder.codebook_dim;
    c->ops.divide_rows(&c->ops, k->table, k->sum, k->usage, USAGE_FLOOR, V, d);
}

static hm_status bind_codebook(const hm_binder *b, hm_speech_encoder *m, struct codebook *k, const char *quantizer, int layer)
{
    hm_binder f32 = *b;
    hm_dtype type;
    const void *sum;
    f32.f32 = true;
    hm_status st = hm_bind_tensor(&f32, &sum, &type, NULL, "%s.layers.%d.codebook.embed_sum", quantizer, layer);
    if (!st)
        st = hm_bind_f32(b, &k->usage, "%s.layers.%d.codebook.cluster_usage", quantizer, layer);
    if (st)
        return st;
    k->sum = sum;
    k->table = hm_bind_alloc(b->c, (size_t)m->shape.encoder.codebook * (size_t)m->shape.encoder.codebook_dim * sizeof *k->table, b->err);
    if (!k->table)
        return HM_EABSENT;
    if (hm_t(b->c)->precompute == HM_PRECOMPUTE_ONCE)
        make_table(b->c, m, k);
    return HM_OK;
}

static hm_status bind_quantizers(const hm_binder *b, hm_speech_encoder *m)
{
    int semantic = (int)m->shape.encoder.semantic;
    hm_status st = hm_bind_linear(b, &m->project[0], SEMANTIC ".input_proj.weight");
    if (!st)
        st = hm_bind_linear(b, &m->project[1], ACOUSTIC ".input_proj.weight");
    for (int i = 0; i < (int)m->shape.groups && !st; i++)
        st = bind_codebook(b, m, &m->codebook[i], i < semantic ? SEMANTIC : ACOUSTIC, i < semantic ? i : i - semantic);
    return st;
}

hm_status hm_speech_encoder_bind(hm_ctx *c, hm_speech_encoder **out, const hm_speech_codec_shape *shape, hm_weights *w, hm_error *err)
{
    hm_tensor_table table = {0};
    hm_binder asked = hm_binder_at(c, w, &table, hm_t(c)->precision_codec, err);
    hm_binder b = hm_binder_kept(&asked); /* a code is right or wrong */
    if (shape->encoder.residual_layers > MAX_UNITS || shape->groups > HM_TTS_MAX_GROUPS || shape->encoder.ratio_count > HM_TTS_RATES)
        return hm_fail(err, HM_EFORMAT, "%s: %lld residual layers, %lld quantizers, %lld ratios: expected at most %d, %d and %d",
                       hm_weights_path(w), (long long)shape->encoder.residual_layers, (long long)shape->groups,
                       (long long)shape->encoder.ratio_count, MAX_UNITS, HM_TTS_MAX_GROUPS, HM_TTS_RATES);
    hm_speech_encoder *m = hm_calloc(1, sizeof *m, "speech encoder", err);
    if (!m)
        return HM_EABSENT;
    describe(m, shape);
    m->units = (int)shape->encoder.residual_layers;
    hm_status st = hm_speech_codec_table(&table, shape, err);
    if (!st)
        st = bind_seanet(&b, m);
    if (!st)
        st = bind_transformer(&b, m);
    if (!st)
        st = hm_conv_bind(&b, &m->downsample, 0, false, "encoder.downsample.conv");
    if (!st)
        st = bind_quantizers(&b, m);
    hm_tensor_table_close(&table);
    if (!st && hm_ops_status(&c->ops))
        st = hm_fail(err, c->error.status, "%s", c->error.text);
    if (st)
        hm_speech_encoder_release(&m);
    else
        *out = m;
    return st;
}

void hm_speech_encoder_release(hm_speech_encoder **encoder)
{
    if (*encoder) {
        hm_transformer_release(&(*encoder)->transformer);
        free(*encoder);
    }
    *encoder = NULL;
}

/* --- forward --- */

struct scratch {
    int64_t count;          /* samples */
    int chunk;              /* of a piece */
    int rows, frames;       /* N, M: rows of the transformer, frames of codes */
    float *samples;         /* [kernel-1 zeros, then count] */
    float *a, *b, *h;       /* work buffers with headroom for a convolution's history */
    float *history;         /* carried rows of all convolutions */
    float *x;               /* [N][D]: out of SEANet, then into the transformer */
    float *y;               /* [step edge rows, N out of the transformer, edge rows] */
    float *latent;          /* [M][D] */
    float *residual, *near; /* [M][d] */
    int32_t *ids;           /* [G][M] */
    hm_transformer_scratch t;
    hm_kv_cache kv;
};

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Floats carried by all convolutions together; the most that one of them carries; of the widest activation of `samples` samples. */
static void measure(const hm_speech_encoder *m, int64_t samples, int64_t *all, int64_t *room, int64_t *widest)
{
    int64_t rows = samples;
    *all = *room = hm_conv_history(&m->last, 1);
    *widest = 0;
    for (int i = 0; i < m->levels; i++) {
        const struct level *v = &m->level[i];
        int64_t before = (int64_t)v->stride * v->channels;
        *widest = most(*widest, rows * v->channels);
        for (int j = 0; j < m->units; j++) {
            int64_t unit = hm_conv_history(&v->conv1[j], v->dilation[j]);
            *all += unit;
            *room = most(*room, unit);
        }
        *all += before;
        *room = most(*room, before);
        rows /= v->stride;
    }
    *widest = most(*widest, rows * m->last.linear.in);
}

static void lay_out(const hm_ctx *c, hm_layout *l, struct scratch *s, const hm_speech_encoder *m)
{
    int64_t all, room, widest, whole = (s->count + m->hop - 1) / m->hop * m->hop;
    size_t D = (size_t)m->shape.encoder.width, d = (size_t)m->shape.encoder.codebook_dim, N = (size_t)s->rows, M = (size_t)s->frames;
    measure(m, m->hop, &all, &room, &widest);
    int64_t pieces = (int64_t)(CHUNK_BYTES / ((size_t)widest * sizeof(float)));
    s->chunk = (int)((pieces < 1 ? 1 : pieces) * m->hop);
    if (hm_t(c)->decode == HM_DECODE_WHOLE || s->chunk > whole)
        s->chunk = (int)whole;
    measure(m, s->chunk, &all, &room, &widest);
    room = (room + 15) / 16 * 16;
    s->samples = hm_take_f32(l, (size_t)s->count + (size_t)hm_conv_history(&m->first, 1));
    float **work[] = {&s->a, &s->b, &s->h};
    for (int i = 0; i < 3; i++) {
        float *p = hm_take_f32(l, (size_t)(room + widest));
        *work[i] = p ? p + room : NULL;
    }
    s->history = hm_take_f32(l, (size_t)all);
    s->x = hm_take_f32(l, N * D);
    s->y = hm_take_f32(l, (size_t)(s->frames + 1) * (size_t)m->step * D);
    s->latent = hm_take_f32(l, M * D);
    s->residual = hm_take_f32(l, M * d);
    s->near = hm_take_f32(l, M * d);
    s->ids = hm_take(l, (size_t)m->shape.groups * M * sizeof *s->ids);
    hm_transformer_config config = m->transformer.config;
    config.max_positions = s->rows;
    hm_transformer_layout(c, l, &s->t, &config, s->rows, 1, s->rows);
}

/* A convolution whose windows of 2*stride rows start `stride` rows apart, over `rows` rows at x; those that a last window lacks are zero.
 * Returns the rows of y. */
static int down_forward(hm_ctx *c, const struct level *v, float **history, float *y, float *x, int rows)
{
    const hm_ops *op = &c->ops;
    const hm_linear *w = hm_conv_weights(c, &v->down);
    int out = (rows + v->stride - 1) / v->stride;
    size_t before = (size_t)v->stride * (size_t)w->in, lacking = (size_t)(out * v->stride - rows) * (size_t)w->in;
    op->copy(op, x - before, *history, before * sizeof *x);
    if (lacking)
        op->fill(op, x + (size_t)rows * (size_t)w->in, 0.0f, lacking);
    op->linear_ex(op, &(hm_linear_args){.y = y, .x = x - before, .w = w, .M = out, .ldx = (int64_t)before, .tap_stride = w->in});
    op->copy(op, *history, x + (size_t)(out - 1) * before, before * sizeof *x);
    *history += before;
    return out;
}

/* Samples at .. at+n-1 to rows of s->x. */
static void chunk_forward(hm_ctx *c, const hm_speech_encoder *m, struct scratch *s, int64_t at, int n)
{
    const hm_ops *op = &c->ops;
    float *x = s->a, *e = s->b, *history = s->history;
    const hm_linear *w = hm_conv_weights(c, &m->first);
    int rows = n;
    op->linear_ex(op, &(hm_linear_args){.y = x, .x = s->samples + at, .w = w, .M = n, .ldx = 1, .tap_stride = 1});
    for (int i = 0; i < m->levels; i++) {
        const struct level *v = &m->level[i];
        size_t count = (size_t)rows * (size_t)v->channels;
        for (int j = 0; j < m->units; j++) {
            op->copy(op, e, x, count * sizeof *x);
            op->activate(op, e, HM_ACT_ELU, 0, count);
            hm_conv_forward(
                c, &v->conv1[j],
                &(hm_conv_call){.y = s->h, .x = e, .history = history, .rows = rows, .dilation = v->dilation[j], .act = HM_ACT_ELU});
            history += hm_conv_history(&v->conv1[j], v->dilation[j]);
            hm_conv_forward(c, &v->conv2[j], &(hm_conv_call){.y = x, .x = s->h, .rows = rows, .dilation = 1, .add = true, .spare = e});
        }
        op->activate(op, x, HM_ACT_ELU, 0, count);
        rows = down_forward(c, v, &history, e, x, rows);
        float *swap = x;
        x = e;
        e = swap;
    }
    op->activate(op, x, HM_ACT_ELU, 0, (size_t)rows * (size_t)m->last.linear.in);
    hm_conv_forward(
        c, &m->last,
        &(hm_conv_call){
            .y = s->x + (size_t)(at / m->hop) * (size_t)m->last.linear.out, .x = x, .history = history, .rows = rows, .dilation = 1});
}

static void seanet_forward(hm_ctx *c, const hm_speech_encoder *m, struct scratch *s, const float *samples)
{
    const hm_ops *op = &c->ops;
    size_t before = (size_t)hm_conv_history(&m->first, 1);
    int64_t all, room, widest;
    measure(m, s->chunk, &all, &room, &widest);
    op->fill(op, s->history, 0.0f, (size_t)all);
    op->fill(op, s->samples, 0.0f, before);
    op->upload(op, s->samples + before, samples, (size_t)s->count * sizeof *samples);
    for (int64_t at = 0; at < s->count && !hm_ops_status(op); at += s->chunk) {
        chunk_forward(c, m, s, at, (int)(s->count - at < s->chunk ? s->count - at : s->chunk));
        hm_progress(c, "encode", at + s->chunk < s->count ? at + s->chunk : s->count, s->count);
    }
}

/* y with `step` copies of its first row before it, and the last one repeated until whole windows are there; windows of 2*step rows. */
static void downsample_forward(hm_ctx *c, const hm_speech_encoder *m, struct scratch *s)
{
    const hm_ops *op = &c->ops;
    const hm_linear *w = hm_conv_weights(c, &m->downsample);
    int D = w->in, lacking = s->frames * m->step - s->rows;
    float *y = s->y + (size_t)m->step * (size_t)D, *end = y + (size_t)s->rows * (size_t)D;
    op->copy_2d(op, s->y, D, y, 0, D, m->step);
    if (lacking)
        op->copy_2d(op, end, D, end - D, 0, D, lacking);
    op->linear_ex(op, &(hm_linear_args){.y = s->latent, .x = s->y, .w = w, .M = s->frames, .ldx = (int64_t)m->step * D, .tap_stride = D});
}

/* Codebooks first .. last-1, each on what those before it left of the projected latents. */
static void quantise(hm_ctx *c, const hm_speech_encoder *m, struct scratch *s, const hm_linear *project, int first, int last)
{
    const hm_ops *op = &c->ops;
    int M = s->frames, V = (int)m->shape.encoder.codebook, d = (int)m->shape.encoder.codebook_dim;
    op->linear(op, s->residual, s->latent, project, M);
    for (int i = first; i < last; i++) {
        const struct codebook *k = &m->codebook[i];
        int32_t *ids = s->ids + (size_t)i * (size_t)M;
        if (hm_t(c)->precompute != HM_PRECOMPUTE_ONCE)
            make_table(c, m, k);
        op->nearest(op, ids, s->residual, k->table, M, V, d);
        if (i + 1 == last)
            break;
        op->gather(op, s->near, k->table, HM_F32, d, ids, M);
        op->axpy(op, s->residual, -1.0f, s->near, (size_t)M * (size_t)d);
    }
}

static void forward(hm_ctx *c, const hm_speech_encoder *m, struct scratch *s, const float *samples)
{
    const hm_ops *op = &c->ops;
    int D = (int)m->shape.encoder.width, semantic = (int)m->shape.encoder.semantic;
    float *y = s->y + (size_t)m->step * (size_t)D;
    hm_part_begin(c, "seanet", -1);
    seanet_forward(c, m, s, samples); /* 1 samples to rows                       */
    hm_part_end(c, "seanet");
    hm_tap(c, "seanet", s->x, 0, 1, D, s->rows, true);
    hm_part_begin(c, "encoder transformer", -1);
    hm_transformer_prepare(c, &m->transformer, &s->t); /* 2 each row sees all before it           */
    hm_transformer_forward(c, &m->transformer, &s->t, (hm_kv_cache *const[]){&s->kv}, 1, y, s->x, 1, s->rows, &(hm_transformer_pass){0});
    hm_part_end(c, "encoder transformer");
    hm_tap(c, "transformer", y, 0, 1, s->rows, D, false);
    if (hm_ops_status(op))
        return;
    hm_part_begin(c, "quantizer", -1);
    downsample_forward(c, m, s); /* 3 rows to frames                        */
    hm_tap(c, "downsample", s->latent, 0, 1, D, s->frames, true);
    quantise(c, m, s, &m->project[0], 0, semantic); /* 4 codes: both start from the same       */
    quantise(c, m, s, &m->project[1], semantic, (int)m->shape.groups);
    hm_part_end(c, "quantizer");
}

/* The codes of s->ids, frame by frame. */
static hm_status collect(hm_ctx *c, const hm_speech_encoder *m, const struct scratch *s, int32_t **codes, hm_error *err)
{
    size_t G = (size_t)m->shape.groups, M = (size_t)s->frames;
    int32_t *ids = hm_calloc(G * M, sizeof *ids, "codes", err), *result = hm_calloc(G * M, sizeof *result, "codes", err);
    if (!ids || !result) {
        free(ids);
        free(result);
        return HM_EABSENT;
    }
    c->ops.download(&c->ops, ids, s->ids, G * M * sizeof *ids);
    for (size_t g = 0; g < G; g++)
        for (size_t f = 0; f < M; f++)
            result[f * G + g] = ids[g * M + f];
    free(ids);
    if (hm_ops_status(&c->ops)) {
        free(result);
        return hm_fail(err, c->error.status, "%s", c->error.text);
    }
    *codes = result;
    return HM_OK;
}

static hm_status encode(hm_ctx *c, const hm_speech_encoder *m, struct scratch *s, const float *samples, int32_t **codes, hm_error *err)
{
    hm_layout l = {0};
    lay_out(c, &l, s, m);
    void *memory = c->ops.alloc(&c->ops, l.used);
    hm_status st = memory ? HM_OK : hm_fail(err, c->error.status, "%s", c->error.text);
    if (!st)
        st = hm_kv_open(c, &s->kv, &m->transformer.config, 1, s->rows, false, err);
    if (!st) {
        l = (hm_layout){.base = memory};
        lay_out(c, &l, s, m);
        forward(c, m, s, samples);
        hm_kv_close(c, &s->kv);
        st = collect(c, m, s, codes, err);
    }
    if (memory)
        c->ops.free(&c->ops, memory);
    return st;
}

hm_status hm_speech_encode(hm_ctx *c, const hm_speech_encoder *m, const float *samples, int64_t count, int32_t **codes, int *frames,
                           hm_error *err)
{
    struct scratch s = {.count = count};
    if (count < 1 || count > INT_MAX / 2)
        return hm_fail(err, HM_EUSAGE, "speech encoder: %lld samples; expected 1 to %d", (long long)count, INT_MAX / 2);
    s.rows = (int)((count + m->hop - 1) / m->hop);
    s.frames = (s.rows + m->step - 1) / m->step;
    hm_status st = encode(c, m, &s, samples, codes, err);
    if (!st)
        *frames = s.frames;
    return st;
}

uint64_t hm_speech_encode_estimate(const hm_ctx *c, const hm_speech_codec_shape *shape, int64_t count)
{
    hm_speech_encoder m = {0};
    struct scratch s = {.count = count};
    hm_layout l = {0};
    if (count < 1 || count > INT_MAX / 2 || shape->encoder.ratio_count > HM_TTS_RATES)
        return 0;
    describe(&m, shape);
    m.last.linear.in = m.levels ? 2 * m.level[m.levels - 1].channels : 0;
    s.rows = (int)((count + m.hop - 1) / m.hop);
    s.frames = (s.rows + m.step - 1) / m.step;
    lay_out(c, &l, &s, &m);
    uint64_t bytes = l.used + hm_kv_bytes(c, &m.transformer.config, 1, s.rows);
    if (hm_t(c)->attn != HM_ATTN_FLASH)
        bytes += (uint64_t)m.transformer.config.heads * (uint64_t)s.rows * (uint64_t)(s.rows + HM_SCORE_PADDING) * sizeof(float);
    return bytes;
}
