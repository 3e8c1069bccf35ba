#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "harness/health.h"

#define FRAMES 100
#define CODEBOOKS 8
#define FRAME_S 0.08

/* A song with nothing wrong: 8 s, ended by itself. */
typedef struct song {
    int32_t codes[FRAMES * CODEBOOKS];
    hm_result result;
    hm_request request;
    hm_audio_facts facts;
    hm_health health;
    char text[2048];
} song;

static void make(song *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < FRAMES * CODEBOOKS; i++)
        s->codes[i] = i;
    s->result = (hm_result){.frames = FRAMES, .codebooks = CODEBOOKS, .codes = s->codes, .ended = true};
    s->request = (hm_request){.max_frames = 126};
    s->facts = (hm_audio_facts){.duration_s = FRAMES * FRAME_S, .peak = 0.9, .rms = 0.1, .channels = 2, .rate_hz = 48000};
}

static hm_verdict judge(song *s, bool synthetic)
{
    hm_health_judge(&s->health, &s->result, &s->facts, &s->request, FRAME_S, synthetic);
    hm_health_text(&s->health, s->text, sizeof s->text);
    return s->health.verdict;
}

static void a_good_song_is_ok_without_reasons(void **state)
{
    song s;
    (void)state;
    make(&s);
    assert_int_equal(judge(&s, false), HM_HEALTH_OK);
    assert_int_equal(s.health.count, 0);
    assert_true(s.health.sound_judged && s.health.ended && s.health.identical_frames == 1);
    assert_true(fabs(s.health.expected_s - 8) < 1e-12);
    assert_string_equal(hm_verdict_name(s.health.verdict), "ok");
}

static void the_cap_is_told_and_is_no_fault(void **state)
{
    song s;
    (void)state;
    make(&s);
    s.result.ended = false;
    assert_int_equal(judge(&s, false), HM_HEALTH_OK);
    assert_non_null(strstr(s.text, "stopped by the cap of 126 frames"));
}

static void broken_numbers_are_bad_on_any_weights(void **state)
{
    song s;
    (void)state;
    make(&s);
    s.result.non_finite = 3;
    assert_int_equal(judge(&s, true), HM_HEALTH_BAD);
    assert_non_null(strstr(s.health.reasons[0], "3 samples are NaN"));
    make(&s);
    s.facts.constant = true;
    assert_int_equal(judge(&s, true), HM_HEALTH_BAD);
    assert_non_null(strstr(s.health.reasons[0], "same value"));
    make(&s);
    s.result.frames = 0;
    s.facts.duration_s = 0;
    assert_int_equal(judge(&s, true), HM_HEALTH_BAD);
}

static void a_wrong_length_is_bad(void **state)
{
    song s;
    (void)state;
    make(&s);
    s.facts.duration_s = 7.9;
    assert_int_equal(judge(&s, true), HM_HEALTH_BAD);
    assert_non_null(strstr(s.health.reasons[0], "7.90 s of audio where 100 frames give 8.00 s"));
    s.result.counters.lost_codes = 52;
    assert_int_equal(judge(&s, true), HM_HEALTH_SUSPECT);
    make(&s);
    s.request.force_length = true;
    s.result.ended = false;
    assert_int_equal(judge(&s, true), HM_HEALTH_BAD);
    assert_non_null(strstr(s.health.reasons[0], "exactly 126"));
}

static void a_stuck_song_is_bad_and_a_repeating_one_suspect(void **state)
{
    song s;
    (void)state;
    make(&s);
    for (int i = 10; i < 10 + 25; i++)
        memcpy(s.codes + i * CODEBOOKS, s.codes + 10 * CODEBOOKS, CODEBOOKS * sizeof *s.codes);
    assert_int_equal(judge(&s, false), HM_HEALTH_BAD);
    assert_int_equal(s.health.identical_frames, 25);
    make(&s);
    for (int i = 92; i < 100; i++) /* up to the last frame */
        memcpy(s.codes + i * CODEBOOKS, s.codes + 92 * CODEBOOKS, CODEBOOKS * sizeof *s.codes);
    assert_int_equal(judge(&s, false), HM_HEALTH_SUSPECT);
    assert_int_equal(s.health.identical_frames, 8);
    make(&s);
    s.codes[10 * CODEBOOKS + 7] = s.codes[9 * CODEBOOKS + 7]; /* one equal code is no equal frame */
    assert_int_equal(judge(&s, false), HM_HEALTH_OK);
}

