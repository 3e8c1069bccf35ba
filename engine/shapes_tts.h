/* Sizes of Qwen3-TTS as its configs tell them, and the lists of tensors that follow (docs/models.md). */
#ifndef HM_ENGINE_SHAPES_TTS_H
#define HM_ENGINE_SHAPES_TTS_H

#include "engine/shapes.h"

enum {
    HM_TTS_NAMES = 128,
    HM_TTS_RATES = 8,
    HM_TTS_ENCODER_BLOCKS = 8,
    HM_TTS_MAX_GROUPS = 64
};

typedef enum hm_tts_kind {
    HM_TTS_CUSTOM_VOICE,
    HM_TTS_VOICE_DESIGN,
    HM_TTS_BASE
} hm_tts_kind;

/* "custom_voice", "voice_design", "base", as tts_model_type has them. */
const char *hm_tts_kind_name(hm_tts_kind kind);

/* A language or a speaker of talker_config: its name and row of the codec embedding. dialect: of a speaker, name of the language it
 * speaks instead of Chinese; empty: none. */
typedef struct hm_tts_name {
    char name[48], dialect[48];
    int64_t id;
} hm_tts_name;

/* A decoder stack: the talker or the code predictor. */
typedef struct hm_tts_stack {
    int64_t layers, heads, kv_heads, head_dim, width, hidden, positions;
    double eps, rope_theta;
} hm_tts_stack;

/* ECAPA-TDNN of a Base model. The lists have `blocks` entries: blocks 0 .. blocks-2, then mfa. */
typedef struct hm_speaker_encoder_shape {
    int64_t mel, width, sample_rate; /* mel_dim, enc_dim, sample_rate */
    int64_t blocks, channels[HM_TTS_ENCODER_BLOCKS], kernels[HM_TTS_ENCODER_BLOCKS], dilations[HM_TTS_ENCODER_BLOCKS];
    int64_t attention, res2net_scale, se;
} hm_speaker_encoder_shape;

/* config.json of the model folder. */
typedef struct hm_talker_shape {
    hm_tts_kind kind;
    char size[16]; /* tts_model_size: "0b6", "1b7" */
    hm_tts_stack talker, predictor;
    int64_t text_width, text_vocab;       /* Ht, rows of the text embedding */
    int64_t code_vocab, groups, codebook; /* V, G, Vc */
    int64_t im_start, im_end, tts_pad, tts_bos, tts_eos;
    int64_t codec_pad, codec_bos, codec_eos, codec_think, codec_nothink, codec_think_bos, codec_think_eos;
    hm_tts_name languages[HM_TTS_NAMES], speakers[HM_TTS_NAMES];
    int language_count, speaker_count;
    hm_speaker_encoder_shape speaker; /* Base; mel 0: none */
} hm_talker_shape;

/* speech_tokenizer/config.json: decoder_config and encoder_config. */
typedef struct hm_speech_codec_shape {
    int64_t sample_rate, groups;      /* output_sample_rate; encoder_valid_num_quantizers */
    int64_t decode_rate, encode_rate; /* samples per frame: decode_upsample_rate, encode_downsample_rate */
    struct {
        int64_t codebook, codebook_dim, latent, width, hidden, layers, heads, kv_heads, head_dim, window, channels, groups;
        int64_t ratios[HM_TTS_RATES], ratio_count; /* upsampling_ratios */
        int64_t rates[HM_TTS_RATES], rate_count;   /* upsample_rates */
        double rope_theta, eps;
    } decoder;
    struct {
        int64_t width, filters, hidden, layers, heads, kv_heads, head_dim, codebook, codebook_dim, quantizers, semantic;
        int64_t ratios[HM_TTS_RATES], ratio_count; /* upsampling_ratios, as stored: used in reverse */
        int64_t kernel, last_kernel, residual_kernel, residual_layers, dilation_growth, compress;
        double rope_theta, eps, frame_rate;
    } encoder;
} hm_speech_codec_shape;

/* Checked: present where required, bounded, heads divide, ids inside the vocabularies, products of rates as told, kinds known. */
hm_status hm_talker_shape_read(hm_talker_shape *out, const json_t *config, const char *where, hm_error *err);
hm_status hm_speech_codec_shape_read(hm_speech_codec_shape *out, const json_t *config, const char *where, hm_error *err);

/* HM_EFORMAT when talker and speech tokenizer do not belong together: as many groups, codes within the codebooks. */
hm_status hm_tts_shapes_check(const hm_talker_shape *talker, const hm_speech_codec_shape *codec, const char *where, hm_error *err);

/* Whether a top-level key of the config means something here, or is known to mean nothing for running the model. */
bool hm_talker_shape_knows(const char *key);
bool hm_speech_codec_shape_knows(const char *key);

/* All tensors, in the files' order: the talker in BF16 with the speaker encoder of a Base model, the speech tokenizer in F32 with both
 * halves; filled by the rules of docs/models.md. Free with hm_tensor_table_close. */
hm_status hm_talker_table(hm_tensor_table *out, const hm_talker_shape *shape, hm_error *err);
hm_status hm_speech_codec_table(hm_tensor_table *out, const hm_speech_codec_shape *shape, hm_error *err);

/* config.json of a shape. New reference; NULL without memory. */
json_t *hm_talker_shape_config(const hm_talker_shape *shape);
json_t *hm_speech_codec_shape_config(const hm_speech_codec_shape *shape);

/* How a model draws when the caller does not say: generation_config.json, else the built-in values. */
typedef struct hm_tts_generation {
    bool greedy, sub_greedy; /* do_sample, subtalker_dosample false */
    int64_t topk, sub_topk;  /* 0: all */
    int64_t max_frames;      /* max_new_tokens - 1: the last token is drawn and never used */
    double temperature, top_p, repetition_penalty, sub_temperature, sub_top_p;
} hm_tts_generation;

/* config: parsed generation_config.json, or NULL. */
hm_status hm_tts_generation_read(hm_tts_generation *out, const json_t *config, const char *where, hm_error *err);

#endif
