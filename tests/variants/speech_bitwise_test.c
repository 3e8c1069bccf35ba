/* What toggles promise of speech: `bitwise` the same codes, logits and samples, to the last bit; `rounding` the same codes and logits close
 * by. And what nothing may change: threads, another run, another instruction set, how audio is cut into pieces. */
#define _GNU_SOURCE
#include "tests/bitwise_case.h"

#define FRAMES 12

static char folder[] = "/tmp/hmbench-speech-bitwise-XXXXXX";
static char narrow[] = "/tmp/hmbench-speech-narrow-XXXXXX"; /* a projection between its stacks */

static const case_family lines = {.folder = folder,
                                  .models = HM_MODEL_QWEN3_TTS,
                                  .codebooks = 16,
                                  .request = {.task = HM_TASK_SPEECH,
                                              .speech = {.text = "The sun creeps in across the floor.",
                                                         .speaker = "ryan",
                                                         .language = "english",
                                                         .instruct = "Speak in a calm and friendly tone.",
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
                                              .seed = 7}};
static const hm_toggles overlap = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP};
static const hm_toggles *const sets[] = {&case_naive, &case_best, &overlap};

/* --- toggles --- */

static void every_bitwise_toggle_alone_gives_the_bytes_of_naive(void **state)
{
    (void)state;
    assert_int_equal(case_check_bitwise(&lines), 24);
}

static void the_same_holds_with_a_projection_between_the_stacks(void **state)
{
    case_family narrow_lines = lines;
    (void)state;
    narrow_lines.folder = narrow;
    assert_int_equal(case_check_bitwise(&narrow_lines), 24);
}

static void best_without_any_bitwise_toggle_gives_the_same_bytes(void **state)
{
    (void)state;
    assert_int_equal(case_check_without(&lines), 12);
}

static void rounding_toggles_keep_greedy_codes_and_move_logits_little(void **state)
{
    hm_request request = lines.request;
    (void)state;
    request.topk = request.speech.sub_topk = 1;
    request.skip_codec = true;
    assert_int_equal(case_check_rounding(&lines, &request), 6);
}

static void rounding_toggles_keep_drawn_codes_and_move_logits_little(void **state)
{
    hm_request request = lines.request;
    (void)state;
    request.skip_codec = true;
    assert_int_equal(case_check_rounding(&lines, &request), 6);
}

/* The second of two prompts that begin alike, in one engine and alone. */
static void check_prefix(const hm_request *first, const hm_request *second)
{
    const hm_engine_api *api = case_runtime();
    hm_toggles toggles = case_best;
    hm_result alone = case_run(&lines, &toggles, second);
    toggles.prefix = HM_PREFIX_REUSED;
    hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = folder, .threads = 1, .toggles = &toggles, .need_lm = true});
    hm_result before = case_generate(api, e, first), after = case_generate(api, e, second);
    case_expect_close(&alone, &after, "a prompt whose beginning was computed before");
    assert_int_equal(before.counters.prompt_rows, (uint64_t)before.prompt_tokens);
    assert_true(after.counters.prompt_rows > 0);
    assert_true(after.counters.prompt_rows + 30 < (uint64_t)after.prompt_tokens); /* instruction, role, prefix */
    case_free(&alone);
    case_free(&before);
    case_free(&after);
    api->close(&e);
}

static void a_prompt_that_begins_as_the_last_one_keeps_its_rows(void **state)
{
    hm_request first = lines.request, second = lines.request;
    (void)state;
    first.skip_codec = second.skip_codec = true;
    second.speech.text = "The moon climbs over every wall.";
    check_prefix(&first, &second);
    check_prefix(&second, &first);
    check_prefix(&first, &first);
}

/* --- pieces of audio --- */

typedef struct listener {
    float pcm[FRAMES * 1920];
    int64_t samples, sizes[FRAMES];
    int pieces;
} listener;

