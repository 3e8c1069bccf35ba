/* Every value of every toggle moves the counter that its row names, by exactly what follows from the sizes of the model. */
#define _GNU_SOURCE
#include "tests/counters_case.h"

#define FRAMES 3
#define TOPK 50
#define SHORT_CODES 5
#define CHUNKED_CODES 100 /* 200 latent frames: three chunks of 68 in the codec of heartmula-mini */
#define LOSING_CODES 424  /* 104 more than a multiple of 320 */
#define TWICE_CODES 692   /* two whole segments; three when the first is short */

static char folder[] = "/tmp/hmbench-counters-XXXXXX";

enum scene {
    SONG,
    SHORT_CODEC,
    STEPS_CODEC,
    CHUNKED_CODEC,
    LOSING_CODEC,
    TWICE_CODEC,
    PACKED_SONG,
    PACKED_CODEC
};

/* --- running --- */

static observed run_song(const hm_toggles *toggles)
{
    const hm_engine_api *api = case_runtime();
    hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = folder, .threads = 1, .toggles = toggles, .need_lm = true});
    hm_request request = {.music.tags = "pop",
                          .music.lyrics = "la la",
                          .max_frames = FRAMES,
                          .force_length = true,
                          .music.cfg_scale = 1.5,
                          .topk = TOPK,
                          .temperature = 1,
                          .seed = 3,
                          .skip_codec = true};
    hm_result r = case_generate(api, e, &request);
    observed o = {r.counters, api->facts(e)->load_counters, (uint64_t)r.prompt_tokens};
    assert_int_equal(r.frames, FRAMES);
    api->result_free(&r);
    api->close(&e);
    return o;
}

/* steps 0: as the toggles say. */
static observed run_codec(const hm_toggles *toggles, json_t *manifest, int codes, int steps, double guidance)
{
    const hm_engine_api *api = case_runtime();
    int32_t *tokens = case_codes(codes, 64);
    hm_engine *e = case_open(
        api, &(hm_engine_options){.source = {.codec_manifest = manifest, .seed = 1}, .threads = 1, .toggles = toggles, .need_codec = true});
    hm_result r = case_decode(api, e, tokens, codes, &(hm_request){.music.flow_steps = steps, .music.flow_guidance = guidance});
    observed o = {r.counters, api->facts(e)->load_counters, 0};
    api->result_free(&r);
    api->close(&e);
    json_decref(manifest);
    free(tokens);
    return o;
}

static observed run_scene(int scene, hm_toggles toggles)
{
    if (scene == PACKED_SONG || scene == PACKED_CODEC) {
        toggles.panels = HM_PANELS_PACKED;
        toggles.precompute = HM_PRECOMPUTE_ONCE;
    }
    switch ((enum scene)scene) {
    case SHORT_CODEC:
        return run_codec(&toggles, case_manifest("heartmula-tiny", HM_PRESET_CODEC), SHORT_CODES, 1, 1.25);
    case STEPS_CODEC:
        toggles.codec_len = HM_CODEC_NEEDED;
        return run_codec(&toggles, case_manifest("heartmula-tiny", HM_PRESET_CODEC), SHORT_CODES, 0, 1.25);
    case CHUNKED_CODEC:
        return run_codec(&toggles, case_manifest("heartmula-mini", HM_PRESET_CODEC), CHUNKED_CODES, 1, 1);
    case LOSING_CODEC:
        return run_codec(&toggles, case_manifest("heartmula-tiny", HM_PRESET_CODEC), LOSING_CODES, 1, 1);
    case TWICE_CODEC:
        return run_codec(&toggles, case_manifest("heartmula-tiny", HM_PRESET_CODEC), TWICE_CODES, 1, 1);
    case PACKED_CODEC: /* wide enough for blocks of 64 inputs */
        return run_codec(&toggles, case_manifest("heartmula-mini", HM_PRESET_CODEC), SHORT_CODES, 1, 1);
    case PACKED_SONG:
    case SONG:
        break;
    }
    return run_song(&toggles);
}

