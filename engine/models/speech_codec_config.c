/* Weights of the speech decoder (speech_codec.md section 1), and what they cost. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/models/speech_codec_impl.h"

#define DEC "decoder.decoder."
#define PRE "decoder.pre_transformer"
#define RVQ "decoder.quantizer."

static const hm_transformer_names transformer_names = {HM_TRANSFORMER_HF_NAMES, HM_TRANSFORMER_HF_GATED, HM_TRANSFORMER_HF_SCALES};

hm_transformer_config hm_speech_transformer_config(const hm_speech_codec_shape *g, int slots)
{
    return (hm_transformer_config){
        .layers = (int)g->decoder.layers,
        .heads = (int)g->decoder.heads,
        .kv_heads = (int)g->decoder.kv_heads,
        .dim = (int)g->decoder.width,
        .head_dim = (int)g->decoder.head_dim,
        .ffn_dim = (int)g->decoder.hidden,
        .max_positions = slots,
        .eps = (float)g->decoder.eps,
        .half_rope = true,
        .window = (int)g->decoder.window,
        .cut_free = true,
        .names = &transformer_names,
    };
}

/* --- what is made once or at each use --- */

void hm_speech_codebook_rows(hm_ctx *c, const hm_speech_codec *m, int q, float *rows)
{
    int V = (int)m->shape.decoder.codebook, d = (int)m->shape.decoder.codebook_dim / 2;
    c->ops.divide_rows(&c->ops, rows, m->book[q].sum, m->book[q].usage, HM_SPEECH_USAGE_FLOOR, V, d);
}

static void make_factors(hm_ctx *c, const hm_speech_snake *s)
{
    c->ops.snake_factors(&c->ops, s->a, s->b, s->alpha, s->beta, s->channels);
}

void hm_speech_snake_ready(hm_ctx *c, const hm_speech_snake *s)
{
    if (hm_t(c)->precompute != HM_PRECOMPUTE_ONCE)
        make_factors(c, s);
}

/* --- binding --- */

static hm_status bind_snake(const hm_binder *b, hm_speech_snake *s, int channels, const char *prefix)
{
    s->channels = channels;
    hm_status st = hm_bind_f32(b, &s->alpha, "%s.alpha", prefix);
    if (!st)
        st = hm_bind_f32(b, &s->beta, "%s.beta", prefix);
    if (st)
        return st;
    s->a = hm_bind_alloc(b->c, (size_t)channels * sizeof *s->a, b->err);
    s->b = s->a ? hm_bind_alloc(b->c, (size_t)channels * sizeof *s->b, b->err) : NULL;
    if (!s->b)
        return HM_EABSENT;
    if (hm_t(b->c)->precompute == HM_PRECOMPUTE_ONCE)
        make_factors(b->c, s);
    return HM_OK;
}

/* Sums and usages of all codebooks, each group's under its own prefix. */
static hm_status bind_codebooks(const hm_binder *b, hm_speech_codec *m)
{
    hm_binder tables = *b, kept = hm_binder_kept(b);
    hm_dtype type;
    hm_status st = HM_OK;
    tables.f32 = true;
    for (int q = 0; q < (int)m->shape.groups && !st; q++) {
        const char *group = q ? "rest" : "first";
        int i = q ? q - 1 : 0;
        st = hm_bind_tensor(&tables, &m->book[q].sum, &type, NULL, RVQ "rvq_%s.vq.layers.%d._codebook.embedding_sum", group, i);
        if (!st)
            st = hm_bind_f32(b, &m->book[q].usage, RVQ "rvq_%s.vq.layers.%d._codebook.cluster_usage", group, i);
    }
    if (!st)
        st = hm_bind_linear(&kept, &m->project[0], RVQ "rvq_first.output_proj.weight");
    return st ? st : hm_bind_linear(&kept, &m->project[1], RVQ "rvq_rest.output_proj.weight");
}

/* folded = W e for every row of every codebook. Rows of linear_ex do not depend on how many there are: decoding that projects the rows
 * it needs gives the same bytes. */
static hm_status fold_codebooks(const hm_binder *b, hm_speech_codec *m)
{
    hm_ctx *c = b->c;
    int V = (int)m->shape.decoder.codebook, D = (int)m->shape.decoder.codebook_dim;
    if (hm_t(c)->precompute != HM_PRECOMPUTE_ONCE)
        return HM_OK;
    float *rows = c->ops.alloc(&c->ops, (size_t)V * (size_t)(D / 2) * sizeof *rows);
    if (!rows)
        return hm_fail(b->err, HM_EABSENT, "codebooks: no memory for one of %d rows", V);
    hm_status st = HM_OK;
    for (int q = 0; q < (int)m->shape.groups && !st; q++) {
        float *folded = m->book[q].folded = hm_bind_alloc(c, (size_t)V * (size_t)D * sizeof *folded, b->err);
        m->tables[q] = folded;
        if (!folded) {
            st = HM_EABSENT;
            break;
        }
        hm_speech_codebook_rows(c, m, q, rows);
        c->ops.linear_ex(&c->ops, &(hm_linear_args){.y = folded, .x = rows, .w = &m->project[q > 0], .M = V});
        c->counters.table_values += (uint64_t)V * (uint64_t)D;
    }
    c->ops.free(&c->ops, rows);
    return st;
}

