/* Caches of every type, and one position for an unconditional prompt: what they change and what they must not. With codes fed back, so that
 * every set has the same history, logits of narrower caches lie as near as their type allows; how keys and values lie, which heads are
 * stored and which attention reads them changes no byte beyond what those toggles promise anyway; memory is what was foretold. */
#define _GNU_SOURCE
#include "tests/bitwise_case.h"

#include <math.h>

#define FRAMES 10

static char music[] = "/tmp/hmbench-kv-music-XXXXXX", speech[] = "/tmp/hmbench-kv-speech-XXXXXX";

static const case_family families[] = {
    {.folder = music,
     .models = HM_MODEL_HEARTMULA,
     .codebooks = CASE_CODEBOOKS,
     .request = {.music = {.tags = "pop,Piano", .lyrics = "[Verse]\nla la\n[Chorus]\nhey", .cfg_scale = 1.5},
                 .max_frames = FRAMES,
                 .force_length = true,
                 .topk = 50,
                 .temperature = 1,
                 .seed = 7,
                 .skip_codec = true}},
    {.folder = speech,
     .models = HM_MODEL_QWEN3_TTS,
     .codebooks = 16,
     .request = {.task = HM_TASK_SPEECH,
                 .speech = {.text = "The sun creeps in across the floor.",
                            .speaker = "ryan",
                            .streaming_text = -1,
                            .top_p = 0.95,
                            .repetition_penalty = -1,
                            .sub_temperature = -1,
                            .sub_top_p = -1,
                            .sub_topk = -1},
                 .max_frames = FRAMES,
                 .force_length = true,
                 .topk = -1,
                 .temperature = -1,
                 .seed = 7,
                 .skip_codec = true}}};
enum {
    FAMILIES = sizeof families / sizeof *families
};

/* How far picked logits lie apart, of what they are. */
static double relative_rms(const hm_result *a, const hm_result *b)
{
    double off = 0, all = 0;
    for (int i = 0; i < a->frames * a->codebooks; i++) {
        double d = (double)a->logits[i] - (double)b->logits[i];
        off += d * d;
        all += (double)a->logits[i] * (double)a->logits[i];
    }
    return sqrt(off / all);
}

/* What narrower caches may move them by. */
static const double most[] = {[HM_KV_TYPE_F32] = 1e-4, [HM_KV_TYPE_BF16] = 0.01, [HM_KV_TYPE_INT8] = 0.02};

static void narrower_caches_move_logits_by_what_their_type_leaves_out(void **state)
{
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        hm_request request = families[f].request;
        hm_result best = case_run(&families[f], &case_best, &request);
        request.stored_codes = best.codes;
        for (int type = HM_KV_TYPE_BF16; type <= HM_KV_TYPE_INT8; type++) {
            hm_toggles with = case_best;
            with.kv_type = (uint8_t)type;
            hm_result r = case_run(&families[f], &with, &request);
            double apart = relative_rms(&best, &r);
            if (!(apart > 1e-6 && apart < most[type]))
                fail_msg("family %d, kv_type %d: logits %g apart, expected more than 1e-6 and less than %g", f, type, apart, most[type]);
            assert_true(r.counters.kv_written_bytes * 19 < best.counters.kv_written_bytes * (type == HM_KV_TYPE_BF16 ? 10 : 8));
            assert_true(r.kv_bytes < best.kv_bytes);
            case_free(&r);
        }
        case_free(&best);
    }
}

/* Kinds of attention round differently, which may store another of two near values; heads, masks and threads change nothing. */
static void every_attention_reads_every_type(void **state)
{
    const hm_toggles bases[] = {{.kv = HM_KV_PREALLOC},
                                {.kv = HM_KV_PREALLOC, .attn = HM_ATTN_ALL_SLOTS},
                                {.kv = HM_KV_PREALLOC, .attn = HM_ATTN_FLASH, .mask = HM_MASK_NONE}};
    (void)state;
    for (int f = 0; f < FAMILIES; f++)
        for (int type = HM_KV_TYPE_F32; type <= HM_KV_TYPE_INT8; type++) {
            hm_request request = families[f].request;
            hm_result first = {0};
            for (int base = 0; base < 3; base++) {
                hm_toggles with = bases[base];
                with.kv_type = (uint8_t)type;
                hm_result expanded = case_run(&families[f], &with, &request);
                with.gqa = HM_GQA_DIRECT;
                hm_result direct = case_run_on(&families[f], &with, &request, (case_setting){.threads = 3});
                case_expect_same(&expanded, &direct, "shared heads, and threads");
                case_free(&direct);
                if (base) {
                    double apart = relative_rms(&first, &expanded);
                    if (!(apart < most[type]))
                        fail_msg("family %d, kv_type %d, attention %d: logits %g apart, expected less than %g", f, type, base, apart,
                                 most[type]);
                    case_free(&expanded);
                } else {
                    first = expanded;
                    request.stored_codes = first.codes;
                }
            }
            case_free(&first);
        }
}