/* --- amounts, from the shapes --- */

static const hm_lm_shape *lm(void)
{
    return &hm_preset_sizes_of(hm_preset_find("heartmula-tiny"))->lm;
}

static const hm_codec_shape *codec(void)
{
    return &hm_preset_sizes_of(hm_preset_find("heartmula-tiny"))->codec;
}

#define B (&lm()->backbone)
#define D (&lm()->decoder)
#define K ((uint64_t)lm()->codebooks)
#define V ((uint64_t)lm()->audio_vocab)
#define L(stack) ((uint64_t)(stack)->layers)
#define H(stack) ((uint64_t)(stack)->heads)
#define KV(stack) ((uint64_t)(stack)->kv_heads)
#define DIM(stack) ((uint64_t)(stack)->width)
#define HEAD(stack) (DIM(stack) / H(stack))
#define D1 ((uint64_t)(codec()->heads * codec()->head_dim)) /* widths of the codec's stacks */
#define D2 (2 * D1)
#define CODEC_IN ((uint64_t)codec()->in)
#define CODEC_OUT ((uint64_t)codec()->out)
#define ROWS 2u       /* with and without the text: guidance */
#define HALF_BYTES 2u /* of a weight of the language model */

/* The backbone's cache has a slot for every position. */
static amounts attn_all_slots(const observed *b, const observed *a)
{
    assert_true(a->call.attn_scores > b->call.attn_scores);
    return case_attn_all(b, a, (uint64_t)B->positions);
}

/* Seven linear layers in a block; of the last one's, four are for one row where the others are not needed. */
static amounts rows(const observed *b, const observed *a)
{
    uint64_t frame = ROWS * (7 * L(B) + 1), step_1 = 2 * (1 + 7 * L(D) + 1), steps = (K - 2) * (1 + 7 * L(D) + 1);
    uint64_t all = ROWS * b->prompt * (7 * L(B) + 1) + 1 + (FRAMES - 1) * frame + FRAMES * ROWS * (step_1 + steps);
    uint64_t prompt = ROWS * (b->prompt * (7 * (L(B) - 1) + 3) + 4 + 1), needed_1 = 2 + 2 * (7 * (L(D) - 1) + 3) + 4 + 1;
    assert_true(a->call.head_rows < b->call.head_rows);
    assert_true(a->call.embedding_rows < b->call.embedding_rows);
    return (amounts){all, prompt + (FRAMES - 1) * frame + FRAMES * ROWS * (needed_1 + steps)};
}

/* Bytes of weights that one pass over a stack reads: its linear layers, two norms in a block, and one at the end. */
static uint64_t pass_bytes(const hm_stack_shape *s)
{
    uint64_t attention = 2 * DIM(s) * DIM(s) + 2 * DIM(s) * KV(s) * HEAD(s), ffn = 3 * DIM(s) * (uint64_t)s->hidden;
    return L(s) * (HALF_BYTES * (attention + ffn) + 2 * sizeof(float) * DIM(s)) + sizeof(float) * DIM(s);
}

static uint64_t weights_read(const observed *o, uint64_t passes)
{
    uint64_t backbone = pass_bytes(B) + HALF_BYTES * DIM(B) * V;
    uint64_t decoder = pass_bytes(D) + HALF_BYTES * (DIM(B) * DIM(D) + DIM(D) * V);
    uint64_t muq = HALF_BYTES * DIM(B) * (uint64_t)lm()->muq + sizeof(float) * DIM(B);
    return passes * FRAMES * (backbone + (K - 1) * decoder) + muq + o->call.embedding_rows * HALF_BYTES * DIM(B);
}

static amounts cfg(const observed *b, const observed *a)
{
    assert_int_equal(b->call.forward_passes, 2 * a->call.forward_passes);
    return (amounts){weights_read(b, 2), weights_read(a, 1)};
}

/* The unconditional row's prompt is one position. */
static amounts uncond(const observed *b, const observed *a)
{
    assert_int_equal(b->prompt, a->prompt);
    return (amounts){ROWS * b->prompt, b->prompt + 1};
}

