/* Configuration and weights of HeartMuLa (heartmula.md sections 1 and 2). */
#include "engine/models/heartmula.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/json.h"
#include "engine/shapes.h"

#define EPS 1e-5f
#define ROPE_BASE 500000.0
#define ROPE_SCALE 32.0f
#define ROPE_OLD_CONTEXT 8192.0f /* a constant of the scaling, not the flavor's positions */
#define ROPE_LOW 1.0f
#define ROPE_HIGH 4.0f

void hm_mula_theta(float *theta, int head_dim)
{
    hm_rope_theta(theta, head_dim, ROPE_BASE);
    for (int j = 0; j < head_dim / 2; j++) {
        float f = theta[j], wavelength = (float)(2.0 * M_PI) / f;
        if (wavelength < ROPE_OLD_CONTEXT / ROPE_HIGH)
            continue;
        if (wavelength > ROPE_OLD_CONTEXT / ROPE_LOW)
            theta[j] = f / ROPE_SCALE;
        else {
            float s = (ROPE_OLD_CONTEXT / wavelength - ROPE_LOW) / (ROPE_HIGH - ROPE_LOW);
            theta[j] = (1.0f - s) * f / ROPE_SCALE + s * f;
        }
    }
}

static const hm_transformer_names names = {.q = "attn.q_proj.weight",
                                           .k = "attn.k_proj.weight",
                                           .v = "attn.v_proj.weight",
                                           .o = "attn.output_proj.weight",
                                           .gate = "mlp.w1.weight",
                                           .down = "mlp.w2.weight",
                                           .up = "mlp.w3.weight",
                                           .attn_norm = "sa_norm.scale",
                                           .mlp_norm = "mlp_norm.scale",
                                           .norm = "norm.scale"};

static hm_transformer_config stack(const hm_stack_shape *s)
{
    return (hm_transformer_config){.eps = EPS,
                                   .names = &names,
                                   .typed_kv = true,
                                   .layers = (int)s->layers,
                                   .heads = (int)s->heads,
                                   .kv_heads = (int)s->kv_heads,
                                   .dim = (int)s->width,
                                   .head_dim = (int)(s->width / s->heads),
                                   .ffn_dim = (int)s->hidden,
                                   .max_positions = (int)s->positions};
}

/* The ids inside a config (golden manifests hold them there), or the real model's. */
static hm_status inline_ids(hm_gen_config *ids, const json_t *config, const char *where, hm_error *err)
{
    *ids = (hm_gen_config){.text_bos_id = 128000, .text_eos_id = 128001, .audio_eos_id = 8193, .empty_id = 0};
    hm_status st = hm_json_int(config, "text_bos_id", 0, INT32_MAX, false, &ids->text_bos_id, where, err);
    if (!st)
        st = hm_json_int(config, "text_eos_id", 0, INT32_MAX, false, &ids->text_eos_id, where, err);
    if (!st)
        st = hm_json_int(config, "audio_eos_id", 0, INT32_MAX, false, &ids->audio_eos_id, where, err);
    return st ? st : hm_json_int(config, "empty_id", 0, INT32_MAX, false, &ids->empty_id, where, err);
}

