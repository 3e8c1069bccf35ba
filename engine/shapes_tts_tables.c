/* The lists of tensors of Qwen3-TTS and of its speech tokenizer, in the order of the originals' state dicts, and how synthesis fills
 * them (docs/models.md, "Synthetic weights"). */
#include <math.h>
#include <stdio.h>

#include "engine/shapes_impl.h"
#include "engine/shapes_tts.h"

/* gain * sqrt(3 / fan_in): a matrix that multiplies the variance of its input by gain squared. */
static void gain_rule(hm_tensor_row *r, double gain)
{
    double fan_in = 1;
    for (int i = 1; i < r->rank; i++)
        fan_in *= (double)r->shape[i];
    if (fan_in > 0)
        hm_table_rule(r, 0, gain * sqrt(3.0 / fan_in));
}

/* A tensor NAME.weight and its NAME.bias of d0. */
static void put_biased(hm_table_builder *b, int64_t d0, int64_t d1, int64_t d2, const char *name)
{
    hm_table_put(b, d0, d1, d2, "%s.weight", name);
    hm_table_put(b, d0, 0, 0, "%s.bias", name);
}

/* The attention and gated feed-forward matrices that all its decoder layers have; norms: per head, or none. */
static void put_gated_layer(hm_table_builder *b, int i, int64_t width, int64_t hidden, int64_t q, int64_t kv, int64_t head_norm)
{
    hm_table_put(b, q, width, 0, "layers.%d.self_attn.q_proj.weight", i);
    hm_table_put(b, kv, width, 0, "layers.%d.self_attn.k_proj.weight", i);
    hm_table_put(b, kv, width, 0, "layers.%d.self_attn.v_proj.weight", i);
    hm_table_put(b, width, q, 0, "layers.%d.self_attn.o_proj.weight", i);
    if (head_norm) {
        hm_table_rule(hm_table_put(b, head_norm, 0, 0, "layers.%d.self_attn.q_norm.weight", i), 2, 0.2);
        hm_table_rule(hm_table_put(b, head_norm, 0, 0, "layers.%d.self_attn.k_norm.weight", i), 2, 0.2);
    }
    hm_table_put(b, hidden, width, 0, "layers.%d.mlp.gate_proj.weight", i);
    hm_table_put(b, hidden, width, 0, "layers.%d.mlp.up_proj.weight", i);
    hm_table_put(b, width, hidden, 0, "layers.%d.mlp.down_proj.weight", i);
    hm_table_put(b, width, 0, 0, "layers.%d.input_layernorm.weight", i);
    hm_table_put(b, width, 0, 0, "layers.%d.post_attention_layernorm.weight", i);
}

static void put_layer_scales(hm_table_builder *b, int i, int64_t width)
{
    hm_table_rule(hm_table_put(b, width, 0, 0, "layers.%d.self_attn_layer_scale.scale", i), 0.5, 0.1);
    hm_table_rule(hm_table_put(b, width, 0, 0, "layers.%d.mlp_layer_scale.scale", i), 0.5, 0.1);
}

static void put_stack(hm_table_builder *b, const char *prefix, const hm_tts_stack *s)
{
    b->prefix = prefix;
    for (int i = 0; i < (int)s->layers; i++)
        put_gated_layer(b, i, s->width, s->hidden, s->heads * s->head_dim, s->kv_heads * s->head_dim, s->head_dim);
    hm_table_put(b, s->width, 0, 0, "norm.weight");
}

static void put_predictor(hm_table_builder *b, const hm_talker_shape *s)
{
    int64_t H = s->talker.width, Hc = s->predictor.width;
    put_stack(b, "talker.code_predictor.model.", &s->predictor);
    b->prefix = "talker.code_predictor.";
    for (int g = 0; g < (int)s->groups - 1; g++)
        hm_table_rule(hm_table_put(b, s->codebook, H, 0, "model.codec_embedding.%d.weight", g), 0, 1);
    for (int g = 0; g < (int)s->groups - 1; g++)
        gain_rule(hm_table_put(b, s->codebook, Hc, 0, "lm_head.%d.weight", g), 6);
    if (H != Hc)
        put_biased(b, Hc, H, 0, "small_to_mtp_projection");
}