static void memory_of_caches_is_foretold(void **state)
{
    (void)state;
    for (int f = 0; f < FAMILIES; f++)
        for (int type = HM_KV_TYPE_F32; type <= HM_KV_TYPE_INT8; type++) {
            hm_request request = families[f].request;
            hm_toggles with = case_best;
            hm_memory_estimate estimate;
            hm_error err = {0};
            with.kv_type = (uint8_t)type;
            hm_engine_options options = {.source.dir = families[f].folder, .threads = 1, .toggles = &with, .need_lm = true};
            hm_result r = case_run(&families[f], &with, &request);
            request.prompt_rows = r.prompt_tokens;
            assert_int_equal(case_runtime()->estimate(&options, &request, &estimate, &err), HM_OK);
            assert_int_equal(estimate.kv_bytes, r.kv_bytes);
            case_free(&r);
        }
}

static void one_unconditional_position_stands_for_all(void **state)
{
    const hm_toggles bases[] = {{0},
                                {.rows = HM_ROWS_NEEDED},
                                {.cfg = HM_CFG_BATCHED},
                                {.cfg = HM_CFG_BATCHED, .rows = HM_ROWS_NEEDED},
                                {.kv = HM_KV_PREALLOC, .attn = HM_ATTN_ALL_SLOTS, .cfg = HM_CFG_BATCHED, .precompute = HM_PRECOMPUTE_ONCE},
                                {.kv = HM_KV_PREALLOC, .kv_type = HM_KV_TYPE_BF16},
                                {.kv = HM_KV_PREALLOC, .kv_type = HM_KV_TYPE_INT8, .cfg = HM_CFG_BATCHED},
                                case_best};
    (void)state;
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        hm_toggles with = bases[i], without = bases[i];
        with.uncond = HM_UNCOND_ONE;
        without.uncond = HM_UNCOND_FULL;
        hm_result full = case_run(&families[0], &without, &families[0].request), one = case_run(&families[0], &with, &families[0].request);
        case_expect_close(&full, &one, "one unconditional position");
        assert_int_equal(full.counters.prompt_rows, 2 * full.prompt_tokens);
        assert_int_equal(one.counters.prompt_rows, full.prompt_tokens + 1);
        assert_true(one.counters.linear_rows < full.counters.linear_rows);
        assert_int_equal(one.counters.kv_written_bytes, full.counters.kv_written_bytes);
        case_free(&full);
        case_free(&one);
    }
}

static void without_guidance_there_is_no_unconditional_row(void **state)
{
    const hm_toggles with = {.uncond = HM_UNCOND_ONE};
    hm_request request = families[0].request;
    (void)state;
    request.music.cfg_scale = 1;
    hm_result full = case_run(&families[0], &case_naive, &request), one = case_run(&families[0], &with, &request);
    case_expect_same(&full, &one, "without guidance");
    assert_memory_equal(&full.counters, &one.counters, sizeof full.counters);
    case_free(&full);
    case_free(&one);
}

static int make_models(void **state)
{
    (void)state;
    case_model(music, "heartmula-tiny");
    case_model(speech, "qwen3-tts-tiny");
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    case_remove(music);
    case_remove(speech);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrower_caches_move_logits_by_what_their_type_leaves_out),
        cmocka_unit_test(every_attention_reads_every_type),
        cmocka_unit_test(memory_of_caches_is_foretold),
        cmocka_unit_test(one_unconditional_position_stands_for_all),
        cmocka_unit_test(without_guidance_there_is_no_unconditional_row),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
