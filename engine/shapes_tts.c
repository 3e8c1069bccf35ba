/* Configs of Qwen3-TTS: read with every size checked, and written back. Its speech tokenizer's is in shapes_tts_codec.c. */
#include "engine/shapes_tts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/base/json.h"
#include "engine/shapes_impl.h"

#define MODEL_TYPE "qwen3_tts"
#define TOKENIZER_TYPE "qwen3_tts_tokenizer_12hz"
#define MAX_WIDTH (1 << 17)
#define MAX_VOCABULARY (1 << 24)
#define SUPPRESSED 1024 /* the last rows of the codec vocabulary, which are no audio: fixed in the original */

static const char *const kinds[] = {"custom_voice", "voice_design", "base"};

const char *hm_tts_kind_name(hm_tts_kind kind)
{
    return kinds[kind];
}

#define STACK(key, member, least, most)                  \
    {                                                    \
        key, offsetof(hm_tts_stack, member), least, most \
    }
static const hm_shape_field stack_fields[] = {
    STACK("hidden_size", width, 2, MAX_WIDTH),
    STACK("intermediate_size", hidden, 1, MAX_WIDTH),
    STACK("num_hidden_layers", layers, 1, 1000),
    STACK("num_attention_heads", heads, 1, 1024),
    STACK("num_key_value_heads", kv_heads, 1, 1024),
    STACK("head_dim", head_dim, 2, 4096),
    STACK("max_position_embeddings", positions, 2, 1 << 24),
};

#define TALKER(key, member, least, most)                    \
    {                                                       \
        key, offsetof(hm_talker_shape, member), least, most \
    }
static const hm_shape_field text_ids[] = {
    TALKER("im_start_token_id", im_start, 0, MAX_VOCABULARY), TALKER("im_end_token_id", im_end, 0, MAX_VOCABULARY),
    TALKER("tts_pad_token_id", tts_pad, 0, MAX_VOCABULARY),   TALKER("tts_bos_token_id", tts_bos, 0, MAX_VOCABULARY),
    TALKER("tts_eos_token_id", tts_eos, 0, MAX_VOCABULARY),
};
static const hm_shape_field talker_fields[] = {
    TALKER("text_hidden_size", text_width, 1, MAX_WIDTH),
    TALKER("text_vocab_size", text_vocab, 1, MAX_VOCABULARY),
    TALKER("vocab_size", code_vocab, SUPPRESSED + 1, MAX_VOCABULARY),
    TALKER("num_code_groups", groups, 2, HM_TTS_MAX_GROUPS),
};
static const hm_shape_field code_ids[] = {
    TALKER("codec_pad_id", codec_pad, 0, MAX_VOCABULARY),
    TALKER("codec_bos_id", codec_bos, 0, MAX_VOCABULARY),
    TALKER("codec_eos_token_id", codec_eos, 0, MAX_VOCABULARY),
    TALKER("codec_think_id", codec_think, 0, MAX_VOCABULARY),
    TALKER("codec_nothink_id", codec_nothink, 0, MAX_VOCABULARY),
    TALKER("codec_think_bos_id", codec_think_bos, 0, MAX_VOCABULARY),
    TALKER("codec_think_eos_id", codec_think_eos, 0, MAX_VOCABULARY),
};

#define SPEAKER(key, member, least, most)                            \
    {                                                                \
        key, offsetof(hm_speaker_encoder_shape, member), least, most \
    }
static const hm_shape_field speaker_fields[] = {
    SPEAKER("mel_dim", mel, 1, 512),
    SPEAKER("enc_dim", width, 1, MAX_WIDTH),
    SPEAKER("sample_rate", sample_rate, 1, 1 << 20),
    SPEAKER("enc_attention_channels", attention, 1, MAX_WIDTH),
    SPEAKER("enc_res2net_scale", res2net_scale, 2, 64),
    SPEAKER("enc_se_channels", se, 1, MAX_WIDTH),
};

