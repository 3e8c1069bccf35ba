#define _GNU_SOURCE
#include "engine/preset.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/json.h"

/* All presets: widths and gains are numbers of this table and nowhere else.
 * head_gain: rms of the logits. audio_gain: of the output convolution; about 1 makes a wave of rms 2 to 3, far beyond +-1. */
/* clang-format off */
#define FULL_CODEC                                                                                                                  \
    {.dim = 512, .codebook_size = 8192, .codebook_dim = 32, .quantizers = 8, .head_dim = 64, .heads = 24, .in = 1024, .out = 256,    \
     .layers = 24, .layers_2 = 6, .sample_rate = 48000, .num_bands = 1, .num_samples = 2, .latent = 128, .kernel = 7,                \
     .delay_kernel = 5, .init_channel = 64, .res_kernel = 7, .down_stages = 5, .up_stages = 5, .down = {3, 4, 4, 4, 5},              \
     .down_kernel = {6, 8, 8, 8, 10}, .up = {5, 4, 4, 4, 3}, .up_kernel = {10, 8, 8, 8, 6}, .initted_rank = 1, .audio_gain = 0.016}
#define FULL_IDS {.bos = 128000, .eos = 128001, .audio_eos = 8193, .empty = 0, .first_special = 128000}

static const hm_preset_sizes sizes[] = {
    {   .name = "heartmula-tiny", .lm_folder = "HeartMuLa-oss-tiny", .codec_folder = "HeartCodec-oss",
        /*              layers heads kv width hidden positions */
        .lm = {.backbone = {4, 8, 4, 64, 128, 256},
               .decoder  = {2, 8, 4, 64, 128, 32},
               .text_vocab = 1024, .audio_vocab = 69, .codebooks = 8, .muq = 32, .head_gain = 4},
        .codec = {.dim = 32, .codebook_size = 64, .codebook_dim = 8, .quantizers = 8, .head_dim = 8, .heads = 4, .in = 48, .out = 8,
                  .layers = 3, .layers_2 = 2, .sample_rate = 300, .num_bands = 1, .num_samples = 2, .latent = 4, .kernel = 7,
                  .delay_kernel = 5, .init_channel = 4, .res_kernel = 7, .down_stages = 2, .up_stages = 2, .down = {2, 3},
                  .down_kernel = {4, 6}, .up = {3, 2}, .up_kernel = {6, 4}, .initted_rank = 0, .audio_gain = 1},
        .ids = {.bos = 960, .eos = 961, .audio_eos = 65, .empty = 0, .first_special = 960}},
    {   .name = "heartmula-mini", .lm_folder = "HeartMuLa-oss-mini", .codec_folder = "HeartCodec-oss",
        .lm = {.backbone = {4, 4, 2, 128, 384, 8192},
               .decoder  = {2, 4, 2, 128, 384, 2048},
               .text_vocab = 1024, .audio_vocab = 1029, .codebooks = 8, .muq = 64, .head_gain = 2},
        .codec = {.dim = 64, .codebook_size = 1024, .codebook_dim = 16, .quantizers = 8, .head_dim = 16, .heads = 2, .in = 128, .out = 32,
                  .layers = 2, .layers_2 = 1, .sample_rate = 48000, .num_bands = 1, .num_samples = 2, .latent = 16, .kernel = 7,
                  .delay_kernel = 5, .init_channel = 2, .res_kernel = 7, .down_stages = 5, .up_stages = 5, .down = {3, 4, 4, 4, 5},
                  .down_kernel = {6, 8, 8, 8, 10}, .up = {5, 4, 4, 4, 3}, .up_kernel = {10, 8, 8, 8, 6}, .initted_rank = 1,
                  .audio_gain = 0.02},
        .ids = {.bos = 960, .eos = 961, .audio_eos = 1028, .empty = 0, .first_special = 960}},
    {   .name = "heartmula-3b", .lm_folder = "HeartMuLa-oss-3B", .codec_folder = "HeartCodec-oss",
        .lm = {.backbone = {28, 24, 8, 3072, 8192, 8192}, .backbone_flavor = "llama-3B",
               .decoder  = {3, 8, 4, 3072, 8192, 2048},   .decoder_flavor = "llama-300M",
               .text_vocab = 128256, .audio_vocab = 8197, .codebooks = 8, .muq = 512, .head_gain = 4},
        .codec = FULL_CODEC, .ids = FULL_IDS},
    {   .name = "heartmula-7b", .lm_folder = "HeartMuLa-oss-7B", .codec_folder = "HeartCodec-oss",
        .lm = {.backbone = {32, 32, 8, 4096, 14336, 8192}, .backbone_flavor = "llama-7B",
               .decoder  = {4, 8, 4, 3072, 8192, 2048},    .decoder_flavor = "llama-400M",
               .text_vocab = 128256, .audio_vocab = 8197, .codebooks = 8, .muq = 512, .head_gain = 4},
        .codec = FULL_CODEC, .ids = FULL_IDS},
};
/* clang-format on */

