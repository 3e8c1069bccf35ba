/* Recordings to text, end to end: made models of the golden files' seeds say what the reference says. */
#define _GNU_SOURCE
#include <math.h>
#include <sys/stat.h>

#include "engine/audio/audio.h"
#include "engine/base/json.h"
#include "harness/formula_audio.h"
#include "tests/cli_case.h"

#define GOLDENS HM_TEST_DATA "/goldens/whisper/"

static json_t *expected;

static void write_audio(const char *name, int channels, int rate_hz, double seconds, const char *file)
{
    float *audio = NULL;
    int64_t samples = 0;
    hm_error err;
    if (hm_formula_audio(&audio, &samples, name, channels, rate_hz, seconds, 1, &err) ||
        hm_audio_write(in_folder(file), audio, channels, samples, rate_hz, &err))
        fail_msg("%s", err.text);
    free(audio);
}

/* A model as the goldens have it, and with its timestamps allowed as "NAME.ts". */
static void write_model(const char *preset, const char *seed, const char *name)
{
    char dir[256], from[512], to[512];
    snprintf(dir, sizeof dir, "%s", in_folder(name));
    hm_run run = run_program("synth", (char *)preset, dir, "--seed", (char *)seed);
    assert_int_equal(run.code, 0);
    run_free(&run);
    snprintf(to, sizeof to, "%s.ts", dir);
    run = run_program("synth", (char *)preset, to, "--seed", (char *)seed);
    assert_int_equal(run.code, 0);
    run_free(&run);
    snprintf(from, sizeof from, "%s.ts/HeartTranscriptor-oss/generation_config_ts.json", dir);
    snprintf(to, sizeof to, "%s.ts/HeartTranscriptor-oss/generation_config.json", dir);
    assert_int_equal(rename(from, to), 0);
}

#define TRANSCRIBE(file, ...) run_program("transcribe", in_folder(file), __VA_ARGS__)
#define TINY "--model", in_folder("seed1"), "--max-tokens", "8"
#define GOLDEN "--max-tokens", "48", "--temperatures", "0", "--format", "json"

static json_t *transcript(hm_run run)
{
    json_t *json = result_of(&run);
    run_free(&run);
    return json;
}

static void assert_text(const json_t *found, const json_t *golden)
{
    assert_string_equal(json_string_value(json_object_get(found, "text")), json_string_value(json_object_get(golden, "text")));
}

static bool same_time(const json_t *found, const json_t *golden)
{
    return json_is_null(golden) ? json_is_null(found) : fabs(json_number_value(found) - json_number_value(golden)) < 1e-9;
}

static void assert_chunks(const json_t *found, const json_t *golden)
{
    json_t *want;
    size_t i;
    const json_t *chunks = json_object_get(found, "chunks");
    assert_int_equal(json_array_size(chunks), json_array_size(golden));
    json_array_foreach(golden, i, want)
    {
        const json_t *have = json_array_get(chunks, i), *times = json_object_get(want, "timestamp");
        assert_true(same_time(json_object_get(have, "start_s"), json_array_get(times, 0)));
        assert_true(same_time(json_object_get(have, "end_s"), json_array_get(times, 1)));
        assert_text(have, want);
    }
}

/* Every "pipeline" of a seed. Batches of one and of many say the same. */
static void assert_pipelines(const char *seed, const char *model, int count)
{
    json_t *entry;
    size_t i;
    char plain[250], stamped[256];
    snprintf(plain, sizeof plain, "%s", in_folder(model));
    snprintf(stamped, sizeof stamped, "%s.ts", plain);
    const json_t *golden = json_object_get(json_object_get(json_object_get(expected, "seeds"), seed), "pipeline");
    assert_int_equal(json_array_size(golden), count);
    json_array_foreach(golden, i, entry)
    {
        bool timestamps = json_is_true(json_object_get(entry, "return_timestamps"));
        char file[16], chunk[16], beams[16];
        snprintf(file, sizeof file, "%s.wav", json_string_value(json_object_get(entry, "audio")));
        snprintf(chunk, sizeof chunk, "%g", json_number_value(json_object_get(entry, "chunk_length_s")));
        snprintf(beams, sizeof beams, "%d", (int)json_integer_value(json_object_get(entry, "num_beams")));
        for (int batch = 1; batch <= 16; batch *= 16) {
            json_t *found =
                transcript(TRANSCRIBE(file, "--model", timestamps ? stamped : plain, GOLDEN, "--chunk-length", chunk, "--beams", beams,
                                      "--batch-size", batch > 1 ? "16" : "1", timestamps ? "--timestamps" : "--no-timestamps"));
            assert_text(found, entry);
            if (timestamps)
                assert_chunks(found, json_object_get(entry, "chunks"));
            json_decref(found);
        }
    }
}