static int listen(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    listener *l = self;
    assert_int_equal(channels, 1);
    assert_true(at_ns > 0);
    assert_true(l->samples + samples <= FRAMES * 1920);
    memcpy(l->pcm + l->samples, pcm, (size_t)samples * sizeof *pcm);
    l->samples += samples;
    l->sizes[l->pieces++] = samples;
    return 0;
}

static void audio_in_pieces_has_the_bytes_of_audio_at_the_end(void **state)
{
    static const int pieces[][2] = {{0, 0}, {1, 1}, {2, 5}, {5, 2}, {100, 100}}; /* 0: the engine's choice */
    hm_result whole = case_run(&lines, &case_naive, &lines.request);
    (void)state;
    for (int decode = HM_DECODE_STREAM; decode <= HM_DECODE_OVERLAP; decode++)
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
            for (int threads = 1; threads <= 3; threads += 2) {
                listener heard = {0};
                hm_request request = lines.request;
                hm_audio_sink sink = {.self = &heard, .write = listen, .first_frames = pieces[i][0], .next_frames = pieces[i][1]};
                hm_toggles toggles = {.decode = (uint8_t)decode, .precompute = i % 2 ? HM_PRECOMPUTE_ONCE : HM_PRECOMPUTE_PER_CALL};
                request.sink = &sink;
                hm_result r = case_run_on(&lines, &toggles, &request, (case_setting){.threads = threads});
                case_expect_same(&whole, &r, "in pieces");
                assert_int_equal(heard.samples, whole.samples);
                assert_int_equal(case_first_difference(heard.pcm, whole.audio, whole.samples), -1);
                assert_int_equal(heard.sizes[0], 1920 * (pieces[i][0] == 0 ? 3 : pieces[i][0] == 100 ? FRAMES : pieces[i][0]));
                assert_true(r.overlapped_ns <= r.wall_ns);
                case_free(&r);
            }
    case_free(&whole);
}

/* --- stored codes --- */

static void stored_codes_go_on_and_draws_are_kept(void **state)
{
    hm_request other = lines.request;
    (void)state;
    other.seed = 8;
    case_check_stored(&lines, other);
    case_check_stored_with(&lines, overlap, other);
}

/* --- what may not change anything --- */

static void one_two_and_three_threads_give_the_same_bytes(void **state)
{
    (void)state;
    for (int s = 0; s < 3; s++)
        case_check_threads(&lines, sets[s]);
}

static void a_second_utterance_of_an_engine_has_the_bytes_of_the_first(void **state)
{
    (void)state;
    for (int s = 0; s < 2; s++)
        case_check_again(&lines, sets[s]);
}

static void every_instruction_set_of_the_machine_draws_the_same_codes(void **state)
{
    hm_request request = lines.request;
    (void)state;
    request.topk = request.speech.sub_topk = 1;
    for (int s = 0; s < 2; s++)
        case_check_isa(&lines, sets[s], &request);
}

static int make_models(void **state)
{
    (void)state;
    case_model(folder, "qwen3-tts-tiny");
    case_model(narrow, "qwen3-tts-mini");
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    case_remove(folder);
    case_remove(narrow);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bitwise_toggle_alone_gives_the_bytes_of_naive),
        cmocka_unit_test(the_same_holds_with_a_projection_between_the_stacks),
        cmocka_unit_test(best_without_any_bitwise_toggle_gives_the_same_bytes),
        cmocka_unit_test(rounding_toggles_keep_greedy_codes_and_move_logits_little),
        cmocka_unit_test(rounding_toggles_keep_drawn_codes_and_move_logits_little),
        cmocka_unit_test(a_prompt_that_begins_as_the_last_one_keeps_its_rows),
        cmocka_unit_test(audio_in_pieces_has_the_bytes_of_audio_at_the_end),
        cmocka_unit_test(stored_codes_go_on_and_draws_are_kept),
        cmocka_unit_test(one_two_and_three_threads_give_the_same_bytes),
        cmocka_unit_test(a_second_utterance_of_an_engine_has_the_bytes_of_the_first),
        cmocka_unit_test(every_instruction_set_of_the_machine_draws_the_same_codes),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