/* The rotation of the talker names three sections of positions; they are equal in speech, so any sections do. A type does not. */
static hm_status check_rope(const json_t *config, const char *where, hm_error *err)
{
    static const char *const keys[] = {"rope_type", "type"};
    json_t *scaling = NULL;
    hm_status st = hm_json_child(config, "rope_scaling", JSON_OBJECT, false, &scaling, where, err);
    for (int i = 0; !st && scaling && i < 2; i++)
        st = hm_shape_only_text(scaling, keys[i], "default", where, err);
    return st;
}

static hm_status read_stack(hm_tts_stack *s, const json_t *config, const char *where, hm_error *err)
{
    hm_status st = hm_shape_fields_read(s, config, stack_fields, HM_COUNT(stack_fields), true, where, err);
    s->eps = 1e-6;
    s->rope_theta = 1e6;
    if (!st)
        st = hm_shape_positive_read(&s->eps, config, "rms_norm_eps", where, err);
    if (!st)
        st = hm_shape_positive_read(&s->rope_theta, config, "rope_theta", where, err);
    if (!st)
        st = hm_shape_only_text(config, "hidden_act", "silu", where, err);
    if (!st)
        st = hm_shape_only_bool(config, "attention_bias", false, where, err);
    if (!st)
        st = hm_shape_only_bool(config, "use_sliding_window", false, where, err);
    if (!st)
        st = check_rope(config, where, err);
    return st ? st : hm_shape_heads_check(s->heads, s->kv_heads, s->head_dim, where, err);
}

static hm_status check_ids(const hm_talker_shape *s, const hm_shape_field *fields, size_t count, int64_t size, const char *where,
                           hm_error *err)
{
    for (size_t i = 0; i < count; i++) {
        int64_t id = *(const int64_t *)((const char *)s + fields[i].at);
        if (id >= size)
            return hm_fail(err, HM_EFORMAT, "%s: \"%s\": id %" PRId64 " is not in the vocabulary of %" PRId64, where, fields[i].key, id,
                           size);
    }
    return HM_OK;
}

static hm_status copy_name(char out[48], const char *name, const char *key, const char *where, hm_error *err)
{
    size_t n = strlen(name);
    if (n < 1 || n >= 48)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected names of 1 to 47 bytes, found \"%.60s\"", where, key, name);
    memcpy(out, name, n + 1);
    return HM_OK;
}

/* {name: row of the codec embedding}; absent: none. */
static hm_status read_names(hm_tts_name *out, int *count, const json_t *config, const char *key, int64_t rows, const char *where,
                            hm_error *err)
{
    json_t *table = NULL;
    hm_status st = hm_json_child(config, key, JSON_OBJECT, false, &table, where, err);
    *count = 0;
    if (json_object_size(table) > HM_TTS_NAMES)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected at most %d names, found %zu", where, key, HM_TTS_NAMES,
                       json_object_size(table));
    for (void *i = json_object_iter(table); !st && i; i = json_object_iter_next(table, i)) {
        hm_tts_name *name = &out[(*count)++];
        st = copy_name(name->name, json_object_iter_key(i), key, where, err);
        if (!st)
            st = hm_json_int(table, name->name, 0, rows - 1, true, &name->id, where, err);
        for (int k = 0; !st && k < *count - 1; k++)
            if (!strcasecmp(out[k].name, name->name))
                st = hm_fail(err, HM_EFORMAT, "%s: \"%s\": \"%s\" and \"%s\" differ in case only", where, key, out[k].name, name->name);
    }
    return st;
}

static bool is_language(const hm_talker_shape *s, const char *name)
{
    for (int i = 0; i < s->language_count; i++)
        if (!strcmp(s->languages[i].name, name))
            return true;
    return false;
}

