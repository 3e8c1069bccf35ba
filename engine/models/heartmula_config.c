/* Configuration and weights of HeartMuLa (heartmula.md sections 1 and 2). */
#include "engine/base/json.h"
#include "engine/models/heartmula.h"
#include "engine/shapes.h"

static hm_llama_config stack(const hm_stack_shape *s)
{
    return (hm_llama_config){.layers = (int)s->layers, .heads = (int)s->heads, .kv_heads = (int)s->kv_heads, .dim = (int)s->width,
                             .head_dim = (int)(s->width / s->heads), .ffn_dim = (int)s->hidden, .max_positions = (int)s->positions};
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
        return hm_fail(err, HM_EFORMAT, "%s: special text ids %lld, %lld, %lld: expected below text_vocab_size %lld", where, (long long)ids.text_bos_id,
                       (long long)ids.text_eos_id, (long long)ids.empty_id, (long long)shape.text_vocab);
    if (shape.codebooks < 2 || shape.codebooks > HM_MULA_MAX_CODEBOOKS || shape.codebooks > shape.decoder.positions)
        return hm_fail(err, HM_EFORMAT, "%s: %lld codebooks: expected 2 to %d, and at most the decoder's %lld positions", where,
                       (long long)shape.codebooks, HM_MULA_MAX_CODEBOOKS, (long long)shape.decoder.positions);
    *out = (hm_mula_config){.backbone = stack(&shape.backbone), .decoder = stack(&shape.decoder), .text_vocabulary = (int)shape.text_vocab,
                            .code_vocabulary = (int)shape.audio_vocab, .codebooks = (int)shape.codebooks, .muq_dim = (int)shape.muq,
                            .text_bos = (int)ids.text_bos_id, .text_eos = (int)ids.text_eos_id, .audio_eos = (int)ids.audio_eos_id,
                            .empty_id = (int)ids.empty_id};
    return HM_OK;
}

/* audio_head [K-1][Dd][V]: one matrix per codebook, stored [in][out]. */
static hm_status bind_audio_head(hm_ctx *c, hm_mula *m, hm_weights *w, bool f32, hm_error *err)
{
    const hm_mula_config *g = &m->config;
    int64_t shape[3] = {g->codebooks - 1, g->decoder.dim, g->code_vocabulary};
    const void *data;
    hm_dtype type;
    hm_status st = hm_bind_table(c, w, &data, &type, 3, shape, f32, err, "audio_head");
    size_t one = (size_t)shape[1] * (size_t)shape[2] * hm_dtype_bytes(type);
    for (int i = 0; i < g->codebooks - 1 && !st; i++)
        m->audio_head[i] = (hm_linear){.w = (const uint8_t *)data + (size_t)i * one, .type = type, .out = g->code_vocabulary,
                                       .in = g->decoder.dim, .taps = 1, .in_out = true};
    return st;
}

hm_status hm_mula_bind(hm_ctx *c, hm_mula *m, const hm_mula_config *g, hm_weights *w, hm_error *err)
{
    bool f32 = hm_t(c)->precision_backbone == HM_BACKBONE_F32, decoder_f32 = hm_t(c)->precision_decoder == HM_DECODER_F32;
    int Db = g->backbone.dim, Dd = g->decoder.dim, V = g->code_vocabulary, K = g->codebooks;
    int64_t text_shape[2] = {g->text_vocabulary, Db}, audio_shape[2] = {(int64_t)V * K, Db}, one_shape[2] = {1, Db}, bias_shape = Db;
    float *bias;
    *m = (hm_mula){.config = *g};
    hm_status st = hm_llama_bind(c, &m->backbone, &g->backbone, w, "backbone", f32, err);
    if (!st)
        st = hm_llama_bind(c, &m->decoder, &g->decoder, w, "decoder", decoder_f32, err);
    if (!st)
        st = hm_bind_table(c, w, &m->text_embeddings, &m->text_type, 2, text_shape, false, err, "text_embeddings.weight");
    if (!st)
        st = hm_bind_table(c, w, &m->audio_embeddings, &m->audio_type, 2, audio_shape, f32, err, "audio_embeddings.weight");
    if (!st)
        st = hm_bind_table(c, w, &m->unconditional, &m->unconditional_type, 2, one_shape, f32, err, "unconditional_text_embedding.weight");
    if (!st)
        st = hm_bind_linear(c, w, &m->projection, Dd, Db, decoder_f32, err, "projection.weight");
    if (!st)
        st = hm_bind_linear(c, w, &m->c0_head, V, Db, f32, err, "codebook0_head.weight");
    if (!st)
        st = hm_bind_linear(c, w, &m->muq, Db, g->muq_dim, f32, err, "muq_linear.weight");
    if (!st)
        st = hm_bind_f32(c, w, &bias, 1, &bias_shape, err, "muq_linear.bias");
    if (st)
        return st;
    m->muq.bias = bias;
    return bind_audio_head(c, m, w, decoder_f32, err);
}

void hm_mula_release(hm_mula *m)
{
    hm_llama_release(&m->backbone);
    hm_llama_release(&m->decoder);
}

uint64_t hm_mula_frame_bytes(const hm_mula *m)
{
    uint64_t bytes = hm_llama_pass_bytes(&m->backbone) + hm_linear_bytes(&m->c0_head);
    for (int i = 1; i < m->config.codebooks; i++)
        bytes += hm_llama_pass_bytes(&m->decoder) + hm_linear_bytes(&m->projection) + hm_linear_bytes(&m->audio_head[i - 1]);
    return bytes;
}

/* Multiply-adds of one row through one layer: 2D^2 + 2D*KV*hd + 3DF. */
static double layer_macs(const hm_llama_config *g)
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
