/* Every value of every toggle moves the counter that its row names, in speech too, by exactly what follows from the sizes of the model. */
#define _GNU_SOURCE
#include "tests/counters_case.h"
#include "tests/speech_case.h"

#define FRAMES 3
#define TOPK 50
#define TEXT_CALLS 2    /* of the text projection */
#define HEARD_FRAMES 12 /* pieces of 3, 8 and what is left */
#define CHUNKED_FRAMES 310
#define STREAMED_FRAMES 1100 /* more than decode=stream pushes at once in so small a model */

enum scene {
    SPEECH,
    PENALISED,
    AGAIN,
    HEARD,
    CHUNKED,
    STREAMED,
    PACKED,
    PACKED_DECODING
};

/* --- running --- */

/* The last of `times` calls, of which the first ones say something else. */
static observed speak(const hm_toggles *toggles, int frames, double penalty, bool audio, int times)
{
    const hm_engine_api *api = case_runtime();
    hm_engine *e = case_open(
        api, &(hm_engine_options){.source.dir = case_custom, .threads = 1, .toggles = toggles, .need_lm = true, .need_codec = audio});
    hm_request request = case_spoken;
    observed o = {0};
    request.max_frames = frames;
    request.skip_codec = !audio;
    request.topk = request.speech.sub_topk = TOPK;
    request.speech.repetition_penalty = penalty;
    for (int i = 0; i < times; i++) {
        request.speech.text = i + 1 < times ? "Six!" : "One two three.";
        hm_result r = case_speak(e, &request);
        o = (observed){r.counters, api->facts(e)->load_counters, (uint64_t)r.prompt_tokens};
        assert_int_equal(r.frames, frames);
        case_drop(&r);
    }
    case_close(e);
    return o;
}

static observed decode(const hm_toggles *toggles, int frames, const char *preset)
{
    const hm_engine_api *api = case_runtime();
    json_t *manifest = case_manifest(preset, HM_PRESET_CODEC);
    int32_t *codes = calloc((size_t)frames * CASE_GROUPS, sizeof *codes);
    assert_non_null(codes);
    for (int k = 0; k < frames * CASE_GROUPS; k++)
        codes[k] = (k * 37 + k / 16) % 128;
    hm_engine *e = case_open(
        api, &(hm_engine_options){.source = {.codec_manifest = manifest, .seed = 1}, .threads = 1, .toggles = toggles, .need_codec = true});
    hm_result r = case_decode(api, e, codes, frames, &(hm_request){.task = HM_TASK_SPEECH});
    observed o = {r.counters, api->facts(e)->load_counters, 0};
    case_drop(&r);
    case_close(e);
    json_decref(manifest);
    free(codes);
    return o;
}

static observed run_scene(int scene, hm_toggles toggles)
{
    if (scene == PACKED || scene == PACKED_DECODING) {
        toggles.panels = HM_PANELS_PACKED;
        toggles.precompute = HM_PRECOMPUTE_ONCE;
    }
    switch ((enum scene)scene) {
    case PENALISED:
        return speak(&toggles, FRAMES, 1.05, false, 1);
    case AGAIN:
        return speak(&toggles, FRAMES, 1, false, 2);
    case HEARD:
        return speak(&toggles, HEARD_FRAMES, 1, true, 1);
    case CHUNKED:
        return decode(&toggles, CHUNKED_FRAMES, "qwen3-tts-tiny");
    case STREAMED:
        return decode(&toggles, STREAMED_FRAMES, "qwen3-tts-tiny");
    case PACKED_DECODING: /* wide enough for blocks of 64 inputs */
        return decode(&toggles, 2, "qwen3-tts-mini");
    case PACKED:
    case SPEECH:
        break;
    }
    return speak(&toggles, FRAMES, 1, false, 1);
}

/* --- amounts, from the shapes --- */

static hm_talker_shape talker_shape;
static hm_speech_codec_shape codec_shape;

#define T (&talker_shape.talker)
#define P (&talker_shape.predictor)
#define G ((uint64_t)talker_shape.groups)
#define V ((uint64_t)talker_shape.code_vocab)
#define VC ((uint64_t)talker_shape.codebook)
#define L(stack) ((uint64_t)(stack)->layers)
#define H(stack) ((uint64_t)(stack)->heads)
#define KV(stack) ((uint64_t)(stack)->kv_heads)
#define DIM(stack) ((uint64_t)(stack)->width)
#define HEAD(stack) ((uint64_t)(stack)->head_dim)

