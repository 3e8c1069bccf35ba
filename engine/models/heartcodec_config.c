/* Weights of HeartCodec (heartcodec.md section 2). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/models/heartcodec.h"

#define FM "flow_matching."
#define EST "flow_matching.estimator."
#define DEC "scalar_model.decoder."

static bool wants_f32(const hm_ctx *c)
{
    return hm_t(c)->precision_codec == HM_CODEC_F32;
}

/* Bias [n] as float32. */
static hm_status bind_bias(hm_ctx *c, hm_weights *w, hm_linear *to, int n, const char *name, hm_error *err)
{
    int64_t shape = n;
    float *bias;
    hm_status st = hm_bind_f32(c, w, &bias, 1, &shape, err, "%s", name);
    if (!st)
        to->bias = bias;
    return st;
}

static hm_status bind_biased(hm_ctx *c, hm_weights *w, hm_linear *to, int rows, int columns, const char *prefix, hm_error *err)
{
    char name[192];
    hm_status st = hm_bind_linear(c, w, to, rows, columns, wants_f32(c), err, "%s.weight", prefix);
    snprintf(name, sizeof name, "%s.bias", prefix);
    return st ? st : bind_bias(c, w, to, rows, name, err);
}

/* The layout that folding gives (see fold_conv in ops.h). */
static hm_conv conv_shape(const hm_conv *conv)
{
    hm_conv c = *conv;
    c.linear = (hm_linear){.type = HM_F32, .out = c.d0, .in = c.d1, .taps = c.taps};
    if (c.stride)
        c.linear = (hm_linear){.type = HM_F32, .out = c.d1 * c.stride, .in = c.d0, .taps = 2};
    return c;
}

/* Room for the folded weights, and the folding itself when it is done once. */
static hm_status finish_conv(hm_ctx *c, hm_conv *conv, hm_error *err)
{
    size_t n = (size_t)conv->d0 * (size_t)conv->d1 * (size_t)conv->taps;
    float *folded = hm_bind_alloc(c, n * sizeof *folded, err);
    if (!folded)
        return HM_EABSENT;
    const float *bias = conv->linear.bias;
    *conv = conv_shape(conv);
    conv->linear.bias = bias;
    conv->linear.w = folded;
    if (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE)
        c->ops.fold_conv(&c->ops, folded, conv->v, conv->type, conv->g, conv->d0, conv->d1, conv->taps, conv->stride);
    return HM_OK;
}

const hm_linear *hm_conv_weights(hm_ctx *c, const hm_conv *conv)
{
    if (hm_t(c)->precompute != HM_PRECOMPUTE_ONCE)
        c->ops.fold_conv(&c->ops, (float *)conv->linear.w, conv->v, conv->type, conv->g, conv->d0, conv->d1, conv->taps, conv->stride);
    return &conv->linear;
}

/* A plain convolution prefix.weight [d0][d1][taps], prefix.bias. */
static hm_status bind_conv(hm_ctx *c, hm_weights *w, hm_conv *conv, const char *prefix, int d0, int d1, int taps, hm_error *err)
{
    char name[192];
    int64_t shape[3] = {d0, d1, taps};
    *conv = (hm_conv){.d0 = d0, .d1 = d1, .taps = taps};
    hm_status st = hm_bind_table(c, w, &conv->v, &conv->type, 3, shape, wants_f32(c), err, "%s.weight", prefix);
    snprintf(name, sizeof name, "%s.bias", prefix);
    if (!st)
        st = bind_bias(c, w, &conv->linear, d0, name, err);
    return st ? st : finish_conv(c, conv, err);
}