#define SPEECH(name, what)                                                                                                       \
    {name, "qwen3-tts", what ": nine speakers by name"}, {name "-voice-design", "qwen3-tts", what ": voice from a description"}, \
    {                                                                                                                            \
        name "-base", "qwen3-tts", what ": clones a voice"                                                                       \
    }

static const hm_preset list[] = {
    {"heartmula-tiny", "heartmula", "the sizes of the golden files: seconds of test, not music"},
    {"heartmula-mini", "heartmula", "real structure, small widths: a song in seconds on two cores"},
    {"heartmula-3b", "heartmula", "HeartMuLa-oss-3B with its 300M decoder and HeartCodec, full size: 14.5 GB"},
    {"heartmula-7b", "heartmula", "HeartMuLa 7B with its 400M decoder and HeartCodec, full size: 23.5 GB"},
    {"qwen3-tts-tiny", "qwen3-tts", "the sizes of the golden files: four speakers by name"},
    {"qwen3-tts-tiny-voice-design", "qwen3-tts", "the sizes of the golden files: voice from a description"},
    {"qwen3-tts-tiny-base", "qwen3-tts", "the sizes of the golden files: clones a voice"},
    SPEECH("qwen3-tts-mini", "real structure, small widths"),
    SPEECH("qwen3-tts-0.6b", "Qwen3-TTS 0.6B, full size, 2.5 GB"),
    SPEECH("qwen3-tts-1.7b", "Qwen3-TTS 1.7B, full size, 4.5 GB"),
    {"whisper-test", "whisper", "the sizes of the golden files, weights in F32: seconds of test, not text"},
    {"whisper-test-f16", "whisper", "the same in F16"},
    {"whisper-mini", "whisper", "real structure, small widths: writes down a song in seconds on two cores"},
    {"whisper-medium", "whisper", "Whisper medium, full size: what HeartTranscriptor-oss is made of; 1.5 GB"},
    {"whisper-large-v3-turbo", "whisper", "Whisper large-v3-turbo, full size: 1.6 GB"},
    {"whisper-large-v3", "whisper", "Whisper large-v3, full size: 3.1 GB"},
    {NULL, NULL, NULL},
};

const hm_preset *hm_preset_list(void)
{
    return list;
}

const hm_preset *hm_preset_find(const char *name)
{
    for (const hm_preset *p = list; p->name; p++)
        if (!strcmp(p->name, name))
            return p;
    return NULL;
}

const hm_preset_sizes *hm_preset_sizes_of(const hm_preset *preset)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!strcmp(sizes[i].name, preset->name))
            return &sizes[i];
    return NULL;
}

static hm_status no_memory(const hm_preset *preset, hm_error *err)
{
    return hm_fail(err, HM_EABSENT, "preset %s: no memory", preset->name);
}

int hm_preset_parts(const hm_preset *preset)
{
    return strcmp(preset->model, "whisper") ? 2 : 1;
}

static json_t *row_of(const hm_tensor_row *r)
{
    json_t *shape = json_array();
    for (int i = 0; i < r->rank; i++)
        json_array_append_new(shape, json_integer(r->shape[i]));
    if (r->type == HM_BOOL)
        return json_pack("{ss ss so sb}", "name", r->name, "dtype", hm_dtype_name(r->type), "shape", shape, "value", 1);
    return json_pack("{ss ss so sf sf}", "name", r->name, "dtype", hm_dtype_name(r->type), "shape", shape, "offset", (double)r->offset,
                     "scale", (double)r->scale);
}