/* The talker's cache has slots for the prompt and all frames. */
static amounts attn_all_slots(const observed *b, const observed *a)
{
    return case_attn_all(b, a, b->prompt + FRAMES);
}

/* Seven linear layers in a block; of the last one's, four are for one row where the others are not needed. The head of the talker is one
 * for all codes, or one for live ones and one for codec_eos. Text rows go through two layers. */
static amounts rows(const observed *b, const observed *a)
{
    uint64_t text = 2 * b->call.text_rows, passes = FRAMES * (G - 2) * (7 * L(P) + 1);
    uint64_t all = b->prompt * (7 * L(T) + 1) + (FRAMES - 1) * (7 * L(T) + 1) + FRAMES * 2 * (7 * L(P) + 1);
    uint64_t needed = b->prompt * (7 * (L(T) - 1) + 3) + 4 + 2 + (FRAMES - 1) * (7 * L(T) + 2);
    needed += FRAMES * (2 * (7 * (L(P) - 1) + 3) + 4 + 1);
    assert_int_equal(b->call.head_rows - a->call.head_rows, b->prompt - 1 + FRAMES);
    return (amounts){text + all + passes, text + needed + passes};
}

/* The same passes: codes do not leave the device. */
static amounts sampling_device(const observed *b, const observed *a)
{
    assert_true(a->call.to_host_bytes < b->call.to_host_bytes);
    case_same = true;
    return (amounts){FRAMES * 10 * (V + (G - 1) * VC), FRAMES * 10 * (V + (G - 1) * VC)};
}

static amounts sampling(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){FRAMES * 10 * (V + (G - 1) * VC), FRAMES * (V + TOPK + (G - 1) * (VC + TOPK))};
}

/* Codes and logits at the end: a forced length has no end to look for. */
static amounts codes_deferred(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){FRAMES * G + 1, 2};
}

/* No upload any more for the predictor's passes, for the frame's codes. */
static amounts token_forward(const observed *b, const observed *a)
{
    (void)a;
    return (amounts){b->call.to_device_transfers, b->call.to_device_transfers - FRAMES * G};
}

/* Inputs of the predictor's passes, for up to 8 utterances of two rows; every layer's hidden states. */
static amounts step_reset(const observed *b, const observed *a)
{
    (void)a;
    uint64_t buffers = FRAMES * 2 * 8 * (DIM(T) + DIM(P));
    uint64_t hidden = (b->prompt + FRAMES - 1) * L(T) * DIM(T) + FRAMES * G * L(P) * DIM(P);
    return (amounts){sizeof(float) * (buffers + hidden), 0};
}

/* Cosine and sine of every position, in every call; or once. */
static amounts precompute(const observed *b, const observed *a)
{
    assert_true(b->call.text_rows >= a->call.text_rows + 3); /* pad, bos, eos, and tokens that come twice */
    return (amounts){HEAD(T) * (b->prompt + FRAMES - 1) + HEAD(P) * FRAMES * G, HEAD(T) * (b->prompt + FRAMES) + HEAD(P) * G};
}

/* Of a block's operations six go: two of q, k, v; gate with up and silu; both residuals. The sum of a frame's embeddings is one
 * operation; the text projection's silu is done with its first layer: special rows, role, text. */
static amounts fuse(const observed *b, const observed *a)
{
    (void)a;
    uint64_t blocks = 6 * FRAMES * (L(T) + (G - 1) * L(P));
    return (amounts){b->call.launches, b->call.launches - blocks - (FRAMES - 1) * 2 * (G - 1) - 3};
}

static amounts penalty(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){case_range_sum(1, FRAMES - 1), 0};
}

static amounts suppress(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){FRAMES * V * sizeof(float), 0};
}

/* Role, and a prefix of three codec rows, speaker and codec_pad, begin both prompts. */
static amounts prefix(const observed *b, const observed *a)
{
    assert_int_equal(b->prompt, a->prompt);
    return (amounts){b->prompt, b->prompt - 3 - 5};
}

static amounts decode_overlap(const observed *b, const observed *a)
{
    assert_int_equal(b->call.decoded_frames, HEARD_FRAMES);
    assert_int_equal(a->call.decoded_frames, HEARD_FRAMES);
    return (amounts){1, 3};
}

