/* Config of the speech tokenizer of Qwen3-TTS: read with every size checked, and written back. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/shapes_impl.h"
#include "engine/shapes_tts.h"

#define TOKENIZER_TYPE "qwen3_tts_tokenizer_12hz"
#define MAX_WIDTH (1 << 17)
#define MAX_VOCABULARY (1 << 24)

#define CODEC(key, member, least, most)                           \
    {                                                             \
        key, offsetof(hm_speech_codec_shape, member), least, most \
    }
static const hm_shape_field codec_fields[] = {
    CODEC("output_sample_rate", sample_rate, 1, 1 << 20),
    CODEC("encoder_valid_num_quantizers", groups, 2, HM_TTS_MAX_GROUPS),
    CODEC("decode_upsample_rate", decode_rate, 1, 1 << 20),
    CODEC("encode_downsample_rate", encode_rate, 1, 1 << 20),
};
static const hm_shape_field decoder_fields[] = {
    CODEC("codebook_size", decoder.codebook, 1, MAX_VOCABULARY),
    CODEC("codebook_dim", decoder.codebook_dim, 2, 1 << 16),
    CODEC("latent_dim", decoder.latent, 1, 1 << 16),
    CODEC("hidden_size", decoder.width, 1, 1 << 16),
    CODEC("intermediate_size", decoder.hidden, 1, MAX_WIDTH),
    CODEC("num_hidden_layers", decoder.layers, 1, 1000),
    CODEC("num_attention_heads", decoder.heads, 1, 1024),
    CODEC("num_key_value_heads", decoder.kv_heads, 1, 1024),
    CODEC("head_dim", decoder.head_dim, 2, 4096),
    CODEC("sliding_window", decoder.window, 1, 1 << 20),
    CODEC("decoder_dim", decoder.channels, 1, 1 << 16),
    CODEC("num_quantizers", decoder.groups, 2, HM_TTS_MAX_GROUPS),
};
static const hm_shape_field encoder_fields[] = {
    CODEC("hidden_size", encoder.width, 1, 1 << 16),
    CODEC("num_filters", encoder.filters, 1, 1 << 14),
    CODEC("intermediate_size", encoder.hidden, 1, MAX_WIDTH),
    CODEC("num_hidden_layers", encoder.layers, 1, 1000),
    CODEC("num_attention_heads", encoder.heads, 1, 1024),
    CODEC("num_key_value_heads", encoder.kv_heads, 1, 1024),
    CODEC("head_dim", encoder.head_dim, 2, 4096),
    CODEC("codebook_size", encoder.codebook, 1, MAX_VOCABULARY),
    CODEC("codebook_dim", encoder.codebook_dim, 1, 1 << 16),
    CODEC("num_quantizers", encoder.quantizers, 2, 256),
    CODEC("num_semantic_quantizers", encoder.semantic, 1, 1),
    CODEC("kernel_size", encoder.kernel, 1, 255),
    CODEC("last_kernel_size", encoder.last_kernel, 1, 255),
    CODEC("residual_kernel_size", encoder.residual_kernel, 1, 255),
    CODEC("num_residual_layers", encoder.residual_layers, 1, 8),
    CODEC("dilation_growth_rate", encoder.dilation_growth, 1, 8),
    CODEC("compress", encoder.compress, 1, 64),
};

static const hm_speech_codec_shape released_codec = {
    .sample_rate = 24000,
    .groups = 16,
    .decode_rate = 1920,
    .encode_rate = 1920,
    .decoder = {.codebook = 2048,
                .codebook_dim = 512,
                .latent = 1024,
                .width = 512,
                .hidden = 1024,
                .layers = 8,
                .heads = 16,
                .kv_heads = 16,
                .head_dim = 64,
                .window = 72,
                .channels = 1536,
                .groups = 16,
                .ratios = {2, 2},
                .ratio_count = 2,
                .rates = {8, 5, 4, 3},
                .rate_count = 4,
                .rope_theta = 10000,
                .eps = 1e-5},
    .encoder = {.width = 512,
                .filters = 64,
                .hidden = 2048,
                .layers = 8,
                .heads = 8,
                .kv_heads = 8,
                .head_dim = 64,
                .codebook = 2048,
                .codebook_dim = 256,
                .quantizers = 32,
                .semantic = 1,
                .ratios = {8, 6, 5, 4},
                .ratio_count = 4,
                .kernel = 7,
                .last_kernel = 3,
                .residual_kernel = 3,
                .residual_layers = 1,
                .dilation_growth = 2,
                .compress = 2,
                .rope_theta = 10000,
                .eps = 1e-5,
                .frame_rate = 12.5},
};

typedef hm_status part_reader(hm_speech_codec_shape *s, const json_t *own, const char *where, hm_error *err);

/* One object of the config, whose name joins the place in messages. */
static hm_status read_part(hm_speech_codec_shape *s, const json_t *config, const char *key, part_reader *read, const char *where,
                           hm_error *err)
{
    char place[512];
    json_t *own = NULL;
    hm_status st = hm_json_child(config, key, JSON_OBJECT, true, &own, where, err);
    snprintf(place, sizeof place, "%.400s: %s", where, key);
    return st ? st : read(s, own, place, err);
}