static void put_speaker_block(hm_table_builder *b, const hm_speaker_encoder_shape *s, int k)
{
    char name[64];
    int64_t part = s->channels[k] / s->res2net_scale;
    snprintf(name, sizeof name, "blocks.%d.tdnn1.conv", k);
    put_biased(b, s->channels[k], s->channels[k - 1], 1, name);
    for (int i = 0; i < (int)s->res2net_scale - 1; i++) {
        snprintf(name, sizeof name, "blocks.%d.res2net_block.blocks.%d.conv", k, i);
        put_biased(b, part, part, s->kernels[k], name);
    }
    snprintf(name, sizeof name, "blocks.%d.tdnn2.conv", k);
    put_biased(b, s->channels[k], s->channels[k], 1, name);
    snprintf(name, sizeof name, "blocks.%d.se_block.conv1", k);
    put_biased(b, s->se, s->channels[k], 1, name);
    snprintf(name, sizeof name, "blocks.%d.se_block.conv2", k);
    put_biased(b, s->channels[k], s->se, 1, name);
}

static void put_speaker_encoder(hm_table_builder *b, const hm_speaker_encoder_shape *s)
{
    int64_t joined = 0, C = s->channels[s->blocks - 1];
    b->prefix = "speaker_encoder.";
    put_biased(b, s->channels[0], s->mel, s->kernels[0], "blocks.0.conv");
    for (int k = 1; k < (int)s->blocks - 1; k++) {
        put_speaker_block(b, s, k);
        joined += s->channels[k];
    }
    put_biased(b, C, joined, s->kernels[s->blocks - 1], "mfa.conv");
    put_biased(b, s->attention, 3 * C, 1, "asp.tdnn.conv");
    put_biased(b, C, s->attention, 1, "asp.conv");
    put_biased(b, s->width, 2 * C, 1, "fc");
}

hm_status hm_talker_table(hm_tensor_table *out, const hm_talker_shape *s, hm_error *err)
{
    hm_table_builder b = {.type = HM_BF16, .prefix = ""};
    int64_t H = s->talker.width, Ht = s->text_width;
    put_stack(&b, "talker.model.", &s->talker);
    hm_table_rule(hm_table_put(&b, s->code_vocab, H, 0, "codec_embedding.weight"), 0, 1);
    hm_table_rule(hm_table_put(&b, s->text_vocab, Ht, 0, "text_embedding.weight"), 0, 1);
    b.prefix = "talker.";
    put_biased(&b, Ht, Ht, 0, "text_projection.linear_fc1");
    put_biased(&b, H, Ht, 0, "text_projection.linear_fc2");
    gain_rule(hm_table_put(&b, s->code_vocab, H, 0, "codec_head.weight"), 6);
    put_predictor(&b, s);
    if (s->speaker.mel)
        put_speaker_encoder(&b, &s->speaker);
    return hm_table_finish(out, &b, err);
}

/* SEANet: convolution, then per rate its residual layers (an activation without weights inside and after) and one that goes down. */
static void put_seanet(hm_table_builder *b, const hm_speech_codec_shape *s)
{
    char name[64];
    int64_t channels = s->encoder.filters;
    b->prefix = "encoder.encoder.";
    put_biased(b, channels, 1, s->encoder.kernel, "layers.0.conv");
    int layer = 1;
    for (int64_t i = s->encoder.ratio_count - 1; i >= 0; i--, channels *= 2) {
        for (int64_t k = 0; k < s->encoder.residual_layers; k++, layer++) {
            snprintf(name, sizeof name, "layers.%d.block.1.conv", layer);
            put_biased(b, channels / s->encoder.compress, channels, s->encoder.residual_kernel, name);
            snprintf(name, sizeof name, "layers.%d.block.3.conv", layer);
            put_biased(b, channels, channels / s->encoder.compress, 1, name);
        }
        snprintf(name, sizeof name, "layers.%d.conv", layer + 1);
        put_biased(b, 2 * channels, channels, 2 * s->encoder.ratios[i], name);
        layer += 2;
    }
    snprintf(name, sizeof name, "layers.%d.conv", layer + 1);
    put_biased(b, s->encoder.width, channels, s->encoder.last_kernel, name);
}

