/* Songs and speech on a GPU (the software device): the codes of the CPU, whatever waits and whatever is recorded; frames that run ahead of
 * their end; several at once; a decoder beside; weights that go to the device once. */
#define _GNU_SOURCE
#include "tests/bitwise_case.h"
#include "tests/soft_case.h"

static soft_library soft;
static char songs_folder[] = "/tmp/hmbench-gpu-songs-XXXXXX", lines_folder[] = "/tmp/hmbench-gpu-lines-XXXXXX";

static const case_family songs = {
    .folder = songs_folder,
    .models = HM_MODEL_HEARTMULA,
    .codebooks = CASE_CODEBOOKS,
    .backend = SOFT_BACKEND,
    .request = {.music = {.tags = "pop,piano", .lyrics = "la la la", .cfg_scale = 1.5, .flow_steps = 1, .flow_guidance = 1},
                .max_frames = 20,
                .force_length = true,
                .topk = 50,
                .temperature = 1,
                .seed = 11,
                .skip_codec = true}};
static const case_family lines = {.folder = lines_folder,
                                  .models = HM_MODEL_QWEN3_TTS,
                                  .codebooks = 16,
                                  .backend = SOFT_BACKEND,
                                  .request = {.task = HM_TASK_SPEECH,
                                              .speech = {.text = "One two three.",
                                                         .speaker = "Vivian",
                                                         .streaming_text = -1,
                                                         .top_p = -1,
                                                         .repetition_penalty = -1,
                                                         .sub_temperature = -1,
                                                         .sub_top_p = -1,
                                                         .sub_topk = -1},
                                              .max_frames = 10,
                                              .force_length = true,
                                              .topk = -1,
                                              .temperature = -1,
                                              .seed = 5,
                                              .skip_codec = true}};
static const case_family *const both[] = {&songs, &lines};

static hm_engine *open_on(const case_family *f, const hm_toggles *toggles, bool codec)
{
    return case_open(
        case_runtime(),
        &(hm_engine_options){
            .source.dir = f->folder, .backend = f->backend, .threads = 2, .toggles = toggles, .need_lm = true, .need_codec = codec});
}

/* --- codes --- */

/* Device memory is out of the host's reach meanwhile. */
static void codes_are_those_of_the_cpu(void **state)
{
    (void)state;
    soft_settings(&soft, "HM_SOFT_GUARD=1");
    for (int i = 0; i < 2; i++) {
        case_family cpu = *both[i];
        cpu.backend = NULL;
        hm_result here = case_run(&cpu, &case_best, &cpu.request);
        hm_result naive = case_run(both[i], &case_naive, &both[i]->request), best = case_run(both[i], &case_best, &both[i]->request);
        case_expect_close(&here, &naive, "naive");
        case_expect_close(&here, &best, "best");
        case_free(&here);
        case_free(&naive);
        case_free(&best);
    }
    soft_clean(&soft);
    soft_settings(&soft, "");
}

static void frames_stop_where_the_cpu_stops(void **state)
{
    (void)state;
    int ended = 0;
    for (int i = 0; i < 2; i++)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            case_family cpu = *both[i];
            cpu.backend = NULL;
            cpu.request.force_length = false;
            cpu.request.max_frames = 29;
            cpu.request.topk = 1000;
            cpu.request.temperature = 3;
            cpu.request.seed = seed;
            hm_engine *a = open_on(&cpu, &case_best, false), *b = open_on(both[i], &case_best, false);
            hm_result here = case_generate(case_runtime(), a, &cpu.request), there = case_generate(case_runtime(), b, &cpu.request);
            assert_int_equal(here.frames, there.frames);
            assert_int_equal(here.ended, there.ended);
            case_expect_close(&here, &there, "to its end");
            ended += here.ended && here.frames % 8 != 7; /* in the middle of those that run ahead */
            case_free(&here);
            case_free(&there);
            case_runtime()->close(&a);
            case_runtime()->close(&b);
        }
    assert_true(ended > 0);
}

/* --- waits and recordings --- */

