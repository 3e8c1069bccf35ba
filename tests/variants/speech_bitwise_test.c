/* What toggles promise of speech: `bitwise` the same codes, logits and samples, to the last bit; `rounding` the same codes and logits close
 * by. And what nothing may change: threads, another run, another instruction set, how audio is cut into pieces. */
#define _GNU_SOURCE
#include "engine/base/isa.h"
#include "tests/result_case.h"

#define FRAMES 12
#define GROUPS 16

static char folder[] = "/tmp/hmbench-speech-bitwise-XXXXXX", narrow[] = "/tmp/hmbench-speech-narrow-XXXXXX"; /* narrow: a projection between stacks */

/* Forced length: the codes are compared to the end. */
static const hm_request line = {.task = HM_TASK_SPEECH,
                                .speech = {.text = "The sun creeps in across the floor.", .speaker = "ryan", .language = "english",
                                           .instruct = "Speak in a calm and friendly tone.", .streaming_text = -1, .top_p = 0.95,
                                           .repetition_penalty = -1, .sub_temperature = -1, .sub_top_p = -1, .sub_topk = -1},
                                .max_frames = FRAMES,
                                .force_length = true,
                                .topk = -1,
                                .temperature = -1,
                                .seed = 7};

typedef struct setting {
    int threads;
    const char *isa, *folder;
} setting;

static hm_result run_on(const hm_toggles *toggles, const hm_request *request, setting on)
{
    const hm_engine_api *api = case_runtime();
    hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = on.folder ? on.folder : folder, .threads = on.threads, .isa = on.isa,
                                                       .toggles = toggles, .need_lm = true, .need_codec = !request->skip_codec});
    hm_result r = case_generate(api, e, request);
    assert_int_equal(r.frames, request->max_frames);
    assert_int_equal(r.codebooks, GROUPS);
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

static bool concerns(const hm_toggle_info *toggle, int kind)
{
    return (int)toggle->kind == kind && toggle->models & HM_MODEL_QWEN3_TTS;
}

/* --- toggles --- */

static void check_bitwise(const char *model)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    setting on = {.threads = 1, .folder = model};
    hm_result naive = run_on(&case_naive, &line, on);
    for (int i = 0; i < count; i++)
        for (int value = 1; concerns(&list[i], HM_KIND_BITWISE) && value < hm_toggle_values(&list[i]); value++, checked++) {
            hm_toggles with = case_naive;
            *case_toggle(&with, list[i].offset) = (uint8_t)value;
            case_satisfy(&with);
            assert_int_equal(hm_toggles_distance(&case_naive, &with), HM_KIND_BITWISE);
            hm_result r = run_on(&with, &line, on);
            case_expect_same(&naive, &r, case_value_text(&list[i], value));
            drop(&r);
        }
    assert_int_equal(checked, 14);
    drop(&naive);
}

static void every_bitwise_toggle_alone_gives_the_bytes_of_naive(void **state)
{
    (void)state;
    check_bitwise(folder);
}

static void the_same_holds_with_a_projection_between_the_stacks(void **state)
{
    (void)state;
    check_bitwise(narrow);
}

/* Taking one away takes those away that need it; what is then no longer bitwise the same is compared with best without that. */
static void best_without_any_bitwise_toggle_gives_the_same_bytes(void **state)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    for (int i = 0; i < count; i++) {
        hm_toggles without = case_best, with = case_best;
        if (!concerns(&list[i], HM_KIND_BITWISE) || !hm_toggle_get(&case_best, &list[i]))
            continue;
        *case_toggle(&without, list[i].offset) = 0;
        case_withdraw(&without);
        for (int k = 0; k < count; k++)
            if (list[k].kind != HM_KIND_BITWISE)
                *case_toggle(&with, list[k].offset) = *case_toggle(&without, list[k].offset);
        assert_int_equal(hm_toggles_distance(&with, &without), HM_KIND_BITWISE);
        hm_result a = run(&with, &line), b = run(&without, &line);
        case_expect_same(&a, &b, list[i].name);
        drop(&a);
        drop(&b);
        checked++;
    }
    assert_int_equal(checked, 12);
}

static void check_rounding(const hm_request *request)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    hm_result naive = run(&case_naive, request), best = run(&case_best, request);
    case_expect_close(&naive, &best, "best");
    for (int i = 0; i < count; i++)
        for (int value = 1; concerns(&list[i], HM_KIND_ROUNDING) && value < hm_toggle_values(&list[i]); value++, checked++) {
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
    hm_request request = line;
    (void)state;
    request.topk = request.speech.sub_topk = 1;
    request.skip_codec = true;
    check_rounding(&request);
}

static void rounding_toggles_keep_drawn_codes_and_move_logits_little(void **state)
{
    hm_request request = line;
    (void)state;
    request.skip_codec = true;
    check_rounding(&request);
}