static void chunked_recordings_become_the_reference_text(void **state)
{
    (void)state;
    assert_pipelines("1", "seed1", 6);
}

static void weights_in_half_precision_do_too(void **state)
{
    (void)state;
    assert_pipelines("2", "seed2", 4);
}

/* The loop that seeks: times of its segments, and their ids in number. */
static void assert_seeking(const char *seed, const char *model, const char *audio)
{
    char file[16];
    json_t *segment;
    size_t i, tokens = 0;
    const json_t *golden = json_object_get(json_object_get(json_object_get(json_object_get(expected, "seeds"), seed), "timestamps"), audio);
    snprintf(file, sizeof file, "%s.wav", audio);
    json_t *found =
        transcript(TRANSCRIBE(file, "--model", in_folder(model), GOLDEN, "--beams", "1", "--chunk-length", "0", "--timestamps"));
    const json_t *segments = json_object_get(golden, "segments"), *chunks = json_object_get(found, "chunks");
    assert_int_equal(json_array_size(chunks), json_array_size(segments));
    json_array_foreach(segments, i, segment)
    {
        assert_true(same_time(json_object_get(json_array_get(chunks, i), "start_s"), json_object_get(segment, "start")));
        assert_true(same_time(json_object_get(json_array_get(chunks, i), "end_s"), json_object_get(segment, "end")));
        tokens += json_array_size(json_object_get(segment, "tokens"));
    }
    assert_int_equal(json_integer_value(json_object_get(found, "tokens")), tokens);
    assert_int_equal(tokens, json_array_size(json_object_get(golden, "tokens")));
    const json_t *windows = json_object_get(found, "windows"); /* as many as it took, each behind the one before */
    double start_s = -1;
    bool several = json_number_value(json_object_get(found, "audio_s")) > 30;
    assert_true(!several || json_array_size(windows) > 1);
    json_array_foreach(windows, i, segment)
    {
        assert_true(json_number_value(json_object_get(segment, "start_s")) > start_s);
        start_s = json_number_value(json_object_get(segment, "start_s"));
        tokens -= (size_t)json_integer_value(json_object_get(segment, "tokens"));
    }
    assert_int_equal(tokens, 0);
    json_decref(found);
}

static void long_recordings_are_cut_where_the_reference_cuts(void **state)
{
    (void)state;
    assert_seeking("1", "seed1.ts", "A");
    assert_seeking("1", "seed1.ts", "B");
    assert_seeking("2", "seed2.ts", "A");
    assert_seeking("2", "seed2.ts", "B");
}

static const json_t *window(const json_t *found, size_t i)
{
    return json_array_get(json_object_get(found, "windows"), i);
}

static void a_window_that_is_not_good_enough_is_tried_again(void **state)
{
    (void)state;
    json_t *once =
        transcript(TRANSCRIBE("A.wav", TINY, "--format", "json", "--beams", "1", "--temperatures", "0", "--logprob-threshold", "-0.01"));
    json_t *more = transcript(
        TRANSCRIBE("A.wav", TINY, "--format", "json", "--beams", "2", "--temperatures", "0,0.5,1", "--logprob-threshold", "-0.01"));
    json_t *again = transcript(TRANSCRIBE("A.wav", TINY, "--format", "json", "--beams", "2", "--temperatures", "0,0.5,1",
                                          "--logprob-threshold", "-0.01", "--batch-size", "1"));
    json_t *other = transcript(TRANSCRIBE("A.wav", TINY, "--format", "json", "--beams", "2", "--temperatures", "0,0.5,1",
                                          "--logprob-threshold", "-0.01", "--seed", "7"));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(json_integer_value(json_object_get(window(once, i), "tries")), 1);
        assert_int_equal(json_integer_value(json_object_get(window(more, i), "tries")), 3);
        assert_true(json_number_value(json_object_get(window(more, i), "temperature")) == 1);
    }
    assert_text(more, again); /* draws follow from the seed, whatever is beside a window */
    assert_string_not_equal(json_string_value(json_object_get(more, "text")), json_string_value(json_object_get(other, "text")));
    json_decref(once);
    json_decref(more);
    json_decref(again);
    json_decref(other);
}

static void windows_without_speech_are_left_out(void **state)
{
    (void)state;
    json_t *found = transcript(TRANSCRIBE("A.wav", TINY, "--format", "json", "--logprob-threshold", "-0.01", "--no-speech-threshold", "0"));
    assert_string_equal(json_string_value(json_object_get(found, "text")), "");
    for (size_t i = 0; i < 2; i++) {
        assert_true(json_is_true(json_object_get(window(found, i), "skipped")));
        assert_int_equal(json_integer_value(json_object_get(window(found, i), "tries")), 1);
    }
    json_decref(found);
}

