/* Audio that is written while it is made: the same file, pipes, players, interruption. */
#define _GNU_SOURCE
#include "engine/audio/audio.h"
#include "tests/cli_case.h"

#define HEADER 44 /* bytes of a streamed WAV's header */

/* Songs of 18 s: a short first segment and one more. Speech in many pieces. */
#define SONG(...)                                                                                                                 \
    run_program("generate", "--model", "heartmula-tiny", "--tags", "pop", "--lyrics", in_folder("lyrics.txt"), "--seconds", "18", \
                "--force-length", "--steps", "1", __VA_ARGS__)
#define SPEECH(...)                                                                                                        \
    run_program("speak", "--model", "qwen3-tts-tiny", "--speaker", "vivian", "--text", "One two three.", "--seconds", "4", \
                "--force-length", __VA_ARGS__)

/* What is said of a stream: pieces, and times that can be. */
static void check_figures(json_t *result, int pieces)
{
    json_t *s = json_object_get(result, "stream");
    double wall = json_real_value(json_object_get(json_object_get(result, "times"), "wall_s"));
    assert_true(json_is_object(s));
    assert_true(json_integer_value(json_object_get(s, "pieces")) >= pieces);
    double raw = json_real_value(json_object_get(s, "ttfa_raw_s")), first = json_real_value(json_object_get(s, "ttfa_s"));
    assert_true(raw > 0 && first >= raw && first <= wall + 1);
    assert_true(json_real_value(json_object_get(s, "stall_total_s")) >= json_real_value(json_object_get(s, "stall_max_s")));
    assert_true(json_is_boolean(json_object_get(s, "c50")) && json_is_boolean(json_object_get(s, "c200")));
}

static void a_streamed_song_is_the_file_of_one_written_at_the_end(void **state)
{
    static char *const variants[] = {(char *)"best:segments=short_first", (char *)"best:segments=short_first,decode=overlap"};
    (void)state;
    hm_run run = SONG("--variant", variants[0], "--json", "-o", in_folder("end.wav"));
    json_t *result = result_of(&run);
    assert_true(json_is_null(json_object_get(result, "stream"))); /* never a figure where there was none */
    json_decref(result);
    run_free(&run);
    for (int i = 0; i < 2; i++) {
        run = SONG("--variant", variants[i], "--stream", "--json", "-o", in_folder("stream.wav"));
        result = result_of(&run);
        check_figures(result, 2 - i); /* on a thread of its own the song may end before its first piece */
        assert_non_null(strstr(run.err, "first sound after"));
        json_decref(result);
        run_free(&run);
        assert_same_file(in_folder("end.wav"), in_folder("stream.wav"));
    }
}

static void streamed_speech_is_the_file_of_one_written_at_the_end(void **state)
{
    (void)state;
    hm_run run = SPEECH("-q", "-o", in_folder("end.wav"));
    assert_int_equal(run.code, 0);
    run_free(&run);
    run = SPEECH("--stream", "--json", "-o", in_folder("stream.wav"));
    json_t *result = result_of(&run);
    check_figures(result, 3);
    json_decref(result);
    run_free(&run);
    assert_same_file(in_folder("end.wav"), in_folder("stream.wav"));
}

static uint32_t le(const uint8_t *bytes, int n)
{
    uint32_t v = 0;
    for (int i = n; i--;)
        v = v << 8 | bytes[i];
    return v;
}

/* The program's standard output in a file, for what has NULs in it. */
static void a_player_gets_a_wav_on_standard_output(void **state)
{
    char command[1024];
    hm_map map = {0};
    hm_error err;
    (void)state;
    snprintf(command, sizeof command,
             "'%s' speak --model qwen3-tts-tiny --speaker vivian --text 'One two three.' --seconds 4 --force-length --stream -q -o - >'%s'",
             HM_PROGRAM, in_folder("pipe"));
    hm_run run = run_command((char *const[]){(char *)"/bin/sh", (char *)"-c", command, NULL}, NULL, 300, 0);
    assert_int_equal(run.code, 0);
    assert_string_equal(run.err, "");
    run_free(&run);
    assert_int_equal(hm_map_open(&map, in_folder("pipe"), &err), HM_OK);
    const uint8_t *bytes = hm_map_at(&map, 0, HEADER);
    assert_non_null(bytes);
    assert_memory_equal(bytes, "RIFF", 4);
    assert_memory_equal(bytes + 8, "WAVEfmt ", 8);
    assert_int_equal(le(bytes + 20, 2), 1);
    assert_int_equal(le(bytes + 22, 2), 1);
    assert_int_equal(le(bytes + 24, 4), 24000);
    assert_int_equal(map.size, HEADER + 50 * 1920 * 2);
    hm_map_close(&map);
}

