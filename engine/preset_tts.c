/* Presets of Qwen3-TTS: sizes, names of speakers and languages, and the small files of their folders. */
#include <stdlib.h>
#include <string.h>

#include "engine/preset.h"

/* Languages and speakers of the released models: rows of the codec embedding after the codes. tiny: the golden files have it too. */
typedef struct name_row {
    const char *name, *dialect;
    int after_codes;
    bool tiny;
} name_row;

static const name_row languages[] = {
    {"english", "", 2, true},   {"german", "", 5, true},    {"spanish", "", 6, true},          {"chinese", "", 7, true},
    {"japanese", "", 10, true}, {"french", "", 13, false},  {"sichuan_dialect", "", 14, true}, {"korean", "", 16, false},
    {"russian", "", 21, false}, {"italian", "", 22, false}, {"portuguese", "", 23, false},     {"beijing_dialect", "", 26, true},
};
static const name_row speakers[] = {
    {"serena", "", 1018, false},
    {"vivian", "", 1017, true},
    {"uncle_fu", "", 962, false},
    {"ryan", "", 1013, true},
    {"aiden", "", 813, false},
    {"ono_anna", "", 825, false},
    {"sohee", "", 816, false},
    {"eric", "sichuan_dialect", 827, true},
    {"dylan", "beijing_dialect", 830, true},
};

/* What differs between sizes. All numbers of speech presets are in this table. */
typedef struct size_row {
    const char *name, *size;
    hm_tts_stack talker, predictor;
    int64_t text_width, text_vocab, codebook, im_start, tts_pad; /* im_end follows im_start; tts_bos and tts_eos follow tts_pad */
    hm_speaker_encoder_shape speaker;
    hm_speech_codec_shape codec;
} size_row;

/* clang-format off */
#define RATIOS .ratios = {2, 2}, .ratio_count = 2, .rates = {8, 5, 4, 3}, .rate_count = 4, .rope_theta = 10000, .eps = 1e-5
#define SEANET .semantic = 1, .ratios = {8, 6, 5, 4}, .ratio_count = 4, .kernel = 7, .last_kernel = 3, .residual_kernel = 3, \
               .residual_layers = 1, .dilation_growth = 2, .compress = 2, .rope_theta = 10000, .eps = 1e-5, .frame_rate = 12.5
#define RATE .sample_rate = 24000, .groups = 16, .decode_rate = 1920, .encode_rate = 1920
#define ECAPA .mel = 128, .sample_rate = 24000, .blocks = 5, .kernels = {5, 3, 3, 3, 1}, .dilations = {1, 2, 3, 4, 1}, .res2net_scale = 8
#define FULL_PREDICTOR {5, 16, 8, 128, 1024, 3072, 65536, 1e-6, 1e6}
#define FULL_SPEAKER(H) {ECAPA, .width = H, .channels = {512, 512, 512, 512, 1536}, .attention = 128, .se = 128}
#define FULL_CODEC {RATE,                                                                                                                  \
    .decoder = {.codebook = 2048, .codebook_dim = 512, .latent = 1024, .width = 512, .hidden = 1024, .layers = 8, .heads = 16,             \
                .kv_heads = 16, .head_dim = 64, .window = 72, .channels = 1536, .groups = 16, RATIOS},                                     \
    .encoder = {.width = 512, .filters = 64, .hidden = 2048, .layers = 8, .heads = 8, .kv_heads = 8, .head_dim = 64, .codebook = 2048,     \
                .codebook_dim = 256, .quantizers = 32, SEANET}}

static const size_row sizes[] = {
    {   .name = "qwen3-tts-tiny", .size = "tiny",
        /*           layers heads kv head_dim width hidden positions */
        .talker    = {3, 4, 2, 16, 64, 128, 32768, 1e-6, 1e6},
        .predictor = {2, 4, 2, 16, 64, 128, 65536, 1e-6, 1e6},
        .text_width = 96, .text_vocab = 512, .codebook = 128, .im_start = 471, .tts_pad = 473,
        .speaker = {ECAPA, .width = 64, .channels = {32, 32, 32, 32, 96}, .attention = 16, .se = 16},
        .codec = {RATE,
            .decoder = {.codebook = 128, .codebook_dim = 32, .latent = 32, .width = 24, .hidden = 48, .layers = 2, .heads = 4,
                        .kv_heads = 4, .head_dim = 8, .window = 24, .channels = 32, .groups = 16, RATIOS},
            .encoder = {.width = 32, .filters = 4, .hidden = 64, .layers = 2, .heads = 4, .kv_heads = 4, .head_dim = 8, .codebook = 128,
                        .codebook_dim = 16, .quantizers = 20, SEANET}}},
    {   .name = "qwen3-tts-mini", .size = "mini",
        .talker    = {4, 4, 2, 32, 128, 384, 32768, 1e-6, 1e6},
        .predictor = {2, 4, 2, 32, 96, 256, 65536, 1e-6, 1e6},
        .text_width = 192, .text_vocab = 512, .codebook = 1024, .im_start = 471, .tts_pad = 473,
        .speaker = {ECAPA, .width = 128, .channels = {64, 64, 64, 64, 192}, .attention = 32, .se = 32},
        .codec = {RATE,
            .decoder = {.codebook = 1024, .codebook_dim = 32, .latent = 64, .width = 64, .hidden = 128, .layers = 3, .heads = 4,
                        .kv_heads = 4, .head_dim = 16, .window = 72, .channels = 128, .groups = 16, RATIOS},
            .encoder = {.width = 64, .filters = 8, .hidden = 128, .layers = 2, .heads = 4, .kv_heads = 4, .head_dim = 16,
                        .codebook = 1024, .codebook_dim = 16, .quantizers = 32, SEANET}}},
    {   .name = "qwen3-tts-0.6b", .size = "0b6",
        .talker    = {28, 16, 8, 128, 1024, 3072, 32768, 1e-6, 1e6},
        .predictor = FULL_PREDICTOR,
        .text_width = 2048, .text_vocab = 151936, .codebook = 2048, .im_start = 151644, .tts_pad = 151671,
        .speaker = FULL_SPEAKER(1024), .codec = FULL_CODEC},
    {   .name = "qwen3-tts-1.7b", .size = "1b7",
        .talker    = {28, 16, 8, 128, 2048, 6144, 32768, 1e-6, 1e6},
        .predictor = FULL_PREDICTOR,
        .text_width = 2048, .text_vocab = 151936, .codebook = 2048, .im_start = 151644, .tts_pad = 151671,
        .speaker = FULL_SPEAKER(2048), .codec = FULL_CODEC},
};
/* clang-format on */