static void waits_and_launches_are_as_few_as_asked(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const case_family *f = both[i];
        uint64_t frames = (uint64_t)f->request.max_frames;
        hm_toggles t = case_best;
        hm_result ahead = case_run(f, &t, &f->request);
        t.launch = HM_LAUNCH_EACH;
        hm_result each = case_run(f, &t, &f->request);
        t.sync = HM_SYNC_FRAME;
        hm_result frame = case_run(f, &t, &f->request);
        t.sync = HM_SYNC_STEP;
        hm_result step = case_run(f, &t, &f->request);
        case_expect_same(&ahead, &each, "each");
        case_expect_same(&ahead, &frame, "frame");
        case_expect_same(&ahead, &step, "step");
        assert_true(each.counters.device_waits <= frames / 8 + 8);
        assert_true(frame.counters.device_waits >= frames && frame.counters.device_waits <= frames + 8);
        assert_true(step.counters.device_waits > frames * (uint64_t)f->codebooks);
        assert_int_equal(each.counters.replayed_launches, 0);
        assert_int_equal(each.counters.recorded_frames, 0);
        assert_true(ahead.counters.recorded_frames >= 1 && ahead.counters.recorded_frames <= 4);
        assert_true(ahead.counters.replayed_launches > each.counters.launches / 2);
        assert_true(ahead.counters.launches < each.counters.launches / 2);
        assert_true(each.frame_counters.launches < each.counters.launches);
        assert_true(step.frame_counters.device_waits >= frames * (uint64_t)f->codebooks);
        assert_true(ahead.frame_counters.to_host_bytes >= frames * (uint64_t)f->codebooks * sizeof(int32_t));
        case_free(&ahead);
        case_free(&each);
        case_free(&frame);
        case_free(&step);
    }
    soft_clean(&soft);
}

/* Decoding meanwhile is not theirs. */
static void frames_are_counted_apart(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        hm_toggles t = case_best;
        t.decode = HM_DECODE_STREAM;
        t.sync = HM_SYNC_FRAME;
        hm_engine *e = open_on(both[i], &t, true);
        hm_request with = both[i]->request;
        with.skip_codec = false;
        hm_result alone = case_generate(case_runtime(), e, &both[i]->request), audio = case_generate(case_runtime(), e, &with);
        assert_true(audio.counters.launches > alone.counters.launches);
        assert_true(alone.frame_counters.launches > 0);
        assert_int_equal(audio.frame_counters.launches + audio.frame_counters.replayed_launches,
                         alone.frame_counters.launches + alone.frame_counters.replayed_launches);
        assert_int_equal(audio.frame_counters.to_host_bytes, alone.frame_counters.to_host_bytes);
        case_free(&alone);
        case_free(&audio);
        case_runtime()->close(&e);
    }
    soft_clean(&soft);
}

static void a_second_call_has_the_same_bytes_and_records_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        hm_engine *e = open_on(both[i], &case_best, false);
        hm_request other = both[i]->request;
        other.seed = 99;
        other.max_frames += 3;
        hm_result first = case_generate(case_runtime(), e, &both[i]->request), between = case_generate(case_runtime(), e, &other);
        hm_result second = case_generate(case_runtime(), e, &both[i]->request);
        case_expect_same(&first, &second, "a second time");
        assert_true(second.counters.replayed_launches > 0);
        case_free(&first);
        case_free(&between);
        case_free(&second);
        case_runtime()->close(&e);
    }
    soft_clean(&soft);
}

/* --- several --- */

static void several_at_once_have_the_codes_of_each_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        enum {
            MANY = 4
        };
        hm_request requests[MANY];
        hm_result together[MANY] = {{0}};
        hm_error err = {0};
        hm_engine *e = open_on(both[i], &case_best, false);
        for (int k = 0; k < MANY; k++) {
            requests[k] = both[i]->request;
            requests[k].max_frames = 3 + 2 * k;
            requests[k].seed = (uint64_t)(20 + k);
        }
        hm_many many = {.requests = requests, .count = MANY, .batch = 2, .results = together};
        if (case_runtime()->generate_many(e, &many, &err))
            fail_msg("%s", err.text);
        for (int k = 0; k < MANY; k++) {
            hm_result alone = case_generate(case_runtime(), e, &requests[k]);
            assert_int_equal(alone.frames, together[k].frames);
            case_expect_same(&alone, &together[k], "together");
            case_free(&alone);
            case_free(&together[k]);
        }
        case_runtime()->close(&e);
    }
}

