/* Songs side by side: the codes, logits and audio of songs made alone, whatever joins and leaves when. */
#define _GNU_SOURCE
#include "tests/result_case.h"

#define MANY 7
#define ENDING 4 /* of them, the one that may end by itself */

static char folder[] = "/tmp/hmbench-many-XXXXXX";
static const char *const lyrics[MANY] = {"la", "[Verse]\nla la la\n[Chorus]\nhey", "hey", "la la", "[Verse]\none two three four five", "oh",
                                         "na"};

/* Unlike lengths and prompts, so that songs join at different frames; guidance for some. */
static void make_requests(hm_request *r)
{
    for (int i = 0; i < MANY; i++)
        r[i] = (hm_request){.music = {.tags = i % 2 ? "pop,piano" : "folk",
                                      .lyrics = lyrics[i],
                                      .cfg_scale = i % 3 == 1 ? 1 : 1.5,
                                      .flow_steps = 1,
                                      .flow_guidance = 1},
                            .max_frames = 2 + 3 * ((i * 4 + 1) % MANY),
                            .force_length = i != ENDING,
                            .topk = 50,
                            .temperature = 1,
                            .seed = (uint64_t)(100 + i),
                            .skip_codec = i % 3 != 0};
    r[ENDING].max_frames = 40;
    r[ENDING].topk = 1000;
    r[ENDING].temperature = 3;
}

static hm_engine *open_engine(const hm_toggles *toggles, const hm_probe *probe)
{
    return case_open(
        case_runtime(),
        &(hm_engine_options){.source.dir = folder, .threads = 2, .toggles = toggles, .need_lm = true, .need_codec = true, .probe = probe});
}

static void drop(hm_result *r)
{
    case_runtime()->result_free(r);
}

static void check_result(const hm_result *alone, const hm_result *together, const hm_toggles *toggles, bool one, const char *what)
{
    assert_int_equal(alone->frames, together->frames);
    assert_int_equal(alone->ended, together->ended);
    assert_int_equal(alone->prompt_tokens, together->prompt_tokens);
    case_expect_same(alone, together, what);
    assert_true(together->prefill_ns > 0 && together->generate_ns > 0);
    assert_true(together->prefill_ns + together->generate_ns + together->decode_ns <= together->wall_ns);
    assert_int_equal(alone->kv_bytes, together->kv_bytes);
    if (one && toggles->decode != HM_DECODE_OVERLAP) { /* which cuts audio into pieces as it comes */
        assert_int_equal(alone->counters.forward_passes, together->counters.forward_passes);
        assert_int_equal(alone->counters.linear_rows, together->counters.linear_rows);
    }
}

static void check_many(const hm_toggles *toggles, const hm_request *requests, const int *batches, int batch_count, const char *what)
{
    hm_engine *e = open_engine(toggles, NULL);
    hm_result alone[MANY], together[MANY];
    hm_error err = {0};
    int64_t frames = 0;
    for (int i = 0; i < MANY; i++) {
        alone[i] = case_generate(case_runtime(), e, &requests[i]);
        frames += alone[i].frames + alone[i].ended;
    }
    for (int b = 0; b < batch_count; b++) {
        hm_many many = {.requests = requests, .count = MANY, .batch = batches[b], .results = together};
        if (case_runtime()->generate_many(e, &many, &err))
            fail_msg("%s, batch of %d: %s", what, batches[b], err.text);
        assert_int_equal(many.step_rows, frames);
        assert_true(batches[b] == 1 ? many.steps == frames : many.steps < frames);
        assert_true(many.wall_ns > 0);
        for (int i = 0; i < MANY; i++) {
            check_result(&alone[i], &together[i], toggles, batches[b] == 1, what);
            drop(&together[i]);
        }
    }
    for (int i = 0; i < MANY; i++)
        drop(&alone[i]);
    case_runtime()->close(&e);
}

/* The first seed under which the request ends by itself after a few frames. */
static uint64_t ending_seed(hm_request request)
{
    hm_engine *e = open_engine(&case_best, NULL);
    request.skip_codec = true;
    for (request.seed = 0; request.seed < 500; request.seed++) {
        hm_result r = case_generate(case_runtime(), e, &request);
        bool fits = r.ended && r.frames >= 4 && r.frames <= 30;
        drop(&r);
        if (fits) {
            case_runtime()->close(&e);
            return request.seed;
        }
    }
    fail_msg("no seed below 500 ends within 30 frames");
    return 0;
}

static void songs_side_by_side_are_those_they_are_alone(void **state)
{
    static const int batches[] = {1, 3, 16};
    hm_request requests[MANY];
    const hm_toggles overlap = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP};
    (void)state;
    make_requests(requests);
    requests[ENDING].seed = ending_seed(requests[ENDING]);
    check_many(&case_naive, requests, batches, 3, "naive");
    check_many(&case_best, requests, batches, 3, "best");
    check_many(&overlap, requests, (const int[]){3}, 1, "overlap");
}