/* A weight-normed one: g and v under today's names, or weight_g and weight_v of older files. */
static hm_status bind_normed(hm_ctx *c, hm_weights *w, hm_conv *conv, const char *prefix, int d0, int d1, int taps, int stride, hm_error *err)
{
    char v[192], g[192], bias[192];
    int64_t shape[3] = {d0, d1, taps}, g_shape[3] = {d0, 1, 1};
    int out = stride ? d1 : d0;
    *conv = (hm_conv){.d0 = d0, .d1 = d1, .taps = taps, .stride = stride};
    snprintf(v, sizeof v, "%s.weight_v", prefix);
    snprintf(g, sizeof g, "%s.weight_g", prefix);
    snprintf(bias, sizeof bias, "%s.bias", prefix);
    if (!hm_weights_peek(w, v)) {
        snprintf(v, sizeof v, "%s.parametrizations.weight.original1", prefix);
        snprintf(g, sizeof g, "%s.parametrizations.weight.original0", prefix);
    }
    hm_status st = hm_bind_table(c, w, &conv->v, &conv->type, 3, shape, wants_f32(c), err, "%s", v);
    if (!st)
        st = hm_bind_f32(c, w, &conv->g, 3, g_shape, err, "%s", g);
    if (!st)
        st = bind_bias(c, w, &conv->linear, out, bias, err);
    if (st || !stride)
        return st ? st : finish_conv(c, conv, err);
    const float *one = conv->linear.bias; /* the bias of every one of the stride output phases */
    float *phases = hm_bind_alloc(c, (size_t)stride * (size_t)out * sizeof *phases, err);
    if (!phases)
        return HM_EABSENT;
    c->ops.copy_2d(&c->ops, phases, out, one, 0, out, stride);
    conv->linear.bias = phases;
    return finish_conv(c, conv, err);
}

/* PReLU slope [1]. */
static hm_status bind_slope(hm_ctx *c, hm_weights *w, float *slope, const char *name, hm_error *err)
{
    int64_t one = 1;
    float *value;
    hm_status st = hm_bind_f32(c, w, &value, 1, &one, err, "%s", name);
    if (!st)
        c->ops.download(&c->ops, slope, value, sizeof *slope);
    return st;
}

static hm_status bind_project(hm_ctx *c, hm_weights *w, hm_project *p, const char *name, int in, int out, hm_error *err)
{
    char prefix[128];
    snprintf(prefix, sizeof prefix, EST "%s.ffn_1", name);
    hm_status st = bind_conv(c, w, &p->conv, prefix, out, in, 3, err);
    snprintf(prefix, sizeof prefix, EST "%s.ffn_2", name);
    return st ? st : bind_biased(c, w, &p->linear, out, out, prefix, err);
}

static hm_status bind_block(hm_ctx *c, hm_weights *w, hm_dit_block *b, const char *stack, int i, int D, int F, hm_error *err)
{
    const struct {
        hm_linear *to;
        const char *name;
        int rows, columns;
    } linears[] = {
        {&b->q, "attn.q_proj", D, D}, {&b->k, "attn.k_proj", D, D}, {&b->v, "attn.v_proj", D, D}, {&b->o, "attn.o_proj", D, D},
        {&b->gate, "mlp.gate", F, D}, {&b->up, "mlp.up", F, D},     {&b->down, "mlp.down", D, F},
    };
    int64_t shape[2] = {D, 0}, table[2] = {6, D};
    hm_status st = HM_OK;
    for (size_t j = 0; j < sizeof linears / sizeof *linears && !st; j++)
        st = hm_bind_linear(c, w, linears[j].to, linears[j].rows, linears[j].columns, wants_f32(c), err, EST "%s.%d.%s.weight", stack, i,
                            linears[j].name);
    if (!st)
        st = hm_bind_f32(c, w, &b->attn_norm, 1, shape, err, EST "%s.%d.attn_norm.weight", stack, i);
    if (!st)
        st = hm_bind_f32(c, w, &b->mlp_norm, 1, shape, err, EST "%s.%d.mlp_norm.weight", stack, i);
    return st ? st : hm_bind_f32(c, w, &b->scale_shift, 2, table, err, EST "%s.%d.scale_shift_table", stack, i);
}

