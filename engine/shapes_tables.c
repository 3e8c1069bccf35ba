/* The lists of tensors of HeartMuLa and HeartCodec, in the order of the originals' state dicts. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/shapes_impl.h"
#include "engine/synth.h"

static hm_tensor_row *new_row(hm_table_builder *b)
{
    hm_tensor_table *t = &b->table;
    if (t->count == t->room && !b->no_memory) {
        int room = t->room ? 2 * t->room : 256;
        hm_tensor_row *rows = realloc(t->rows, (size_t)room * sizeof *rows);
        b->no_memory = !rows;
        if (rows) {
            t->rows = rows;
            t->room = room;
        }
    }
    if (b->no_memory)
        return NULL;
    t->rows[t->count] = (hm_tensor_row){.type = b->type, .unused = b->unused};
    return &t->rows[t->count++];
}

hm_tensor_row *hm_table_put(hm_table_builder *b, int64_t d0, int64_t d1, int64_t d2, const char *format, ...)
{
    hm_tensor_row *r = new_row(b);
    va_list ap;
    if (!r)
        return &b->none;
    int n = snprintf(r->name, sizeof r->name, "%s", b->prefix);
    va_start(ap, format);
    vsnprintf(r->name + n, sizeof r->name - (size_t)n, format, ap);
    va_end(ap);
    r->shape[0] = d0;
    r->shape[1] = d1;
    r->shape[2] = d2;
    r->rank = d2 ? 3 : d1 ? 2 : d0 ? 1 : 0;
    hm_synth_rule(r->name, r->rank, r->shape, &r->offset, &r->scale);
    return r;
}

void hm_table_rule(hm_tensor_row *r, double offset, double scale)
{
    r->offset = (float)offset;
    r->scale = (float)scale;
}

hm_status hm_table_finish(hm_tensor_table *out, hm_table_builder *b, hm_error *err)
{
    if (b->no_memory) {
        hm_tensor_table_close(&b->table);
        return hm_fail(err, HM_EABSENT, "table of tensors: no memory");
    }
    *out = b->table;
    return HM_OK;
}

void hm_tensor_table_close(hm_tensor_table *table)
{
    free(table->rows);
    *table = (hm_tensor_table){0};
}

uint64_t hm_tensor_row_bytes(const hm_tensor_row *row)
{
    uint64_t n = hm_dtype_bytes(row->type);
    for (int i = 0; i < row->rank; i++)
        n *= (uint64_t)row->shape[i];
    return n;
}

static void put_stack(hm_table_builder *b, const char *prefix, const hm_stack_shape *s)
{
    int64_t kv = s->width / s->heads * s->kv_heads;
    b->prefix = prefix;
    for (int64_t i = 0; i < s->layers; i++) {
        int k = (int)i;
        hm_table_put(b, s->width, s->width, 0, "layers.%d.attn.q_proj.weight", k);
        hm_table_put(b, kv, s->width, 0, "layers.%d.attn.k_proj.weight", k);
        hm_table_put(b, kv, s->width, 0, "layers.%d.attn.v_proj.weight", k);
        hm_table_put(b, s->width, s->width, 0, "layers.%d.attn.output_proj.weight", k);
        hm_table_put(b, s->hidden, s->width, 0, "layers.%d.mlp.w1.weight", k);
        hm_table_put(b, s->width, s->hidden, 0, "layers.%d.mlp.w2.weight", k);
        hm_table_put(b, s->hidden, s->width, 0, "layers.%d.mlp.w3.weight", k);
        hm_table_put(b, s->width, 0, 0, "layers.%d.sa_norm.scale", k);
        hm_table_put(b, s->width, 0, 0, "layers.%d.mlp_norm.scale", k);
    }
    hm_table_put(b, s->width, 0, 0, "norm.scale");
    b->prefix = "";
}

hm_status hm_lm_table(hm_tensor_table *out, const hm_lm_shape *s, hm_error *err)
{
    hm_table_builder b = {.type = HM_BF16, .prefix = ""};
    int64_t D = s->backbone.width, Dd = s->decoder.width;
    hm_table_rule(hm_table_put(&b, s->codebooks - 1, Dd, s->audio_vocab, "audio_head"), 0, s->head_gain * sqrt(3.0 / (double)Dd));
    put_stack(&b, "backbone.", &s->backbone);
    put_stack(&b, "decoder.", &s->decoder);
    hm_table_rule(hm_table_put(&b, s->text_vocab, D, 0, "text_embeddings.weight"), 0, 1);
    hm_table_rule(hm_table_put(&b, s->audio_vocab * s->codebooks, D, 0, "audio_embeddings.weight"), 0, 1);
    hm_table_rule(hm_table_put(&b, 1, D, 0, "unconditional_text_embedding.weight"), 0, 1);
    hm_table_put(&b, Dd, D, 0, "projection.weight");
    hm_table_rule(hm_table_put(&b, s->audio_vocab, D, 0, "codebook0_head.weight"), 0, s->head_gain * sqrt(3.0 / (double)D));
    hm_table_put(&b, D, s->muq, 0, "muq_linear.weight");
    hm_table_rule(hm_table_put(&b, D, 0, 0, "muq_linear.bias"), 0, 0.5);
    return hm_table_finish(out, &b, err);
}

int64_t hm_codec_hidden(int64_t width)
{
    return (8 * width / 3 + 255) / 256 * 256;
}

static void put_quantiser(hm_table_builder *b, const hm_codec_shape *s)
{
    if (s->dim != s->codebook_dim) {
        hm_table_put(b, s->codebook_dim, s->dim, 0, "vq_embed.project_in.weight")->unused = true;
        hm_table_put(b, s->codebook_dim, 0, 0, "vq_embed.project_in.bias")->unused = true;
        hm_table_put(b, s->dim, s->codebook_dim, 0, "vq_embed.project_out.weight");
        hm_table_put(b, s->dim, 0, 0, "vq_embed.project_out.bias");
    }
    for (int q = 0; q < (int)s->quantizers; q++) {
        hm_tensor_row *initted = hm_table_put(b, s->initted_rank ? 1 : 0, 0, 0, "vq_embed.layers.%d._codebook.initted", q);
        initted->type = HM_BOOL;
        initted->unused = true;
        hm_table_rule(initted, 0, 0);
        hm_table_put(b, 1, s->codebook_size, 0, "vq_embed.layers.%d._codebook.cluster_size", q)->unused = true;
        hm_table_put(b, 1, s->codebook_size, s->codebook_dim, "vq_embed.layers.%d._codebook.embed_avg", q)->unused = true;
        hm_table_rule(hm_table_put(b, 1, s->codebook_size, s->codebook_dim, "vq_embed.layers.%d._codebook.embed", q), 0, 0.6);
    }
}

static void put_project(hm_table_builder *b, const char *name, int64_t in, int64_t out)
{
    hm_table_put(b, out, in, 3, "estimator.%s.ffn_1.weight", name);
    hm_table_put(b, out, 0, 0, "estimator.%s.ffn_1.bias", name);
    hm_table_put(b, out, out, 0, "estimator.%s.ffn_2.weight", name);
    hm_table_put(b, out, 0, 0, "estimator.%s.ffn_2.bias", name);
}

static void put_blocks(hm_table_builder *b, const char *stack, int64_t layers, int64_t D)
{
    static const char *const projections[] = {"q", "k", "v", "o"};
    int64_t F = hm_codec_hidden(D);
    for (int i = 0; i < (int)layers; i++) {
        hm_table_put(b, 6, D, 0, "estimator.%s.%d.scale_shift_table", stack, i);
        hm_table_put(b, D, 0, 0, "estimator.%s.%d.attn_norm.weight", stack, i);
        for (int k = 0; k < 4; k++)
            hm_table_put(b, D, D, 0, "estimator.%s.%d.attn.%s_proj.weight", stack, i, projections[k]);
        hm_table_put(b, D, 0, 0, "estimator.%s.%d.mlp_norm.weight", stack, i);
        hm_table_put(b, F, D, 0, "estimator.%s.%d.mlp.gate.weight", stack, i);
        hm_table_put(b, F, D, 0, "estimator.%s.%d.mlp.up.weight", stack, i);
        hm_table_put(b, D, F, 0, "estimator.%s.%d.mlp.down.weight", stack, i);
    }
}

static void put_adaln(hm_table_builder *b, const char *name, int64_t D)
{
    hm_table_put(b, D, 512, 0, "estimator.%s.emb.timestep_embedder.linear_1.weight", name);
    hm_table_put(b, D, 0, 0, "estimator.%s.emb.timestep_embedder.linear_1.bias", name);
    hm_table_put(b, D, D, 0, "estimator.%s.emb.timestep_embedder.linear_2.weight", name);
    hm_table_put(b, D, 0, 0, "estimator.%s.emb.timestep_embedder.linear_2.bias", name);
    hm_table_put(b, 6 * D, D, 0, "estimator.%s.linear.weight", name);
    hm_table_put(b, 6 * D, 0, 0, "estimator.%s.linear.bias", name);
}

static void put_flow(hm_table_builder *b, const hm_codec_shape *s)
{
    int64_t D1 = s->heads * s->head_dim, D2 = 2 * D1;
    b->prefix = "flow_matching.";
    hm_table_put(b, s->dim, 0, 0, "zero_cond_embedding1")->unused = true;
    put_quantiser(b, s);
    hm_table_put(b, s->dim, s->dim, 0, "cond_feature_emb.weight");
    hm_table_put(b, s->dim, 0, 0, "cond_feature_emb.bias");
    hm_table_put(b, 2, D1, 0, "estimator.scale_shift_table");
    hm_table_put(b, 2, D2, 0, "estimator.scale_shift_table_2");
    put_project(b, "proj_in", s->in, D1);
    put_blocks(b, "transformer_blocks", s->layers, D1);
    put_blocks(b, "transformer_blocks_2", s->layers_2, D2);
    put_project(b, "connection_proj", s->in + D1, D2);
    put_project(b, "proj_out", D2, s->out);
    put_adaln(b, "adaln_single", D1);
    put_adaln(b, "adaln_single_2", D2);
}

/* A weight-normed convolution: bias, gain per first dimension, direction. Returns the gain's row. */
static hm_tensor_row *put_normed(hm_table_builder *b, const char *name, int64_t first, int64_t second, int64_t kernel, int64_t bias)
{
    hm_table_put(b, bias, 0, 0, "%s.bias", name);
    int gain = b->table.count;
    hm_table_put(b, first, 1, 1, "%s.parametrizations.weight.original0", name);
    hm_table_put(b, first, second, kernel, "%s.parametrizations.weight.original1", name);
    return b->no_memory ? &b->none : &b->table.rows[gain];
}

