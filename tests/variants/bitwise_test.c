/* What a toggle of kind `bitwise` promises: the same codes, logits and samples, to the last bit. What `rounding` promises: the same
 * codes on a short song and logits close by. And what nothing may change: threads, another run, another instruction set. */
#define _GNU_SOURCE
#include "engine/base/isa.h"
#include "tests/result_case.h"

#define FRAMES 10

static char folder[] = "/tmp/hmbench-bitwise-XXXXXX";
/* Forced length: the codes are compared to the end. */
static const hm_request song = {.music.tags = "pop,Piano",
                                      .music.lyrics = "[Verse]\nla la\n[Chorus]\nhey",
                                      .max_frames = FRAMES,
                                      .force_length = true,
                                      .music.cfg_scale = 1.5,
                                      .topk = 50,
                                      .temperature = 1,
                                      .seed = 7,
                                      .music.flow_steps = 1,
                                      .music.flow_guidance = 1.25};

typedef struct setting {
    int threads;
    const char *isa;
} setting;

static hm_result run_on(const hm_toggles *toggles, const hm_request *request, setting on)
{
    const hm_engine_api *api = case_runtime();
    hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = folder,
                                                       .threads = on.threads,
                                                       .isa = on.isa,
                                                       .toggles = toggles,
                                                       .need_lm = true,
                                                       .need_codec = !request->skip_codec});
    hm_result r = case_generate(api, e, request);
    assert_int_equal(r.frames, request->max_frames);
    api->close(&e);
    return r;
}

static hm_result run(const hm_toggles *toggles, const hm_request *request)
{
    return run_on(toggles, request, (setting){.threads = 1});
}

static void drop(hm_result *result)
{
    case_runtime()->result_free(result);
}

/* --- toggles --- */

static void every_bitwise_toggle_alone_gives_the_bytes_of_naive(void **state)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    hm_result naive = run(&case_naive, &song);
    (void)state;
    for (int i = 0; i < count; i++)
        for (int value = 1; list[i].kind == HM_KIND_BITWISE && list[i].models & HM_MODEL_HEARTMULA && value < hm_toggle_values(&list[i]); value++, checked++) {
            hm_toggles with = case_naive;
            *case_toggle(&with, list[i].offset) = (uint8_t)value;
            case_satisfy(&with);
            assert_int_equal(hm_toggles_distance(&case_naive, &with), HM_KIND_BITWISE);
            hm_result r = run(&with, &song);
            case_expect_same(&naive, &r, case_value_text(&list[i], value));
            drop(&r);
        }
    assert_true(checked >= 11);
    drop(&naive);
}

/* Taking one away takes those away that need it; what is then no longer bitwise the same is compared with best without that. */
static void best_without_any_bitwise_toggle_gives_the_same_bytes(void **state)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    for (int i = 0; i < count; i++) {
        hm_toggles without = case_best, with = case_best;
        if (list[i].kind != HM_KIND_BITWISE || !(list[i].models & HM_MODEL_HEARTMULA) || !hm_toggle_get(&case_best, &list[i]))
            continue;
        *case_toggle(&without, list[i].offset) = 0;
        case_withdraw(&without);
        for (int k = 0; k < count; k++)
            if (list[k].kind != HM_KIND_BITWISE)
                *case_toggle(&with, list[k].offset) = *case_toggle(&without, list[k].offset);
        assert_int_equal(hm_toggles_distance(&with, &without), HM_KIND_BITWISE);
        hm_result a = run(&with, &song), b = run(&without, &song);
        case_expect_same(&a, &b, list[i].name);
        drop(&a);
        drop(&b);
        checked++;
    }
    assert_true(checked >= 10);
}

static void check_rounding(const hm_request *request)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    hm_result naive = run(&case_naive, request), best = run(&case_best, request);
    case_expect_close(&naive, &best, "best");
    for (int i = 0; i < count; i++)
        for (int value = 1; list[i].kind == HM_KIND_ROUNDING && list[i].models & HM_MODEL_HEARTMULA && value < hm_toggle_values(&list[i]); value++, checked++) {
            hm_toggles with = case_naive;
            *case_toggle(&with, list[i].offset) = (uint8_t)value;
            case_satisfy(&with);
            hm_result r = run(&with, request);
            case_expect_close(&naive, &r, case_value_text(&list[i], value));
            drop(&r);
        }
    assert_int_equal(checked, 5);
    drop(&naive);
    drop(&best);
}

static void rounding_toggles_keep_greedy_codes_and_move_logits_little(void **state)
{
    hm_request request = song;
    (void)state;
    request.topk = 1;
    request.skip_codec = true;
    check_rounding(&request);
}

static void rounding_toggles_keep_drawn_codes_and_move_logits_little(void **state)
{
    hm_request request = song;
    (void)state;
    request.skip_codec = true;
    check_rounding(&request);
}

