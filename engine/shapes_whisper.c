/* Configs of Whisper, read with every size and id checked, and written back; the list of tensors and how synthesis fills them. */
#include "engine/shapes_whisper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/base/json.h"
#include "engine/shapes_impl.h"

#define MAX_WIDTH (1 << 16)
#define MAX_VOCABULARY (1 << 20)

#define SIZE(key, member, least, most)                       \
    {                                                        \
        key, offsetof(hm_whisper_shape, member), least, most \
    }
static const hm_shape_field sizes[] = {
    SIZE("d_model", width, 1, MAX_WIDTH),
    SIZE("encoder_layers", encoder_layers, 1, 1000),
    SIZE("decoder_layers", decoder_layers, 1, 1000),
    SIZE("encoder_attention_heads", encoder_heads, 1, 1024),
    SIZE("decoder_attention_heads", decoder_heads, 1, 1024),
    SIZE("encoder_ffn_dim", encoder_hidden, 1, MAX_WIDTH),
    SIZE("decoder_ffn_dim", decoder_hidden, 1, MAX_WIDTH),
    SIZE("num_mel_bins", mels, 1, 201),
    SIZE("max_source_positions", source_positions, 1, 1500),
    SIZE("max_target_positions", target_positions, 8, 1 << 16),
    SIZE("vocab_size", vocab, 4, MAX_VOCABULARY),
};
static const hm_shape_field ids[] = {
    SIZE("decoder_start_token_id", start, 0, MAX_VOCABULARY),
    SIZE("eos_token_id", end, 0, MAX_VOCABULARY),
    SIZE("pad_token_id", pad, 0, MAX_VOCABULARY),
};

/* What training, export and other tasks put into config.json. */
static const char *const meaningless[] = {
    "_name_or_path",
    "activation_dropout",
    "add_cross_attention",
    "apply_spec_augment",
    "architectures",
    "attention_dropout",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_proj_size",
    "cross_attention_hidden_size",
    "decoder_layerdrop",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "encoder_layerdrop",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "init_std",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "mask_feature_length",
    "mask_feature_min_masks",
    "mask_feature_prob",
    "mask_time_length",
    "mask_time_min_masks",
    "mask_time_prob",
    "max_length",
    "median_filter_width",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_hidden_layers",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "prefix",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "scale_embedding",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
    "use_weighted_layer_sum",
};
static const char *const meaningful[] = {"model_type", "activation_function", "tie_word_embeddings", "forced_decoder_ids"};

bool hm_whisper_shape_knows(const char *key)
{
    return hm_shape_fields_know(key, sizes, HM_COUNT(sizes)) || hm_shape_fields_know(key, ids, HM_COUNT(ids)) ||
           hm_shape_keys_know(key, meaningful, HM_COUNT(meaningful)) || hm_shape_keys_know(key, meaningless, HM_COUNT(meaningless));
}

static hm_status check_heads(int64_t width, int64_t heads, const char *key, const char *where, hm_error *err)
{
    if (width % heads == 0)
        return HM_OK;
    return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected heads that share a width of %" PRId64 " evenly, found %" PRId64, where, key,
                   width, heads);
}

hm_status hm_whisper_shape_read(hm_whisper_shape *out, const json_t *config, const char *where, hm_error *err)
{
    hm_whisper_shape s = {.source_positions = 1500, .target_positions = 448, .tied = true};
    hm_status st = hm_shape_fields_read(&s, config, sizes, 7, true, where, err);
    if (!st)
        st = hm_shape_fields_read(&s, config, sizes + 7, HM_COUNT(sizes) - 7, true, where, err);
    if (!st)
        st = hm_shape_fields_read(&s, config, ids, 2, true, where, err);
    s.pad = s.end;
    if (!st)
        st = hm_shape_fields_read(&s, config, ids + 2, 1, false, where, err);
    if (!st)
        st = hm_shape_only_text(config, "activation_function", "gelu", where, err);
    if (!st)
        st = hm_json_bool(config, "tie_word_embeddings", false, &s.tied, where, err);
    if (!st)
        st = check_heads(s.width, s.encoder_heads, "encoder_attention_heads", where, err);
    if (!st)
        st = check_heads(s.width, s.decoder_heads, "decoder_attention_heads", where, err);
    for (size_t i = 0; !st && i < HM_COUNT(ids); i++) {
        int64_t id = *(const int64_t *)((const char *)&s + ids[i].at);
        if (id >= s.vocab)
            st =
                hm_fail(err, HM_EFORMAT, "%s: \"%s\": id %" PRId64 " is not in the vocabulary of %" PRId64, where, ids[i].key, id, s.vocab);
    }
    if (!st)
        *out = s;
    return st;
}