static void put_encoder_transformer(hm_table_builder *b, const hm_speech_codec_shape *s)
{
    int64_t D = s->encoder.width, q = s->encoder.heads * s->encoder.head_dim, kv = s->encoder.kv_heads * s->encoder.head_dim;
    b->prefix = "encoder.encoder_transformer.";
    for (int i = 0; i < (int)s->encoder.layers; i++) {
        hm_table_put(b, q, D, 0, "layers.%d.self_attn.q_proj.weight", i);
        hm_table_put(b, kv, D, 0, "layers.%d.self_attn.k_proj.weight", i);
        hm_table_put(b, kv, D, 0, "layers.%d.self_attn.v_proj.weight", i);
        hm_table_put(b, D, q, 0, "layers.%d.self_attn.o_proj.weight", i);
        hm_table_put(b, s->encoder.hidden, D, 0, "layers.%d.mlp.fc1.weight", i);
        hm_table_put(b, D, s->encoder.hidden, 0, "layers.%d.mlp.fc2.weight", i);
        hm_table_put(b, D, 0, 0, "layers.%d.input_layernorm.weight", i);
        hm_table_put(b, D, 0, 0, "layers.%d.input_layernorm.bias", i);
        hm_table_put(b, D, 0, 0, "layers.%d.post_attention_layernorm.weight", i);
        hm_table_put(b, D, 0, 0, "layers.%d.post_attention_layernorm.bias", i);
        put_layer_scales(b, i, D);
    }
}

/* read: layers that encoding looks into; the file has more. */
static void put_encoder_quantiser(hm_table_builder *b, const char *prefix, int64_t layers, int64_t read, const hm_speech_codec_shape *s)
{
    int64_t D = s->encoder.width, d = s->encoder.codebook_dim;
    b->prefix = prefix;
    for (int i = 0; i < (int)layers; i++) {
        hm_tensor_row *flag = hm_table_put(b, 1, 0, 0, "layers.%d.codebook.initialized", i);
        hm_table_rule(flag, 1, 0);
        flag->unused = true;
        b->unused = i >= read;
        hm_table_rule(hm_table_put(b, s->encoder.codebook, 0, 0, "layers.%d.codebook.cluster_usage", i), 1, 0.5);
        hm_table_rule(hm_table_put(b, s->encoder.codebook, d, 0, "layers.%d.codebook.embed_sum", i), 0, 1);
        b->unused = false;
    }
    hm_table_put(b, d, D, 1, "input_proj.weight");
    hm_table_put(b, D, d, 1, "output_proj.weight")->unused = true;
}

static void put_encoder(hm_table_builder *b, const hm_speech_codec_shape *s)
{
    int64_t D = s->encoder.width, semantic = s->encoder.semantic, down = s->encode_rate;
    for (int64_t i = 0; i < s->encoder.ratio_count; i++)
        down /= s->encoder.ratios[i];
    put_seanet(b, s);
    put_encoder_transformer(b, s);
    b->prefix = "encoder.";
    hm_table_put(b, D, D, 2 * down, "downsample.conv.weight");
    put_encoder_quantiser(b, "encoder.quantizer.semantic_residual_vector_quantizer.", semantic, semantic, s);
    put_encoder_quantiser(b, "encoder.quantizer.acoustic_residual_vector_quantizer.", s->encoder.quantizers - semantic,
                          s->groups - semantic, s);
}

static void put_pre_transformer(hm_table_builder *b, const hm_speech_codec_shape *s)
{
    int64_t D = s->decoder.width, d = s->decoder.head_dim;
    b->prefix = "decoder.pre_transformer.";
    for (int i = 0; i < (int)s->decoder.layers; i++) {
        put_gated_layer(b, i, D, s->decoder.hidden, s->decoder.heads * d, s->decoder.kv_heads * d, 0);
        put_layer_scales(b, i, D);
    }
    hm_table_put(b, D, 0, 0, "norm.weight");
    put_biased(b, D, s->decoder.latent, 0, "input_proj");
    put_biased(b, s->decoder.latent, D, 0, "output_proj");
}

static void put_decoder_quantiser(hm_table_builder *b, const char *prefix, int64_t layers, const hm_speech_codec_shape *s)
{
    int64_t D = s->decoder.codebook_dim, d = D / 2;
    b->prefix = prefix;
    hm_table_put(b, d, D, 1, "input_proj.weight")->unused = true;
    hm_table_put(b, D, d, 1, "output_proj.weight");
    for (int i = 0; i < (int)layers; i++) {
        hm_table_rule(hm_table_put(b, s->decoder.codebook, 0, 0, "vq.layers.%d._codebook.cluster_usage", i), 1, 0.5);
        hm_table_rule(hm_table_put(b, s->decoder.codebook, d, 0, "vq.layers.%d._codebook.embedding_sum", i), 0, 1);
    }
}