static amounts decode_stream(const observed *b, const observed *a)
{
    assert_int_equal(b->call.decoded_frames, STREAMED_FRAMES);
    assert_int_equal(a->call.decoded_frames, STREAMED_FRAMES);
    return (amounts){1, 2};
}

static amounts chunks(const observed *b, const observed *a)
{
    assert_int_equal(b->call.decode_chunks, 1);
    assert_int_equal(a->call.decode_chunks, 2);
    return (amounts){CHUNKED_FRAMES, CHUNKED_FRAMES + 25};
}

/* --- amounts, from the list of tensors --- */

/* Bytes of the tensors that `wanted` takes. */
static uint64_t bytes_of(hm_preset_part part, bool (*wanted)(const hm_tensor_row *row))
{
    hm_tensor_table all;
    hm_error err = {0};
    if (part == HM_PRESET_LM ? hm_talker_table(&all, &talker_shape, &err) : hm_speech_codec_table(&all, &codec_shape, &err))
        fail_msg("%s", err.text);
    return case_bytes_of(&all, wanted);
}

static bool begins(const hm_tensor_row *r, const char *start)
{
    return !strncmp(r->name, start, strlen(start));
}

/* Layers in panels, and how often speech reads them: the predictor once for each code but the first, the text projection for the
 * template and for the text. */
static bool of_heads(const hm_tensor_row *r)
{
    return strstr(r->name, "codec_head.") || strstr(r->name, ".lm_head.");
}

static bool of_predictor(const hm_tensor_row *r)
{
    return begins(r, "talker.code_predictor.") && !of_heads(r);
}

static bool of_talker(const hm_tensor_row *r)
{
    return begins(r, "talker.") && !begins(r, "talker.code_predictor.") && !of_heads(r);
}

static uint64_t speech_reads(const hm_tensor_row *r)
{
    if (r->rank < 2 || strstr(r->name, "_embedding.") || begins(r, "speaker_encoder."))
        return 0;
    if (strstr(r->name, ".text_projection."))
        return TEXT_CALLS;
    return FRAMES * (of_predictor(r) ? G - 1 : 1);
}

/* What makes the waveform, once; codebooks are projected while loading. */
static bool of_vocoder(const hm_tensor_row *r)
{
    return begins(r, "decoder.");
}

static uint64_t decoding_reads(const hm_tensor_row *r)
{
    return !r->unused && r->rank >= 2 && of_vocoder(r) && !strstr(r->name, "quantizer.") && !strstr(r->name, ".dwconv.");
}

static bool none(const hm_tensor_row *r)
{
    return r->rank < 0;
}

static uint64_t read_of(hm_preset_part part, bool (*chosen)(const hm_tensor_row *r), hm_format format)
{
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    hm_tensor_table all;
    hm_error err = {0};
    assert_true(hm_preset_tts_shapes(hm_preset_find(part == HM_PRESET_LM ? "qwen3-tts-tiny" : "qwen3-tts-mini"), &talker, &codec));
    if (part == HM_PRESET_LM ? hm_talker_table(&all, &talker, &err) : hm_speech_codec_table(&all, &codec, &err))
        fail_msg("%s", err.text);
    return case_panels_read(&all, part == HM_PRESET_LM ? speech_reads : decoding_reads, chosen, NULL, format);
}

static amounts panels(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){0, read_of(HM_PRESET_LM, none, HM_FORMAT_ROWS)};
}

/* Values of the toggles are formats. */
static amounts precision(const observed *b, hm_preset_part part, bool (*chosen)(const hm_tensor_row *r), hm_format stored)
{
    hm_format format = (hm_format)case_row->value;
    uint64_t before = read_of(part, none, HM_FORMAT_ROWS), after = read_of(part, chosen, format), others = b->call.weight_bytes - before;
    assert_int_equal(b->call.panel_bytes, before);
    case_same = hm_panel_bytes(format, 64, 1) == hm_panel_bytes(stored, 64, 1); /* bfloat16 and float16 are as large */
    return (amounts){before + others, after + others};
}

static amounts precision_backbone(const observed *b, const observed *a)
{
    (void)a;
    return precision(b, HM_PRESET_LM, of_talker, HM_FORMAT_BF16);
}

static amounts precision_decoder(const observed *b, const observed *a)
{
    (void)a;
    return precision(b, HM_PRESET_LM, of_predictor, HM_FORMAT_BF16);
}