json_t *hm_whisper_shape_config(const hm_whisper_shape *s)
{
    json_t *config =
        json_pack("{ss s[s] ss sb sb sb}", "model_type", "whisper", "architectures", "WhisperForConditionalGeneration",
                  "activation_function", "gelu", "tie_word_embeddings", s->tied, "scale_embedding", 0, "is_encoder_decoder", 1);
    config = hm_shape_fields_write(config, s, sizes, HM_COUNT(sizes));
    return hm_shape_fields_write(config, s, ids, HM_COUNT(ids));
}

/* ---- generation_config.json ---- */

/* An id of the vocabulary; absent: stays. */
static hm_status read_id(int32_t *out, const json_t *config, const char *key, int64_t vocab, const char *where, hm_error *err)
{
    int64_t id = *out;
    hm_status st = hm_json_int(config, key, 0, vocab - 1, false, &id, where, err);
    *out = (int32_t)id;
    return st;
}

static hm_status check_id(const json_t *value, int64_t vocab, const char *key, const char *where, hm_error *err)
{
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id >= 0 && id < vocab)
        return HM_OK;
    return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected ids below %" PRId64 ", found %s %" JSON_INTEGER_FORMAT, where, key, vocab,
                   hm_json_kind(value), json_integer_value(value));
}

static hm_status read_ids(int32_t **out, int *count, const json_t *config, const char *key, int64_t vocab, const char *where, hm_error *err)
{
    json_t *list = NULL, *value;
    size_t i;
    hm_status st = hm_json_child(config, key, JSON_ARRAY, false, &list, where, err);
    if (st || !json_array_size(list))
        return st;
    *out = hm_calloc(json_array_size(list), sizeof **out, key, err);
    if (!*out)
        return HM_EABSENT;
    json_array_foreach(list, i, value)
    {
        if ((st = check_id(value, vocab, key, where, err)))
            return st;
        (*out)[(*count)++] = (int32_t)json_integer_value(value);
    }
    return HM_OK;
}

/* [[position, id or null]]; null asks for what the model finds itself, and is left out. */
static hm_status read_forced(hm_whisper_generation *g, const json_t *config, int64_t vocab, const char *where, hm_error *err)
{
    const char *key = "forced_decoder_ids";
    json_t *list = NULL, *pair;
    size_t i;
    hm_status st = hm_json_child(config, key, JSON_ARRAY, false, &list, where, err);
    if (st || g->forced || !json_array_size(list))
        return st;
    g->forced = hm_calloc(json_array_size(list), 2 * sizeof *g->forced, key, err);
    if (!g->forced)
        return HM_EABSENT;
    json_array_foreach(list, i, pair)
    {
        const json_t *at = json_array_get(pair, 0), *id = json_array_get(pair, 1);
        if (json_is_null(id))
            continue;
        if (!json_is_integer(at) || json_integer_value(at) < 1 || json_integer_value(at) > 16)
            return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected pairs of a position from 1 to 16 and an id", where, key);
        if ((st = check_id(id, vocab, key, where, err)))
            return st;
        g->forced[2 * g->forced_count] = (int32_t)json_integer_value(at);
        g->forced[2 * g->forced_count++ + 1] = (int32_t)json_integer_value(id);
    }
    return HM_OK;
}

static hm_status read_languages(hm_whisper_generation *g, const json_t *config, int64_t vocab, const char *where, hm_error *err)
{
    const char *key = "lang_to_id";
    json_t *table = NULL;
    hm_status st = hm_json_child(config, key, JSON_OBJECT, false, &table, where, err);
    if (st || !json_object_size(table))
        return st;
    if (json_object_size(table) > HM_WHISPER_LANGUAGES)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected at most %d languages, found %zu", where, key, HM_WHISPER_LANGUAGES,
                       json_object_size(table));
    g->languages = hm_calloc(json_object_size(table), sizeof *g->languages, key, err);
    if (!g->languages)
        return HM_EABSENT;
    for (void *i = json_object_iter(table); i; i = json_object_iter_next(table, i)) {
        const char *name = json_object_iter_key(i);
        size_t n = strlen(name);
        hm_whisper_language *language = &g->languages[g->language_count];
        if (n < 5 || n - 4 >= sizeof language->code || strncmp(name, "<|", 2) || strcmp(name + n - 2, "|>"))
            return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected languages as \"<|en|>\", found \"%.40s\"", where, key, name);
        if ((st = check_id(json_object_iter_value(i), vocab, key, where, err)))
            return st;
        memcpy(language->code, name + 2, n - 4);
        language->id = (int32_t)json_integer_value(json_object_iter_value(i));
        g->language_count++;
    }
    return HM_OK;
}