/* The same passes: codes do not leave the device. */
static amounts sampling_device(const observed *b, const observed *a)
{
    assert_true(a->call.to_host_bytes < b->call.to_host_bytes);
    case_same = true;
    return (amounts){FRAMES * K * 10 * V, FRAMES * K * 10 * V};
}

static amounts sampling(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){FRAMES * K * 10 * V, FRAMES * K * (V + TOPK)};
}

/* The end-of-song flag of each frame; codes and logits at the end. */
static amounts codes_deferred(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){FRAMES * K + 1, FRAMES + 2};
}

/* No upload any more for a draw, for the decoder's input in both passes, for the last code, for the frame's codes. */
static amounts token_forward(const observed *b, const observed *a)
{
    (void)a;
    return (amounts){b->call.to_device_transfers, b->call.to_device_transfers - FRAMES * (K + ROWS * (K - 1) + 1) - (FRAMES - 1)};
}

/* The offsets of the codebooks are no longer rebuilt in every frame. */
static amounts step_reset(const observed *b, const observed *a)
{
    (void)a;
    return (amounts){b->call.reset_bytes, b->call.reset_bytes - FRAMES * K * sizeof(int32_t)};
}

/* Cosine and sine of every position, in every call; or once. */
static amounts precompute(const observed *b, const observed *a)
{
    (void)a;
    uint64_t per_call = ROWS * (HEAD(B) * (b->prompt + FRAMES - 1) + HEAD(D) * FRAMES * K);
    return (amounts){per_call, HEAD(B) * (b->prompt + FRAMES) + HEAD(D) * (K + 1)};
}

/* Of a block's 16 operations, six go: two of q, k, v; gate with up and silu; both residuals. */
static amounts fuse(const observed *b, const observed *a)
{
    (void)a;
    return (amounts){b->call.launches, b->call.launches - 6 * ROWS * FRAMES * (L(B) + (K - 1) * L(D))};
}

/* --- amounts, from the list of tensors --- */

/* Bytes of the tensors that `wanted` takes. */
static uint64_t bytes_of(hm_preset_part part, bool (*wanted)(const hm_tensor_row *row))
{
    const hm_preset_sizes *sizes = hm_preset_sizes_of(hm_preset_find("heartmula-tiny"));
    hm_tensor_table all;
    hm_error err = {0};
    if (part == HM_PRESET_LM ? hm_lm_table(&all, &sizes->lm, &err) : hm_codec_table(&all, &sizes->codec, &err))
        fail_msg("%s", err.text);
    return case_bytes_of(&all, wanted);
}

static bool begins(const hm_tensor_row *r, const char *start)
{
    return !strncmp(r->name, start, strlen(start));
}

/* Layers in panels, and how often a song reads them: both guidance rows on their own, the decoder once for each code but the first. */
static bool of_heads(const hm_tensor_row *r)
{
    return begins(r, "audio_head") || begins(r, "codebook0_head.");
}

static bool of_decoder(const hm_tensor_row *r)
{
    return begins(r, "decoder.") || begins(r, "projection.");
}

static bool of_backbone(const hm_tensor_row *r)
{
    return begins(r, "backbone.") || begins(r, "muq_linear.");
}

static uint64_t song_reads(const hm_tensor_row *r)
{
    if (r->rank < 2 || !(of_heads(r) || of_decoder(r) || of_backbone(r)))
        return 0;
    return begins(r, "muq_linear.") ? 1 : ROWS * FRAMES * (of_decoder(r) ? K - 1 : 1);
}

/* And decoding one segment in one step without guidance: the transformer once, what makes the waveform once for each channel. */
static bool of_flow(const hm_tensor_row *r)
{
    bool quantised = case_row->value >= HM_DIT_INT8; /* the modulation never is */
    return begins(r, "flow_matching.") && !(quantised && strstr(r->name, ".adaln_single"));
}

static bool of_vocoder(const hm_tensor_row *r)
{
    return begins(r, "scalar_model.");
}