/* Each alone on top of naive, and taken away from best. */
static void no_toggle_makes_songs_side_by_side_differ(void **state)
{
    static const int batches[] = {4};
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    hm_request requests[MANY];
    (void)state;
    make_requests(requests);
    for (int i = 0; i < MANY; i++) {
        requests[i].skip_codec = true;
        requests[i].force_length = true;
        requests[i].max_frames = 2 + i;
    }
    for (int i = 0; i < count; i++) {
        if (list[i].kind == HM_KIND_APPROX || !(list[i].models & HM_MODEL_HEARTMULA) || !(list[i].backends & HM_BACKEND_CPU) ||
            !strcmp(list[i].name, "decode"))
            continue;
        for (int value = 0; value < hm_toggle_values(&list[i]); value++, checked++) {
            hm_toggles with = value ? case_naive : case_best;
            *case_toggle(&with, list[i].offset) = (uint8_t)value;
            if (value)
                case_satisfy(&with);
            else
                case_withdraw(&with);
            check_many(&with, requests, batches, 1, case_value_text(&list[i], value));
        }
    }
    assert_true(checked >= 20);
}

static void stored_codes_are_fed_to_the_song_that_has_them(void **state)
{
    int32_t *stored = case_codes(6, 64);
    hm_request requests[MANY];
    (void)state;
    make_requests(requests);
    for (int i = 0; i < MANY; i++) {
        requests[i].force_length = true;
        requests[i].max_frames = 6;
        requests[i].stored_codes = i % 2 ? stored : NULL;
    }
    check_many(&case_naive, requests, (const int[]){3}, 1, "naive, stored");
    check_many(&case_best, requests, (const int[]){3}, 1, "best, stored");
    free(stored);
}

static int never_called(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    (void)self;
    (void)pcm;
    (void)channels;
    (void)samples;
    (void)at_ns;
    return 1;
}

static void a_bad_request_among_several_is_named(void **state)
{
    hm_request all[MANY];
    hm_result results[3] = {0}, nothing = {0};
    hm_error err = {0};
    hm_audio_sink sink = {.write = never_called};
    hm_many many = {.requests = all, .count = 3, .batch = 2, .results = results};
    hm_engine *e = open_engine(&case_best, NULL);
    (void)state;
    make_requests(all);
    all[1].temperature = -1;
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "request 2: temperature");
    make_requests(all);
    all[2].max_frames = 1000000;
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "request 3: prompt of");
    make_requests(all);
    all[0].sink = &sink;
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "request 1: several at once");
    make_requests(all);
    many.batch = 17;
    case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EUSAGE, "at most 16 songs");
    for (int i = 0; i < 3; i++)
        assert_memory_equal(&results[i], &nothing, sizeof nothing);
    case_runtime()->close(&e);
}

struct stopper {
    int calls, after;
};

static int stop(void *self, const char *phase, int64_t done, int64_t total)
{
    struct stopper *s = self;
    (void)phase;
    (void)done;
    (void)total;
    return s->after && ++s->calls > s->after;
}

static void interrupted_songs_leave_nothing_and_the_engine_usable(void **state)
{
    struct stopper stopper = {0};
    hm_probe probe = {.self = &stopper, .progress = stop};
    hm_request requests[MANY];
    hm_result results[MANY] = {0}, nothing = {0};
    hm_error err = {0};
    (void)state;
    make_requests(requests);
    hm_engine *e = open_engine(&case_best, &probe);
    hm_result whole = case_generate(case_runtime(), e, &requests[0]);
    for (int after = 1; after < 16; after += 7) {
        hm_many many = {.requests = requests, .count = MANY, .batch = 3, .results = results};
        stopper = (struct stopper){0, after};
        case_expect_error(case_runtime()->generate_many(e, &many, &err), &err, HM_EINTERRUPTED, "interrupted at");
        for (int i = 0; i < MANY; i++)
            assert_memory_equal(&results[i], &nothing, sizeof nothing);
    }
    stopper.after = 0;
    hm_result again = case_generate(case_runtime(), e, &requests[0]);
    case_expect_same(&whole, &again, "after interruptions");
    drop(&whole);
    drop(&again);
    case_runtime()->close(&e);
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
        cmocka_unit_test(songs_side_by_side_are_those_they_are_alone),
        cmocka_unit_test(no_toggle_makes_songs_side_by_side_differ),
        cmocka_unit_test(stored_codes_are_fed_to_the_song_that_has_them),
        cmocka_unit_test(a_bad_request_among_several_is_named),
        cmocka_unit_test(interrupted_songs_leave_nothing_and_the_engine_usable),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
