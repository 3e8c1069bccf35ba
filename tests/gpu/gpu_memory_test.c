/* What shapes alone say of a device's memory, against what the software device counted when songs and speech were made on it. */
#define _GNU_SOURCE
#include "tests/bitwise_case.h"
#include "tests/soft_case.h"

#define TRUST 0.15                         /* stated in docs/level-zero.md: of what was reckoned ... */
#define OWN_BYTES 3.0e6                    /* ... of what the backend takes for itself ... */
#define WAITING_BYTES ((double)(64 << 20)) /* ... and of what waits to be given back */

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

/* waiting: memory that was freed while commands use it. */
static void expect_near(const char *folder, hm_request request, const char *variant, double waiting)
{
    const hm_engine_api *api = case_runtime();
    hm_memory_estimate device, host;
    hm_toggles toggles;
    hm_error err = {0};
    if (hm_variant_parse(variant, &toggles, NULL, &err))
        fail_msg("%s", err.text);
    hm_engine_options options = {
        .source.dir = folder, .backend = SOFT_BACKEND, .threads = 2, .toggles = &toggles, .need_lm = true, .need_codec = true};
    most_bytes();
    hm_engine *e = case_open(api, &options);
    hm_result r = case_generate(api, e, &request);
    request.prompt_rows = r.prompt_tokens;
    case_free(&r);
    api->close(&e);
    double most = (double)most_bytes();
    if (api->estimate(&options, &request, &device, &err))
        fail_msg("%s", err.text);
    options.backend = "cpu";
    if (api->estimate(&options, &request, &host, &err))
        fail_msg("%s", err.text);
    fprintf(stderr, "%s %s, %d frames: reckoned %.2f MB, taken %.2f MB; host %.2f MB\n", folder, variant, request.max_frames,
            (double)device.device_bytes * 1e-6, most * 1e-6, (double)device.total_bytes * 1e-6);
    assert_true(device.apart && !host.apart && !host.device_bytes);
    assert_true(most <= (1 + TRUST) * (double)device.device_bytes + OWN_BYTES + waiting);
    assert_true(most >= (1 - TRUST) * (double)device.device_bytes - OWN_BYTES);
    assert_true(device.total_bytes >= device.audio_bytes);
    soft_clean(&soft);
}

static void memory_of_the_device_is_known_before(void **state)
{
    (void)state;
    expect_near(songs, song(12), "best", 0);
    expect_near(lines, line(12), "best", 0);
    expect_near(songs, song(12), "best:load=read,panels=rows", 0);
    expect_near(lines, line(12), "best:load=read,panels=rows", 0);
    expect_near(songs, song(12), "naive", WAITING_BYTES);
    expect_near(lines, line(12), "naive", WAITING_BYTES);
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
    };
    return soft_there() ? cmocka_run_group_tests(tests, start, end) : 77;
}