static hm_status bind_transformer(const hm_binder *b, hm_speech_codec *m)
{
    hm_transformer_config config = hm_speech_transformer_config(&m->shape, 0);
    hm_status st = hm_transformer_bind_rope(b, &m->transformer, &config, m->shape.decoder.rope_theta, PRE);
    if (!st)
        st = hm_bind_biased(b, &m->into, PRE ".input_proj");
    return st ? st : hm_bind_biased(b, &m->out_of, PRE ".output_proj");
}

static hm_status bind_upsample(const hm_binder *b, hm_speech_upsample *s, int u, int ratio)
{
    char name[128];
    snprintf(name, sizeof name, "decoder.upsample.%d.0.conv", u);
    hm_status st = hm_conv_bind(b, &s->up, ratio, true, name);
    const struct {
        float **to;
        const char *name;
    } vectors[] = {{&s->depthwise, "dwconv.conv.weight"},
                   {&s->depthwise_bias, "dwconv.conv.bias"},
                   {&s->norm, "norm.weight"},
                   {&s->norm_bias, "norm.bias"},
                   {&s->gamma, "gamma"}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors && !st; i++)
        st = hm_bind_f32(b, vectors[i].to, "decoder.upsample.%d.1.%s", u, vectors[i].name);
    snprintf(name, sizeof name, "decoder.upsample.%d.1.pwconv1", u);
    if (!st)
        st = hm_bind_biased(b, &s->wide, name);
    snprintf(name, sizeof name, "decoder.upsample.%d.1.pwconv2", u);
    return st ? st : hm_bind_biased(b, &s->narrow, name);
}

static hm_status bind_unit(const hm_binder *b, hm_speech_unit *u, int channels, int block, int j)
{
    static const int dilations[HM_SPEECH_UNITS] = {1, 3, 9};
    char name[128];
    u->dilation = dilations[j];
    snprintf(name, sizeof name, DEC "%d.block.%d.act1", block, j + 2);
    hm_status st = bind_snake(b, &u->act1, channels, name);
    snprintf(name, sizeof name, DEC "%d.block.%d.conv1.conv", block, j + 2);
    if (!st)
        st = hm_conv_bind(b, &u->conv1, 0, true, name);
    snprintf(name, sizeof name, DEC "%d.block.%d.act2", block, j + 2);
    if (!st)
        st = bind_snake(b, &u->act2, channels, name);
    snprintf(name, sizeof name, DEC "%d.block.%d.conv2.conv", block, j + 2);
    return st ? st : hm_conv_bind(b, &u->conv2, 0, true, name);
}

/* Blocks are numbered from 1 in the file. */
static hm_status bind_block(const hm_binder *b, hm_speech_codec *m, int i)
{
    char name[128];
    hm_speech_block *to = &m->block[i];
    snprintf(name, sizeof name, DEC "%d.block.0", i + 1);
    hm_status st = bind_snake(b, &to->act, hm_speech_channels(&m->shape, i - 1), name);
    snprintf(name, sizeof name, DEC "%d.block.1.conv", i + 1);
    if (!st)
        st = hm_conv_bind(b, &to->up, (int)m->shape.decoder.rates[i], true, name);
    for (int j = 0; j < HM_SPEECH_UNITS && !st; j++)
        st = bind_unit(b, &to->unit[j], hm_speech_channels(&m->shape, i), i + 1, j);
    return st;
}

static hm_status bind_vocoder(const hm_binder *b, hm_speech_codec *m)
{
    char name[64];
    int n = (int)m->shape.decoder.rate_count;
    hm_status st = hm_conv_bind(b, &m->input, 0, true, DEC "0.conv");
    for (int i = 0; i < n && !st; i++)
        st = bind_block(b, m, i);
    snprintf(name, sizeof name, DEC "%d", n + 1);
    if (!st)
        st = bind_snake(b, &m->last, hm_speech_channels(&m->shape, n - 1), name);
    snprintf(name, sizeof name, DEC "%d.conv", n + 2);
    return st ? st : hm_conv_bind(b, &m->output, 0, true, name);
}

static hm_status bind_all(const hm_binder *b, hm_speech_codec *m)
{
    hm_status st = bind_codebooks(b, m);
    if (!st)
        st = fold_codebooks(b, m);
    if (!st)
        st = hm_conv_bind(b, &m->pre_conv, 0, true, "decoder.pre_conv.conv");
    if (!st)
        st = bind_transformer(b, m);
    for (int u = 0; u < (int)m->shape.decoder.ratio_count && !st; u++)
        st = bind_upsample(b, &m->upsample[u], u, (int)m->shape.decoder.ratios[u]);
    return st ? st : bind_vocoder(b, m);
}