static hm_status read_decoder(hm_speech_codec_shape *s, const json_t *own, const char *where, hm_error *err)
{
    int64_t product = 1;
    hm_status st = hm_shape_fields_read(s, own, decoder_fields, HM_COUNT(decoder_fields), false, where, err);
    if (!st)
        st = hm_shape_list_read(s->decoder.ratios, &s->decoder.ratio_count, HM_TTS_RATES, 64, own, "upsampling_ratios", where, err);
    if (!st)
        st = hm_shape_list_read(s->decoder.rates, &s->decoder.rate_count, HM_TTS_RATES, 64, own, "upsample_rates", where, err);
    if (!st)
        st = hm_shape_positive_read(&s->decoder.rope_theta, own, "rope_theta", where, err);
    if (!st)
        st = hm_shape_positive_read(&s->decoder.eps, own, "rms_norm_eps", where, err);
    if (!st)
        st = hm_shape_only_text(own, "hidden_act", "silu", where, err);
    if (!st)
        st = hm_shape_only_bool(own, "attention_bias", false, where, err);
    if (!st)
        st = hm_shape_heads_check(s->decoder.heads, s->decoder.kv_heads, s->decoder.head_dim, where, err);
    for (int64_t i = 0; !st && i < s->decoder.ratio_count; i++)
        product *= s->decoder.ratios[i];
    for (int64_t i = 0; !st && i < s->decoder.rate_count; i++)
        product = product > 1 << 20 ? product : product * s->decoder.rates[i];
    if (!st && product != s->decode_rate)
        st = hm_fail(err, HM_EFORMAT,
                     "%s: decode_upsample_rate %" PRId64 ": expected the product of upsampling_ratios and upsample_rates, %" PRId64, where,
                     s->decode_rate, product);
    if (!st && (s->decoder.codebook_dim % 2 || s->decoder.channels % ((int64_t)1 << s->decoder.rate_count)))
        st = hm_fail(err, HM_EFORMAT,
                     "%s: codebook_dim %" PRId64 ", decoder_dim %" PRId64 ": expected an even one, and one that halves %" PRId64 " times",
                     where, s->decoder.codebook_dim, s->decoder.channels, s->decoder.rate_count);
    if (!st && s->decoder.groups != s->groups)
        st = hm_fail(err, HM_EFORMAT,
                     "%s: encoder_valid_num_quantizers %" PRId64 ", num_quantizers of the decoder %" PRId64 ": expected as many", where,
                     s->groups, s->decoder.groups);
    return st;
}

/* The words of encoder_config that choose other networks than the one here. */
static hm_status check_encoder_words(const json_t *own, const char *where, hm_error *err)
{
    hm_status st = hm_shape_only_text(own, "hidden_act", "gelu", where, err);
    if (!st)
        st = hm_shape_only_text(own, "pad_mode", "constant", where, err);
    if (!st)
        st = hm_shape_only_bool(own, "use_causal_conv", true, where, err);
    if (!st)
        st = hm_shape_only_bool(own, "use_conv_shortcut", false, where, err);
    if (!st)
        st = hm_shape_only_bool(own, "attention_bias", false, where, err);
    return st ? st : hm_shape_only_int(own, "audio_channels", 1, where, err);
}