static hm_status read_tasks(hm_whisper_generation *g, const json_t *config, int64_t vocab, const char *where, hm_error *err)
{
    json_t *tasks = NULL;
    hm_status st = hm_json_child(config, "task_to_id", JSON_OBJECT, false, &tasks, where, err);
    if (st || !tasks)
        return st;
    st = read_id(&g->transcribe, tasks, "transcribe", vocab, where, err);
    return st ? st : read_id(&g->translate, tasks, "translate", vocab, where, err);
}

static hm_status read_numbers(hm_whisper_generation *g, const json_t *config, const hm_whisper_shape *shape, const char *where,
                              hm_error *err)
{
    int64_t beams = 1, topk = 50, length = 0, initial = -1;
    hm_status st = hm_json_int(config, "num_beams", 1, 64, false, &beams, where, err);
    if (!st)
        st = hm_json_int(config, "top_k", 0, MAX_VOCABULARY, false, &topk, where, err);
    if (!st)
        st = hm_json_int(config, "max_length", 1, MAX_VOCABULARY, false, &length, where, err);
    if (!st)
        st = hm_json_int(config, "max_initial_timestamp_index", 0, MAX_VOCABULARY, false, &initial, where, err);
    if (!st)
        st = hm_json_double(config, "length_penalty", false, &g->length_penalty, where, err);
    if (!st)
        st = hm_shape_positive_read(&g->top_p, config, "top_p", where, err);
    if (!st)
        st = hm_json_bool(config, "is_multilingual", false, &g->multilingual, where, err);
    if (!st)
        st = hm_shape_only_bool(config, "early_stopping", false, where, err);
    g->beams = (int)beams;
    g->topk = (int)topk;
    g->has_max_length = length > 0;
    g->max_length = (int)(length && length < shape->target_positions ? length : shape->target_positions);
    g->max_initial_timestamp = (int32_t)initial;
    return st;
}

hm_status hm_whisper_generation_read(hm_whisper_generation *out, const json_t *config, const json_t *model, const hm_whisper_shape *shape,
                                     const char *where, hm_error *err)
{
    int64_t V = shape->vocab;
    json_t *none = config ? NULL : json_object();
    hm_whisper_generation g = {.start = (int32_t)shape->start,
                               .end = (int32_t)shape->end,
                               .pad = (int32_t)shape->pad,
                               .no_timestamps = -1,
                               .previous = -1,
                               .transcribe = -1,
                               .translate = -1,
                               .multilingual = true,
                               .length_penalty = 1,
                               .top_p = 1};
    const json_t *c = config ? config : none;
    hm_status st = read_id(&g.start, c, "decoder_start_token_id", V, where, err);
    if (!st)
        st = read_id(&g.end, c, "eos_token_id", V, where, err);
    if (!st)
        st = read_id(&g.pad, c, "pad_token_id", V, where, err);
    if (!st)
        st = read_id(&g.no_timestamps, c, "no_timestamps_token_id", V, where, err);
    if (!st)
        st = read_id(&g.previous, c, "prev_sot_token_id", V, where, err);
    if (!st)
        st = read_tasks(&g, c, V, where, err);
    if (!st)
        st = read_languages(&g, c, V, where, err);
    if (!st)
        st = read_ids(&g.suppress, &g.suppress_count, c, "suppress_tokens", V, where, err);
    if (!st)
        st = read_ids(&g.begin_suppress, &g.begin_suppress_count, c, "begin_suppress_tokens", V, where, err);
    if (!st)
        st = read_forced(&g, c, V, where, err);
    if (!st && model)
        st = read_forced(&g, model, V, where, err);
    if (!st)
        st = read_numbers(&g, c, shape, where, err);
    json_decref(none);
    g.timestamp0 = g.no_timestamps < 0 ? (int32_t)V + 1 : g.no_timestamps + 1;
    if (st)
        hm_whisper_generation_close(&g);
    else
        *out = g;
    return st;
}

void hm_whisper_generation_close(hm_whisper_generation *g)
{
    free(g->languages);
    free(g->suppress);
    free(g->begin_suppress);
    free(g->forced);
    *g = (hm_whisper_generation){0};
}