/* spk_is_dialect: {speaker: false or a language}. Entries of unknown speakers mean nothing. */
static hm_status read_dialects(hm_talker_shape *s, const json_t *config, const char *where, hm_error *err)
{
    static const char key[] = "spk_is_dialect";
    json_t *table = NULL;
    hm_status st = hm_json_child(config, key, JSON_OBJECT, false, &table, where, err);
    for (int i = 0; !st && i < s->speaker_count; i++) {
        const json_t *value = json_object_get(table, s->speakers[i].name);
        if (!value || json_is_false(value) || json_is_null(value))
            continue;
        if (!json_is_string(value))
            return hm_fail(err, HM_EFORMAT, "%s: \"%s\": %s: expected false or a language, found %s", where, key, s->speakers[i].name,
                           hm_json_kind(value));
        st = copy_name(s->speakers[i].dialect, json_string_value(value), key, where, err);
        if (!st && !is_language(s, s->speakers[i].dialect))
            st = hm_fail(err, HM_EFORMAT, "%s: \"%s\": %s speaks \"%s\", which codec_language_id does not have", where, key,
                         s->speakers[i].name, s->speakers[i].dialect);
    }
    return st;
}

static hm_status check_speaker(const hm_speaker_encoder_shape *s, int64_t counts[3], int64_t width, const char *where, hm_error *err)
{
    int64_t last = counts[0] - 1, joined = 0;
    if (counts[1] != counts[0] || counts[2] != counts[0] || counts[0] < 3)
        return hm_fail(err, HM_EFORMAT,
                       "%s: %" PRId64 " enc_channels, %" PRId64 " enc_kernel_sizes, %" PRId64
                       " enc_dilations: expected the same number of each, 3 or more",
                       where, counts[0], counts[1], counts[2]);
    for (int64_t k = 0; k <= last; k++)
        if (s->kernels[k] % 2 == 0)
            return hm_fail(err, HM_EFORMAT, "%s: enc_kernel_sizes[%" PRId64 "] is %" PRId64 ", expected an odd one", where, k,
                           s->kernels[k]);
    for (int64_t k = 1; k < last; k++) {
        if (s->channels[k] != s->channels[k - 1] || s->channels[k] % s->res2net_scale)
            return hm_fail(err, HM_EFORMAT,
                           "%s: enc_channels[%" PRId64 "] is %" PRId64 ", expected the %" PRId64
                           " of the block before it, a multiple of enc_res2net_scale %" PRId64,
                           where, k, s->channels[k], s->channels[k - 1], s->res2net_scale);
        joined += s->channels[k];
    }
    if (s->channels[last] != joined || s->kernels[last] != 1 || s->dilations[last] != 1)
        return hm_fail(err, HM_EFORMAT,
                       "%s: the last block has %" PRId64 " channels, kernel %" PRId64 ", dilation %" PRId64 ": expected %" PRId64
                       " (those between the first and it, joined), 1 and 1",
                       where, s->channels[last], s->kernels[last], s->dilations[last], joined);
    if (s->width != width || s->sample_rate != 24000)
        return hm_fail(err, HM_EFORMAT,
                       "%s: enc_dim %" PRId64 ", sample_rate %" PRId64 ": expected the talker's width %" PRId64 " and 24000", where,
                       s->width, s->sample_rate, width);
    return HM_OK;
}

static hm_status read_speaker(hm_speaker_encoder_shape *s, const json_t *config, int64_t width, const char *where, hm_error *err)
{
    char place[512];
    json_t *own = NULL;
    int64_t counts[3] = {5, 5, 5};
    *s = (hm_speaker_encoder_shape){.mel = 128,
                                    .width = width,
                                    .sample_rate = 24000,
                                    .blocks = 5,
                                    .channels = {512, 512, 512, 512, 1536},
                                    .kernels = {5, 3, 3, 3, 1},
                                    .dilations = {1, 2, 3, 4, 1},
                                    .attention = 128,
                                    .res2net_scale = 8,
                                    .se = 128};
    hm_status st = hm_json_child(config, "speaker_encoder_config", JSON_OBJECT, false, &own, where, err);
    if (st || !own)
        return st;
    snprintf(place, sizeof place, "%.400s: speaker_encoder_config", where);
    where = place;
    st = hm_shape_fields_read(s, own, speaker_fields, HM_COUNT(speaker_fields), false, where, err);
    if (!st)
        st = hm_shape_list_read(s->channels, &counts[0], HM_TTS_ENCODER_BLOCKS, 1 << 14, own, "enc_channels", where, err);
    if (!st)
        st = hm_shape_list_read(s->kernels, &counts[1], HM_TTS_ENCODER_BLOCKS, 255, own, "enc_kernel_sizes", where, err);
    if (!st)
        st = hm_shape_list_read(s->dilations, &counts[2], HM_TTS_ENCODER_BLOCKS, 255, own, "enc_dilations", where, err);
    s->blocks = counts[0];
    return st ? st : check_speaker(s, counts, width, where, err);
}