static void the_sound_is_judged_on_real_weights_only(void **state)
{
    song s;
    (void)state;
    make(&s);
    s.facts.silence_share = 0.99;
    s.facts.clipped_share = 0.5;
    s.facts.peak = 20;
    s.result.counters.tokens_out_of_range = 4;
    assert_int_equal(judge(&s, true), HM_HEALTH_OK);
    assert_false(s.health.sound_judged);
    assert_non_null(strstr(s.text, "synthetic weights: how it sounds is not judged"));
    assert_int_equal(judge(&s, false), HM_HEALTH_BAD);
    assert_non_null(strstr(s.health.reasons[0], "99 % of the song is silent"));
    s.facts.silence_share = 0.6;
    assert_int_equal(judge(&s, false), HM_HEALTH_SUSPECT);
    assert_non_null(strstr(s.text, "4 codes outside"));
}

static void speech_is_judged_as_songs_are(void **state)
{
    song s;
    (void)state;
    make(&s);
    s.request.task = HM_TASK_SPEECH;
    s.request.force_length = true;
    s.request.max_frames = FRAMES;
    s.result.ended = false;
    s.facts.channels = 1;
    s.facts.rate_hz = 24000;
    assert_int_equal(judge(&s, false), HM_HEALTH_OK);
    assert_int_equal(s.health.count, 0);
    s.facts.silence_share = 0.97;
    assert_int_equal(judge(&s, false), HM_HEALTH_BAD);
    assert_string_equal(s.health.reasons[0], "97 % of the speech is silent");
    assert_int_equal(judge(&s, true), HM_HEALTH_OK);
    s.facts.silence_share = 0.55;
    assert_int_equal(judge(&s, false), HM_HEALTH_SUSPECT);
    s.facts.silence_share = 0;
    s.facts.clipped_share = 0.02;
    assert_int_equal(judge(&s, false), HM_HEALTH_SUSPECT);
    assert_non_null(strstr(s.text, "full scale"));
    s.facts.constant = true;
    assert_int_equal(judge(&s, true), HM_HEALTH_BAD);
    make(&s);
    s.request.task = HM_TASK_SPEECH;
    for (int i = 40; i < 40 + 30; i++)
        memcpy(s.codes + i * CODEBOOKS, s.codes + 40 * CODEBOOKS, CODEBOOKS * sizeof *s.codes);
    assert_int_equal(judge(&s, false), HM_HEALTH_BAD);
    assert_non_null(strstr(s.text, "stuck: one frame 30 times"));
}

static void the_worst_reason_comes_first(void **state)
{
    song s;
    (void)state;
    make(&s);
    s.result.ended = false;       /* a remark */
    s.facts.silence_share = 0.6;  /* suspect */
    s.facts.duration_s = 1;       /* bad */
    s.facts.non_finite = 1;       /* bad */
    assert_int_equal(judge(&s, false), HM_HEALTH_BAD);
    assert_int_equal(s.health.count, 4);
    assert_non_null(strstr(s.health.reasons[0], "NaN"));
    assert_non_null(strstr(s.health.reasons[1], "1.00 s of audio"));
    assert_non_null(strstr(s.health.reasons[2], "silent"));
    assert_non_null(strstr(s.health.reasons[3], "cap"));
}

static void the_text_is_cut_not_overrun(void **state)
{
    song s;
    char few[8];
    (void)state;
    make(&s);
    s.facts.silence_share = 0.6;
    s.facts.clipped_share = 0.5;
    judge(&s, false);
    memset(few, 'x', sizeof few);
    hm_health_text(&s.health, few, 7);
    assert_true(few[7] == 'x' && strlen(few) == 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_song_is_ok_without_reasons),
        cmocka_unit_test(the_cap_is_told_and_is_no_fault),
        cmocka_unit_test(broken_numbers_are_bad_on_any_weights),
        cmocka_unit_test(a_wrong_length_is_bad),
        cmocka_unit_test(a_stuck_song_is_bad_and_a_repeating_one_suspect),
        cmocka_unit_test(the_sound_is_judged_on_real_weights_only),
        cmocka_unit_test(speech_is_judged_as_songs_are),
        cmocka_unit_test(the_worst_reason_comes_first),
        cmocka_unit_test(the_text_is_cut_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