/* Nothing above cuts a waveform: the tiny codec's chunks are longer than its segments. */
static void a_waveform_in_chunks_has_the_bytes_of_one_in_one_piece(void **state)
{
    const hm_engine_api *api = case_runtime();
    json_t *manifest = case_manifest("heartmula-mini", HM_PRESET_CODEC);
    int32_t *codes = case_codes(100, 1024);
    hm_result r[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        hm_toggles toggles = {.decode = (uint8_t)i, .precompute = HM_PRECOMPUTE_ONCE};
        hm_engine *e = case_open(
            api, &(hm_engine_options){.source = {.codec_manifest = manifest, .seed = 1}, .toggles = &toggles, .need_codec = true});
        r[i] = case_decode(api, e, codes, 100, &(hm_request){.music.flow_steps = 1, .music.flow_guidance = 1});
        api->close(&e);
    }
    assert_true(r[1].counters.decode_chunks > r[0].counters.decode_chunks);
    assert_int_equal(r[0].samples, r[1].samples);
    assert_int_equal(case_first_difference(r[0].audio, r[1].audio, r[0].samples * 2), -1);
    drop(&r[0]);
    drop(&r[1]);
    free(codes);
    json_decref(manifest);
}

/* --- stored codes --- */

static void check_stored(hm_toggles toggles)
{
    hm_request request = song, other = song;
    hm_result own = run(&toggles, &request), fed;
    request.stored_codes = own.codes;
    fed = run(&toggles, &request);
    case_expect_same(&own, &fed, "its own codes fed back");
    drop(&fed);

    other.seed = 8;
    other.skip_codec = true;
    hm_result free_run = run(&toggles, &other);
    other.stored_codes = own.codes;
    fed = run(&toggles, &other);
    assert_int_equal(case_first_difference(fed.logits, own.logits, FRAMES * CASE_CODEBOOKS), -1); /* the same history: the stored one */
    assert_int_equal(fed.codes[0], free_run.codes[0]);                                       /* drawn before anything was fed */
    assert_true(case_first_difference(fed.codes, own.codes, FRAMES * CASE_CODEBOOKS) >= 0);       /* draws are kept, not what was fed */
    assert_true(case_first_difference(fed.codes, free_run.codes, FRAMES * CASE_CODEBOOKS) >= 0);
    drop(&own);
    drop(&fed);
    drop(&free_run);
}

static void stored_codes_go_on_and_draws_are_kept(void **state)
{
    (void)state;
    check_stored(case_naive);
    check_stored(case_best);
    check_stored((hm_toggles){.sampling = HM_SAMPLING_FUSED});
    check_stored((hm_toggles){.sampling = HM_SAMPLING_FUSED, .token_forward = HM_TOKEN_DEVICE, .codes = HM_CODES_FRAME});
}

/* --- what may not change anything --- */

static void one_two_and_three_threads_give_the_same_bytes(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    (void)state;
    for (int s = 0; s < 2; s++) {
        hm_result one = run(sets[s], &song);
        for (int threads = 2; threads <= 3; threads++) {
            hm_result r = run_on(sets[s], &song, (setting){.threads = threads});
            case_expect_same(&one, &r, s ? "best on threads" : "naive on threads");
            drop(&r);
        }
        drop(&one);
    }
}

static void a_second_song_of_an_engine_has_the_bytes_of_the_first(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    const hm_engine_api *api = case_runtime();
    (void)state;
    for (int s = 0; s < 2; s++) {
        hm_request longer = song;
        hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = folder, .toggles = sets[s], .need_lm = true, .need_codec = true});
        hm_result first = case_generate(api, e, &song);
        longer.max_frames = FRAMES + 3;
        longer.seed = 99;
        hm_result between = case_generate(api, e, &longer), second = case_generate(api, e, &song);
        case_expect_same(&first, &second, "second song");
        assert_memory_equal(&first.counters, &second.counters, sizeof first.counters);
        assert_true(case_first_difference(first.codes, between.codes, FRAMES * CASE_CODEBOOKS) >= 0); /* a seed is a seed */
        drop(&first);
        drop(&between);
        drop(&second);
        api->close(&e);
    }
}

static void every_instruction_set_of_the_machine_draws_the_same_codes(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    hm_request request = song;
    (void)state;
    request.topk = 1;
    for (int s = 0; s < 2; s++) {
        hm_result scalar = run_on(sets[s], &request, (setting){1, "scalar"});
        for (int isa = HM_ISA_SCALAR + 1; isa <= (int)hm_isa_detect(); isa++) {
            hm_result r = run_on(sets[s], &request, (setting){1, hm_isa_name((hm_isa)isa)});
            case_expect_close(&scalar, &r, hm_isa_name((hm_isa)isa));
            drop(&r);
        }
        drop(&scalar);
    }
}

static int make_model(void **state)
{
    (void)state;
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
        cmocka_unit_test(every_bitwise_toggle_alone_gives_the_bytes_of_naive),
        cmocka_unit_test(best_without_any_bitwise_toggle_gives_the_same_bytes),
        cmocka_unit_test(rounding_toggles_keep_greedy_codes_and_move_logits_little),
        cmocka_unit_test(rounding_toggles_keep_drawn_codes_and_move_logits_little),
        cmocka_unit_test(a_waveform_in_chunks_has_the_bytes_of_one_in_one_piece),
        cmocka_unit_test(stored_codes_go_on_and_draws_are_kept),
        cmocka_unit_test(one_two_and_three_threads_give_the_same_bytes),
        cmocka_unit_test(a_second_song_of_an_engine_has_the_bytes_of_the_first),
        cmocka_unit_test(every_instruction_set_of_the_machine_draws_the_same_codes),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