static void languages_are_heard_or_told(void **state)
{
    (void)state;
    json_t *heard = transcript(TRANSCRIBE("A.wav", TINY, "--format", "json"));
    json_t *told = transcript(TRANSCRIBE("A.wav", TINY, "--format", "json", "--language", "japanese", "--task", "translate"));
    assert_string_equal(json_string_value(json_object_get(window(heard, 0), "language")), "es"); /* 506 in the goldens */
    assert_string_equal(json_string_value(json_object_get(window(told, 1), "language")), "ja");
    json_decref(heard);
    json_decref(told);
    assert_fails(TRANSCRIBE("A.wav", TINY, "--language", "klingon"), 64, "language \"klingon\": not one of the 5");
    assert_fails(TRANSCRIBE("A.wav", TINY, "--task", "sing"), 64, "--task");
}

static char *read_text(const char *name)
{
    hm_map map;
    hm_error err;
    assert_int_equal(hm_map_read(&map, in_folder(name), 1 << 20, &err), HM_OK);
    char *text = strndup((const char *)map.data, map.size);
    hm_map_close(&map);
    return text;
}

static void assert_begins(const char *file, const char *start)
{
    char *text = read_text(file);
    if (strncmp(text, start, strlen(start)))
        fail_msg("%s: %s", file, text);
    free(text);
}

static void suffixes_say_what_is_written(void **state)
{
    static const char *const outs[] = {"a.srt", "a.vtt", "a.json", "a.txt"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        hm_run run = TRANSCRIBE("A.wav", "--model", in_folder("seed1.ts"), "--max-tokens", "48", "--beams", "1", "--chunk-length", "0",
                                "--timestamps", "--temperatures", "0", "--quiet", "-o", in_folder(outs[i]));
        assert_int_equal(run.code, 0);
        assert_string_equal(run.out, "");
        assert_string_equal(run.err, "");
        run_free(&run);
    }
    assert_begins("a.srt", "1\n00:00:00,000 --> 00:00:20,000\n&& ye ye ye ye\n\n2\n00:00:20,000 --> 00:00:40,000\n");
    assert_begins("a.vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:20.000\n&amp;&amp; ye ye ye ye\n\n");
    assert_begins("a.txt", "[00:00.00 --> 00:20.00]  && ye ye ye ye\n[00:20.00 --> 00:40.00]  ");
    char *json = read_text("a.json");
    json_t *parsed = json_loads(json, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(parsed, "chunks")), 3);
    assert_true(fabs(json_number_value(json_object_get(parsed, "audio_s")) - 41) < 1e-6);
    assert_true(json_number_value(json_object_get(parsed, "rtf")) > 0);
    json_decref(parsed);
    free(json);
}

static void the_summary_has_phases_and_the_share_of_real_time(void **state)
{
    (void)state;
    hm_run run = TRANSCRIBE("B.wav", TINY);
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.err, "7.00 s of audio, 1 windows"));
    assert_non_null(strstr(run.err, "audio "));
    assert_non_null(strstr(run.err, "mel "));
    assert_non_null(strstr(run.err, "encode "));
    assert_non_null(strstr(run.err, "decode "));
    assert_non_null(strstr(run.err, "RTF "));
    assert_non_null(strstr(run.err, "synthetic"));
    run_free(&run);
}

static void the_same_recording_in_another_container_says_the_same(void **state)
{
    (void)state;
    json_t *wav = transcript(TRANSCRIBE("A.wav", TINY, "--format", "json")),
           *flac = transcript(TRANSCRIBE("A.flac", TINY, "--format", "json"));
    assert_text(wav, flac);
    json_decref(wav);
    json_decref(flac);
}

static void a_silent_recording_is_heard_and_an_empty_one_says_nothing(void **state)
{
    (void)state;
    float silence[16000] = {0};
    hm_error err;
    assert_int_equal(hm_audio_write(in_folder("silence.wav"), silence, 1, 16000, 16000, &err), HM_OK);
    assert_int_equal(hm_audio_write(in_folder("empty.wav"), silence, 1, 0, 16000, &err), HM_OK);
    json_t *silent = transcript(TRANSCRIBE("silence.wav", TINY, "--format", "json"));
    assert_int_equal(json_array_size(json_object_get(silent, "windows")), 1);
    json_decref(silent);
    hm_run run = TRANSCRIBE("empty.wav", TINY);
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "");
    run_free(&run);
}