static uint64_t decoding_reads(const hm_tensor_row *r)
{
    if (r->unused || r->rank < 2 || strstr(r->name, "_codebook.") || strstr(r->name, "scale_shift_table") || strstr(r->name, ".original0"))
        return 0;
    return of_vocoder(r) ? 2 : 1;
}

/* Of the flow transformer's input and connection: what stays the same while solving, what changes, and rows of the first stack. */
static int cut(const hm_tensor_row *r, int64_t inputs[3])
{
    const hm_codec_shape *g = &hm_preset_sizes_of(hm_preset_find("heartmula-mini"))->codec;
    bool connection = strstr(r->name, ".connection_proj.ffn_1.weight") != NULL;
    if (!connection && !strstr(r->name, ".proj_in.ffn_1.weight"))
        return 1;
    inputs[0] = g->in - g->out;
    inputs[1] = g->out;
    inputs[2] = r->shape[1] - g->in;
    return connection ? 3 : 2;
}

static bool none(const hm_tensor_row *r)
{
    return r->rank < 0;
}

static uint64_t read_of(hm_preset_part part, bool (*chosen)(const hm_tensor_row *r), hm_format format)
{
    const char *preset = part == HM_PRESET_LM ? "heartmula-tiny" : "heartmula-mini"; /* of PACKED_SONG, of PACKED_CODEC */
    const hm_preset_sizes *sizes = hm_preset_sizes_of(hm_preset_find(preset));
    hm_tensor_table all;
    hm_error err = {0};
    if (part == HM_PRESET_LM ? hm_lm_table(&all, &sizes->lm, &err) : hm_codec_table(&all, &sizes->codec, &err))
        fail_msg("%s", err.text);
    return case_panels_read(&all, part == HM_PRESET_LM ? song_reads : decoding_reads, chosen, part == HM_PRESET_LM ? NULL : cut, format);
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
    return precision(b, HM_PRESET_LM, of_backbone, HM_FORMAT_BF16);
}

static amounts precision_decoder(const observed *b, const observed *a)
{
    (void)a;
    return precision(b, HM_PRESET_LM, of_decoder, HM_FORMAT_BF16);
}

static amounts precision_heads(const observed *b, const observed *a)
{
    (void)a;
    return precision(b, HM_PRESET_LM, of_heads, HM_FORMAT_BF16);
}

static amounts precision_dit(const observed *b, const observed *a)
{
    (void)a;
    return precision(b, HM_PRESET_CODEC, of_flow, HM_FORMAT_F32);
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

/* --- amounts of the codec --- */

#define STEPS(n)                                                            \
    static amounts steps_##n(const observed *b, const observed *a)          \
    {                                                                       \
        (void)b;                                                            \
        assert_int_equal(a->call.solver_frames, 2 * 2 * SHORT_CODES * (n)); \
        return (amounts){10, n};                                            \
    }
STEPS(50)
STEPS(20)
STEPS(5)
STEPS(2)
STEPS(1)

/* Two latent frames a code, two guidance rows; a segment is 372 codes. */
static amounts codec_len(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){2 * 2 * 372, 2 * 2 * SHORT_CODES};
}

/* A first segment of 93 codes, and what is left after 80 of them in two. */
static amounts segments_short_first(const observed *b, const observed *a)
{
    assert_int_equal(b->call.solver_frames, 2 * 2 * 372);
    assert_int_equal(a->call.solver_frames, 2 * (93 + 2 * 372));
    return (amounts){2, 3};
}

/* Both in one step, and its weights read once. */
static amounts segments_batched(const observed *b, const observed *a)
{
    assert_int_equal(a->call.solver_frames, b->call.solver_frames);
    assert_int_equal(a->call.decoded_frames, b->call.decoded_frames);
    assert_int_equal(a->call.linear_rows, b->call.linear_rows);
    assert_true(a->call.weight_bytes < b->call.weight_bytes);
    return (amounts){2, 1};
}