/* f_j = 1/10000^(2j/head_dim): exponent rounded to float32, pow in double rounded to float32, float32 reciprocal. */
static hm_status bind_theta(hm_ctx *c, hm_dit_stack *s, hm_error *err)
{
    int half = s->head_dim / 2;
    float *theta = hm_calloc((size_t)half, sizeof *theta, "rotation table", err);
    s->theta = hm_bind_alloc(c, (size_t)half * sizeof *theta, err);
    if (!theta || !s->theta) {
        free(theta);
        return HM_EABSENT;
    }
    for (int j = 0; j < half; j++)
        theta[j] = 1.0f / (float)pow(10000.0, (double)((float)(2 * j) / (float)s->head_dim));
    c->ops.upload(&c->ops, s->theta, theta, (size_t)half * sizeof *theta);
    free(theta);
    return HM_OK;
}

static hm_status bind_stack(hm_ctx *c, hm_weights *w, hm_dit_stack *s, int second, int layers, int heads, int head_dim, hm_error *err)
{
    char name[128];
    const char *blocks = second ? "transformer_blocks_2" : "transformer_blocks", *suffix = second ? "_2" : "";
    int D = heads * head_dim;
    int64_t table[2] = {2, D};
    *s = (hm_dit_stack){.layers = layers, .heads = heads, .head_dim = head_dim, .dim = D, .ffn_dim = (int)hm_codec_hidden(D)};
    s->blocks = hm_calloc((size_t)layers, sizeof *s->blocks, "transformer blocks", err);
    hm_status st = s->blocks ? HM_OK : HM_EABSENT;
    for (int i = 0; i < layers && !st; i++)
        st = bind_block(c, w, &s->blocks[i], blocks, i, D, s->ffn_dim, err);
    if (!st)
        st = hm_bind_f32(c, w, &s->scale_shift, 2, table, err, EST "scale_shift_table%s", suffix);
    snprintf(name, sizeof name, EST "adaln_single%s.emb.timestep_embedder.linear_1", suffix);
    if (!st)
        st = bind_biased(c, w, &s->time_1, D, 512, name, err);
    snprintf(name, sizeof name, EST "adaln_single%s.emb.timestep_embedder.linear_2", suffix);
    if (!st)
        st = bind_biased(c, w, &s->time_2, D, D, name, err);
    snprintf(name, sizeof name, EST "adaln_single%s.linear", suffix);
    if (!st)
        st = bind_biased(c, w, &s->modulation, 6 * D, D, name, err);
    return st ? st : bind_theta(c, s, err);
}

static hm_status bind_dit(hm_ctx *c, hm_weights *w, hm_dit *m, const hm_codec_shape *g, hm_error *err)
{
    int heads = (int)g->heads, hd = (int)g->head_dim, in = (int)g->in, out = (int)g->out;
    *m = (hm_dit){.in = in, .out = out};
    hm_status st = bind_stack(c, w, &m->stack[0], 0, (int)g->layers, heads, hd, err);
    if (!st)
        st = bind_stack(c, w, &m->stack[1], 1, (int)g->layers_2, heads, 2 * hd, err);
    if (!st)
        st = bind_project(c, w, &m->proj_in, "proj_in", in, heads * hd, err);
    if (!st)
        st = bind_project(c, w, &m->connection, "connection_proj", in + heads * hd, 2 * heads * hd, err);
    return st ? st : bind_project(c, w, &m->proj_out, "proj_out", 2 * heads * hd, out, err);
}

static hm_status bind_unit(hm_ctx *c, hm_weights *w, hm_residual_unit *u, int s, int j, int channels, int kernel, hm_error *err)
{
    char name[128];
    u->dilation = 2 * j + 1;
    snprintf(name, sizeof name, DEC "%d.convs.%d.conv1", s, j);
    hm_status st = bind_normed(c, w, &u->conv1, name, channels, channels, kernel, 0, err);
    snprintf(name, sizeof name, DEC "%d.convs.%d.conv2", s, j);
    if (!st)
        st = bind_normed(c, w, &u->conv2, name, channels, channels, 1, 0, err);
    snprintf(name, sizeof name, DEC "%d.convs.%d.activation1.weight", s, j);
    if (!st)
        st = bind_slope(c, w, &u->slope1, name, err);
    snprintf(name, sizeof name, DEC "%d.convs.%d.activation2.weight", s, j);
    return st ? st : bind_slope(c, w, &u->slope2, name, err);
}

