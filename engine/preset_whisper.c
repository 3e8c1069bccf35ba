/* Presets of Whisper: sizes, ids, and the small files of their folders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/preset.h"

#define FOLDER "HeartTranscriptor-oss/" /* where the pipeline looks for the model */
#define TIMESTAMPS 1501                 /* <|0.00|> to <|30.00|> */
#define CONTENT_BYTES 40
#define SMALL_END 500 /* id of <|endoftext|> in the golden files: the tokenizer's own tokens end there */
#define FULL_END 50257

/* What differs between sizes. All numbers of these presets are in this table. */
typedef struct size_row {
    const char *name;
    hm_dtype type;
    hm_whisper_shape shape;
    int languages; /* released ones; 0: those of the golden files */
} size_row;

/* clang-format off */
#define SMALL .vocab = 2014, .end = SMALL_END, .pad = SMALL_END, .start = SMALL_END + 1, .source_positions = 1500, .target_positions = 448, .tied = true
#define FULL .end = FULL_END, .pad = FULL_END, .start = FULL_END + 1, .source_positions = 1500, .target_positions = 448, .tied = true
#define TEST .width = 64, .mels = 80, .encoder_layers = 2, .decoder_layers = 2, .encoder_heads = 4, .decoder_heads = 4, \
             .encoder_hidden = 128, .decoder_hidden = 128, SMALL
#define LARGE .width = 1280, .mels = 128, .encoder_layers = 32, .encoder_heads = 20, .decoder_heads = 20, .encoder_hidden = 5120, \
              .decoder_hidden = 5120, .vocab = 51866, FULL

static const size_row sizes[] = {
    {"whisper-test", HM_F32, {TEST}, 0},
    {"whisper-test-f16", HM_F16, {TEST}, 0},
    {"whisper-mini", HM_F16, {.width = 256, .mels = 128, .encoder_layers = 4, .decoder_layers = 2, .encoder_heads = 4, .decoder_heads = 4,
                              .encoder_hidden = 1024, .decoder_hidden = 1024, SMALL}, 0},
    {"whisper-medium", HM_F16, {.width = 1024, .mels = 80, .encoder_layers = 24, .decoder_layers = 24, .encoder_heads = 16,
                                .decoder_heads = 16, .encoder_hidden = 4096, .decoder_hidden = 4096, .vocab = 51865, FULL}, 99},
    {"whisper-large-v3-turbo", HM_F16, {.decoder_layers = 4, LARGE}, 100},
    {"whisper-large-v3", HM_F16, {.decoder_layers = 32, LARGE}, 100},
};

static const char *const small_languages[] = {"en", "zh", "ja", "ko", "es"};

/* Of the golden files: the ids below the timestamps that may be drawn. Few, so that texts come out that can be read. */
static const int16_t small_allowed[] = {
    5, 7, 18, 21, 25, 27, 32, 39, 40, 41, 43, 53, 55, 60, 65, 67, 74, 86, 89, 91, 93, 105, 108, 120, 121, 124, 128, 136, 140, 142, 150,
    152, 157, 161, 170, 172, 184, 187, 188, 191, 194, 198, 206, 210, 216, 218, 219, 225, 227, 240, 248, 249, 250, 264, 281, 282, 284,
    286, 288, 291, 300, 305, 310, 314, 318, 319, 323, 326, 335, 337, 350, 354, 363, 368, 370, 371, 372, 373, 384, 410, 417, 426, 427,
    433, 435, 444, 451, 459, 466, 486, 489, 491, 495, 500
};
/* Of the released models: what is not speech, and special tokens follow. */
static const uint16_t full_suppressed[] = {
    1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 359, 503, 522, 542, 873, 893, 902, 918, 922,
    931, 1350, 1853, 1982, 2460, 2627, 3246, 3253, 3268, 3536, 3846, 3961, 4183, 4667, 6585, 6647, 7273, 9061, 9383, 10428, 10929,
    11938, 12033, 12331, 12562, 13793, 14157, 14635, 15265, 15618, 16553, 16604, 18362, 18956, 20075, 21675, 22520, 26130, 26161,
    26435, 28279, 29464, 31650, 32302, 32470, 36865, 42863, 47425, 49870, 50254
};