static amounts precision_heads(const observed *b, const observed *a)
{
    (void)a;
    return precision(b, HM_PRESET_LM, of_heads, HM_FORMAT_BF16);
}

static amounts precision_codec(const observed *b, const observed *a)
{
    (void)a;
    return precision(b, HM_PRESET_CODEC, of_vocoder, HM_FORMAT_F32);
}

static amounts load(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){bytes_of(HM_PRESET_LM, case_any_tensor), 0};
}

/* Prefill and generate: these have no codec. */
static amounts spin(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){0, 2};
}

/* --- the table --- */

static const row table[] = {
    {"kv", HM_KV_PREALLOC, SPEECH, case_kv},
    {"mask", HM_MASK_NONE, SPEECH, case_mask},
    {"attn", HM_ATTN_ALL_SLOTS, SPEECH, attn_all_slots},
    {"attn", HM_ATTN_FLASH, SPEECH, case_attn_flash},
    {"gqa", HM_GQA_DIRECT, SPEECH, case_gqa},
    {"kv_type", HM_KV_TYPE_BF16, SPEECH, case_kv_bf16},
    {"kv_type", HM_KV_TYPE_INT8, SPEECH, case_kv_int8},
    {"rows", HM_ROWS_NEEDED, SPEECH, rows},
    {"sampling", HM_SAMPLING_FUSED, SPEECH, sampling},
    {"sampling", HM_SAMPLING_DEVICE, SPEECH, sampling_device},
    {"codes", HM_CODES_FRAME, SPEECH, case_codes_frame},
    {"codes", HM_CODES_DEFERRED, SPEECH, codes_deferred},
    {"token_forward", HM_TOKEN_DEVICE, SPEECH, token_forward},
    {"step_reset", HM_STEP_HOISTED, SPEECH, step_reset},
    {"precompute", HM_PRECOMPUTE_ONCE, SPEECH, precompute},
    {"fuse", HM_FUSE_ALL, SPEECH, fuse},
    {"panels", HM_PANELS_PACKED, SPEECH, panels},
    {"precision_backbone", HM_BACKBONE_F32, PACKED, precision_backbone},
    {"precision_backbone", HM_BACKBONE_BF16, PACKED, precision_backbone},
    {"precision_backbone", HM_BACKBONE_F16, PACKED, precision_backbone},
    {"precision_backbone", HM_BACKBONE_INT8, PACKED, precision_backbone},
    {"precision_backbone", HM_BACKBONE_INT4, PACKED, precision_backbone},
    {"precision_backbone", HM_BACKBONE_FP4, PACKED, precision_backbone},
    {"precision_backbone", HM_BACKBONE_FP8, PACKED, precision_backbone},
    {"precision_decoder", HM_DECODER_F32, PACKED, precision_decoder},
    {"precision_decoder", HM_DECODER_BF16, PACKED, precision_decoder},
    {"precision_decoder", HM_DECODER_F16, PACKED, precision_decoder},
    {"precision_decoder", HM_DECODER_INT8, PACKED, precision_decoder},
    {"precision_decoder", HM_DECODER_INT4, PACKED, precision_decoder},
    {"precision_decoder", HM_DECODER_FP4, PACKED, precision_decoder},
    {"precision_decoder", HM_DECODER_FP8, PACKED, precision_decoder},
    {"precision_heads", HM_HEADS_F32, PACKED, precision_heads},
    {"precision_heads", HM_HEADS_BF16, PACKED, precision_heads},
    {"precision_heads", HM_HEADS_F16, PACKED, precision_heads},
    {"precision_heads", HM_HEADS_INT8, PACKED, precision_heads},
    {"precision_heads", HM_HEADS_INT4, PACKED, precision_heads},
    {"precision_heads", HM_HEADS_FP4, PACKED, precision_heads},
    {"precision_heads", HM_HEADS_FP8, PACKED, precision_heads},
    {"precision_codec", HM_CODEC_F32, PACKED_DECODING, precision_codec},
    {"precision_codec", HM_CODEC_BF16, PACKED_DECODING, precision_codec},
    {"precision_codec", HM_CODEC_F16, PACKED_DECODING, precision_codec},
    {"precision_codec", HM_CODEC_INT8, PACKED_DECODING, precision_codec},
    {"precision_codec", HM_CODEC_INT4, PACKED_DECODING, precision_codec},
    {"precision_codec", HM_CODEC_FP4, PACKED_DECODING, precision_codec},
    {"precision_codec", HM_CODEC_FP8, PACKED_DECODING, precision_codec},
    {"penalty", HM_PENALTY_BITMAP, PENALISED, penalty},
    {"suppress", HM_SUPPRESS_CONSTANT, SPEECH, suppress},
    {"prefix", HM_PREFIX_REUSED, AGAIN, prefix},
    {"decode", HM_DECODE_STREAM, STREAMED, decode_stream},
    {"decode", HM_DECODE_OVERLAP, HEARD, decode_overlap},
    {"chunks", HM_CHUNKS_ORIGINAL, CHUNKED, chunks},
    {"load", HM_WEIGHTS_MMAP, SPEECH, load},
    {"load", HM_WEIGHTS_LAZY, SPEECH, load},
    {"spin", HM_SPIN_3, SPEECH, spin},
    {"spin", HM_SPIN_5, SPEECH, spin},
    {"spin", HM_SPIN_8, SPEECH, spin},
    {"spin", HM_SPIN_10, SPEECH, spin},
    {"spin", HM_SPIN_15, SPEECH, spin},
    {"spin", HM_SPIN_20, SPEECH, spin},
    {"spin", HM_SPIN_30, SPEECH, spin},
    {"spin", HM_SPIN_50, SPEECH, spin},
};
enum {
    TABLE_ROWS = sizeof table / sizeof *table
};