/* What the folder says it is. */
static hm_status read_kind(hm_talker_shape *s, const json_t *config, const char *where, hm_error *err)
{
    const char *tokenizer = TOKENIZER_TYPE, *kind = NULL, *size = "";
    hm_status st = hm_shape_only_text(config, "model_type", MODEL_TYPE, where, err);
    if (!st)
        st = hm_json_string(config, "tokenizer_type", false, &tokenizer, where, err);
    if (!st && strcmp(tokenizer, TOKENIZER_TYPE))
        st = hm_fail(err, HM_EFORMAT, "%s: tokenizer_type \"%.64s\"%s is not read here, only " TOKENIZER_TYPE ": take a 12 Hz model", where,
                     tokenizer, strstr(tokenizer, "25hz") ? " (the 25 Hz family)" : "");
    if (!st)
        st = hm_json_string(config, "tts_model_type", true, &kind, where, err);
    if (!st)
        st = hm_json_string(config, "tts_model_size", false, &size, where, err);
    if (st)
        return st;
    for (size_t i = 0; i < HM_COUNT(kinds); i++)
        if (!strcmp(kind, kinds[i])) {
            s->kind = (hm_tts_kind)i;
            if (strlen(size) >= sizeof s->size)
                return hm_fail(err, HM_EFORMAT, "%s: \"tts_model_size\": expected at most %zu bytes, found \"%.60s\"", where,
                               sizeof s->size - 1, size);
            strcpy(s->size, size);
            return HM_OK;
        }
    return hm_fail(err, HM_EFORMAT, "%s: tts_model_type \"%.64s\" is not known: expected custom_voice, voice_design or base", where, kind);
}

static hm_status read_predictor(hm_talker_shape *s, const json_t *talker, const char *where, hm_error *err)
{
    char place[512];
    json_t *own = NULL;
    int64_t groups = s->groups;
    hm_status st = hm_json_child(talker, "code_predictor_config", JSON_OBJECT, true, &own, where, err);
    snprintf(place, sizeof place, "%.400s: code_predictor_config", where);
    where = place;
    if (!st)
        st = read_stack(&s->predictor, own, where, err);
    if (!st)
        st = hm_json_int(own, "vocab_size", 1, s->code_vocab, true, &s->codebook, where, err);
    if (!st)
        st = hm_json_int(own, "num_code_groups", 1, HM_TTS_MAX_GROUPS, false, &groups, where, err);
    if (!st && groups != s->groups)
        st = hm_fail(err, HM_EFORMAT, "%s: the talker has %" PRId64 " code groups, its code predictor %" PRId64 ": expected as many", where,
                     s->groups, groups);
    if (!st && s->codebook > s->code_vocab - SUPPRESSED)
        st = hm_fail(err, HM_EFORMAT, "%s: vocab_size %" PRId64 " with codebooks of %" PRId64 ": expected at least %d rows after the codes",
                     where, s->code_vocab, s->codebook, SUPPRESSED);
    if (!st && s->predictor.positions < groups)
        st = hm_fail(err, HM_EFORMAT, "%s: the code predictor has %" PRId64 " positions, expected at least its %" PRId64 " groups", where,
                     s->predictor.positions, groups);
    return st;
}

