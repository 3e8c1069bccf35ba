/* The first frames of HeartMuLa's and Qwen3-TTS's goldens on the software device of CUDA, the plain way and the best one: gpu_goldens_cuda_test
 * has all of them, and takes many minutes. */
#define _GNU_SOURCE
#define HM_TEST_CUDA
#include "tests/gpu/golden_case.h"

#define LESS 38 /* of 40 */

static char songs[] = "/tmp/hmbench-cuda-goldens-XXXXXX", lines[] = "/tmp/hmbench-cuda-goldens-XXXXXX";

static void a_song_begins_the_plain_way(void **state)
{
    (void)state;
    golden_met("naive", &case_naive, songs);
}

static void a_song_begins_the_best_way(void **state)
{
    (void)state;
    golden_met("best", &case_best, songs);
}

static void speech_begins_the_plain_way(void **state)
{
    (void)state;
    golden_met("naive", &case_naive, lines);
}

static void speech_begins_the_best_way(void **state)
{
    (void)state;
    golden_met("best", &case_best, lines);
}

static int start(void **state)
{
    static const char *const of_songs[] = {"tokens", "margins", NULL}, *const of_lines[] = {"codes", "sequence_group0", NULL};
    (void)state;
    soft_load(&golden_soft, "");
    golden_pick(songs, HEART, (const char *const[]){"lm_tiny.manifest.json", "gen_config.json", NULL});
    golden_cut(songs, HEART, "lm_tiny.s1.safetensors", "cfg1.5", of_songs, LESS);
    golden_pick(lines, SPEECH,
                (const char *const[]){"tiny_b.manifest.json", "tiny_b.stats.json", "tiny_b.custom_voice.config.json",
                                      "tiny_b.speech_tokenizer.config.json", NULL});
    golden_cut(lines, SPEECH, "tiny_b.custom_voice_stream.safetensors", NULL, of_lines, LESS);
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
        cmocka_unit_test(a_song_begins_the_plain_way),
        cmocka_unit_test(a_song_begins_the_best_way),
        cmocka_unit_test(speech_begins_the_plain_way),
        cmocka_unit_test(speech_begins_the_best_way),
    };
    return soft_there() ? cmocka_run_group_tests(tests, start, end) : 77;
}