/* --- cases --- */

static void every_value_moves_its_counter_by_what_the_sizes_say(void **state)
{
    (void)state;
    case_check_table(HM_MODEL_QWEN3_TTS, table, TABLE_ROWS, run_scene);
}

static void preallocated_caches_neither_copy_nor_grow(void **state)
{
    observed o = run_scene(SPEECH, (hm_toggles){.kv = HM_KV_PREALLOC});
    (void)state;
    case_expect_preallocated(&o);
}

/* With caches that stay, the original clears those of the predictor in every frame. */
static void hoisted_steps_do_not_clear_the_predictors_cache(void **state)
{
    observed concat = run_scene(SPEECH, (hm_toggles){0}), prealloc = run_scene(SPEECH, (hm_toggles){.kv = HM_KV_PREALLOC});
    observed hoisted = run_scene(SPEECH, (hm_toggles){.kv = HM_KV_PREALLOC, .step_reset = HM_STEP_HOISTED});
    (void)state;
    assert_int_equal(prealloc.call.reset_bytes - concat.call.reset_bytes, FRAMES * case_cache_bytes(L(P), H(P), G, HEAD(P)));
    assert_int_equal(hoisted.call.reset_bytes, 0);
}

/* Tables made once and fused kernels work in the speech tokenizer too. */
static void the_speech_tokenizer_saves_tables_and_launches(void **state)
{
    hm_toggles once = {.precompute = HM_PRECOMPUTE_ONCE}, fused = {.fuse = HM_FUSE_ALL};
    observed naive = decode(&case_naive, 4, "qwen3-tts-tiny"), tables = decode(&once, 4, "qwen3-tts-tiny"),
             launches = decode(&fused, 4, "qwen3-tts-tiny");
    (void)state;
    assert_int_equal(naive.load.table_values, 0);
    assert_true(tables.load.table_values > 0);
    assert_true(tables.call.table_values < naive.call.table_values / 10);
    assert_true(launches.call.launches < naive.call.launches);
}

static int make_models(void **state)
{
    if (!hm_preset_tts_shapes(hm_preset_find("qwen3-tts-tiny"), &talker_shape, &codec_shape))
        return -1;
    case_sizes.outer = (case_stack){L(T), H(T), KV(T), HEAD(T)};
    case_sizes.inner = (case_stack){L(P), H(P), KV(P), HEAD(P)};
    case_sizes.frames = FRAMES;
    case_sizes.codes = G;
    case_sizes.batch = 1;
    return case_make_models(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_moves_its_counter_by_what_the_sizes_say),
        cmocka_unit_test(preallocated_caches_neither_copy_nor_grow),
        cmocka_unit_test(hoisted_steps_do_not_clear_the_predictors_cache),
        cmocka_unit_test(the_speech_tokenizer_saves_tables_and_launches),
    };
    return cmocka_run_group_tests(tests, make_models, case_remove_models);
}