static void what_is_no_recording_is_refused(void **state)
{
    hm_map map;
    hm_error err;
    (void)state;
    put("text.wav", "these are words", 15);
    put("nothing.wav", "", 0);
    assert_int_equal(hm_map_read(&map, in_folder("A.wav"), 1 << 24, &err), HM_OK);
    put("header.wav", (const char *)map.data, 30);
    hm_map_close(&map);
    assert_fails(TRANSCRIBE("text.wav", TINY), 65, "text.wav");
    assert_fails(TRANSCRIBE("nothing.wav", TINY), 65, "nothing.wav");
    assert_fails(TRANSCRIBE("header.wav", TINY), 65, "header.wav");
    assert_fails(TRANSCRIBE("none.wav", TINY), 66, "No such file");
    assert_fails(run_program("transcribe", (char *)"/tmp", "--model", "whisper-test"), 66, "/tmp is no regular file");
}

/* As a download that broke off leaves it, in the middle of a sample: what is there is written down. */
static void a_recording_that_breaks_off_is_heard_to_its_end(void **state)
{
    hm_map map;
    hm_error err;
    (void)state;
    write_audio("A", 1, 16000, 9, "whole.wav");
    assert_int_equal(hm_map_read(&map, in_folder("whole.wav"), 1 << 24, &err), HM_OK);
    assert_true(map.size > 9 * 64000);
    put("torn.wav", (const char *)map.data, map.size - 4 * 64000 - 1); /* 5 s less one sample and three bytes of it */
    hm_map_close(&map);
    json_t *torn = transcript(TRANSCRIBE("torn.wav", TINY, "--temperatures", "0", "--format", "json"));
    assert_true(fabs(json_real_value(json_object_get(torn, "audio_s")) - (5 - 1.0 / 16000)) < 1e-9);
    assert_int_equal(json_array_size(json_object_get(torn, "windows")), 1);
    json_decref(torn);
}

static void options_that_mean_nothing_are_refused(void **state)
{
    static const char *const bad[][2] = {{"--chunk-length", "31"}, {"--chunk-length", "0.5"}, {"--batch-size", "0"},  {"--beams", "17"},
                                         {"--max-tokens", "445"},  {"--temperatures", "a"},   {"--temperatures", ""}, {"--format", "pdf"},
                                         {"-o", "text.pdf"},       {"--temperatures", "-1"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hm_run run = TRANSCRIBE("B.wav", "--model", in_folder("seed1"), (char *)bad[i][0], (char *)bad[i][1]);
        if (run.code != 64)
            fail_msg("%s %s: %d %s", bad[i][0], bad[i][1], run.code, run.err);
        run_free(&run);
    }
    assert_fails(run_program("transcribe"), 64, "which recording");
    hm_run made = run_program("synth", "heartmula-tiny", in_folder("music"));
    assert_int_equal(made.code, 0);
    run_free(&made);
    assert_fails(TRANSCRIBE("B.wav", "--model", in_folder("music")), 66, "no Whisper");
    assert_fails(TRANSCRIBE("B.wav", TINY, "-o", "/nowhere/a.txt"), 73, "/nowhere");
    assert_fails(TRANSCRIBE("B.wav", TINY, "--timestamps"), 64, "suppresses all that a text could begin with");
}

static void help_has_examples(void **state)
{
    (void)state;
    hm_run run = run_program("transcribe", "--help");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "hmbench transcribe song.mp3 --language english -o song.srt"));
    run_free(&run);
}

static int open_case(void **state)
{
    hm_error err;
    (void)state;
    if (make_case_folder_and_cache() || hm_json_load(&expected, GOLDENS "expected.json", &err))
        return -1;
    write_audio("A", 1, 16000, 41, "A.wav");
    write_audio("A", 1, 16000, 41, "A.flac");
    write_audio("B", 2, 48000, 7, "B.wav");
    write_model("whisper-test", "1", "seed1");
    write_model("whisper-test-f16", "2", "seed2");
    return 0;
}

static int close_case(void **state)
{
    json_decref(expected);
    return remove_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunked_recordings_become_the_reference_text),
        cmocka_unit_test(weights_in_half_precision_do_too),
        cmocka_unit_test(long_recordings_are_cut_where_the_reference_cuts),
        cmocka_unit_test(a_window_that_is_not_good_enough_is_tried_again),
        cmocka_unit_test(windows_without_speech_are_left_out),
        cmocka_unit_test(languages_are_heard_or_told),
        cmocka_unit_test(suffixes_say_what_is_written),
        cmocka_unit_test(the_summary_has_phases_and_the_share_of_real_time),
        cmocka_unit_test(the_same_recording_in_another_container_says_the_same),
        cmocka_unit_test(a_silent_recording_is_heard_and_an_empty_one_says_nothing),
        cmocka_unit_test(what_is_no_recording_is_refused),
        cmocka_unit_test(a_recording_that_breaks_off_is_heard_to_its_end),
        cmocka_unit_test(options_that_mean_nothing_are_refused),
        cmocka_unit_test(help_has_examples),
    };
    return cmocka_run_group_tests(tests, open_case, close_case);
}