static hm_status check_encoder(const hm_speech_codec_shape *s, const json_t *own, const char *where, hm_error *err)
{
    int64_t product = 1, vq = s->encoder.codebook_dim, widest = s->encoder.filters << s->encoder.ratio_count;
    hm_status st = hm_json_int(own, "vector_quantization_hidden_dimension", 1, 1 << 16, false, &vq, where, err);
    if (!st)
        st = hm_shape_heads_check(s->encoder.heads, s->encoder.kv_heads, s->encoder.head_dim, where, err);
    if (st)
        return st;
    for (int64_t i = 0; i < s->encoder.ratio_count; i++)
        product = product > 1 << 20 ? product : product * s->encoder.ratios[i];
    double rate_off = fabs(s->encoder.frame_rate * (double)s->encode_rate - (double)s->sample_rate); /* a decimal fraction may be cut */
    if (s->encode_rate % product || s->encode_rate / product < 2 || rate_off > 1e-6 * (double)s->sample_rate)
        return hm_fail(err, HM_EFORMAT,
                       "%s: encode_downsample_rate %" PRId64 ": expected a multiple, twice or more, of the product of upsampling_ratios "
                       "(%" PRId64 "), and sample rate %" PRId64 " / _frame_rate %g",
                       where, s->encode_rate, product, s->sample_rate, s->encoder.frame_rate);
    if (vq != s->encoder.codebook_dim || s->encoder.codebook != s->decoder.codebook || s->encoder.quantizers < s->groups)
        return hm_fail(err, HM_EFORMAT,
                       "%s: %" PRId64 " quantizers of %" PRId64 " entries, codebook_dim %" PRId64 " in %" PRId64
                       ": expected at least %" PRId64 " of the decoder's %" PRId64 ", and the two widths equal",
                       where, s->encoder.quantizers, s->encoder.codebook, s->encoder.codebook_dim, vq, s->groups, s->decoder.codebook);
    if (s->encoder.filters % s->encoder.compress || widest > 1 << 20)
        return hm_fail(err, HM_EFORMAT,
                       "%s: num_filters %" PRId64 ": expected a multiple of compress %" PRId64 ", at most 2^20 after doubling %" PRId64
                       " times",
                       where, s->encoder.filters, s->encoder.compress, s->encoder.ratio_count);
    return HM_OK;
}

static hm_status read_encoder(hm_speech_codec_shape *s, const json_t *own, const char *where, hm_error *err)
{
    hm_status st = hm_shape_fields_read(s, own, encoder_fields, HM_COUNT(encoder_fields), false, where, err);
    if (!st)
        st = hm_shape_list_read(s->encoder.ratios, &s->encoder.ratio_count, HM_TTS_RATES, 64, own, "upsampling_ratios", where, err);
    if (!st)
        st = hm_shape_positive_read(&s->encoder.rope_theta, own, "rope_theta", where, err);
    if (!st)
        st = hm_shape_positive_read(&s->encoder.eps, own, "norm_eps", where, err);
    if (!st)
        st = hm_shape_positive_read(&s->encoder.frame_rate, own, "_frame_rate", where, err);
    if (!st)
        st = check_encoder_words(own, where, err);
    return st ? st : check_encoder(s, own, where, err);
}

hm_status hm_speech_codec_shape_read(hm_speech_codec_shape *out, const json_t *config, const char *where, hm_error *err)
{
    hm_speech_codec_shape s = released_codec;
    const char *type = TOKENIZER_TYPE;
    hm_status st = hm_json_string(config, "model_type", false, &type, where, err);
    if (!st && strcmp(type, TOKENIZER_TYPE))
        st = hm_fail(err, HM_EFORMAT, "%s: model_type \"%.64s\"%s is not read here, only " TOKENIZER_TYPE ": take a 12 Hz model", where,
                     type, strstr(type, "25hz") ? " (the 25 Hz family)" : "");
    if (!st)
        st = hm_shape_fields_read(&s, config, codec_fields, HM_COUNT(codec_fields), false, where, err);
    if (!st)
        st = hm_shape_only_int(config, "input_sample_rate", s.sample_rate, where, err);
    if (!st)
        st = read_part(&s, config, "decoder_config", read_decoder, where, err);
    if (!st)
        st = read_part(&s, config, "encoder_config", read_encoder, where, err);
    if (!st)
        *out = s;
    return st;
}

