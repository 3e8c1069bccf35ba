/* What a toggle of kind `bitwise` promises: the same codes, logits and samples, to the last bit. What `rounding` promises: the same
 * codes on a short song and logits close by. And what nothing may change: threads, another run, another instruction set. */
#define _GNU_SOURCE
#include "tests/bitwise_case.h"

#define FRAMES 10

static char folder[] = "/tmp/hmbench-bitwise-XXXXXX";
static const case_family songs = {.folder = folder,
                                  .models = HM_MODEL_HEARTMULA,
                                  .codebooks = CASE_CODEBOOKS,
                                  .request = {.music.tags = "pop,Piano",
                                              .music.lyrics = "[Verse]\nla la\n[Chorus]\nhey",
                                              .max_frames = FRAMES,
                                              .force_length = true,
                                              .music.cfg_scale = 1.5,
                                              .topk = 50,
                                              .temperature = 1,
                                              .seed = 7,
                                              .music.flow_steps = 1,
                                              .music.flow_guidance = 1.25}};
static const hm_toggles *const sets[] = {&case_naive, &case_best};
enum {
    SETS = sizeof sets / sizeof *sets
};

/* --- toggles --- */

static void every_bitwise_toggle_alone_gives_the_bytes_of_naive(void **state)
{
    (void)state;
    assert_true(case_check_bitwise(&songs) >= 11);
}

static void best_without_any_bitwise_toggle_gives_the_same_bytes(void **state)
{
    (void)state;
    assert_true(case_check_without(&songs) >= 10);
}

static void rounding_toggles_keep_greedy_codes_and_move_logits_little(void **state)
{
    hm_request request = songs.request;
    (void)state;
    request.topk = 1;
    request.skip_codec = true;
    assert_int_equal(case_check_rounding(&songs, &request), 7);
}

static void rounding_toggles_keep_drawn_codes_and_move_logits_little(void **state)
{
    hm_request request = songs.request;
    (void)state;
    request.skip_codec = true;
    assert_int_equal(case_check_rounding(&songs, &request), 7);
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
    case_free(&r[0]);
    case_free(&r[1]);
    free(codes);
    json_decref(manifest);
}

/* --- stored codes --- */

static void stored_codes_go_on_and_draws_are_kept(void **state)
{
    hm_request other = songs.request;
    (void)state;
    other.seed = 8;
    other.skip_codec = true;
    case_check_stored(&songs, other);
}

/* --- what may not change anything --- */

static void one_two_and_three_threads_give_the_same_bytes(void **state)
{
    (void)state;
    for (int s = 0; s < SETS; s++)
        case_check_threads(&songs, sets[s]);
}

static void a_second_song_of_an_engine_has_the_bytes_of_the_first(void **state)
{
    (void)state;
    for (int s = 0; s < SETS; s++)
        case_check_again(&songs, sets[s]);
}

static void every_instruction_set_of_the_machine_draws_the_same_codes(void **state)
{
    hm_request request = songs.request;
    (void)state;
    request.topk = 1;
    for (int s = 0; s < SETS; s++)
        case_check_isa(&songs, sets[s], &request);
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
