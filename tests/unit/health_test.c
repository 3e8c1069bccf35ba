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
    hm_sound sound;
    bool measured, pieces_differ;
    int pieces;
    int64_t piece_samples;
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
    hm_health_judge(&s->health, &(hm_health_case){.result = &s->result,
                                                  .request = &s->request,
                                                  .facts = &s->facts,
                                                  .sound = s->measured ? &s->sound : NULL,
                                                  .frame_seconds = FRAME_S,
                                                  .synthetic = synthetic,
                                                  .pieces = s->pieces,
                                                  .piece_samples = s->piece_samples,
                                                  .pieces_differ = s->pieces_differ});
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
    s.result.ended = false;      /* a remark */
    s.facts.silence_share = 0.6; /* suspect */
    s.facts.duration_s = 1;      /* bad */
    s.facts.non_finite = 1;      /* bad */
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

/* 30 s of speech at 24 kHz that is all right. */
static void make_speech(song *s)
{
    make(s);
    s->request.task = HM_TASK_SPEECH;
    s->request.speech.text = "The quick brown fox jumps over the lazy dog, and then does it again, since nobody looked the first time.";
    s->facts.channels = 1;
    s->facts.rate_hz = 24000;
    s->measured = true;
    s->sound = (hm_sound){.window_s = 10,
                          .windows = 3,
                          .loud_windows = 3,
                          .zero_crossings = 0.07,
                          .flatness = 0.02,
                          .first_zero_crossings = 0.06,
                          .first_flatness = 0.02,
                          .most_zero_crossings = 0.09,
                          .most_flatness = 0.04,
                          .level_drift_db = -2,
                          .centroid_drift = 0.1};
}

static void expect(song *s, bool synthetic, hm_verdict verdict, const char *text)
{
    if (judge(s, synthetic) != verdict || (text && !strstr(s->text, text)))
        fail_msg("expected %s and \"%s\", found %s: %s", hm_verdict_name(verdict), text ? text : "", hm_verdict_name(s->health.verdict),
                 s->text);
}

static void speech_that_turns_into_noise_is_suspect(void **state)
{
    song s;
    (void)state;
    make_speech(&s);
    expect(&s, false, HM_HEALTH_OK, NULL);
    s.sound.most_zero_crossings = 0.2;
    expect(&s, false, HM_HEALTH_SUSPECT, "turns into noise: zero crossings 0.060 in the first window, 0.200 later");
    expect(&s, true, HM_HEALTH_OK, "not judged");
    s.facts.rate_hz = 48000; /* half as many crossings per sample are as many per second */
    s.sound.most_zero_crossings = 0.063;
    expect(&s, false, HM_HEALTH_OK, NULL);
    s.sound.most_zero_crossings = 0.08;
    s.sound.first_zero_crossings = 0.07;
    expect(&s, false, HM_HEALTH_OK, NULL); /* it began so: hissing, not turning into noise */
    s.sound.first_zero_crossings = 0.03;
    expect(&s, false, HM_HEALTH_SUSPECT, "turns into noise");
    make_speech(&s);
    s.sound.most_flatness = 0.6;
    expect(&s, false, HM_HEALTH_SUSPECT, "spectral flatness 0.02 in the first window, 0.60 later");
    make_speech(&s);
    s.sound.flatness = s.sound.first_flatness = s.sound.most_flatness = 0.9;
    expect(&s, false, HM_HEALTH_SUSPECT, "noise: spectral flatness 0.90");
    s.sound.flatness = s.sound.first_flatness = s.sound.most_flatness = s.sound.zero_crossings = NAN; /* not measured is no fault */
    s.sound.first_zero_crossings = s.sound.most_zero_crossings = NAN;
    expect(&s, false, HM_HEALTH_OK, NULL);
}

static void the_end_may_not_be_another_sound_than_the_beginning(void **state)
{
    song s;
    (void)state;
    make_speech(&s);
    s.sound.level_drift_db = -24;
    expect(&s, false, HM_HEALTH_OK, NULL); /* 8 s are too short for that */
    s.result.frames = 120;
    s.request.max_frames = 200;
    s.request.speech.text = NULL;
    s.facts.duration_s = 120 * FRAME_S;
    s.result.codes = NULL;
    expect(&s, false, HM_HEALTH_SUSPECT, "the last third is 24 dB quieter than the first");
    s.sound.level_drift_db = 0;
    s.sound.centroid_drift = 1.7;
    expect(&s, false, HM_HEALTH_SUSPECT, "the last third sounds 1.7 octaves higher than the first");
    expect(&s, true, HM_HEALTH_OK, NULL);
}

static void speech_takes_the_time_that_its_text_takes(void **state)
{
    song s;
    (void)state;
    make_speech(&s); /* 8 s for 85 letters */
    expect(&s, false, HM_HEALTH_OK, NULL);
    s.request.speech.text = "Yes.";
    expect(&s, false, HM_HEALTH_SUSPECT, "8.00 s for 4 characters: more was said than asked for");
    s.request.speech.text = "\u4f60\u597d\u4e16\u754c"; /* four signs, about twelve letters */
    expect(&s, false, HM_HEALTH_OK, NULL);
    s.result.frames = 10;
    s.facts.duration_s = 10 * FRAME_S;
    s.request.speech.text = "The quick brown fox jumps over the lazy dog, and then does it again, since nobody looked the first time.";
    expect(&s, false, HM_HEALTH_SUSPECT, "characters in 0.80 s: more was asked for than can have been said");
    expect(&s, true, HM_HEALTH_OK, NULL);
    s.request.force_length = true; /* a forced length says nothing */
    s.request.max_frames = 10;
    s.result.ended = false;
    expect(&s, false, HM_HEALTH_OK, NULL);
}

static void speech_that_never_ends_is_suspect(void **state)
{
    song s;
    (void)state;
    make_speech(&s);
    s.result.ended = false;
    expect(&s, false, HM_HEALTH_SUSPECT, "stopped by the cap of 126 frames, not by its own end");
    expect(&s, true, HM_HEALTH_OK, "stopped by the cap");
}

static void a_stream_is_the_whole_sample_by_sample(void **state)
{
    song s;
    (void)state;
    make_speech(&s);
    s.result.samples = s.piece_samples = 192000;
    s.pieces = 40;
    expect(&s, true, HM_HEALTH_OK, NULL);
    s.piece_samples -= 40 * 555;
    expect(&s, true, HM_HEALTH_BAD, "streamed: 169800 samples in 40 pieces where the whole has 192000: 555.0 lost per piece");
    s.piece_samples = 192004;
    expect(&s, true, HM_HEALTH_BAD, "0.1 too many per piece");
    s.piece_samples = 192000;
    s.pieces_differ = true;
    expect(&s, true, HM_HEALTH_BAD, "the 40 pieces are not the bytes of the whole");
    s.pieces = 0; /* not streamed */
    expect(&s, true, HM_HEALTH_OK, NULL);
}

static void what_is_bad_does_not_rank(void **state)
{
    (void)state;
    assert_true(hm_health_ranks("ok") && hm_health_ranks("suspect") && hm_health_ranks("") && hm_health_ranks(NULL));
    assert_false(hm_health_ranks("bad"));
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
        cmocka_unit_test(speech_that_turns_into_noise_is_suspect),
        cmocka_unit_test(the_end_may_not_be_another_sound_than_the_beginning),
        cmocka_unit_test(speech_takes_the_time_that_its_text_takes),
        cmocka_unit_test(speech_that_never_ends_is_suspect),
        cmocka_unit_test(a_stream_is_the_whole_sample_by_sample),
        cmocka_unit_test(what_is_bad_does_not_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