hm_status hm_speech_codec_bind(hm_ctx *c, hm_speech_codec **out, const hm_speech_codec_shape *shape, hm_weights *w, hm_error *err)
{
    hm_tensor_table table = {0};
    hm_binder b = hm_binder_at(c, w, &table, hm_t(c)->precision_codec, err);
    hm_speech_codec *m = hm_calloc(1, sizeof *m, "speech decoder", err);
    if (!m)
        return HM_EABSENT;
    m->shape = *shape;
    hm_status st = hm_speech_codec_table(&table, shape, err);
    if (!st)
        st = bind_all(&b, m);
    hm_tensor_table_close(&table);
    if (!st && hm_ops_status(&c->ops))
        st = hm_fail(err, c->error.status, "%s", c->error.text);
    if (st) {
        hm_speech_codec_release(&m);
        return st;
    }
    *out = m;
    return HM_OK;
}

void hm_speech_codec_release(hm_speech_codec **codec)
{
    if (*codec)
        hm_transformer_release(&(*codec)->transformer);
    free(*codec);
    *codec = NULL;
}

const hm_speech_codec_shape *hm_speech_codec_shape_of(const hm_speech_codec *m)
{
    return &m->shape;
}

/* --- cost --- */

uint64_t hm_speech_codec_bytes(const hm_speech_codec *m)
{
    uint64_t bytes = hm_linear_bytes(&m->pre_conv.linear) + hm_linear_bytes(&m->into) + hm_linear_bytes(&m->out_of) +
                     hm_transformer_pass_bytes(&m->transformer) + hm_linear_bytes(&m->input.linear) + hm_linear_bytes(&m->output.linear);
    for (int u = 0; u < (int)m->shape.decoder.ratio_count; u++) {
        const hm_speech_upsample *s = &m->upsample[u];
        bytes += hm_linear_bytes(&s->up.linear) + hm_linear_bytes(&s->wide) + hm_linear_bytes(&s->narrow) +
                 (HM_SPEECH_DEPTHWISE + 4) * (uint64_t)m->shape.decoder.latent * sizeof(float);
    }
    for (int i = 0; i < (int)m->shape.decoder.rate_count; i++) {
        const hm_speech_block *k = &m->block[i];
        bytes += hm_linear_bytes(&k->up.linear) + 2 * (uint64_t)k->act.channels * sizeof(float);
        for (int j = 0; j < HM_SPEECH_UNITS; j++)
            bytes += hm_linear_bytes(&k->unit[j].conv1.linear) + hm_linear_bytes(&k->unit[j].conv2.linear) +
                     4 * (uint64_t)k->unit[j].act1.channels * sizeof(float);
    }
    return bytes + 2 * (uint64_t)m->last.channels * sizeof(float);
}

void hm_speech_codec_formats(const hm_speech_codec *m, hm_formats *latents, hm_formats *vocoder)
{
    hm_transformer_formats(&m->transformer, latents);
    hm_formats_add(latents, &m->pre_conv.linear);
    for (int u = 0; u < (int)m->shape.decoder.ratio_count; u++) {
        hm_formats_add(latents, &m->upsample[u].wide);
        hm_formats_add(latents, &m->upsample[u].narrow);
    }
    for (int i = 0; i < (int)m->shape.decoder.rate_count; i++) {
        hm_formats_add(vocoder, &m->block[i].up.linear);
        for (int j = 0; j < HM_SPEECH_UNITS; j++) {
            hm_formats_add(vocoder, &m->block[i].unit[j].conv1.linear);
            hm_formats_add(vocoder, &m->block[i].unit[j].conv2.linear);
        }
    }
}

double hm_speech_codec_frame_flops(const hm_speech_codec_shape *g)
{
    double Z = (double)g->decoder.latent, D = (double)g->decoder.codebook_dim, h = (double)g->decoder.width, rows = 1;
    double q = (double)(g->decoder.heads * g->decoder.head_dim), kv = (double)(g->decoder.kv_heads * g->decoder.head_dim);
    double layer = h * (2 * q + 2 * kv) + 3 * h * (double)g->decoder.hidden + 2 * q * (double)g->decoder.window;
    double sum = 3 * D * Z + 2 * Z * h + (double)g->decoder.layers * layer; /* multiply-adds */
    for (int u = 0; u < (int)g->decoder.ratio_count; u++) {
        sum += rows * Z * Z * (double)g->decoder.ratios[u];
        rows *= (double)g->decoder.ratios[u];
        sum += rows * Z * (HM_SPEECH_DEPTHWISE + 8 * Z);
    }
    sum += rows * 7 * Z * (double)g->decoder.channels;
    for (int i = 0; i < (int)g->decoder.rate_count; i++) {
        double in = hm_speech_channels(g, i - 1), out = hm_speech_channels(g, i), rate = (double)g->decoder.rates[i];
        sum += rows * 2 * rate * in * out;
        rows *= rate;
        sum += rows * HM_SPEECH_UNITS * 8 * out * out;
    }
    return 2 * (sum + rows * 7 * hm_speech_channels(g, (int)g->decoder.rate_count - 1));
}

int64_t hm_speech_reference_cut(int reference_frames, int total_frames, int64_t samples)
{
    return (int64_t)((double)reference_frames / (double)total_frames * (double)samples);
}