static void put_upsample(hm_table_builder *b, const hm_speech_codec_shape *s)
{
    char name[64];
    int64_t Z = s->decoder.latent;
    b->prefix = "decoder.upsample.";
    for (int u = 0; u < (int)s->decoder.ratio_count; u++) {
        snprintf(name, sizeof name, "%d.0.conv", u);
        hm_table_put(b, Z, Z, s->decoder.ratios[u], "%s.weight", name); /* in, out, kernel */
        hm_table_put(b, Z, 0, 0, "%s.bias", name);
        hm_table_rule(hm_table_put(b, Z, 0, 0, "%d.1.gamma", u), 0.5, 0.1);
        snprintf(name, sizeof name, "%d.1.dwconv.conv", u);
        put_biased(b, Z, 1, 7, name);
        snprintf(name, sizeof name, "%d.1.norm", u);
        put_biased(b, Z, 0, 0, name);
        snprintf(name, sizeof name, "%d.1.pwconv1", u);
        put_biased(b, 4 * Z, Z, 0, name);
        snprintf(name, sizeof name, "%d.1.pwconv2", u);
        put_biased(b, Z, 4 * Z, 0, name);
    }
}

/* SnakeBeta: both parameters are logarithms. */
static void put_snake(hm_table_builder *b, const char *name, int64_t channels)
{
    hm_table_rule(hm_table_put(b, channels, 0, 0, "%s.alpha", name), 0, 0.5);
    hm_table_rule(hm_table_put(b, channels, 0, 0, "%s.beta", name), 0, 0.5);
}

static void put_residual_unit(hm_table_builder *b, int stage, int unit, int64_t channels)
{
    char name[64];
    snprintf(name, sizeof name, "%d.block.%d.act1", stage, unit);
    put_snake(b, name, channels);
    snprintf(name, sizeof name, "%d.block.%d.conv1.conv", stage, unit);
    put_biased(b, channels, channels, 7, name);
    snprintf(name, sizeof name, "%d.block.%d.act2", stage, unit);
    put_snake(b, name, channels);
    gain_rule(hm_table_put(b, channels, channels, 1, "%d.block.%d.conv2.conv.weight", stage, unit), 0.5);
    hm_table_put(b, channels, 0, 0, "%d.block.%d.conv2.conv.bias", stage, unit);
}

static void put_vocoder(hm_table_builder *b, const hm_speech_codec_shape *s)
{
    char name[64];
    int64_t channels = s->decoder.channels;
    b->prefix = "decoder.decoder.";
    put_biased(b, channels, s->decoder.latent, 7, "0.conv");
    int stage = 1;
    for (; stage <= (int)s->decoder.rate_count; stage++, channels /= 2) {
        snprintf(name, sizeof name, "%d.block.0", stage);
        put_snake(b, name, channels);
        hm_table_put(b, channels, channels / 2, 2 * s->decoder.rates[stage - 1], "%d.block.1.conv.weight", stage); /* in, out, kernel */
        hm_table_put(b, channels / 2, 0, 0, "%d.block.1.conv.bias", stage);
        for (int unit = 2; unit < 5; unit++)
            put_residual_unit(b, stage, unit, channels / 2);
    }
    snprintf(name, sizeof name, "%d", stage);
    put_snake(b, name, channels);
    gain_rule(hm_table_put(b, 1, channels, 7, "%d.conv.weight", stage + 1), 0.1);
    hm_table_put(b, 1, 0, 0, "%d.conv.bias", stage + 1);
}

hm_status hm_speech_codec_table(hm_tensor_table *out, const hm_speech_codec_shape *s, hm_error *err)
{
    hm_table_builder b = {.type = HM_F32, .prefix = ""};
    put_encoder(&b, s);
    put_pre_transformer(&b, s);
    put_decoder_quantiser(&b, "decoder.quantizer.rvq_first.", 1, s);
    put_decoder_quantiser(&b, "decoder.quantizer.rvq_rest.", s->groups - 1, s);
    b.prefix = "decoder.";
    put_biased(&b, s->decoder.latent, s->decoder.codebook_dim, 3, "pre_conv.conv");
    put_upsample(&b, s);
    put_vocoder(&b, s);
    return hm_table_finish(out, &b, err);
}