static int count_samples(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    (void)pcm;
    (void)at_ns;
    *(int64_t *)self += channels * samples;
    return 0;
}

static void audio_made_beside_the_frames_is_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        hm_toggles stream = case_best, overlap = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP};
        hm_request r = both[i]->request;
        int64_t heard = 0;
        hm_audio_sink sink = {.self = &heard, .write = count_samples};
        r.skip_codec = false;
        r.max_frames = 6;
        stream.codec_len = overlap.codec_len = HM_CODEC_NEEDED;
        hm_engine *a = open_on(both[i], &stream, true), *b = open_on(both[i], &overlap, true);
        hm_result whole = case_generate(case_runtime(), a, &r);
        r.sink = &sink;
        hm_result beside = case_generate(case_runtime(), b, &r);
        case_expect_same(&whole, &beside, "beside");
        assert_int_equal(heard, whole.samples * whole.channels);
        case_free(&whole);
        case_free(&beside);
        case_runtime()->close(&a);
        case_runtime()->close(&b);
    }
    soft_clean(&soft);
}

/* --- weights --- */

/* Panels as well as weights in the order of the file: what shapes alone say, and what is converted and folded besides. */
static void weights_go_to_the_device_once(void **state)
{
    const hm_toggles *const kinds[] = {&case_best, &(const hm_toggles){HM_BEST_ROWS, .decode = HM_DECODE_STREAM}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        const case_family *on = both[i / 2];
        const hm_toggles *toggles = kinds[i % 2];
        hm_engine_options o = {
            .source.dir = on->folder, .backend = on->backend, .threads = 2, .toggles = toggles, .need_lm = true, .need_codec = true};
        hm_memory_estimate expected;
        hm_error err = {0};
        assert_int_equal(case_runtime()->estimate(&o, &on->request, &expected, &err), HM_OK);
        hm_engine *e = case_open(case_runtime(), &o);
        const hm_engine_facts *f = case_runtime()->facts(e);
        hm_result r = case_generate(case_runtime(), e, &on->request);
        assert_string_equal(f->backend, SOFT_BACKEND);
        assert_true(f->software);
        assert_true(f->load_counters.to_device_bytes >= expected.weights_bytes * 9 / 10);
        assert_true(f->load_counters.to_device_bytes <= expected.weights_bytes * 11 / 10);
        assert_true(f->load_counters.given_back_bytes > 0);
        assert_true(r.counters.to_device_bytes < 100000);
        assert_string_equal(r.places[0].device, SOFT_BACKEND ":software");
        case_free(&r);
        case_runtime()->close(&e);
    }
}

static int start(void **state)
{
    (void)state;
    soft_load(&soft, "");
    case_model(songs_folder, "heartmula-tiny");
    case_model(lines_folder, "qwen3-tts-tiny");
    return 0;
}

static int end(void **state)
{
    (void)state;
    case_remove(songs_folder);
    case_remove(lines_folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_cpu),
        cmocka_unit_test(frames_stop_where_the_cpu_stops),
        cmocka_unit_test(waits_and_launches_are_as_few_as_asked),
        cmocka_unit_test(frames_are_counted_apart),
        cmocka_unit_test(a_second_call_has_the_same_bytes_and_records_anew),
        cmocka_unit_test(several_at_once_have_the_codes_of_each_alone),
        cmocka_unit_test(audio_made_beside_the_frames_is_the_same),
        cmocka_unit_test(weights_go_to_the_device_once),
    };
    return soft_there() ? cmocka_run_group_tests(tests, start, end) : 77;
}