hm_status hm_whisper_preprocessor_check(const json_t *config, const hm_whisper_shape *shape, const char *where, hm_error *err)
{
    const struct {
        const char *key;
        int64_t value;
    } only[] = {{"feature_size", shape->mels}, {"sampling_rate", 16000}, {"n_fft", 400},         {"hop_length", 160},
                {"chunk_length", 30},          {"n_samples", 480000},    {"nb_max_frames", 3000}};
    double dither = 0, padding = 0;
    hm_status st = HM_OK;
    if (!config)
        return HM_OK;
    for (size_t i = 0; !st && i < HM_COUNT(only); i++)
        st = hm_shape_only_int(config, only[i].key, only[i].value, where, err);
    if (!st)
        st = hm_json_double(config, "dither", false, &dither, where, err);
    if (!st)
        st = hm_json_double(config, "padding_value", false, &padding, where, err);
    if (!st && (dither != 0 || padding != 0))
        st = hm_fail(err, HM_EFORMAT, "%s: expected \"dither\" and \"padding_value\" 0, found %g and %g", where, dither, padding);
    return st;
}

/* ---- tensors ---- */

static void put_biased(hm_table_builder *b, int64_t d0, int64_t d1, int64_t d2, const char *name)
{
    hm_table_put(b, d0, d1, d2, "%s.weight", name);
    hm_table_put(b, d0, 0, 0, "%s.bias", name);
}

static void put_norm(hm_table_builder *b, int64_t width, const char *name)
{
    hm_table_put(b, width, 0, 0, "%s.weight", name);
    hm_table_put(b, width, 0, 0, "%s.bias", name);
}

static void scale_by(hm_tensor_row *r, double gain)
{
    hm_table_rule(r, r->offset, (double)r->scale * gain);
}

/* cross: gains that make what is heard count in what is said. */
static void put_attention(hm_table_builder *b, int layer, int64_t D, const char *name, bool cross)
{
    hm_tensor_row *q = hm_table_put(b, D, D, 0, "layers.%d.%s.q_proj.weight", layer, name);
    if (cross)
        scale_by(q, 3);
    hm_table_put(b, D, 0, 0, "layers.%d.%s.q_proj.bias", layer, name);
    hm_tensor_row *k = hm_table_put(b, D, D, 0, "layers.%d.%s.k_proj.weight", layer, name);
    if (cross)
        scale_by(k, 3);
    hm_table_put(b, D, D, 0, "layers.%d.%s.v_proj.weight", layer, name);
    hm_table_put(b, D, 0, 0, "layers.%d.%s.v_proj.bias", layer, name);
    hm_tensor_row *o = hm_table_put(b, D, D, 0, "layers.%d.%s.out_proj.weight", layer, name);
    if (cross)
        scale_by(o, 0.4);
    hm_table_put(b, D, 0, 0, "layers.%d.%s.out_proj.bias", layer, name);
    hm_table_put(b, D, 0, 0, "layers.%d.%s_layer_norm.weight", layer, name);
    hm_table_put(b, D, 0, 0, "layers.%d.%s_layer_norm.bias", layer, name);
}

static void put_feed_forward(hm_table_builder *b, int layer, int64_t D, int64_t hidden)
{
    char name[64];
    snprintf(name, sizeof name, "layers.%d.fc1", layer);
    put_biased(b, hidden, D, 0, name);
    snprintf(name, sizeof name, "layers.%d.fc2", layer);
    put_biased(b, D, hidden, 0, name);
    snprintf(name, sizeof name, "layers.%d.final_layer_norm", layer);
    put_norm(b, D, name);
}

hm_status hm_whisper_table(hm_tensor_table *out, const hm_whisper_shape *s, hm_dtype type, hm_error *err)
{
    hm_table_builder b = {.type = type, .prefix = "model.encoder."};
    int64_t D = s->width;
    put_biased(&b, D, s->mels, 3, "conv1");
    put_biased(&b, D, D, 3, "conv2");
    hm_table_put(&b, s->source_positions, D, 0, "embed_positions.weight");
    for (int i = 0; i < (int)s->encoder_layers; i++) {
        put_attention(&b, i, D, "self_attn", false);
        put_feed_forward(&b, i, D, s->encoder_hidden);
    }
    put_norm(&b, D, "layer_norm");
    b.prefix = "model.decoder.";
    scale_by(hm_table_put(&b, s->vocab, D, 0, "embed_tokens.weight"), 4);
    scale_by(hm_table_put(&b, s->target_positions, D, 0, "embed_positions.weight"), 6);
    for (int i = 0; i < (int)s->decoder_layers; i++) {
        put_attention(&b, i, D, "self_attn", false);
        put_attention(&b, i, D, "encoder_attn", true);
        put_feed_forward(&b, i, D, s->decoder_hidden);
    }
    hm_table_rule(hm_table_put(&b, D, 0, 0, "layer_norm.weight"), 0, 1.75);
    hm_table_put(&b, D, 0, 0, "layer_norm.bias");
    return hm_table_finish(out, &b, err);
}