hm_status hm_preset_describe(json_t **config, hm_tensor_table *table, const hm_preset *preset, hm_preset_part part, hm_error *err)
{
    const hm_preset_sizes *s = hm_preset_sizes_of(preset);
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    hm_whisper_shape whisper;
    hm_dtype type;
    hm_status st;
    if (s) {
        st = part == HM_PRESET_LM ? hm_lm_table(table, &s->lm, err) : hm_codec_table(table, &s->codec, err);
        *config = st ? NULL : part == HM_PRESET_LM ? hm_lm_shape_config(&s->lm) : hm_codec_shape_config(&s->codec);
    } else if (hm_preset_tts_shapes(preset, &talker, &codec)) {
        st = part == HM_PRESET_LM ? hm_talker_table(table, &talker, err) : hm_speech_codec_table(table, &codec, err);
        *config = st ? NULL : part == HM_PRESET_LM ? hm_talker_shape_config(&talker) : hm_speech_codec_shape_config(&codec);
    } else if (hm_preset_whisper_shape(preset, &whisper, &type)) {
        st = hm_whisper_table(table, &whisper, type, err);
        *config = st ? NULL : hm_preset_whisper_config(&whisper);
    } else {
        return hm_fail(err, HM_EBUG, "preset %s: it has no sizes", preset->name);
    }
    if (!st && !*config) {
        hm_tensor_table_close(table);
        st = no_memory(preset, err);
    }
    return st;
}

hm_status hm_preset_manifest(json_t **out, const hm_preset *preset, hm_preset_part part, hm_error *err)
{
    hm_tensor_table table;
    json_t *config;
    hm_status st = hm_preset_describe(&config, &table, preset, part, err);
    if (st)
        return st;
    json_t *rows = json_array();
    for (int i = 0; i < table.count; i++)
        if (json_array_append_new(rows, row_of(&table.rows[i])))
            st = no_memory(preset, err);
    hm_tensor_table_close(&table);
    if (!st && !(*out = json_pack("{sO sO}", "config", config, "tensors", rows)))
        st = no_memory(preset, err);
    json_decref(config);
    json_decref(rows);
    return st;
}

hm_status hm_preset_gen_config(json_t **out, const hm_preset *preset, hm_error *err)
{
    const hm_preset_ids *ids = &hm_preset_sizes_of(preset)->ids;
    *out = json_pack("{sI sI sI sI}", "text_bos_id", (json_int_t)ids->bos, "text_eos_id", (json_int_t)ids->eos, "audio_eos_id",
                     (json_int_t)ids->audio_eos, "empty_id", (json_int_t)ids->empty);
    return *out ? HM_OK : no_memory(preset, err);
}

/* Moves an id of the special tokens by `by`. */
static void move_id(json_t *id, int64_t by)
{
    json_integer_set(id, json_integer_value(id) + by);
}

hm_status hm_preset_tokenizer(json_t **out, const hm_preset *preset, hm_error *err)
{
    const char *token;
    size_t i, k;
    json_t *root, *processor, *special, *value;
    hm_status st = hm_json_parse(&root, hm_preset_tokenizer_text, strlen(hm_preset_tokenizer_text), "preset tokenizer", err);
    if (st)
        return st;
    json_t *added = json_object_get(root, "added_tokens");
    int64_t by = hm_preset_sizes_of(preset)->ids.first_special - json_integer_value(json_object_get(json_array_get(added, 0), "id"));
    json_array_foreach(added, i, value) move_id(json_object_get(value, "id"), by);
    json_array_foreach(json_object_get(json_object_get(root, "post_processor"), "processors"), i, processor)
        json_object_foreach(json_object_get(processor, "special_tokens"), token, special)
            json_array_foreach(json_object_get(special, "ids"), k, value) move_id(value, by);
    *out = root;
    return HM_OK;
}