static hm_status bind_stage(hm_ctx *c, hm_weights *w, hm_decoder_stage *stage, int s, int in, int stride, int kernel, hm_error *err)
{
    char name[128];
    snprintf(name, sizeof name, DEC "%d.up_conv.layer", s);
    hm_status st = bind_normed(c, w, &stage->up, name, in, in / 2, 2 * stride, stride, err);
    for (int j = 0; j < HM_CODEC_UNITS && !st; j++)
        st = bind_unit(c, w, &stage->unit[j], s, j, in / 2, kernel, err);
    return st;
}

static hm_status bind_decoder(hm_ctx *c, hm_weights *w, hm_scalar_model *m, const hm_codec_shape *g, hm_error *err)
{
    char name[128];
    int n = (int)g->up_stages, c0 = (int)g->init_channel, channels = c0 << n, k0 = (int)g->kernel, last = n + 1;
    *m = (hm_scalar_model){.stages = n, .latent = (int)g->latent, .repeat = (int)g->num_samples, .rate = (int)g->num_samples};
    m->stage = hm_calloc((size_t)n, sizeof *m->stage, "decoder stages", err);
    hm_status st = m->stage ? bind_normed(c, w, &m->input, DEC "0", channels, m->latent, (int)g->delay_kernel, 0, err) : HM_EABSENT;
    for (int s = 0; s < n && !st; s++) {
        m->rate *= (int)g->up[s];
        st = bind_stage(c, w, &m->stage[s], s + 1, channels >> s, (int)g->up[s], (int)g->res_kernel, err);
    }
    if (m->repeat > 1 && !st) {
        snprintf(name, sizeof name, DEC "%d.conv", last);
        st = bind_conv(c, w, &m->post, name, c0, c0, k0, err);
        snprintf(name, sizeof name, DEC "%d.activation.weight", last++);
        if (!st)
            st = bind_slope(c, w, &m->post_slope, name, err);
    }
    snprintf(name, sizeof name, DEC "%d", last);
    return st ? st : bind_normed(c, w, &m->output, name, (int)g->num_bands, c0, k0, 0, err);
}

static hm_status bind_quantizers(hm_ctx *c, hm_codec *m, hm_weights *w, hm_error *err)
{
    const hm_codec_shape *g = &m->shape;
    int64_t shape[3] = {1, g->codebook_size, g->codebook_dim};
    hm_status st = HM_OK;
    for (int q = 0; q < g->quantizers && !st; q++)
        st = hm_bind_table(c, w, &m->embed[q], &m->embed_type, 3, shape, true, err, FM "vq_embed.layers.%d._codebook.embed", q);
    if (!st && g->codebook_dim != g->dim)
        st = bind_biased(c, w, &m->project_out, (int)g->dim, (int)g->codebook_dim, FM "vq_embed.project_out", err);
    return st ? st : bind_biased(c, w, &m->cond, (int)g->dim, (int)g->dim, FM "cond_feature_emb", err);
}

hm_status hm_codec_bind(hm_ctx *c, hm_codec *m, const hm_codec_shape *shape, hm_weights *w, hm_error *err)
{
    *m = (hm_codec){.shape = *shape};
    if (shape->quantizers > (int64_t)(sizeof m->embed / sizeof *m->embed))
        return hm_fail(err, HM_EFORMAT, "%s: num_quantizers: expected at most %zu, found %lld", hm_weights_path(w),
                       sizeof m->embed / sizeof *m->embed, (long long)shape->quantizers);
    hm_status st = bind_quantizers(c, m, w, err);
    if (!st)
        st = bind_dit(c, w, &m->dit, shape, err);
    if (!st)
        st = bind_decoder(c, w, &m->decoder, shape, err);
    if (!st)
        st = hm_ops_status(&c->ops) ? hm_fail(err, c->error.status, "%s", c->error.text) : HM_OK;
    return st;
}

void hm_codec_release(hm_codec *m)
{
    free(m->dit.stack[0].blocks);
    free(m->dit.stack[1].blocks);
    free(m->decoder.stage);
    *m = (hm_codec){0};
}