/* Per channel: the segment in one piece; or no more than is used, in pieces of 1 MiB: 744 frames have 8 of 44640 rows of two channels before
 * their last convolutions, 200 frames four and the rest. */
static amounts decode(const observed *b, const observed *a)
{
    assert_int_equal(b->call.decoded_frames, 2 * 2 * 372);
    assert_int_equal(a->call.decoded_frames, 2 * 2 * CHUNKED_CODES);
    return (amounts){2, 2 * 5};
}

static amounts tail(const observed *b, const observed *a)
{
    assert_int_equal(b->call.solver_steps, 2); /* segments */
    assert_int_equal(a->call.solver_steps, 1);
    return (amounts){0, 52};
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
    {"kv", HM_KV_PREALLOC, SONG, case_kv},
    {"mask", HM_MASK_NONE, SONG, case_mask},
    {"attn", HM_ATTN_ALL_SLOTS, SONG, attn_all_slots},
    {"attn", HM_ATTN_FLASH, SONG, case_attn_flash},
    {"gqa", HM_GQA_DIRECT, SONG, case_gqa},
    {"kv_type", HM_KV_TYPE_BF16, SONG, case_kv_bf16},
    {"kv_type", HM_KV_TYPE_INT8, SONG, case_kv_int8},
    {"uncond", HM_UNCOND_ONE, SONG, uncond},
    {"rows", HM_ROWS_NEEDED, SONG, rows},
    {"cfg", HM_CFG_BATCHED, SONG, cfg},
    {"sampling", HM_SAMPLING_FUSED, SONG, sampling},
    {"sampling", HM_SAMPLING_DEVICE, SONG, sampling_device},
    {"codes", HM_CODES_FRAME, SONG, case_codes_frame},
    {"codes", HM_CODES_DEFERRED, SONG, codes_deferred},
    {"token_forward", HM_TOKEN_DEVICE, SONG, token_forward},
    {"step_reset", HM_STEP_HOISTED, SONG, step_reset},
    {"precompute", HM_PRECOMPUTE_ONCE, SONG, precompute},
    {"fuse", HM_FUSE_ALL, SONG, fuse},
    {"panels", HM_PANELS_PACKED, SONG, panels},
    {"precision_backbone", HM_BACKBONE_F32, PACKED_SONG, precision_backbone},
    {"precision_backbone", HM_BACKBONE_BF16, PACKED_SONG, precision_backbone},
    {"precision_backbone", HM_BACKBONE_F16, PACKED_SONG, precision_backbone},
    {"precision_backbone", HM_BACKBONE_INT8, PACKED_SONG, precision_backbone},
    {"precision_backbone", HM_BACKBONE_INT4, PACKED_SONG, precision_backbone},
    {"precision_backbone", HM_BACKBONE_FP4, PACKED_SONG, precision_backbone},
    {"precision_backbone", HM_BACKBONE_FP8, PACKED_SONG, precision_backbone},
    {"precision_decoder", HM_DECODER_F32, PACKED_SONG, precision_decoder},
    {"precision_decoder", HM_DECODER_BF16, PACKED_SONG, precision_decoder},
    {"precision_decoder", HM_DECODER_F16, PACKED_SONG, precision_decoder},
    {"precision_decoder", HM_DECODER_INT8, PACKED_SONG, precision_decoder},
    {"precision_decoder", HM_DECODER_INT4, PACKED_SONG, precision_decoder},
    {"precision_decoder", HM_DECODER_FP4, PACKED_SONG, precision_decoder},
    {"precision_decoder", HM_DECODER_FP8, PACKED_SONG, precision_decoder},
    {"precision_heads", HM_HEADS_F32, PACKED_SONG, precision_heads},
    {"precision_heads", HM_HEADS_BF16, PACKED_SONG, precision_heads},
    {"precision_heads", HM_HEADS_F16, PACKED_SONG, precision_heads},
    {"precision_heads", HM_HEADS_INT8, PACKED_SONG, precision_heads},
    {"precision_heads", HM_HEADS_INT4, PACKED_SONG, precision_heads},
    {"precision_heads", HM_HEADS_FP4, PACKED_SONG, precision_heads},
    {"precision_heads", HM_HEADS_FP8, PACKED_SONG, precision_heads},
    {"precision_dit", HM_DIT_F32, PACKED_CODEC, precision_dit},
    {"precision_dit", HM_DIT_BF16, PACKED_CODEC, precision_dit},
    {"precision_dit", HM_DIT_F16, PACKED_CODEC, precision_dit},
    {"precision_dit", HM_DIT_INT8, PACKED_CODEC, precision_dit},
    {"precision_dit", HM_DIT_INT4, PACKED_CODEC, precision_dit},
    {"precision_dit", HM_DIT_FP4, PACKED_CODEC, precision_dit},
    {"precision_dit", HM_DIT_FP8, PACKED_CODEC, precision_dit},
    {"precision_codec", HM_CODEC_F32, PACKED_CODEC, precision_codec},
    {"precision_codec", HM_CODEC_BF16, PACKED_CODEC, precision_codec},
    {"precision_codec", HM_CODEC_F16, PACKED_CODEC, precision_codec},
    {"precision_codec", HM_CODEC_INT8, PACKED_CODEC, precision_codec},
    {"precision_codec", HM_CODEC_INT4, PACKED_CODEC, precision_codec},
    {"precision_codec", HM_CODEC_FP4, PACKED_CODEC, precision_codec},
    {"precision_codec", HM_CODEC_FP8, PACKED_CODEC, precision_codec},
    {"flow_steps", HM_STEPS_50, STEPS_CODEC, steps_50},
    {"flow_steps", HM_STEPS_20, STEPS_CODEC, steps_20},
    {"flow_steps", HM_STEPS_5, STEPS_CODEC, steps_5},
    {"flow_steps", HM_STEPS_2, STEPS_CODEC, steps_2},
    {"flow_steps", HM_STEPS_1, STEPS_CODEC, steps_1},
    {"codec_len", HM_CODEC_NEEDED, SHORT_CODEC, codec_len},
    {"decode", HM_DECODE_STREAM, CHUNKED_CODEC, decode},
    {"decode", HM_DECODE_OVERLAP, CHUNKED_CODEC, decode},
    {"segments", HM_SEGMENTS_SHORT_FIRST, TWICE_CODEC, segments_short_first},
    {"segments", HM_SEGMENTS_BATCHED, TWICE_CODEC, segments_batched},
    {"load", HM_WEIGHTS_MMAP, SONG, load},
    {"load", HM_WEIGHTS_LAZY, SONG, load},
    {"tail", HM_TAIL_LOST, LOSING_CODEC, tail},
    {"spin", HM_SPIN_3, SONG, spin},
    {"spin", HM_SPIN_5, SONG, spin},
    {"spin", HM_SPIN_8, SONG, spin},
    {"spin", HM_SPIN_10, SONG, spin},
    {"spin", HM_SPIN_15, SONG, spin},
    {"spin", HM_SPIN_20, SONG, spin},
    {"spin", HM_SPIN_30, SONG, spin},
    {"spin", HM_SPIN_50, SONG, spin},
};
enum {
    TABLE_ROWS = sizeof table / sizeof *table
};

