/* Weights of HeartCodec (heartcodec.md section 2). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/models/heartcodec.h"

#define FM "flow_matching."
#define EST "flow_matching.estimator."
#define DEC "scalar_model.decoder."

/* PReLU slope [1]. */
static hm_status bind_slope(const hm_binder *b, float *slope, const char *prefix)
{
    float *value;
    hm_status st = hm_bind_f32(b, &value, "%s.weight", prefix);
    if (!st)
        b->c->ops.download(&b->c->ops, slope, value, sizeof *slope);
    return st;
}

/* A projection of the input's O | O + C columns, then `inner` rows of a stack; either may be missing. */
static hm_status bind_project(const hm_binder *b, hm_project *p, const hm_codec_shape *g, bool input, int inner, const char *name)
{
    char prefix[128];
    int I = input ? (int)g->in : 0, O = (int)g->out;
    hm_status st = HM_OK;
    snprintf(prefix, sizeof prefix, EST "%s.ffn_1", name);
    if (input)
        st = hm_conv_bind_columns(b, &p->fixed, O, I - O, true, prefix);
    if (input && !st)
        st = hm_conv_bind_columns(b, &p->state, 0, O, false, prefix);
    if (inner && !st)
        st = hm_conv_bind_columns(b, &p->inner, I, inner, !input, prefix);
    snprintf(prefix, sizeof prefix, EST "%s.ffn_2", name);
    return st ? st : hm_bind_biased(b, &p->linear, prefix);
}