/* --- sizes alone --- */

static hm_conv described(int d0, int d1, int taps, int stride)
{
    return conv_shape(&(hm_conv){.d0 = d0, .d1 = d1, .taps = taps, .stride = stride});
}

hm_status hm_codec_describe(hm_codec *m, const hm_codec_shape *g, hm_error *err)
{
    int heads = (int)g->heads, n = (int)g->up_stages, c0 = (int)g->init_channel, D1 = heads * (int)g->head_dim, D2 = 2 * D1;
    *m = (hm_codec){.shape = *g};
    hm_scalar_model *d = &m->decoder;
    *d = (hm_scalar_model){.stages = n, .latent = (int)g->latent, .repeat = (int)g->num_samples, .rate = (int)g->num_samples};
    for (int i = 0; i < 2; i++)
        m->dit.stack[i] = (hm_dit_stack){.layers = (int)(i ? g->layers_2 : g->layers), .heads = heads, .head_dim = (int)g->head_dim << i,
                                         .dim = D1 << i, .ffn_dim = (int)hm_codec_hidden(D1 << i)};
    m->dit.in = (int)g->in;
    m->dit.out = (int)g->out;
    m->dit.proj_in.conv = described(D1, (int)g->in, 3, 0);
    m->dit.connection.conv = described(D2, (int)g->in + D1, 3, 0);
    m->dit.proj_out.conv = described((int)g->out, D2, 3, 0);
    d->input = described(c0 << n, d->latent, (int)g->delay_kernel, 0);
    d->stage = hm_calloc((size_t)n, sizeof *d->stage, "decoder stages", err);
    if (!d->stage)
        return HM_EABSENT;
    for (int s = 0; s < n; s++) {
        int in = c0 << (n - s), u = (int)g->up[s];
        d->rate *= u;
        d->stage[s].up = described(in, in / 2, 2 * u, u);
        for (int j = 0; j < HM_CODEC_UNITS; j++)
            d->stage[s].unit[j] = (hm_residual_unit){.conv1 = described(in / 2, in / 2, (int)g->res_kernel, 0),
                                                     .conv2 = described(in / 2, in / 2, 1, 0), .dilation = 2 * j + 1};
    }
    d->post = described(c0, c0, (int)g->kernel, 0);
    d->output = described((int)g->num_bands, c0, (int)g->kernel, 0);
    return HM_OK;
}

static uint64_t folded(const hm_conv *c)
{
    return (uint64_t)c->d0 * (uint64_t)c->d1 * (uint64_t)c->taps * sizeof(float);
}

uint64_t hm_codec_folded_bytes(const hm_codec *m)
{
    const hm_scalar_model *d = &m->decoder;
    uint64_t n = folded(&m->dit.proj_in.conv) + folded(&m->dit.connection.conv) + folded(&m->dit.proj_out.conv) + folded(&d->input) +
                 folded(&d->output) + (d->repeat > 1 ? folded(&d->post) : 0);
    for (int s = 0; s < d->stages; s++) {
        n += folded(&d->stage[s].up);
        for (int j = 0; j < HM_CODEC_UNITS; j++)
            n += folded(&d->stage[s].unit[j].conv1) + folded(&d->stage[s].unit[j].conv2);
    }
    return n;
}

static uint64_t project_bytes(const hm_project *p)
{
    return hm_linear_bytes(&p->conv.linear) + hm_linear_bytes(&p->linear);
}

uint64_t hm_dit_bytes(const hm_dit *m)
{
    uint64_t bytes = project_bytes(&m->proj_in) + project_bytes(&m->connection) + project_bytes(&m->proj_out);
    for (int i = 0; i < 2; i++) {
        const hm_dit_block *b = m->stack[i].blocks;
        bytes += (uint64_t)m->stack[i].layers * (hm_linear_bytes(&b->q) + hm_linear_bytes(&b->k) + hm_linear_bytes(&b->v) +
                                                 hm_linear_bytes(&b->o) + hm_linear_bytes(&b->gate) + hm_linear_bytes(&b->up) + hm_linear_bytes(&b->down));
    }
    return bytes;
}