/* --- cases --- */

static void every_value_moves_its_counter_by_what_the_sizes_say(void **state)
{
    (void)state;
    case_check_table(HM_MODEL_HEARTMULA, table, TABLE_ROWS, run_scene);
}

static void preallocated_caches_neither_copy_nor_grow(void **state)
{
    observed o = run_scene(SONG, (hm_toggles){.kv = HM_KV_PREALLOC});
    (void)state;
    case_expect_preallocated(&o);
}

/* With caches that stay, the original clears them in every frame. */
static void hoisted_steps_do_not_clear_the_decoders_caches(void **state)
{
    observed before = run_scene(SONG, (hm_toggles){.kv = HM_KV_PREALLOC});
    observed after = run_scene(SONG, (hm_toggles){.kv = HM_KV_PREALLOC, .step_reset = HM_STEP_HOISTED});
    uint64_t caches = ROWS * case_cache_bytes(L(D), H(D), K, HEAD(D));
    (void)state;
    assert_int_equal(before.call.reset_bytes - after.call.reset_bytes, FRAMES * (caches + K * sizeof(int32_t)));
    assert_int_equal(before.call.to_device_transfers - after.call.to_device_transfers, FRAMES);
}

static void steps_are_solved_for_every_segment(void **state)
{
    json_t *manifest = case_manifest("heartmula-tiny", HM_PRESET_CODEC);
    observed o = run_codec(&(hm_toggles){.flow_steps = HM_STEPS_2}, manifest, LOSING_CODES, 0, 1);
    (void)state;
    assert_int_equal(o.call.solver_steps, 2 * 2);
    assert_int_equal(o.call.solver_frames, 2 * 2 * 2 * 372);
    assert_int_equal(o.call.decode_chunks, 2 * 2);
}