/* Who has heard enough ends the program, soon and with a failure. */
static void a_player_that_goes_ends_the_stream(void **state)
{
    char command[1024];
    (void)state;
    snprintf(
        command, sizeof command,
        "{ '%s' speak --model qwen3-tts-tiny --speaker vivian --text 'One.' --seconds 1200 --force-length --stream -q -o - 2>/dev/null;"
        " echo $? >'%s'; } | head -c 44 >/dev/null",
        HM_PROGRAM, in_folder("rc"));
    hm_run run = run_command((char *const[]){(char *)"/bin/sh", (char *)"-c", command, NULL}, NULL, 300, 0);
    assert_int_equal(run.code, 0);
    assert_false(run.timed_out);
    run_free(&run);
    hm_map map = {0};
    hm_error err;
    assert_int_equal(hm_map_open(&map, in_folder("rc"), &err), HM_OK);
    assert_memory_equal(hm_map_at(&map, 0, 2), "74", 2);
    hm_map_close(&map);
}

static void what_was_made_before_an_interruption_is_kept(void **state)
{
    float *audio = NULL;
    int channels, rate;
    int64_t samples;
    hm_error err;
    (void)state;
    hm_run run =
        run_command((char *const[]){(char *)HM_PROGRAM, (char *)"speak", (char *)"--model", (char *)"qwen3-tts-tiny", (char *)"--speaker",
                                    (char *)"vivian", (char *)"--text", (char *)"One.", (char *)"--seconds", (char *)"1600",
                                    (char *)"--force-length", (char *)"--stream", (char *)"-o", in_folder("kept.wav"), NULL},
                    NULL, 60, 1.5);
    assert_int_equal(run.code, 130);
    assert_non_null(strstr(run.err, "s that were made"));
    run_free(&run);
    assert_int_equal(hm_audio_read(in_folder("kept.wav"), &audio, &channels, &samples, &rate, &err), HM_OK);
    assert_true(channels == 1 && rate == 24000 && samples > 0 && samples < 1600 * 24000);
    free(audio);
    assert_int_equal(files("kept"), 1); /* nothing beside it */
}

static void streams_that_cannot_be_are_refused(void **state)
{
    char *out = in_folder("no.wav");
    (void)state;
    assert_fails(SPEECH("-o", "-"), 64, "--stream");
    assert_fails(SPEECH("--stream", "--codes", in_folder("no.codes")), 64, "-o is missing");
    assert_fails(SPEECH("--stream", "--json", "-o", "-"), 64, "standard output");
    assert_fails(SPEECH("--stream", "-o", in_folder("no.ogg")), 64, ".wav, .flac or .mp3");
    assert_fails(SPEECH("--stream", "-o", "/nonexistent/no.wav"), 73, "/nonexistent");
    assert_fails(SPEECH("--stream", "--variant", "naive", "-o", out), 64, "decode=stream");
    assert_fails(SONG("--stream", "--variant", "naive", "-o", out), 64, "decode=stream");
    assert_fails(SONG("-o", "-"), 64, "--stream");
    assert_int_equal(files("no."), 0);
}

static int make_folder(void **state)
{
    hm_error err;
    (void)state;
    if (make_case_folder_and_cache())
        return -1;
    if (hm_file_write(in_folder("lyrics.txt"), "la la\n", 6, &err))
        return -1;
    hm_run one = run_program("inspect", "heartmula-tiny"), two = run_program("inspect", "qwen3-tts-tiny"); /* makes them */
    int failed = one.code || two.code;
    run_free(&one);
    run_free(&two);
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_streamed_song_is_the_file_of_one_written_at_the_end),
        cmocka_unit_test(streamed_speech_is_the_file_of_one_written_at_the_end),
        cmocka_unit_test(a_player_gets_a_wav_on_standard_output),
        cmocka_unit_test(a_player_that_goes_ends_the_stream),
        cmocka_unit_test(what_was_made_before_an_interruption_is_kept),
        cmocka_unit_test(streams_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