static const size_row *size_of(const char *name, hm_tts_kind *kind)
{
    static const char *const tails[] = {"", "-voice-design", "-base"}; /* by hm_tts_kind */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = strlen(sizes[i].name);
        for (int k = 0; k < 3 && !strncmp(name, sizes[i].name, n); k++)
            if (!strcmp(name + n, tails[k])) {
                *kind = (hm_tts_kind)k;
                return &sizes[i];
            }
    }
    return NULL;
}

static int put_names(hm_tts_name *out, const name_row *rows, size_t count, const size_row *size)
{
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!rows[i].tiny && size == sizes)
            continue;
        out[n].id = size->codebook + rows[i].after_codes;
        strcpy(out[n].name, rows[i].name);
        strcpy(out[n++].dialect, rows[i].dialect);
    }
    return n;
}

bool hm_preset_tts_shapes(const hm_preset *preset, hm_talker_shape *talker, hm_speech_codec_shape *codec)
{
    hm_tts_kind kind;
    const size_row *r = size_of(preset->name, &kind);
    if (!r)
        return false;
    *talker = (hm_talker_shape){
        .kind = kind,
        .talker = r->talker,
        .predictor = r->predictor,
        .text_width = r->text_width,
        .text_vocab = r->text_vocab,
        .code_vocab = r->codebook + 1024,
        .groups = r->codec.groups,
        .codebook = r->codebook,
        .im_start = r->im_start,
        .im_end = r->im_start + 1,
        .tts_pad = r->tts_pad,
        .tts_bos = r->tts_pad + 1,
        .tts_eos = r->tts_pad + 2,
        .codec_pad = r->codebook + 100,
        .codec_bos = r->codebook + 101,
        .codec_eos = r->codebook + 102,
        .codec_think = r->codebook + 106,
        .codec_nothink = r->codebook + 107,
        .codec_think_bos = r->codebook + 108,
        .codec_think_eos = r->codebook + 109,
    };
    strcpy(talker->size, r->size);
    talker->language_count = put_names(talker->languages, languages, sizeof languages / sizeof *languages, r);
    if (kind == HM_TTS_CUSTOM_VOICE)
        talker->speaker_count = put_names(talker->speakers, speakers, sizeof speakers / sizeof *speakers, r);
    if (kind == HM_TTS_BASE)
        talker->speaker = r->speaker;
    *codec = r->codec;
    return true;
}

json_t *hm_preset_generation_config(void)
{
    return json_pack("{sb sf si sf sf sb sf si sf si}", "do_sample", 1, "temperature", 0.9, "top_k", 50, "top_p", 1.0, "repetition_penalty",
                     1.05, "subtalker_dosample", 1, "subtalker_temperature", 0.9, "subtalker_top_k", 50, "subtalker_top_p", 1.0,
                     "max_new_tokens", 8192);
}

json_t *hm_preset_tokenizer_config(const hm_talker_shape *s)
{
    const struct {
        int64_t id;
        const char *content;
    } special[] = {
        {s->im_start - 1, "<|endoftext|>"}, {s->im_start, "<|im_start|>"},  {s->im_end, "<|im_end|>"},
        {s->tts_pad, "<tts_pad>"},          {s->tts_bos, "<tts_text_bos>"}, {s->tts_eos, "<tts_text_eod>"},
    };
    json_t *decoder = json_object(), *additional = json_array();
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)special[i].id);
        json_object_set_new(decoder, id,
                            json_pack("{ss sb sb sb sb sb}", "content", special[i].content, "lstrip", 0, "normalized", 0, "rstrip", 0,
                                      "single_word", 0, "special", 1));
        if (i)
            json_array_append_new(additional, json_string(special[i].content));
    }
    return json_pack("{sb sb so so sn sb ss ss si ss sb ss sn}", "add_bos_token", 0, "add_prefix_space", 0, "added_tokens_decoder", decoder,
                     "additional_special_tokens", additional, "bos_token", "clean_up_tokenization_spaces", 0, "eos_token", "<|im_end|>",
                     "errors", "replace", "model_max_length", 131072, "pad_token", "<|endoftext|>", "split_special_tokens", 0,
                     "tokenizer_class", "Qwen2Tokenizer", "unk_token");
}