/* Text of a JSON value, which is released. */
static hm_status add_json(hm_preset_text *out, const char *name, json_t *json, size_t flags, const hm_preset *preset, hm_error *err)
{
    *out = (hm_preset_text){name, json ? json_dumps(json, flags) : NULL};
    json_decref(json);
    return out->text ? HM_OK : no_memory(preset, err);
}

static hm_status speech_texts(hm_preset_text out[HM_PRESET_TEXTS], const hm_talker_shape *shape, const hm_preset *preset, hm_error *err)
{
    hm_status st = add_json(&out[0], "generation_config.json", hm_preset_generation_config(), JSON_INDENT(2), preset, err);
    if (!st)
        st = add_json(&out[1], "tokenizer_config.json", hm_preset_tokenizer_config(shape), JSON_INDENT(2), preset, err);
    if (st)
        return st;
    out[2] = (hm_preset_text){"vocab.json", strdup(hm_preset_vocab_text)};
    out[3] = (hm_preset_text){"merges.txt", strdup(hm_preset_merges_text)};
    return out[2].text && out[3].text ? HM_OK : no_memory(preset, err);
}

static hm_status music_texts(hm_preset_text out[HM_PRESET_TEXTS], const hm_preset *preset, hm_error *err)
{
    json_t *tokenizer = NULL, *gen_config = NULL;
    hm_status st = hm_preset_tokenizer(&tokenizer, preset, err);
    if (!st)
        st = add_json(&out[0], "tokenizer.json", tokenizer, JSON_INDENT(1), preset, err);
    if (!st)
        st = hm_preset_gen_config(&gen_config, preset, err);
    if (!st)
        st = add_json(&out[1], "gen_config.json", gen_config, 0, preset, err);
    return st;
}

hm_status hm_preset_texts(hm_preset_text out[HM_PRESET_TEXTS + 1], const hm_preset *preset, hm_error *err)
{
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    memset(out, 0, (HM_PRESET_TEXTS + 1) * sizeof *out);
    hm_status st = !strcmp(preset->model, "whisper")               ? hm_preset_whisper_texts(out, preset, err)
                   : hm_preset_tts_shapes(preset, &talker, &codec) ? speech_texts(out, &talker, preset, err)
                                                                   : music_texts(out, preset, err);
    for (int i = 0; st && i < HM_PRESET_TEXTS; i++) {
        free(out[i].text);
        out[i] = (hm_preset_text){0};
    }
    return st;
}

static void add_hash(char *all, const char *text)
{
    char hash[HM_HASH_TEXT];
    hm_hash_text(hash, text, strlen(text));
    strcat(all, hash);
}

/* Config and tensors of a part. */
static hm_status hash_part(char *all, const hm_preset *preset, hm_preset_part part, hm_error *err)
{
    json_t *manifest = NULL;
    hm_status st = hm_preset_manifest(&manifest, preset, part, err);
    char *text = st ? NULL : json_dumps(manifest, JSON_COMPACT);
    json_decref(manifest);
    if (!st && !text)
        st = no_memory(preset, err);
    if (text)
        add_hash(all, text);
    free(text);
    return st;
}

hm_status hm_preset_hash(const hm_preset *preset, char out[HM_PRESET_HASH], hm_error *err)
{
    char all[(2 + 2 * HM_PRESET_TEXTS) * HM_HASH_TEXT] = "", whole[HM_HASH_TEXT];
    hm_preset_text texts[HM_PRESET_TEXTS + 1] = {0};
    hm_status st = HM_OK;
    for (int i = 0; i < hm_preset_parts(preset) && !st; i++)
        st = hash_part(all, preset, i ? HM_PRESET_CODEC : HM_PRESET_LM, err);
    if (!st)
        st = hm_preset_texts(texts, preset, err);
    for (int i = 0; i < HM_PRESET_TEXTS && !st && texts[i].name; i++) {
        add_hash(all, texts[i].name);
        add_hash(all, texts[i].text);
        free(texts[i].text);
    }
    if (st)
        return st;
    hm_hash_text(whole, all, strlen(all));
    memcpy(out, whole, HM_PRESET_HASH - 1);
    out[HM_PRESET_HASH - 1] = 0;
    return HM_OK;
}