hm_status hm_mula_config_read(hm_mula_config *out, const json_t *config, const hm_gen_config *gen, const char *where, hm_error *err)
{
    hm_lm_shape shape;
    hm_gen_config ids;
    hm_status st = hm_lm_shape_read(&shape, config, where, err);
    if (!st && !gen)
        st = inline_ids(&ids, config, where, err);
    if (st)
        return st;
    if (gen)
        ids = *gen;
    if (ids.text_bos_id >= shape.text_vocab || ids.text_eos_id >= shape.text_vocab || ids.empty_id >= shape.text_vocab)
        return hm_fail(err, HM_EFORMAT, "%s: special text ids %lld, %lld, %lld: expected below text_vocab_size %lld", where,
                       (long long)ids.text_bos_id, (long long)ids.text_eos_id, (long long)ids.empty_id, (long long)shape.text_vocab);
    if (shape.codebooks < 2 || shape.codebooks > HM_MULA_MAX_CODEBOOKS || shape.codebooks > shape.decoder.positions)
        return hm_fail(err, HM_EFORMAT, "%s: %lld codebooks: expected 2 to %d, and at most the decoder's %lld positions", where,
                       (long long)shape.codebooks, HM_MULA_MAX_CODEBOOKS, (long long)shape.decoder.positions);
    *out = (hm_mula_config){.shape = shape,
                            .backbone = stack(&shape.backbone),
                            .decoder = stack(&shape.decoder),
                            .text_vocabulary = (int)shape.text_vocab,
                            .code_vocabulary = (int)shape.audio_vocab,
                            .codebooks = (int)shape.codebooks,
                            .muq_dim = (int)shape.muq,
                            .text_bos = (int)ids.text_bos_id,
                            .text_eos = (int)ids.text_eos_id,
                            .audio_eos = (int)ids.audio_eos_id,
                            .empty_id = (int)ids.empty_id};
    return HM_OK;
}

/* audio_head [K-1][Dd][V]: one matrix per codebook, stored [in][out]. */
static hm_status bind_audio_head(const hm_binder *b, hm_mula *m)
{
    const hm_tensor_row *row;
    const void *data;
    hm_dtype type;
    hm_status st = HM_OK;
    for (int i = 1; b->pack && i < m->config.codebooks && !st; i++)
        st = hm_bind_stacked(b, &m->audio_head[i - 1], i - 1, "audio_head");
    if (st || b->pack)
        return st;
    st = hm_bind_tensor(b, &data, &type, &row, "audio_head"); /* once for all */
    for (int i = 0; !st && i < (int)row->shape[0]; i++) {
        size_t one = (size_t)row->shape[1] * (size_t)row->shape[2] * hm_dtype_bytes(type);
        m->audio_head[i] = (hm_linear){.w = (const uint8_t *)data + (size_t)i * one,
                                       .type = type,
                                       .out = (int)row->shape[2],
                                       .in = (int)row->shape[1],
                                       .taps = 1,
                                       .in_out = true};
    }
    return st;
}

/* Tables, heads and projections around the two stacks. */
static hm_status bind_rest(const hm_binder *backbone, const hm_binder *decoder, const hm_binder *heads, hm_mula *m)
{
    hm_binder text = *backbone;
    float *bias;
    text.f32 = false; /* rows are converted as they are gathered */
    hm_status st = hm_bind_tensor(&text, &m->text_embeddings, &m->text_type, NULL, "text_embeddings.weight");
    if (!st)
        st = hm_bind_tensor(backbone, &m->audio_embeddings, &m->audio_type, NULL, "audio_embeddings.weight");
    if (!st)
        st = hm_bind_tensor(backbone, &m->unconditional, &m->unconditional_type, NULL, "unconditional_text_embedding.weight");
    if (!st)
        st = hm_bind_linear(heads, &m->c0_head, "codebook0_head.weight");
    if (!st)
        st = hm_bind_linear(backbone, &m->muq, "muq_linear.weight");
    if (!st)
        st = hm_bind_f32(backbone, &bias, "muq_linear.bias");
    if (st)
        return st;
    m->muq.bias = bias;
    st = hm_bind_linear(decoder, &m->projection, "projection.weight");
    return st ? st : bind_audio_head(heads, m);
}

static hm_status bind_stack(const hm_binder *b, hm_transformer *m, const hm_transformer_config *g, const char *prefix)
{
    float *theta = hm_calloc((size_t)g->head_dim / 2, sizeof *theta, "rotation table", b->err);
    if (!theta)
        return HM_EABSENT;
    hm_mula_theta(theta, g->head_dim);
    hm_status st = hm_transformer_bind(b, m, g, theta, prefix);
    free(theta);
    return st;
}