/* What transformers writes besides. */
static const char config_rest[] =
    "{\"dropout\":0.0,\"attention_dropout\":0.0,\"activation_dropout\":0.0,\"init_std\":0.02,\"encoder_layerdrop\":0.0,\"decoder_l"
    "ayerdrop\":0.0,\"use_cache\":true,\"classifier_proj_size\":256,\"use_weighted_layer_sum\":false,\"apply_spec_augment\":false,"
    "\"mask_time_prob\":0.05,\"mask_time_length\":10,\"mask_time_min_masks\":2,\"mask_feature_prob\":0.0,\"mask_feature_length\":1"
    "0,\"mask_feature_min_masks\":0,\"median_filter_width\":7,\"return_dict\":true,\"output_hidden_states\":false,\"torchscript\":"
    "false,\"dtype\":null,\"pruned_heads\":{},\"chunk_size_feed_forward\":0,\"is_decoder\":false,\"cross_attention_hidden_size\":n"
    "ull,\"add_cross_attention\":false,\"tie_encoder_decoder\":false,\"finetuning_task\":null,\"id2label\":{\"0\":\"LABEL_0\",\"1"
    "\":\"LABEL_1\"},\"label2id\":{\"LABEL_0\":0,\"LABEL_1\":1},\"task_specific_params\":null,\"problem_type\":null,\"tokenizer_cl"
    "ass\":null,\"prefix\":null,\"sep_token_id\":null,\"max_length\":20,\"min_length\":0,\"do_sample\":false,\"early_stopping\":fa"
    "lse,\"num_beams\":1,\"temperature\":1.0,\"top_k\":50,\"top_p\":1.0,\"typical_p\":1.0,\"repetition_penalty\":1.0,\"length_pena"
    "lty\":1.0,\"no_repeat_ngram_size\":0,\"encoder_no_repeat_ngram_size\":0,\"bad_words_ids\":null,\"num_return_sequences\":1,\"o"
    "utput_scores\":false,\"return_dict_in_generate\":false,\"forced_bos_token_id\":null,\"forced_eos_token_id\":null,\"remove_inv"
    "alid_values\":false,\"exponential_decay_length_penalty\":null,\"suppress_tokens\":null,\"begin_suppress_tokens\":null,\"num_b"
    "eam_groups\":1,\"diversity_penalty\":0.0,\"_name_or_path\":\"\",\"transformers_version\":\"4.57.3\",\"tf_legacy_loss\":false,"
    "\"use_bfloat16\":false,\"output_attentions\":false}";

