/* Every variant on a GPU (the software device): one golden of the language model and one of the codec where it computes what they hold, and
 * the codes that the CPU draws where it does not. */
#define _GNU_SOURCE
#include "tests/bitwise_case.h"
#include "tests/gpu/golden_case.h"

#ifdef HM_TEST_CUDA /* a thread of a block is a fiber */
#define SONG_FRAMES 3
#define LINE_FRAMES 2
#else
#define SONG_FRAMES 10
#define LINE_FRAMES 6
#endif

static char lm[] = "/tmp/hmbench-gpu-lm-XXXXXX", codec[] = "/tmp/hmbench-gpu-codec-XXXXXX", songs[] = "/tmp/hmbench-gpu-songs-XXXXXX",
            lines[] = "/tmp/hmbench-gpu-lines-XXXXXX";

static case_family family(int speech)
{
    hm_request song = {.music = {.tags = "pop", .lyrics = "la la", .cfg_scale = 1.5, .flow_steps = 1, .flow_guidance = 1},
                       .max_frames = SONG_FRAMES,
                       .force_length = true,
                       .topk = 1,
                       .temperature = 1,
                       .seed = 3,
                       .skip_codec = true};
    hm_request line = {.task = HM_TASK_SPEECH,
                       .speech = {.text = "One two.",
                                  .speaker = "Vivian",
                                  .streaming_text = -1,
                                  .top_p = -1,
                                  .repetition_penalty = -1,
                                  .sub_temperature = -1,
                                  .sub_top_p = -1,
                                  .sub_topk = 1},
                       .max_frames = LINE_FRAMES,
                       .force_length = true,
                       .topk = 1,
                       .temperature = -1,
                       .seed = 3,
                       .skip_codec = true};
    return speech ? (case_family){lines, HM_MODEL_QWEN3_TTS, 16, line, SOFT_BACKEND}
                  : (case_family){songs, HM_MODEL_HEARTMULA, 8, song, SOFT_BACKEND};
}

static void same_codes(const hm_variant_info *v)
{
    for (int speech = 0; speech < 2; speech++) {
        case_family gpu = family(speech), cpu = gpu;
        cpu.backend = NULL;
        hm_result here = case_run(&cpu, &v->toggles, &cpu.request), there = case_run(&gpu, &v->toggles, &gpu.request);
        int64_t first = case_first_difference(here.codes, there.codes, here.frames * here.codebooks);
        if (first >= 0)
            fail_msg("%s: code %lld of %s is another on the CPU", v->name, (long long)first, speech ? "speech" : "music");
        case_free(&here);
        case_free(&there);
    }
}

static void every_variant_meets_a_golden_or_the_cpu(void **state)
{
    int count;
    const hm_variant_info *all = hm_variant_list(&count);
    (void)state;
    for (int i = 0; i < count; i++) {
        fprintf(stderr, "%s\n", all[i].name);
        same_codes(&all[i]);
        if (hm_toggles_distance(&case_naive, &all[i].toggles) == HM_KIND_APPROX)
            continue;
        golden_met(all[i].name, &all[i].toggles, lm);
        golden_met(all[i].name, &all[i].toggles, codec);
    }
}

static void every_bitwise_toggle_alone_gives_the_bytes_of_naive(void **state)
{
    (void)state;
    for (int speech = 0; speech < 2; speech++) {
        case_family f = family(speech);
        assert_true(case_check_bitwise(&f) > 15);
        assert_true(case_check_without(&f) > 10);
    }
}

static int start(void **state)
{
    (void)state;
    soft_load(&golden_soft, "");
    golden_pick(lm, HEART, (const char *const[]){"lm_tiny.manifest.json", "lm_tiny.s1.safetensors", "gen_config.json", NULL});
    golden_pick(codec, HEART, (const char *const[]){"codec_tiny48k.manifest.json", "codec_tiny48k.s1.safetensors", NULL});
    case_model(songs, "heartmula-tiny");
    case_model(lines, "qwen3-tts-tiny");
    return 0;
}

static int end(void **state)
{
    (void)state;
    case_remove(lm);
    case_remove(codec);
    case_remove(songs);
    case_remove(lines);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bitwise_toggle_alone_gives_the_bytes_of_naive),
        cmocka_unit_test(every_variant_meets_a_golden_or_the_cpu),
    };
    return soft_there() ? cmocka_run_group_tests(tests, start, end) : 77;
}