static void put_slope(hm_table_builder *b, const char *name)
{
    hm_table_rule(hm_table_put(b, 1, 0, 0, "%s.weight", name), 0.25, 0.1);
}

static void put_residual(hm_table_builder *b, int stage, int64_t channels, int64_t kernel)
{
    char name[64];
    for (int j = 0; j < 5; j++) {
        snprintf(name, sizeof name, "%d.convs.%d.conv1", stage, j);
        put_normed(b, name, channels, channels, kernel, channels);
        snprintf(name, sizeof name, "%d.convs.%d.conv2", stage, j);
        put_normed(b, name, channels, channels, 1, channels);
        snprintf(name, sizeof name, "%d.convs.%d.activation1", stage, j);
        put_slope(b, name);
        snprintf(name, sizeof name, "%d.convs.%d.activation2", stage, j);
        put_slope(b, name);
    }
}

/* The processor at the full rate: a plain convolution, there only when samples are repeated. Returns the next module's number. */
static int put_processor(hm_table_builder *b, const hm_codec_shape *s, int module)
{
    char name[64];
    if (s->num_samples == 1)
        return module;
    hm_table_put(b, s->init_channel, s->init_channel, s->kernel, "%d.conv.weight", module);
    hm_table_put(b, s->init_channel, 0, 0, "%d.conv.bias", module);
    snprintf(name, sizeof name, "%d.activation", module);
    put_slope(b, name);
    return module + 1;
}