/* The tokenizer: bytes, then the results of the merges, 500 in all. */
static const char merges_text[] =
    "#version: 0.2\nÃ ©\nÃ ±\nç Ī\nçĪ ±\nå ¿\nå¿ ĥ\næ Ħ\næĦ Ľ\nì Ĥ\nìĤ ¬\nã ģ\nãģ ®\nâ Ļ\nâĻ ª\n"
    "Ġ t\nĠt h\nĠth e\nĠ a\nĠa n\nĠan d\nĠ y\nĠy o\nĠyo u\nĠ m\nĠm e\nĠm y\nĠ l\nĠl o\nĠlo v\nĠlov e\nĠ i\nĠi n"
    "\nĠ o\nĠo f\nĠt o\nĠo n\nĠ f\nĠf o\nĠfo r\nĠa l\nĠal l\nĠ n\nĠn i\nĠni g\nĠnig h\nĠnigh t\nĠ d\nĠd a\nĠda y"
    "\nĠ h\nĠh e\nĠhe a\nĠhea r\nĠhear t\nĠ s\nĠs o\nĠso n\nĠson g\nĠs i\nĠsi n\nĠsin g\nĠda n\nĠdan c\nĠdanc e\nĠ"
    "l i\nĠli g\nĠlig h\nĠligh t\nĠt i\nĠti m\nĠtim e\nĠ w\nĠw a\nĠwa y\nĠn e\nĠne v\nĠnev e\nĠneve r\nĠ e\nĠe v\n"
    "Ġev e\nĠeve r\nĠw i\nĠwi t\nĠwit h\nĠyou r\nĠe y\nĠey e\nĠeye s\nĠ b\nĠb a\nĠba b\nĠbab y\nĠo h\nĠy e\nĠye a"
    "\nĠyea h\nĠl a\nĠn a\nĠ c\nĠc o\nĠco m\nĠcom e\nĠh o\nĠho m\nĠhom e\nĠ g\nĠg o\nĠd o\nĠdo w\nĠdow n\nĠ u\nĠu"
    " p\nĠo u\nĠou t\nĠa g\nĠag a\nĠaga i\nĠagai n\nĠa w\nĠaw a\nĠawa y\nĠw e\nĠa r\nĠar e\nĠwe r\nĠwer e\nĠwi l\n"
    "Ġwil l\nĠd r\nĠdr e\nĠdre a\nĠdrea m\nĠf i\nĠfi r\nĠfir e\nĠ r\nĠr a\nĠra i\nĠrai n\nĠs u\nĠsu n\nĠm o\nĠmo o"
    "\nĠmoo n\nĠs t\nĠst a\nĠsta r\nĠw o\nĠwo r\nĠwor l\nĠworl d\nĠli f\nĠlif e\nĠf e\nĠfe e\nĠfee l\nĠho l\nĠhol d"
    "\nĠl e\nĠle t\nĠt a\nĠta k\nĠtak e\nĠ k\nĠk n\nĠkn o\nĠkno w\nĠwa n\nĠwan t\nĠne e\nĠnee d\nĠr u\nĠru n\nĠf l"
    "\nĠfl y\nĠh i\nĠhi g\nĠhig h\nĠlo w\nĠs k\nĠsk y\nĠs e\nĠse a\ni n\nin g\ne r\ne d\n' s\n' t\nn '\nn' t\n' r\n'r e\n"
    "in '\ne e\ne t\ne a\ne o\ne i\ne n\ne s\ne h\ne l\ne u\nt e\nt t\nt a\nt o\nt i\nt n\nt s\nt h\nt r\nt d\nt l\nt u\na e\na t"
    "\na a\na o\na i\na n\na s\na h\na r\na d\na l\na u\no e\no t\no a\no o\no i\no n\no s\no h\no r\no d\no l\no u\ni e\ni t\ni a"
    "\n";
/* clang-format on */

static const size_row *row_of(const char *name)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!strcmp(sizes[i].name, name))
            return &sizes[i];
    return NULL;
}

bool hm_preset_whisper_shape(const hm_preset *preset, hm_whisper_shape *shape, hm_dtype *type)
{
    const size_row *r = row_of(preset->name);
    if (!r)
        return false;
    *shape = r->shape;
    *type = r->type;
    return true;
}

static bool is_small(const size_row *r)
{
    return !r->languages;
}

/* ---- added tokens: <|endoftext|>, <|startoftranscript|>, languages, six more, timestamps ---- */

static int language_count(const size_row *r)
{
    return is_small(r) ? (int)(sizeof small_languages / sizeof *small_languages) : r->languages;
}

static int special_count(const size_row *r)
{
    return 2 + language_count(r) + 6;
}

static int64_t id_after_languages(const size_row *r, int which)
{
    return r->shape.end + 2 + language_count(r) + which;
}