hm_status hm_talker_shape_read(hm_talker_shape *out, const json_t *config, const char *where, hm_error *err)
{
    hm_talker_shape s = {0};
    char place[512];
    json_t *talker = NULL;
    hm_status st = read_kind(&s, config, where, err);
    if (!st)
        st = hm_json_child(config, "talker_config", JSON_OBJECT, true, &talker, where, err);
    if (!st)
        st = hm_shape_fields_read(&s, config, text_ids, HM_COUNT(text_ids), true, where, err);
    snprintf(place, sizeof place, "%.400s: talker_config", where);
    if (!st)
        st = read_stack(&s.talker, talker, place, err);
    if (!st)
        st = hm_shape_fields_read(&s, talker, talker_fields, HM_COUNT(talker_fields), true, place, err);
    if (!st)
        st = hm_shape_fields_read(&s, talker, code_ids, HM_COUNT(code_ids), true, place, err);
    if (!st)
        st = check_ids(&s, text_ids, HM_COUNT(text_ids), s.text_vocab, where, err);
    if (!st)
        st = check_ids(&s, code_ids, HM_COUNT(code_ids), s.code_vocab, place, err);
    if (!st)
        st = read_predictor(&s, talker, place, err);
    if (!st)
        st = read_names(s.languages, &s.language_count, talker, "codec_language_id", s.code_vocab, place, err);
    if (!st)
        st = read_names(s.speakers, &s.speaker_count, talker, "spk_id", s.code_vocab, place, err);
    if (!st)
        st = read_dialects(&s, talker, place, err);
    if (!st && s.kind == HM_TTS_BASE)
        st = read_speaker(&s.speaker, config, s.talker.width, where, err);
    if (!st)
        *out = s;
    return st;
}

static hm_status read_draws(bool *greedy, int64_t *topk, double *temperature, double *top_p, const json_t *config,
                            const char *const keys[4], const char *where, hm_error *err)
{
    bool sample = !*greedy;
    hm_status st = hm_json_bool(config, keys[0], false, &sample, where, err);
    *greedy = !sample;
    if (!st)
        st = hm_json_int(config, keys[1], 0, MAX_VOCABULARY, false, topk, where, err);
    if (!st)
        st = hm_shape_positive_read(temperature, config, keys[2], where, err);
    if (!st)
        st = hm_shape_positive_read(top_p, config, keys[3], where, err);
    if (!st && *top_p > 1)
        st = hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected a number above 0 and up to 1, found %g", where, keys[3], *top_p);
    return st;
}

hm_status hm_tts_generation_read(hm_tts_generation *out, const json_t *config, const char *where, hm_error *err)
{
    static const char *const own[] = {"do_sample", "top_k", "temperature", "top_p"};
    static const char *const sub[] = {"subtalker_dosample", "subtalker_top_k", "subtalker_temperature", "subtalker_top_p"};
    hm_tts_generation g = {
        .topk = 50, .sub_topk = 50, .temperature = 0.9, .top_p = 1, .repetition_penalty = 1.05, .sub_temperature = 0.9, .sub_top_p = 1};
    int64_t tokens = 2048;
    hm_status st = HM_OK;
    if (config && !json_is_object(config))
        st = hm_fail(err, HM_EFORMAT, "%s: expected an object, found %s", where, hm_json_kind(config));
    if (!st && config)
        st = read_draws(&g.greedy, &g.topk, &g.temperature, &g.top_p, config, own, where, err);
    if (!st && config)
        st = read_draws(&g.sub_greedy, &g.sub_topk, &g.sub_temperature, &g.sub_top_p, config, sub, where, err);
    if (!st && config)
        st = hm_shape_positive_read(&g.repetition_penalty, config, "repetition_penalty", where, err);
    if (!st && config)
        st = hm_json_int(config, "max_new_tokens", 2, 1 << 24, false, &tokens, where, err);
    g.max_frames = tokens - 1;
    if (!st)
        *out = g;
    return st;
}

static const char *const talker_keys[] = {"architectures",  "model_type",         "transformers_version", "dtype",
                                          "torch_dtype",    "_name_or_path",      "tokenizer_type",       "tts_model_size",
                                          "tts_model_type", "assistant_token_id", "talker_config",        "speaker_encoder_config"};

bool hm_talker_shape_knows(const char *key)
{
    return hm_shape_keys_know(key, talker_keys, HM_COUNT(talker_keys)) || hm_shape_fields_know(key, text_ids, HM_COUNT(text_ids));
}

static json_t *stack_config(const hm_tts_stack *s, json_t *config)
{
    return hm_shape_fields_write(config, s, stack_fields, HM_COUNT(stack_fields));
}