/* The second of two prompts that begin alike, in one engine and alone. */
static void check_prefix(const hm_request *first, const hm_request *second)
{
    const hm_engine_api *api = case_runtime();
    hm_toggles toggles = case_best;
    hm_result alone = run(&toggles, second);
    toggles.prefix = HM_PREFIX_REUSED;
    hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = folder, .threads = 1, .toggles = &toggles, .need_lm = true});
    hm_result before = case_generate(api, e, first), after = case_generate(api, e, second);
    case_expect_close(&alone, &after, "a prompt whose beginning was computed before");
    assert_int_equal(before.counters.prompt_rows, (uint64_t)before.prompt_tokens);
    assert_true(after.counters.prompt_rows > 0);
    assert_true(after.counters.prompt_rows + 30 < (uint64_t)after.prompt_tokens); /* instruction, role, prefix */
    drop(&alone);
    drop(&before);
    drop(&after);
    api->close(&e);
}

static void a_prompt_that_begins_as_the_last_one_keeps_its_rows(void **state)
{
    hm_request first = line, second = line;
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
    hm_result whole = run(&case_naive, &line);
    (void)state;
    for (int decode = HM_DECODE_STREAM; decode <= HM_DECODE_OVERLAP; decode++)
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
            for (int threads = 1; threads <= 3; threads += 2) {
                listener heard = {0};
                hm_request request = line;
                hm_audio_sink sink = {.self = &heard, .write = listen, .first_frames = pieces[i][0], .next_frames = pieces[i][1]};
                hm_toggles toggles = {.decode = (uint8_t)decode, .precompute = i % 2 ? HM_PRECOMPUTE_ONCE : HM_PRECOMPUTE_PER_CALL};
                request.sink = &sink;
                hm_result r = run_on(&toggles, &request, (setting){.threads = threads});
                case_expect_same(&whole, &r, "in pieces");
                assert_int_equal(heard.samples, whole.samples);
                assert_int_equal(case_first_difference(heard.pcm, whole.audio, whole.samples), -1);
                assert_int_equal(heard.sizes[0], 1920 * (pieces[i][0] == 0 ? 3 : pieces[i][0] == 100 ? FRAMES : pieces[i][0]));
                assert_true(r.overlapped_ns <= r.wall_ns);
                drop(&r);
            }
    drop(&whole);
}

/* --- stored codes --- */

static void check_stored(hm_toggles toggles)
{
    hm_request request = line, other = line;
    hm_result own = run(&toggles, &request), fed;
    request.stored_codes = own.codes;
    fed = run(&toggles, &request);
    case_expect_same(&own, &fed, "its own codes fed back");
    drop(&fed);

    other.seed = 8;
    hm_result free_run = run(&toggles, &other);
    other.stored_codes = own.codes;
    fed = run(&toggles, &other);
    assert_int_equal(case_first_difference(fed.logits, own.logits, FRAMES * GROUPS), -1);    /* the same history: the stored one */
    assert_int_equal(fed.codes[0], free_run.codes[0]);                                       /* drawn before anything was fed */
    assert_true(case_first_difference(fed.codes, own.codes, FRAMES * GROUPS) >= 0);          /* draws are kept, not what was fed */
    assert_int_equal(case_first_difference(fed.audio, own.audio, own.samples), -1);          /* what was fed is what is heard */
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
    check_stored((hm_toggles){HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP});
}

/* --- what may not change anything --- */

static void one_two_and_three_threads_give_the_same_bytes(void **state)
{
    static const hm_toggles overlap = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP};
    static const hm_toggles *const sets[] = {&case_naive, &case_best, &overlap};
    (void)state;
    for (int s = 0; s < 3; s++) {
        hm_result one = run(sets[s], &line);
        for (int threads = 2; threads <= 3; threads++) {
            hm_result r = run_on(sets[s], &line, (setting){.threads = threads});
            case_expect_same(&one, &r, "on threads");
            assert_memory_equal(&one.counters, &r.counters, sizeof one.counters);
            drop(&r);
        }
        drop(&one);
    }
}

static void a_second_utterance_of_an_engine_has_the_bytes_of_the_first(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    const hm_engine_api *api = case_runtime();
    (void)state;
    for (int s = 0; s < 2; s++) {
        hm_request longer = line;
        hm_engine *e = case_open(api, &(hm_engine_options){.source.dir = folder, .toggles = sets[s], .need_lm = true, .need_codec = true});
        hm_result first = case_generate(api, e, &line);
        longer.max_frames = FRAMES + 3;
        longer.seed = 99;
        hm_result between = case_generate(api, e, &longer), second = case_generate(api, e, &line);
        case_expect_same(&first, &second, "second utterance");
        assert_memory_equal(&first.counters, &second.counters, sizeof first.counters);
        assert_true(case_first_difference(first.codes, between.codes, FRAMES * GROUPS) >= 0); /* a seed is a seed */
        drop(&first);
        drop(&between);
        drop(&second);
        api->close(&e);
    }
}

static void every_instruction_set_of_the_machine_draws_the_same_codes(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    hm_request request = line;
    (void)state;
    request.topk = request.speech.sub_topk = 1;
    for (int s = 0; s < 2; s++) {
        hm_result scalar = run_on(sets[s], &request, (setting){.threads = 1, .isa = "scalar"});
        for (int isa = HM_ISA_SCALAR + 1; isa <= (int)hm_isa_detect(); isa++) {
            hm_result r = run_on(sets[s], &request, (setting){.threads = 1, .isa = hm_isa_name((hm_isa)isa)});
            case_expect_close(&scalar, &r, hm_isa_name((hm_isa)isa));
            drop(&r);
        }
        drop(&scalar);
    }
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