static void added_content(const size_row *r, int i, char out[CONTENT_BYTES])
{
    static const char *const first[] = {"endoftext", "startoftranscript"};
    static const char *const last[] = {"translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"};
    int n = language_count(r);
    if (i < 2)
        snprintf(out, CONTENT_BYTES, "<|%s|>", first[i]);
    else if (i < 2 + n)
        snprintf(out, CONTENT_BYTES, "<|%s|>", is_small(r) ? small_languages[i - 2] : hm_whisper_language_code(i - 2));
    else if (i < special_count(r))
        snprintf(out, CONTENT_BYTES, "<|%s|>", last[i - 2 - n]);
    else
        snprintf(out, CONTENT_BYTES, "<|%.2f|>", (i - special_count(r)) * 0.02);
}

static json_t *flags(const char *content, bool special)
{
    return json_pack("{ss sb sb sb sb sb}", "content", content, "lstrip", 0, "normalized", 0, "rstrip", 0, "single_word", 0, "special",
                     special);
}

static json_t *added_tokens(const size_row *r)
{
    json_t *out = json_object();
    for (int i = 1; i < special_count(r) + TIMESTAMPS; i++) { /* the first is in vocab.json */
        char content[CONTENT_BYTES];
        added_content(r, i, content);
        json_object_set_new(out, content, json_integer(r->shape.end + i));
    }
    return out;
}

static json_t *special_names(const size_row *r)
{
    json_t *out = json_array();
    for (int i = 0; i < special_count(r); i++) {
        char content[CONTENT_BYTES];
        added_content(r, i, content);
        json_array_append_new(out, json_string(content));
    }
    return out;
}

/* The four roles that all models give to <|endoftext|>. */
static json_t *roles(json_t *out)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    for (int i = 0; i < 4; i++)
        json_object_set_new(out, names[i], json_string("<|endoftext|>"));
    return out;
}

static json_t *special_tokens_map(const size_row *r)
{
    return roles(json_pack("{so}", "additional_special_tokens", special_names(r)));
}

static json_t *tokenizer_config(const size_row *r)
{
    json_t *decoder = json_object();
    for (int i = 0; i < special_count(r) + TIMESTAMPS; i++) {
        char id[24], content[CONTENT_BYTES];
        snprintf(id, sizeof id, "%lld", (long long)r->shape.end + i);
        added_content(r, i, content);
        json_object_set_new(decoder, id, flags(content, i < special_count(r)));
    }
    return roles(json_pack("{sb sb so so sb ss si ss sb ss}", "add_bos_token", 0, "add_prefix_space", 0, "added_tokens_decoder", decoder,
                           "additional_special_tokens", special_names(r), "clean_up_tokenization_spaces", 1, "errors", "replace",
                           "model_max_length", 1024, "processor_class", "WhisperProcessor", "return_attention_mask", 0, "tokenizer_class",
                           "WhisperTokenizer"));
}

/* ---- tokenizer ---- */