/* A short first segment, then one that begins where its new codes end. */
static void a_short_first_segment_is_followed_by_the_usual_ones(void **state)
{
    json_t *manifest = case_manifest("heartmula-tiny", HM_PRESET_CODEC);
    observed o = run_codec(&(hm_toggles){.segments = HM_SEGMENTS_SHORT_FIRST}, manifest, LOSING_CODES, 1, 1);
    (void)state;
    assert_int_equal(o.call.solver_steps, 2);
    assert_int_equal(o.call.solver_frames, 2 * (93 + 372));
}

/* --- the codec's needless work --- */

/* Multiply-adds of the networks of one time. */
static uint64_t time_work(void)
{
    return 512 * (D1 + D2) + 7 * (D1 * D1 + D2 * D2);
}

/* Five codes, ten latent frames: guidance rows in two passes, five steps. Sums over context and mu columns in the first step alone, those
 * over the state's in the first pass alone; the time's networks per step. */
static void sums_that_stay_the_same_are_made_once(void **state)
{
    enum {
        STEPS = 5,
        PASSES = 2,
        T = 2 * SHORT_CODES
    };
    (void)state;
    for (int batched = 0; batched < 2; batched++) {
        hm_toggles per_call = {.cfg = (uint8_t)batched, .codec_len = HM_CODEC_NEEDED}, once = per_call;
        once.precompute = HM_PRECOMPUTE_ONCE;
        observed b = run_codec(&per_call, case_manifest("heartmula-tiny", HM_PRESET_CODEC), SHORT_CODES, STEPS, 1.25);
        observed a = run_codec(&once, case_manifest("heartmula-tiny", HM_PRESET_CODEC), SHORT_CODES, STEPS, 1.25);
        uint64_t fixed = 3 * (CODEC_IN - CODEC_OUT) * (D1 + D2), of_state = 3 * CODEC_OUT * (D1 + D2);
        uint64_t flops = 2 * (T * (PASSES * (STEPS - 1) * fixed + (PASSES - 1) * STEPS * of_state) + STEPS * (PASSES - 1) * time_work());
        assert_int_equal(b.call.flops - a.call.flops, flops);
        assert_int_equal(b.call.linear_rows - a.call.linear_rows,
                         T * 2 * (PASSES * (STEPS - 1) + (PASSES - 1) * STEPS) + STEPS * (PASSES - 1) * 2 * 3);
    }
}

/* Steps as the variant has them: what depends on the time alone is there before the song, and so are rotations. */
static void tables_of_the_variants_steps_are_made_while_loading(void **state)
{
    hm_toggles once = {.precompute = HM_PRECOMPUTE_ONCE, .flow_steps = HM_STEPS_20};
    (void)state;
    for (int steps = 0; steps <= 5; steps += 5) {
        observed o = run_codec(&once, case_manifest("heartmula-tiny", HM_PRESET_CODEC), SHORT_CODES, steps, 1);
        assert_int_equal(o.call.table_values, (uint64_t)steps * (2 * 512 + 7 * (D1 + D2)));
        assert_true(o.load.table_values > 20 * (2 * 512 + 7 * (D1 + D2)));
    }
}