static hm_status bind_block(const hm_binder *b, hm_dit_block *to, const char *stack, int i)
{
    const struct {
        hm_linear *to;
        const char *name;
    } linears[] = {
        {&to->q, "attn.q_proj"}, {&to->k, "attn.k_proj"}, {&to->v, "attn.v_proj"}, {&to->o, "attn.o_proj"},
        {&to->gate, "mlp.gate"}, {&to->up, "mlp.up"},     {&to->down, "mlp.down"},
    };
    hm_status st = HM_OK;
    for (size_t j = 0; j < sizeof linears / sizeof *linears && !st; j++)
        st = hm_bind_linear(b, linears[j].to, EST "%s.%d.%s.weight", stack, i, linears[j].name);
    if (!st)
        st = hm_bind_f32(b, &to->attn_norm, EST "%s.%d.attn_norm.weight", stack, i);
    if (!st)
        st = hm_bind_f32(b, &to->mlp_norm, EST "%s.%d.mlp_norm.weight", stack, i);
    return st ? st : hm_bind_f32(b, &to->scale_shift, EST "%s.%d.scale_shift_table", stack, i);
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

static hm_status bind_stack(const hm_binder *b, hm_dit_stack *s, int second, int layers, int heads, int head_dim)
{
    char name[128];
    hm_binder kept = hm_binder_kept(b); /* the modulation steers every block */
    const char *blocks = second ? "transformer_blocks_2" : "transformer_blocks", *suffix = second ? "_2" : "";
    int D = heads * head_dim;
    *s = (hm_dit_stack){.layers = layers, .heads = heads, .head_dim = head_dim, .dim = D, .ffn_dim = (int)hm_codec_hidden(D)};
    s->blocks = hm_calloc((size_t)layers, sizeof *s->blocks, "transformer blocks", b->err);
    hm_status st = s->blocks ? HM_OK : HM_EABSENT;
    for (int i = 0; i < layers && !st; i++)
        st = bind_block(b, &s->blocks[i], blocks, i);
    if (!st)
        st = hm_bind_f32(b, &s->scale_shift, EST "scale_shift_table%s", suffix);
    snprintf(name, sizeof name, EST "adaln_single%s.emb.timestep_embedder.linear_1", suffix);
    if (!st)
        st = hm_bind_biased(&kept, &s->time_1, name);
    snprintf(name, sizeof name, EST "adaln_single%s.emb.timestep_embedder.linear_2", suffix);
    if (!st)
        st = hm_bind_biased(&kept, &s->time_2, name);
    snprintf(name, sizeof name, EST "adaln_single%s.linear", suffix);
    if (!st)
        st = hm_bind_biased(&kept, &s->modulation, name);
    return st ? st : bind_theta(b->c, s, b->err);
}

/* What does not depend on a song. */
static hm_status make_tables(hm_ctx *c, hm_dit *m, hm_error *err)
{
    uint64_t bytes = hm_dit_kept_bytes(c, m);
    void *memory = bytes ? hm_bind_alloc(c, bytes, err) : NULL;
    if (!bytes)
        return HM_OK;
    return memory ? hm_dit_keep(c, m, memory, err) : HM_EABSENT;
}

static hm_status bind_dit(const hm_binder *b, hm_dit *m, const hm_codec_shape *g)
{
    int heads = (int)g->heads, hd = (int)g->head_dim;
    *m = (hm_dit){.in = (int)g->in, .out = (int)g->out};
    hm_status st = bind_stack(b, &m->stack[0], 0, (int)g->layers, heads, hd);
    if (!st)
        st = bind_stack(b, &m->stack[1], 1, (int)g->layers_2, heads, 2 * hd);
    if (!st)
        st = bind_project(b, &m->proj_in, g, true, 0, "proj_in");
    if (!st)
        st = bind_project(b, &m->connection, g, true, m->stack[0].dim, "connection_proj");
    if (!st)
        st = bind_project(b, &m->proj_out, g, false, m->stack[1].dim, "proj_out");
    return st ? st : make_tables(b->c, m, b->err);
}

static hm_status bind_unit(const hm_binder *b, hm_residual_unit *u, int s, int j)
{
    char name[128];
    u->dilation = 2 * j + 1;
    snprintf(name, sizeof name, DEC "%d.convs.%d.conv1", s, j);
    hm_status st = hm_conv_bind_normed(b, &u->conv1, 0, name);
    snprintf(name, sizeof name, DEC "%d.convs.%d.conv2", s, j);
    if (!st)
        st = hm_conv_bind_normed(b, &u->conv2, 0, name);
    snprintf(name, sizeof name, DEC "%d.convs.%d.activation1", s, j);
    if (!st)
        st = bind_slope(b, &u->slope1, name);
    snprintf(name, sizeof name, DEC "%d.convs.%d.activation2", s, j);
    return st ? st : bind_slope(b, &u->slope2, name);
}

static hm_status bind_stage(const hm_binder *b, hm_decoder_stage *stage, int s, int stride)
{
    char name[128];
    snprintf(name, sizeof name, DEC "%d.up_conv.layer", s);
    hm_status st = hm_conv_bind_normed(b, &stage->up, stride, name);
    for (int j = 0; j < HM_CODEC_UNITS && !st; j++)
        st = bind_unit(b, &stage->unit[j], s, j);
    return st;
}

static hm_status bind_decoder(const hm_binder *b, hm_scalar_model *m, const hm_codec_shape *g)
{
    char name[128];
    int n = (int)g->up_stages, last = n + 1;
    *m = (hm_scalar_model){.stages = n, .latent = (int)g->latent, .repeat = (int)g->num_samples, .rate = (int)g->num_samples};
    m->stage = hm_calloc((size_t)n, sizeof *m->stage, "decoder stages", b->err);
    hm_status st = m->stage ? hm_conv_bind_normed(b, &m->input, 0, DEC "0") : HM_EABSENT;
    for (int s = 0; s < n && !st; s++) {
        m->rate *= (int)g->up[s];
        st = bind_stage(b, &m->stage[s], s + 1, (int)g->up[s]);
    }
    if (m->repeat > 1 && !st) {
        snprintf(name, sizeof name, DEC "%d.conv", last);
        st = hm_t(b->c)->rows == HM_ROWS_NEEDED ? hm_conv_bind_repeated(b, &m->post, m->repeat, name)
                                                : hm_conv_bind(b, &m->post, 0, true, name);
        snprintf(name, sizeof name, DEC "%d.activation", last++);
        if (!st)
            st = bind_slope(b, &m->post_slope, name);
    }
    snprintf(name, sizeof name, DEC "%d", last);
    return st ? st : hm_conv_bind_normed(b, &m->output, 0, name);
}

static hm_status bind_quantizers(const hm_binder *b, hm_codec *m)
{
    const hm_codec_shape *g = &m->shape;
    hm_binder tables = *b;
    hm_status st = HM_OK;
    tables.f32 = true; /* one type for all quantizers */
    for (int q = 0; q < g->quantizers && !st; q++)
        st = hm_bind_tensor(&tables, &m->embed[q], &m->embed_type, NULL, FM "vq_embed.layers.%d._codebook.embed", q);
    if (!st && g->codebook_dim != g->dim)
        st = hm_bind_biased(b, &m->project_out, FM "vq_embed.project_out");
    return st ? st : hm_bind_biased(b, &m->cond, FM "cond_feature_emb");
}

hm_status hm_codec_bind(hm_ctx *c, hm_codec *m, const hm_codec_shape *shape, hm_weights *w, hm_error *err)
{
    hm_tensor_table table = {0};
    hm_binder dit = hm_binder_at(c, w, &table, hm_t(c)->precision_dit, err);
    hm_binder vocoder = hm_binder_at(c, w, &table, hm_t(c)->precision_codec, err);
    *m = (hm_codec){.shape = *shape};
    if (shape->quantizers > (int64_t)(sizeof m->embed / sizeof *m->embed))
        return hm_fail(err, HM_EFORMAT, "%s: num_quantizers: expected at most %zu, found %lld", hm_weights_path(w),
                       sizeof m->embed / sizeof *m->embed, (long long)shape->quantizers);
    hm_status st = hm_codec_table(&table, shape, err);
    if (!st)
        st = bind_quantizers(&dit, m);
    if (!st)
        st = bind_dit(&dit, &m->dit, shape);
    if (!st)
        st = bind_decoder(&vocoder, &m->decoder, shape);
    hm_tensor_table_close(&table);
    if (!st && hm_ops_status(&c->ops))
        st = hm_fail(err, c->error.status, "%s", c->error.text);
    return st;
}

void hm_codec_formats(const hm_codec *m, hm_formats *dit, hm_formats *wave)
{
    for (int i = 0; i < 2; i++) {
        const hm_dit_block *b = m->dit.stack[i].blocks; /* all are alike */
        const hm_linear *const linears[] = {&b->q, &b->k, &b->v, &b->o, &b->gate, &b->up, &b->down};
        for (size_t k = 0; k < sizeof linears / sizeof *linears; k++)
            hm_formats_add(dit, linears[k]);
    }
    for (int i = 0; i < m->decoder.stages; i++) {
        hm_formats_add(wave, &m->decoder.stage[i].up.linear);
        for (int k = 0; k < HM_CODEC_UNITS; k++) {
            hm_formats_add(wave, &m->decoder.stage[i].unit[k].conv1.linear);
            hm_formats_add(wave, &m->decoder.stage[i].unit[k].conv2.linear);
        }
    }
}

void hm_codec_release(hm_codec *m)
{
    free(m->dit.stack[0].blocks);
    free(m->dit.stack[1].blocks);
    free(m->decoder.stage);
    *m = (hm_codec){0};
}

/* --- sizes alone --- */

static hm_project describe_project(const hm_codec_shape *g, bool input, int inner, int out)
{
    hm_project p = {0};
    int I = (int)g->in, O = (int)g->out;
    if (input) {
        p.fixed = hm_conv_describe(out, I - O, 3, 0);
        p.state = hm_conv_describe(out, O, 3, 0);
    }
    if (inner)
        p.inner = hm_conv_describe(out, inner, 3, 0);
    return p;
}

hm_status hm_codec_describe(hm_codec *m, const hm_codec_shape *g, hm_error *err)
{
    int heads = (int)g->heads, n = (int)g->up_stages, c0 = (int)g->init_channel, D1 = heads * (int)g->head_dim, D2 = 2 * D1;
    *m = (hm_codec){.shape = *g};
    hm_scalar_model *d = &m->decoder;
    *d = (hm_scalar_model){.stages = n, .latent = (int)g->latent, .repeat = (int)g->num_samples, .rate = (int)g->num_samples};
    for (int i = 0; i < 2; i++)
        m->dit.stack[i] = (hm_dit_stack){.layers = (int)(i ? g->layers_2 : g->layers),
                                         .heads = heads,
                                         .head_dim = (int)g->head_dim << i,
                                         .dim = D1 << i,
                                         .ffn_dim = (int)hm_codec_hidden(D1 << i)};
    m->dit.in = (int)g->in;
    m->dit.out = (int)g->out;
    m->dit.proj_in = describe_project(g, true, 0, D1);
    m->dit.connection = describe_project(g, true, D1, D2);
    m->dit.proj_out = describe_project(g, false, D2, (int)g->out);
    d->input = hm_conv_describe(c0 << n, d->latent, (int)g->delay_kernel, 0);
    d->stage = hm_calloc((size_t)n, sizeof *d->stage, "decoder stages", err);
    if (!d->stage)
        return HM_EABSENT;
    for (int s = 0; s < n; s++) {
        int in = c0 << (n - s), u = (int)g->up[s];
        d->rate *= u;
        d->stage[s].up = hm_conv_describe(in, in / 2, 2 * u, u);
        for (int j = 0; j < HM_CODEC_UNITS; j++)
            d->stage[s].unit[j] = (hm_residual_unit){.conv1 = hm_conv_describe(in / 2, in / 2, (int)g->res_kernel, 0),
                                                     .conv2 = hm_conv_describe(in / 2, in / 2, 1, 0),
                                                     .dilation = 2 * j + 1};
    }
    d->post = hm_conv_describe(c0, c0, (int)g->kernel, 0);
    d->output = hm_conv_describe((int)g->num_bands, c0, (int)g->kernel, 0);
    return HM_OK;
}

static uint64_t project_bytes(const hm_project *p)
{
    return hm_conv_folded_bytes(&p->fixed) + hm_conv_folded_bytes(&p->state) + hm_conv_folded_bytes(&p->inner);
}

uint64_t hm_codec_as_bound(const hm_ctx *c, hm_codec *m)
{
    hm_conv *post = &m->decoder.post;
    if (hm_t(c)->rows == HM_ROWS_NEEDED && m->decoder.repeat > 1)
        *post = hm_conv_describe_repeated(post->d0, post->d1, post->taps, m->decoder.repeat);
    return hm_dit_kept_bytes(c, &m->dit);
}

uint64_t hm_codec_folded_bytes(const hm_codec *m)
{
    const hm_scalar_model *d = &m->decoder;
    uint64_t n = project_bytes(&m->dit.proj_in) + project_bytes(&m->dit.connection) + project_bytes(&m->dit.proj_out) +
                 hm_conv_folded_bytes(&d->input) + hm_conv_folded_bytes(&d->output) + (d->repeat > 1 ? hm_conv_folded_bytes(&d->post) : 0);
    for (int s = 0; s < d->stages; s++) {
        n += hm_conv_folded_bytes(&d->stage[s].up);
        for (int j = 0; j < HM_CODEC_UNITS; j++)
            n += hm_conv_folded_bytes(&d->stage[s].unit[j].conv1) + hm_conv_folded_bytes(&d->stage[s].unit[j].conv2);
    }
    return n;
}