static int put_utf8(char out[3], int code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

/* Printable bytes stand for themselves, the other 68 for U+0100 onwards: in this order. */
static void add_bytes(json_t *vocab)
{
    static const int ranges[][2] = {{33, 126}, {161, 172}, {174, 255}, {256, 323}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (int code = ranges[i][0]; code <= ranges[i][1]; code++) {
            char text[3];
            json_object_set_new(vocab, (text[put_utf8(text, code)] = 0, text), json_integer((json_int_t)json_object_size(vocab)));
        }
}

/* vocab.json; lines: the merges as tokenizer.json has them, or NULL. */
static json_t *vocabulary(const size_row *r, json_t *lines)
{
    json_t *vocab = json_object();
    add_bytes(vocab);
    for (const char *line = strchr(merges_text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        char joined[64];
        int left = (int)strcspn(line, " "), right = (int)strcspn(line + left + 1, "\n");
        snprintf(joined, sizeof joined, "%.*s%.*s", left, line, right, line + left + 1);
        json_object_set_new(vocab, joined, json_integer((json_int_t)json_object_size(vocab)));
        if (lines)
            json_array_append_new(lines, json_pack("[s%s%]", line, left, line + left + 1, right));
    }
    json_object_set_new(vocab, "<|endoftext|>", json_integer(r->shape.end));
    return vocab;
}

static json_t *template_piece(const char *kind, const char *id, int type)
{
    return json_pack("{s{ss si}}", kind, "id", id, "type_id", type);
}

/* [SOT, NOTS, text, EOT]. */
static json_t *post_processor(const size_row *r)
{
    const struct {
        const char *name;
        int64_t id;
    } used[] = {{"<|endoftext|>", r->shape.end}, {"<|notimestamps|>", id_after_languages(r, 5)}, {"<|startoftranscript|>", r->shape.start}};
    json_t *tokens = json_object(), *single = json_array(), *pair = json_array();
    for (int i = 0; i < 3; i++)
        json_object_set_new(tokens, used[i].name,
                            json_pack("{ss s[I] s[s]}", "id", used[i].name, "ids", (json_int_t)used[i].id, "tokens", used[i].name));
    for (int i = 2; i > 0; i--) {
        json_array_append_new(single, template_piece("SpecialToken", used[i].name, 0));
        json_array_append_new(pair, template_piece("SpecialToken", used[i].name, 0));
    }
    json_array_append_new(single, template_piece("Sequence", "A", 0));
    json_array_append_new(pair, template_piece("Sequence", "A", 0));
    json_array_append_new(pair, template_piece("Sequence", "B", 1));
    json_array_append_new(single, template_piece("SpecialToken", used[0].name, 0));
    json_array_append_new(pair, template_piece("SpecialToken", used[0].name, 1));
    return json_pack("{ss so so so}", "type", "TemplateProcessing", "single", single, "pair", pair, "special_tokens", tokens);
}

static json_t *byte_level(bool prefix_space)
{
    return json_pack("{ss sb sb sb}", "type", "ByteLevel", "add_prefix_space", prefix_space, "trim_offsets", 1, "use_regex", 1);
}

static json_t *tokenizer(const size_row *r)
{
    json_t *merges = json_array(), *vocab = vocabulary(r, merges), *added = json_array();
    for (int i = 0; i < special_count(r) + TIMESTAMPS; i++) {
        char content[CONTENT_BYTES];
        added_content(r, i, content);
        json_t *token = flags(content, i < special_count(r));
        json_object_set_new(token, "id", json_integer(r->shape.end + i));
        json_array_append_new(added, token);
    }
    json_t *model =
        json_pack("{ss sn sn ss ss sb sb sb so so}", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix", "",
                  "end_of_word_suffix", "", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0, "vocab", vocab, "merges", merges);
    return json_pack("{ss sn sn so sn so so so so}", "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                     "pre_tokenizer", byte_level(false), "post_processor", post_processor(r), "decoder", byte_level(true), "model", model);
}

/* ---- configs ---- */

json_t *hm_preset_whisper_config(const hm_whisper_shape *s)
{
    json_t *config = hm_whisper_shape_config(s), *rest = NULL;
    if (hm_json_parse(&rest, config_rest, strlen(config_rest), "preset config", NULL) || json_object_update(config, rest) ||
        json_object_set_new(config, "bos_token_id", json_integer(s->end)) ||
        json_object_set_new(config, "num_hidden_layers", json_integer(s->encoder_layers))) {
        json_decref(config);
        config = NULL;
    }
    json_decref(rest);
    return config;
}

/* every: timestamps that may be drawn; 0: none of them, 1: all. */
static json_t *suppressed(const size_row *r, int every)
{
    json_t *out = json_array();
    size_t at = 0;
    for (size_t i = 0; !is_small(r) && i < sizeof full_suppressed / sizeof *full_suppressed; i++)
        json_array_append_new(out, json_integer(full_suppressed[i]));
    if (!is_small(r)) {
        json_array_append_new(out, json_integer(r->shape.start));
        for (int i = 0; i < 5; i++)
            json_array_append_new(out, json_integer(id_after_languages(r, i)));
        return out;
    }
    for (int id = 0; id < r->shape.vocab; id++) {
        int stamp = id - (int)r->shape.vocab + TIMESTAMPS;
        bool allowed = at < sizeof small_allowed / sizeof *small_allowed && small_allowed[at] == id;
        at += allowed;
        if (!allowed && !(stamp >= 0 && every && stamp % every == 0))
            json_array_append_new(out, json_integer(id));
    }
    return out;
}

static json_t *generation_config(const size_row *r, int every)
{
    json_t *languages = json_object();
    json_int_t end = r->shape.end;
    for (int i = 0; i < language_count(r); i++) {
        char content[CONTENT_BYTES];
        added_content(r, 2 + i, content);
        json_object_set_new(languages, content, json_integer(end + 2 + i));
    }
    return json_pack("{sI sI sI sI s[iI] so sb so s{sI sI} sI sI si si sb ss}", "bos_token_id", end, "eos_token_id", end, "pad_token_id",
                     end, "decoder_start_token_id", end + 1, "begin_suppress_tokens", is_small(r) ? 5 : 220, end, "suppress_tokens",
                     suppressed(r, every), "is_multilingual", 1, "lang_to_id", languages, "task_to_id", "transcribe",
                     (json_int_t)id_after_languages(r, 1), "translate", (json_int_t)id_after_languages(r, 0), "no_timestamps_token_id",
                     (json_int_t)id_after_languages(r, 5), "prev_sot_token_id", (json_int_t)id_after_languages(r, 3),
                     "max_initial_timestamp_index", 50, "max_length", 448, "return_timestamps", 0, "transformers_version", "4.57.3");
}

static json_t *preprocessor_config(const size_row *r)
{
    return json_pack("{si sf ss sI si si si si ss sf ss sb si}", "chunk_length", 30, "dither", 0.0, "feature_extractor_type",
                     "WhisperFeatureExtractor", "feature_size", (json_int_t)r->shape.mels, "hop_length", 160, "n_fft", 400, "n_samples",
                     480000, "nb_max_frames", 3000, "padding_side", "right", "padding_value", 0.0, "processor_class", "WhisperProcessor",
                     "return_attention_mask", 0, "sampling_rate", 16000);
}

hm_status hm_preset_whisper_texts(hm_preset_text out[HM_PRESET_TEXTS], const hm_preset *preset, hm_error *err)
{
    const size_row *r = row_of(preset->name);
    bool golden = !strncmp(r->name, "whisper-test", 12); /* no timestamps by default, and a file that has some */
    const struct {
        const char *name;
        json_t *json;
        size_t flags;
    } files[] = {
        {FOLDER "generation_config.json", generation_config(r, golden ? 0 : 50), JSON_INDENT(2)},
        {FOLDER "preprocessor_config.json", preprocessor_config(r), JSON_INDENT(2)},
        {FOLDER "vocab.json", vocabulary(r, NULL), 0},
        {FOLDER "added_tokens.json", added_tokens(r), 0},
        {FOLDER "special_tokens_map.json", special_tokens_map(r), JSON_INDENT(2)},
        {FOLDER "tokenizer_config.json", tokenizer_config(r), 0},
        {FOLDER "tokenizer.json", tokenizer(r), JSON_COMPACT},
        {FOLDER "generation_config_ts.json", golden ? generation_config(r, 50) : NULL, JSON_INDENT(2)},
    };
    int n = 0;
    hm_status st = HM_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!files[i].json && i == 7)
            continue;
        out[n] = (hm_preset_text){files[i].name, files[i].json ? json_dumps(files[i].json, files[i].flags) : NULL};
        json_decref(files[i].json);
        if (!out[n++].text)
            st = hm_fail(err, HM_EABSENT, "preset %s: no memory", preset->name);
    }
    out[n] = (hm_preset_text){FOLDER "merges.txt", strdup(merges_text)};
    return out[n].text ? st : hm_fail(err, HM_EABSENT, "preset %s: no memory", preset->name);
}