static void put_encoder(hm_table_builder *b, const hm_codec_shape *s)
{
    char name[64];
    int64_t channels = s->init_channel;
    b->prefix = "scalar_model.encoder.";
    b->unused = true;
    put_normed(b, "0", channels, s->num_bands, s->kernel, channels);
    int module = put_processor(b, s, 1);
    for (int64_t i = 0; i < s->down_stages; i++, module++, channels *= 2) {
        put_residual(b, module, channels, s->res_kernel);
        snprintf(name, sizeof name, "%d.down_conv.activation", module);
        put_slope(b, name);
        snprintf(name, sizeof name, "%d.down_conv.layer", module);
        put_normed(b, name, 2 * channels, channels, s->down_kernel[i], 2 * channels);
    }
    snprintf(name, sizeof name, "%d", module);
    put_normed(b, name, s->latent, channels, s->kernel, s->latent);
    b->unused = false;
}

static void put_decoder(hm_table_builder *b, const hm_codec_shape *s)
{
    char name[64];
    int64_t channels = s->init_channel << s->up_stages;
    b->prefix = "scalar_model.decoder.";
    put_normed(b, "0", channels, s->latent, s->delay_kernel, channels);
    int module = 1;
    for (; module <= (int)s->up_stages; module++, channels /= 2) {
        snprintf(name, sizeof name, "%d.up_conv.layer", module);
        put_normed(b, name, channels, channels / 2, s->up_kernel[module - 1], channels / 2);
        put_residual(b, module, channels / 2, s->res_kernel);
    }
    module = put_processor(b, s, module);
    snprintf(name, sizeof name, "%d", module);
    hm_table_rule(put_normed(b, name, s->num_bands, s->init_channel, s->kernel, s->num_bands), s->audio_gain, 0.1 * s->audio_gain);
}

hm_status hm_codec_table(hm_tensor_table *out, const hm_codec_shape *s, hm_error *err)
{
    hm_table_builder b = {.type = HM_F32, .prefix = ""};
    put_flow(&b, s);
    put_encoder(&b, s);
    put_decoder(&b, s);
    return hm_table_finish(out, &b, err);
}