/* ---- languages ---- */

/* clang-format off */
/* What people call them; codes without a name are only known by their code. */
static const struct {
    const char *code, *name;
} names[] = {
    {"en", "english"}, {"zh", "chinese"}, {"de", "german"}, {"es", "spanish"}, {"ru", "russian"}, {"ko", "korean"}, {"fr", "french"},
    {"ja", "japanese"}, {"pt", "portuguese"}, {"tr", "turkish"}, {"pl", "polish"}, {"ca", "catalan"}, {"nl", "dutch"},
    {"ar", "arabic"}, {"sv", "swedish"}, {"it", "italian"}, {"id", "indonesian"}, {"hi", "hindi"}, {"fi", "finnish"},
    {"vi", "vietnamese"}, {"he", "hebrew"}, {"uk", "ukrainian"}, {"el", "greek"}, {"ms", "malay"}, {"cs", "czech"}, {"ro", "romanian"},
    {"da", "danish"}, {"hu", "hungarian"}, {"ta", "tamil"}, {"no", "norwegian"}, {"th", "thai"}, {"ur", "urdu"}, {"hr", "croatian"},
    {"bg", "bulgarian"}, {"lt", "lithuanian"}, {"la", "latin"}, {"mi", "maori"}, {"ml", "malayalam"}, {"cy", "welsh"},
    {"sk", "slovak"}, {"te", "telugu"}, {"fa", "persian"}, {"lv", "latvian"}, {"bn", "bengali"}, {"sr", "serbian"},
    {"az", "azerbaijani"}, {"sl", "slovenian"}, {"kn", "kannada"}, {"et", "estonian"}, {"mk", "macedonian"}, {"br", "breton"},
    {"eu", "basque"}, {"is", "icelandic"}, {"hy", "armenian"}, {"ne", "nepali"}, {"mn", "mongolian"}, {"bs", "bosnian"},
    {"kk", "kazakh"}, {"sq", "albanian"}, {"sw", "swahili"}, {"gl", "galician"}, {"mr", "marathi"}, {"pa", "punjabi"},
    {"si", "sinhala"}, {"km", "khmer"}, {"sn", "shona"}, {"yo", "yoruba"}, {"so", "somali"}, {"af", "afrikaans"}, {"oc", "occitan"},
    {"ka", "georgian"}, {"be", "belarusian"}, {"tg", "tajik"}, {"sd", "sindhi"}, {"gu", "gujarati"}, {"am", "amharic"},
    {"yi", "yiddish"}, {"lo", "lao"}, {"uz", "uzbek"}, {"fo", "faroese"}, {"ht", "haitian creole"}, {"ps", "pashto"},
    {"tk", "turkmen"}, {"nn", "nynorsk"}, {"mt", "maltese"}, {"sa", "sanskrit"}, {"lb", "luxembourgish"}, {"my", "myanmar"},
    {"bo", "tibetan"}, {"tl", "tagalog"}, {"mg", "malagasy"}, {"as", "assamese"}, {"tt", "tatar"}, {"haw", "hawaiian"},
    {"ln", "lingala"}, {"ha", "hausa"}, {"ba", "bashkir"}, {"jw", "javanese"}, {"su", "sundanese"}, {"yue", "cantonese"},
    /* other names of the same */
    {"my", "burmese"}, {"ca", "valencian"}, {"nl", "flemish"}, {"ht", "haitian"}, {"lb", "letzeburgesch"}, {"ps", "pushto"},
    {"pa", "panjabi"}, {"ro", "moldavian"}, {"ro", "moldovan"}, {"si", "sinhalese"}, {"es", "castilian"}, {"zh", "mandarin"},
};
/* clang-format on */

const char *hm_whisper_language_code(int index)
{
    return index >= 0 && index < HM_WHISPER_RELEASED_LANGUAGES ? names[index].code : NULL;
}

int32_t hm_whisper_language_id(const hm_whisper_generation *g, const char *name)
{
    char code[40];
    size_t n = strlen(name);
    bool token = n > 4 && n < sizeof code && !strncmp(name, "<|", 2) && !strcmp(name + n - 2, "|>");
    snprintf(code, sizeof code, "%.*s", token ? (int)n - 4 : (int)n, token ? name + 2 : name);
    for (size_t i = 0; i < HM_COUNT(names); i++)
        if (!strcasecmp(code, names[i].name))
            snprintf(code, sizeof code, "%s", names[i].code);
    for (int i = 0; i < g->language_count; i++)
        if (!strcasecmp(g->languages[i].code, code))
            return g->languages[i].id;
    return -1;
}