hm_status hm_mula_bind(hm_ctx *c, hm_mula *m, const hm_mula_config *g, hm_weights *w, hm_error *err)
{
    hm_tensor_table table = {0};
    hm_binder backbone = hm_binder_at(c, w, &table, hm_t(c)->precision_backbone, err);
    hm_binder decoder = hm_binder_at(c, w, &table, hm_t(c)->precision_decoder, err);
    hm_binder heads = hm_binder_at(c, w, &table, hm_t(c)->precision_heads, err);
    *m = (hm_mula){.config = *g};
    hm_status st = hm_lm_table(&table, &g->shape, err);
    if (!st)
        st = bind_stack(&backbone, &m->backbone, &g->backbone, "backbone");
    if (!st)
        st = bind_stack(&decoder, &m->decoder, &g->decoder, "decoder");
    if (!st)
        st = bind_rest(&backbone, &decoder, &heads, m);
    hm_tensor_table_close(&table);
    return st;
}

void hm_mula_release(hm_mula *m)
{
    hm_transformer_release(&m->backbone);
    hm_transformer_release(&m->decoder);
}

uint64_t hm_mula_frame_bytes(const hm_mula *m)
{
    uint64_t bytes = hm_transformer_pass_bytes(&m->backbone) + hm_linear_bytes(&m->c0_head);
    for (int i = 1; i < m->config.codebooks; i++)
        bytes += hm_transformer_pass_bytes(&m->decoder) + hm_linear_bytes(&m->projection) + hm_linear_bytes(&m->audio_head[i - 1]);
    return bytes;
}

uint64_t hm_mula_distinct_bytes(const hm_mula *m)
{
    uint64_t bytes = hm_transformer_pass_bytes(&m->backbone) + hm_linear_bytes(&m->c0_head) + hm_transformer_pass_bytes(&m->decoder) +
                     hm_linear_bytes(&m->projection);
    for (int i = 1; i < m->config.codebooks; i++)
        bytes += hm_linear_bytes(&m->audio_head[i - 1]);
    return bytes;
}

void hm_mula_parts(const hm_mula *m, hm_parts *parts)
{
    hm_formats deep = {0}, shallow = {0}, first = {0}, others = {0};
    uint64_t c0 = hm_linear_bytes(&m->c0_head), one = hm_linear_bytes(m->audio_head), backbone = hm_transformer_pass_bytes(&m->backbone);
    uint64_t pass = hm_transformer_pass_bytes(&m->decoder) + hm_linear_bytes(&m->projection);
    int passes = m->config.codebooks - 1;
    hm_transformer_formats(&m->backbone, &deep);
    hm_transformer_formats(&m->decoder, &shallow);
    hm_formats_add(&first, &m->c0_head);
    hm_formats_add(&others, m->audio_head);
    hm_formats_part(parts, &deep, &(hm_part_weights){"backbone", "backbone", "", backbone, backbone, 1});
    hm_formats_part(parts, &first, &(hm_part_weights){"heads", "backbone", "", c0, c0, 1});
    hm_formats_part(parts, &shallow, &(hm_part_weights){"decoder", "decoder", "", pass, pass, passes});
    hm_formats_part(parts, &others, &(hm_part_weights){"heads", "decoder", "", one, one * (uint64_t)passes, passes});
}

/* Multiply-adds of one row through one layer: 2D^2 + 2D*KV*hd + 3DF. */
static double layer_macs(const hm_transformer_config *g)
{
    double D = g->dim;
    return 2 * D * D + 2 * D * g->kv_heads * g->head_dim + 3 * D * g->ffn_dim;
}

double hm_mula_frame_flops(const hm_mula_config *g, int rows, int pos)
{
    double B = rows, K = g->codebooks, V = g->code_vocabulary, Db = g->backbone.dim, Dd = g->decoder.dim;
    double dense = 2 * B * (g->backbone.layers * layer_macs(&g->backbone) + Db * V) +
                   2 * B * K * (g->decoder.layers * layer_macs(&g->decoder) + Db * Dd) + 2 * B * (K - 1) * Dd * V;
    double slots = (K * (K + 1) / 2) - 1;
    return dense + 4 * B * g->backbone.layers * g->backbone.heads * g->backbone.head_dim * (double)(pos + 1) +
           4 * B * g->decoder.layers * g->decoder.heads * g->decoder.head_dim * slots;
}
