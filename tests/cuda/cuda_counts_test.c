/* What frames cost the host on CUDA, in exact counts: waits at most one for 8 frames where they run ahead, and one graph a frame; and what the
 * original waits for one by one. Driver's own calls, as the software device counts them, are held against the engine's. */
#define _GNU_SOURCE
#define HM_TEST_CUDA
#include "tests/bitwise_case.h"
#include "tests/soft_case.h"

#define FRAMES 17 /* two turns of 8 and one more */
#define AHEAD 8

static soft_library soft;
static char songs_folder[] = "/tmp/hmbench-cuda-counts-XXXXXX", lines_folder[] = "/tmp/hmbench-cuda-counts-XXXXXX";

static const case_family songs = {
    .folder = songs_folder,
    .models = HM_MODEL_HEARTMULA,
    .codebooks = CASE_CODEBOOKS,
    .backend = SOFT_BACKEND,
    .request = {.music = {.tags = "pop", .lyrics = "la", .cfg_scale = 1.5, .flow_steps = 1, .flow_guidance = 1},
                .max_frames = FRAMES,
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
                                              .speech = {.text = "One.",
                                                         .speaker = "Vivian",
                                                         .streaming_text = -1,
                                                         .top_p = -1,
                                                         .repetition_penalty = -1,
                                                         .sub_temperature = -1,
                                                         .sub_top_p = -1,
                                                         .sub_topk = -1},
                                              .max_frames = FRAMES,
                                              .force_length = true,
                                              .topk = -1,
                                              .temperature = -1,
                                              .seed = 5,
                                              .skip_codec = true}};

typedef struct spent {
    hm_result result;
    uint64_t waits, graphs, launches; /* of the driver's library */
} spent;

static spent run_counted(const case_family *f, const hm_toggles *toggles, int frames)
{
    hm_request request = f->request;
    request.max_frames = frames;
    soft_settings(&soft, "");
    spent s = {.result = case_run(f, toggles, &request)};
    s.waits = soft.calls("cuStreamSynchronize");
    s.graphs = soft.calls("cuGraphLaunch");
    s.launches = soft.calls("cuLaunchKernelEx");
    soft_clean(&soft);
    return s;
}

/* Of the frames alone: what the first of them and the prompt take is told apart by a shorter run. */
static void check_ahead(const case_family *f, int launch)
{
    hm_toggles t = case_best;
    t.launch = (uint8_t)launch;
    spent all = run_counted(f, &t, FRAMES), some = run_counted(f, &t, FRAMES - AHEAD);
    const hm_counters *a = &all.result.frame_counters, *b = &some.result.frame_counters;
    assert_true(a->device_waits <= FRAMES / AHEAD + 4);
    assert_int_equal(a->device_waits - b->device_waits, 1); /* eight frames more, one wait more */
    assert_int_equal(all.waits - some.waits, 1);
    uint64_t nodes = a->replayed_launches - b->replayed_launches, graphs = all.graphs - some.graphs;
    assert_true(graphs >= AHEAD && graphs <= 4 * AHEAD);
    assert_int_equal(nodes % AHEAD, 0); /* the same graph each time: its nodes are counted */
    assert_true(nodes / AHEAD > 20);
    assert_int_equal(a->launches - b->launches, graphs);
    assert_int_equal(all.launches, some.launches); /* no kernel is launched one by one once there is a graph */
    case_free(&all.result);
    case_free(&some.result);
}

static void songs_wait_once_in_eight_frames(void **state)
{
    (void)state;
    check_ahead(&songs, HM_LAUNCH_EARLY);
}

static void speech_waits_once_in_eight_frames(void **state)
{
    (void)state;
    check_ahead(&lines, HM_LAUNCH_RECORDED);
}

/* A layer's cache is written in each of its passes, of the small decoder's K - 1 of them; those are cleared, too; and the frame may be the
 * last (docs/models.md H1, H2, H3). */
static uint64_t waits_of_heartlib(const char *preset)
{
    const hm_preset_sizes *g = hm_preset_sizes_of(hm_preset_find(preset));
    uint64_t backbone = (uint64_t)g->lm.backbone.layers, decoder = (uint64_t)g->lm.decoder.layers, codebooks = (uint64_t)g->lm.codebooks;
    return backbone + (codebooks - 1) * decoder + decoder + 1;
}

static void the_original_waits_in_every_layer(void **state)
{
    (void)state;
    hm_toggles t;
    hm_error err = {0};
    uint64_t waits = waits_of_heartlib("heartmula-tiny");
    assert_int_equal(waits_of_heartlib("heartmula-3b"), 53);
    assert_int_equal(hm_variant_parse("reference-heartlib", &t, NULL, &err), HM_OK);
    spent all = run_counted(&songs, &t, 4), some = run_counted(&songs, &t, 3);
    assert_int_equal(all.result.frame_counters.device_waits - some.result.frame_counters.device_waits, waits);
    assert_int_equal(all.waits - some.waits, waits);
    assert_int_equal(all.result.frame_counters.replayed_launches, 0);
    assert_int_equal(all.graphs, 0);
    case_free(&all.result);
    case_free(&some.result);
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
        cmocka_unit_test(songs_wait_once_in_eight_frames),
        cmocka_unit_test(speech_waits_once_in_eight_frames),
        cmocka_unit_test(the_original_waits_in_every_layer),
    };
    return soft_there() ? cmocka_run_group_tests_name("cuda_counts", tests, start, end) : 77;
}
