/* All goldens of HeartMuLa, HeartCodec and Qwen3-TTS on a GPU (the software device), the plain way and the best one. */
#define _GNU_SOURCE
#include "tests/gpu/golden_case.h"

static void music_the_plain_way(void **state)
{
    (void)state;
    golden_met("naive", &case_naive, HEART);
}

static void music_the_best_way(void **state)
{
    (void)state;
    golden_met("best", &case_best, HEART);
}

static void speech_the_plain_way(void **state)
{
    (void)state;
    golden_met("naive", &case_naive, SPEECH);
}

static void speech_the_best_way(void **state)
{
    (void)state;
    golden_met("best", &case_best, SPEECH);
}

static int start(void **state)
{
    (void)state;
    soft_load(&golden_soft, "");
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
    return soft_there() ? cmocka_run_group_tests(tests, start, NULL) : 77;
}