hm_status hm_tts_shapes_check(const hm_talker_shape *talker, const hm_speech_codec_shape *codec, const char *where, hm_error *err)
{
    if (talker->groups != codec->groups || talker->codebook != codec->decoder.codebook)
        return hm_fail(err, HM_EFORMAT,
                       "%s: the talker has %" PRId64 " code groups of %" PRId64 " entries, its speech tokenizer %" PRId64 " of %" PRId64
                       ": expected the same; take both from one folder",
                       where, talker->groups, talker->codebook, codec->groups, codec->decoder.codebook);
    return HM_OK;
}

static const char *const codec_keys[] = {"architectures",  "model_type",     "transformers_version",
                                         "dtype",          "torch_dtype",    "_name_or_path",
                                         "decoder_config", "encoder_config", "input_sample_rate"};

bool hm_speech_codec_shape_knows(const char *key)
{
    return hm_shape_keys_know(key, codec_keys, HM_COUNT(codec_keys)) || hm_shape_fields_know(key, codec_fields, HM_COUNT(codec_fields));
}

static json_t *decoder_config(const hm_speech_codec_shape *s)
{
    json_t *own = hm_shape_fields_write(json_pack("{sb sf ss sf si sI sf sf}", "attention_bias", 0, "attention_dropout", 0.0, "hidden_act",
                                                  "silu", "layer_scale_initial_scale", 0.01, "num_semantic_quantizers", 1,
                                                  "semantic_codebook_size", (json_int_t)(2 * s->decoder.codebook), "rope_theta",
                                                  s->decoder.rope_theta, "rms_norm_eps", s->decoder.eps),
                                        s, decoder_fields, HM_COUNT(decoder_fields));
    if (own && hm_shape_list_write(own, "upsampling_ratios", s->decoder.ratios, s->decoder.ratio_count) &&
        hm_shape_list_write(own, "upsample_rates", s->decoder.rates, s->decoder.rate_count))
        return own;
    json_decref(own);
    return NULL;
}

static json_t *encoder_config(const hm_speech_codec_shape *s)
{
    json_t *own = hm_shape_fields_write(json_pack("{sb ss sb sb ss si sI sf sf sf si}", "attention_bias", 0, "hidden_act", "gelu",
                                                  "use_causal_conv", 1, "use_conv_shortcut", 0, "pad_mode", "constant", "audio_channels", 1,
                                                  "vector_quantization_hidden_dimension", (json_int_t)s->encoder.codebook_dim,
                                                  "_frame_rate", s->encoder.frame_rate, "rope_theta", s->encoder.rope_theta, "norm_eps",
                                                  s->encoder.eps, "sliding_window", 250),
                                        s, encoder_fields, HM_COUNT(encoder_fields));
    if (own && hm_shape_list_write(own, "upsampling_ratios", s->encoder.ratios, s->encoder.ratio_count))
        return own;
    json_decref(own);
    return NULL;
}

json_t *hm_speech_codec_shape_config(const hm_speech_codec_shape *s)
{
    json_t *decoder = decoder_config(s), *encoder = encoder_config(s);
    json_t *config = json_pack("{s[s] ss sI so* so*}", "architectures", "Qwen3TTSTokenizerV2Model", "model_type", TOKENIZER_TYPE,
                               "input_sample_rate", (json_int_t)s->sample_rate, "decoder_config", decoder, "encoder_config", encoder);
    if (config && !(decoder && encoder)) {
        json_decref(config);
        return NULL;
    }
    return hm_shape_fields_write(config, s, codec_fields, HM_COUNT(codec_fields));
}