/* Two segments of 744 latents, the second's first 104 known. Its last block runs on one frame more than the 640 others, for the last
 * convolution to see; and a row of samples goes through the post processor once for both of its repetitions: 8 taps instead of 14. */
static void rows_whose_results_are_thrown_away_are_left_out(void **state)
{
    enum {
        KNOWN = 104,
        T = 744,
        CHANNELS = 2,
        SEGMENTS = 2
    };
    hm_toggles needed = {.rows = HM_ROWS_NEEDED};
    observed b = run_codec(&case_naive, case_manifest("heartmula-tiny", HM_PRESET_CODEC), LOSING_CODES, 1, 1);
    observed a = run_codec(&needed, case_manifest("heartmula-tiny", HM_PRESET_CODEC), LOSING_CODES, 1, 1);
    uint64_t c0 = (uint64_t)codec()->init_channel, rows = CHANNELS * SEGMENTS * T, hidden = 256;
    (void)state;
    for (int64_t i = 0; i < codec()->up_stages; i++)
        rows *= (uint64_t)codec()->up[i];
    uint64_t block = (KNOWN - 1) * (2 * D2 * D2 + 3 * D2 * hidden + 2 * T * D2), out = KNOWN * (3 * D2 * CODEC_OUT + CODEC_OUT * CODEC_OUT);
    assert_int_equal(b.call.flops - a.call.flops, 2 * (block + out + rows * 6 * c0 * c0));
    assert_int_equal(b.call.linear_rows - a.call.linear_rows, (KNOWN - 1) * 5 + KNOWN * 2 + rows);
    assert_int_equal(a.call.solver_frames, b.call.solver_frames);
}

/* Batched guidance, tables made once and fused kernels work in the codec too. */
static void the_codec_saves_weights_tables_and_launches(void **state)
{
    observed naive = run_scene(SHORT_CODEC, case_naive), cfg_on = run_scene(SHORT_CODEC, (hm_toggles){.cfg = HM_CFG_BATCHED});
    observed once = run_scene(SHORT_CODEC, (hm_toggles){.precompute = HM_PRECOMPUTE_ONCE});
    observed fused = run_scene(SHORT_CODEC, (hm_toggles){.fuse = HM_FUSE_ALL});
    (void)state;
    assert_true(cfg_on.call.weight_bytes < naive.call.weight_bytes);
    assert_int_equal(cfg_on.call.solver_frames, naive.call.solver_frames);
    assert_int_equal(naive.load.table_values, 0);
    assert_true(once.load.table_values > 0); /* folded once, while loading */
    assert_true(once.call.table_values + once.load.table_values < naive.call.table_values);
    assert_true(fused.call.launches < naive.call.launches);
}

static int make_model(void **state)
{
    (void)state;
    case_sizes.outer = (case_stack){L(B), H(B), KV(B), HEAD(B)};
    case_sizes.inner = (case_stack){L(D), H(D), KV(D), HEAD(D)};
    case_sizes.frames = FRAMES;
    case_sizes.codes = K;
    case_sizes.batch = ROWS;
    case_model(folder, "heartmula-tiny");
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    case_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_moves_its_counter_by_what_the_sizes_say),
        cmocka_unit_test(preallocated_caches_neither_copy_nor_grow),
        cmocka_unit_test(hoisted_steps_do_not_clear_the_decoders_caches),
        cmocka_unit_test(steps_are_solved_for_every_segment),
        cmocka_unit_test(a_short_first_segment_is_followed_by_the_usual_ones),
        cmocka_unit_test(sums_that_stay_the_same_are_made_once),
        cmocka_unit_test(tables_of_the_variants_steps_are_made_while_loading),
        cmocka_unit_test(rows_whose_results_are_thrown_away_are_left_out),
        cmocka_unit_test(the_codec_saves_weights_tables_and_launches),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