static json_t *predictor_config(const hm_talker_shape *s)
{
    return stack_config(&s->predictor, json_pack("{ss sb ss sI sI sf sf sn sb}", "model_type", "qwen3_tts_talker_code_predictor",
                                                 "attention_bias", 0, "hidden_act", "silu", "vocab_size", (json_int_t)s->codebook,
                                                 "num_code_groups", (json_int_t)s->groups, "rms_norm_eps", s->predictor.eps, "rope_theta",
                                                 s->predictor.rope_theta, "rope_scaling", "use_sliding_window", 0));
}

static bool set_names(json_t *config, const hm_talker_shape *s)
{
    json_t *languages = json_object(), *speakers = json_object(), *dialects = json_object();
    bool ok = languages && speakers && dialects;
    for (int i = 0; ok && i < s->language_count; i++)
        ok = !json_object_set_new(languages, s->languages[i].name, json_integer(s->languages[i].id));
    for (int i = 0; ok && i < s->speaker_count; i++) {
        const hm_tts_name *n = &s->speakers[i];
        ok = !json_object_set_new(speakers, n->name, json_integer(n->id)) &&
             !json_object_set_new(dialects, n->name, n->dialect[0] ? json_string(n->dialect) : json_false());
    }
    ok = ok && !json_object_set(config, "codec_language_id", languages) && !json_object_set(config, "spk_id", speakers) &&
         !json_object_set(config, "spk_is_dialect", dialects);
    json_decref(languages);
    json_decref(speakers);
    json_decref(dialects);
    return ok;
}

static json_t *talker_config(const hm_talker_shape *s)
{
    int64_t half = s->talker.head_dim / 2, side = half * 5 / 16, sections[] = {half - 2 * side, side, side};
    json_t *rope = json_pack("{sb ss ss}", "interleaved", 1, "rope_type", "default", "type", "default");
    json_t *config = json_pack("{ss sb ss sf sf sb}", "model_type", "qwen3_tts_talker", "attention_bias", 0, "hidden_act", "silu",
                               "rms_norm_eps", s->talker.eps, "rope_theta", s->talker.rope_theta, "use_sliding_window", 0);
    bool ok = rope && config && hm_shape_list_write(rope, "mrope_section", sections, 3) && !json_object_set(config, "rope_scaling", rope) &&
              !json_object_set_new(config, "code_predictor_config", predictor_config(s)) && set_names(config, s);
    json_decref(rope);
    if (!ok) {
        json_decref(config);
        return NULL;
    }
    config = stack_config(&s->talker, config);
    config = hm_shape_fields_write(config, s, talker_fields, HM_COUNT(talker_fields));
    return hm_shape_fields_write(config, s, code_ids, HM_COUNT(code_ids));
}

static json_t *speaker_config(const hm_speaker_encoder_shape *s)
{
    json_t *config = hm_shape_fields_write(json_object(), s, speaker_fields, HM_COUNT(speaker_fields));
    if (config && hm_shape_list_write(config, "enc_channels", s->channels, s->blocks) &&
        hm_shape_list_write(config, "enc_kernel_sizes", s->kernels, s->blocks) &&
        hm_shape_list_write(config, "enc_dilations", s->dilations, s->blocks))
        return config;
    json_decref(config);
    return NULL;
}

json_t *hm_talker_shape_config(const hm_talker_shape *s)
{
    json_t *config = json_pack("{s[s] ss ss ss ss}", "architectures", "Qwen3TTSForConditionalGeneration", "model_type", MODEL_TYPE,
                               "tokenizer_type", TOKENIZER_TYPE, "tts_model_size", s->size, "tts_model_type", hm_tts_kind_name(s->kind));
    config = hm_shape_fields_write(config, s, text_ids, HM_COUNT(text_ids));
    bool ok = config && !json_object_set_new(config, "talker_config", talker_config(s)) &&
              (!s->speaker.mel || !json_object_set_new(config, "speaker_encoder_config", speaker_config(&s->speaker)));
    if (ok)
        return config;
    json_decref(config);
    return NULL;
}
