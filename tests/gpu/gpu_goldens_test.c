/* Goldens of HeartMuLa, HeartCodec and Qwen3-TTS on a GPU (the software device), the plain way and the best one: all of them; on the device of
 * CUDA, whose threads are fibers, one of each kind. */
#define _GNU_SOURCE
#include "tests/gpu/golden_case.h"

#ifdef HM_TEST_CUDA
static char songs[] = "/tmp/hmbench-gpu-goldens-XXXXXX", lines[] = "/tmp/hmbench-gpu-goldens-XXXXXX";
#else
static const char songs[] = HEART, lines[] = SPEECH;
#endif

static void music_the_plain_way(void **state)
{
    (void)state;
    golden_met("naive", &case_naive, songs);
}

static void music_the_best_way(void **state)
{
    (void)state;
    golden_met("best", &case_best, songs);
}

static void speech_the_plain_way(void **state)
{
    (void)state;
    golden_met("naive", &case_naive, lines);
}

static void speech_the_best_way(void **state)
{
    (void)state;
    golden_met("best", &case_best, lines);
}

static int start(void **state)
{
    (void)state;
    soft_load(&golden_soft, "");
#ifdef HM_TEST_CUDA
    golden_pick(songs, HEART,
                (const char *const[]){"lm_tiny.manifest.json", "gen_config.json", "codec_tiny48k.manifest.json",
                                      "codec_tiny48k.s1.safetensors", NULL});
    golden_cut(songs, HEART, "lm_tiny.s1.safetensors", "cfg1.5", (const char *const[]){"tokens", "margins", NULL}, 30);
    golden_pick(lines, SPEECH,
                (const char *const[]){"tiny_b.manifest.json", "tiny_b.stats.json", "tiny_b.custom_voice.config.json",
                                      "tiny_b.base.config.json", "tiny_b.speech_tokenizer.config.json",
                                      "tiny_b.speaker_encoder.safetensors", NULL});
    golden_cut(lines, SPEECH, "tiny_b.base_xvector.safetensors", NULL, (const char *const[]){"codes", "sequence_group0", NULL}, 30);
#endif
    return 0;
}

static int end(void **state)
{
    (void)state;
#ifdef HM_TEST_CUDA
    case_remove(songs);
    case_remove(lines);
#endif
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(music_the_plain_way),
        cmocka_unit_test(music_the_best_way),
        cmocka_unit_test(speech_the_plain_way),
        cmocka_unit_test(speech_the_best_way),
    };
    return soft_there() ? cmocka_run_group_tests(tests, start, end) : 77;
}
