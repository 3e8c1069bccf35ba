/* What shapes alone say of a device's memory, against what the software device counted when songs and speech were made on it. */
#define _GNU_SOURCE
#include "tests/bitwise_case.h"
#include "tests/soft_case.h"

#define TRUST 0.15                         /* stated in docs/level-zero.md: of what was reckoned ... */
#define OWN_BYTES 3.0e6                    /* ... of what the backend takes for itself ... */
#define WAITING_BYTES ((double)(64 << 20)) /* ... and of what waits to be given back */

#ifdef HM_TEST_CUDA /* a thread of a block is a fiber: a whole segment of a song takes minutes */
#define FRAMES 3
#define SHORT ",codec_len=needed"
#else
#define FRAMES 12
#define SHORT ""
#endif

static soft_library soft;
static uint64_t (*most_bytes)(void);
static char songs[] = "/tmp/hmbench-gpu-songs-XXXXXX", lines[] = "/tmp/hmbench-gpu-lines-XXXXXX";

static hm_request song(int frames)
{
    return (hm_request){.music = {.tags = "pop", .lyrics = "la la", .cfg_scale = 1.5, .flow_steps = 1, .flow_guidance = 1.25},
                        .max_frames = frames,
                        .force_length = true,
                        .topk = 50,
                        .temperature = 1,
                        .seed = 3};
}

static hm_request line(int frames)
{
    return (hm_request){.task = HM_TASK_SPEECH,
                        .speech = {.text = "One two.",
                                   .speaker = "Vivian",
                                   .streaming_text = -1,
                                   .top_p = -1,
                                   .repetition_penalty = -1,
                                   .sub_temperature = -1,
                                   .sub_top_p = -1,
                                   .sub_topk = -1},
                        .max_frames = frames,
                        .force_length = true,
                        .topk = -1,
                        .temperature = -1,
                        .seed = 3};
}

/* What was reckoned, what was taken, and what was made. */
typedef struct taken {
    hm_memory_estimate device, host;
    uint64_t most;
    hm_result result;
} taken;

static taken take(const char *folder, hm_request request, const char *variant)
{
    const hm_engine_api *api = case_runtime();
    taken t;
    hm_toggles toggles;
    hm_error err = {0};
    if (hm_variant_parse(variant, &toggles, NULL, &err))
        fail_msg("%s", err.text);
    hm_engine_options options = {
        .source.dir = folder, .backend = SOFT_BACKEND, .threads = 2, .toggles = &toggles, .need_lm = true, .need_codec = true};
    most_bytes();
    hm_engine *e = case_open(api, &options);
    t.result = case_generate(api, e, &request);
    request.prompt_rows = t.result.prompt_tokens;
    api->close(&e);
    t.most = most_bytes();
    if (api->estimate(&options, &request, &t.device, &err))
        fail_msg("%s", err.text);
    options.backend = "cpu";
    if (api->estimate(&options, &request, &t.host, &err))
        fail_msg("%s", err.text);
    fprintf(stderr, "%s %s, %d frames: reckoned %.2f MB, taken %.2f MB; host %.2f MB\n", folder, variant, request.max_frames,
            (double)t.device.device_bytes * 1e-6, (double)t.most * 1e-6, (double)t.device.total_bytes * 1e-6);
    soft_clean(&soft);
    return t;
}

/* waiting: memory that was freed while commands use it. */
static void expect_near(const char *folder, hm_request request, const char *variant, double waiting)
{
    taken t = take(folder, request, variant);
    double most = (double)t.most, reckoned = (double)t.device.device_bytes;
    assert_true(t.device.apart && !t.host.apart && !t.host.device_bytes);
    assert_true(most <= (1 + TRUST) * reckoned + OWN_BYTES + waiting);
    assert_true(most >= (1 - TRUST) * reckoned - OWN_BYTES);
    assert_true(t.device.total_bytes >= t.device.audio_bytes);
    case_free(&t.result);
}

/* load=lazy: the smaller stage's weights are not there while the larger one is at work, and nothing else changes. */
static void expect_stages(const char *folder, hm_request request, const char *staged, const char *whole)
{
    taken a = take(folder, request, whole), b = take(folder, request, staged);
    uint64_t reckoned = a.device.device_bytes - b.device.device_bytes, saved = a.most - b.most;
    assert_true(b.device.weights_bytes < a.device.weights_bytes);
    assert_int_equal(reckoned, a.device.weights_bytes - b.device.weights_bytes);
    if (saved > reckoned + reckoned / 3 || saved + reckoned / 10 < reckoned) /* blocks are rounded up */
        fail_msg("%s: expected %llu bytes less than with %s, found %llu", staged, (unsigned long long)reckoned, whole,
                 (unsigned long long)saved);
    assert_true(b.result.counters.to_device_bytes >
                a.result.counters.to_device_bytes + a.device.weights_bytes / 2); /* the rest is made there */
    case_expect_same(&a.result, &b.result, staged);
    case_free(&a.result);
    case_free(&b.result);
}

static void memory_of_the_device_is_known_before(void **state)
{
    (void)state;
    expect_near(songs, song(FRAMES), "best:load=mmap" SHORT, 0);
    expect_near(lines, line(FRAMES), "best", 0);
    expect_near(songs, song(FRAMES), "best:load=read,panels=rows" SHORT, 0);
    expect_near(lines, line(FRAMES), "best:load=read,panels=rows", 0);
    expect_near(songs, song(FRAMES), "naive:kv=concat" SHORT, WAITING_BYTES);
    expect_near(lines, line(FRAMES), "naive", WAITING_BYTES);
}

static void stages_of_weights_take_turns(void **state)
{
    (void)state;
    expect_stages(songs, song(3), "best:load=lazy,codec_len=needed", "best:codec_len=needed");
    expect_stages(lines, line(3), "best:load=lazy", "best");
    expect_stages(lines, line(2), "best:load=lazy,panels=rows", "best:panels=rows");
}

static int start(void **state)
{
    (void)state;
    soft_load(&soft, "");
#ifdef SOFT_FILE
    void *library = dlopen(SOFT_FILE, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    *(void **)&most_bytes = dlsym(library, "hm_soft_most_bytes");
    assert_non_null(most_bytes);
#endif
    case_model(songs, "heartmula-tiny");
    case_model(lines, "qwen3-tts-tiny");
    return 0;
}

static int end(void **state)
{
    (void)state;
    case_remove(songs);
    case_remove(lines);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_the_device_is_known_before),
        cmocka_unit_test(stages_of_weights_take_turns),
    };
    return soft_there() ? cmocka_run_group_tests(tests, start, end) : 77;
}
