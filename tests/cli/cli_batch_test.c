/* hmbench batch from the outside: songs and speech of tiny models side by side. */
#define _GNU_SOURCE
#include "engine/audio/audio.h"
#include "tests/cli_case.h"
#include "tests/make_voice.h"

#define BATCH(...) run_program("batch", in_folder("mixed.yaml"), __VA_ARGS__)

static json_t *tables_of(hm_run *run)
{
    json_error_t e;
    if (run->code)
        fail_msg("exit %d: %s", run->code, run->err);
    json_t *o = json_loads(run->out, 0, &e);
    if (!o)
        fail_msg("%s in:\n%s", e.text, run->out);
    run_free(run);
    json_t *tables = json_incref(json_object_get(o, "tables"));
    json_decref(o);
    return tables;
}

static double number(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* One model's table of the batches 1, 3, 2: all codes as alone. */
static void check_table(const json_t *t, const char *model, int requests, double audio_s)
{
    static const int batches[] = {1, 3, 2};
    const json_t *sizes = json_object_get(t, "sizes");
    assert_string_equal(json_string_value(json_object_get(t, "model")), model);
    assert_true(json_is_true(json_object_get(t, "synthetic")));
    assert_int_equal((int)number(t, "requests"), requests);
    assert_int_equal((int)number(t, "rounds"), 2);
    assert_int_equal(json_array_size(sizes), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *s = json_array_get(sizes, i), *walls = json_object_get(s, "rounds_wall_s");
        double wall = number(s, "wall_s"), rows = number(s, "rows_per_step");
        assert_int_equal((int)number(s, "batch"), batches[i]);
        assert_int_equal((int)number(s, "different"), 0);
        assert_float_equal(number(s, "audio_s"), audio_s, 1e-6);
        assert_float_equal(number(s, "audio_s_per_s"), audio_s / wall, 1e-6 * audio_s / wall);
        assert_int_equal(json_array_size(walls), 2);
        assert_float_equal(wall, (json_number_value(json_array_get(walls, 0)) + json_number_value(json_array_get(walls, 1))) / 2, 1e-9);
        assert_true(number(s, "mean_rtf") > 0);
        assert_true(i ? rows > 1.2 && rows <= batches[i] : rows == 1);
    }
    assert_float_equal(number(json_array_get(sizes, 0), "speedup"), 1, 1e-9);
}

static void songs_and_speech_side_by_side_have_the_codes_they_have_alone(void **state)
{
    (void)state;
    hm_run run = BATCH("--model", "heartmula-tiny,qwen3-tts-tiny,qwen3-tts-tiny-base", "--batch", "1,3,2", "--rounds", "2",
                       "--repeat-cases", "2", "--json");
    json_t *tables = tables_of(&run);
    assert_int_equal(json_array_size(tables), 3);
    check_table(json_array_get(tables, 0), "heartmula-tiny", 4, 2 * (5 + 9) * 0.08);
    check_table(json_array_get(tables, 1), "qwen3-tts-tiny", 4, 2 * (7 + 3) * 0.08);
    check_table(json_array_get(tables, 2), "qwen3-tts-tiny-base", 2, 2 * 4 * 0.08);
    json_decref(tables);
}

static void a_request_that_differs_side_by_side_is_found(void **state)
{
    char built[512], path[600];
    (void)state;
    snprintf(built, sizeof built, "%.*s", (int)(strrchr(HM_PROGRAM, '/') - HM_PROGRAM), HM_PROGRAM);
    snprintf(path, sizeof path, "%s/variants/best.so", built);
    setenv("HM_REAL_MODULE", path, 1);
    snprintf(path, sizeof path, "%s/tests/differing", built);
    setenv("HMBENCH_MODULES", path, 1);
    hm_run run = BATCH("--model", "heartmula-tiny", "--batch", "1,2", "--rounds", "1", "--filter", "song", "-q");
    unsetenv("HMBENCH_MODULES");
    unsetenv("HM_REAL_MODULE");
    if (run.code != 5 || !strstr(run.err, "not those that they have alone") || !strstr(run.out, "1 of 2 differ"))
        fail_msg("expected 5; found %d and:\n%s%s", run.code, run.out, run.err);
    run_free(&run);
}

static void a_table_is_printed_for_every_variant(void **state)
{
    (void)state;
    hm_run run = BATCH("--model", "heartmula-tiny", "--batch", "2", "--rounds", "1", "--variant", "naive,best", "--threads", "1", "-q");
    assert_int_equal(run.code, 0);
    assert_string_equal(run.err, "");
    assert_non_null(strstr(run.out, "heartmula-tiny (synthetic weights), variant naive, 1 threads"));
    assert_non_null(strstr(run.out, "variant best, 1 threads"));
    assert_non_null(strstr(run.out, ": 2 requests, median of 1 round\n"));
    assert_non_null(strstr(run.out, "B  audio s  wall s  audio s per s  x of B=1  rows per step  mean RTF per item  codes\n2 "));
    assert_non_null(strstr(run.out, "  -  ")); /* batch 1 was not asked for */
    assert_non_null(strstr(run.out, "as alone\n"));
    run_free(&run);
}

static void cases_that_no_model_makes_are_named(void **state)
{
    (void)state;
    hm_run run = BATCH("--model", "qwen3-tts-tiny", "--batch", "2", "--rounds", "1");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.err, "left out, as no model here makes them: mixed/song"));
    run_free(&run);
    run = BATCH("--model", "qwen3-tts-tiny", "--batch", "2", "--rounds", "1", "--filter", "said", "-q");
    assert_int_equal(run.code, 0);
    assert_string_equal(run.err, "");
    assert_non_null(strstr(run.out, ": 2 requests"));
    run_free(&run);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    assert_fails(run_program("batch"), 64, "no suite");
    assert_fails(BATCH("--batch", "0"), 64, "from 1 to 16");
    assert_fails(BATCH("--batch", "17"), 64, "from 1 to 16");
    assert_fails(BATCH("--batch", "1,,2"), 64, "from 1 to 16");
    assert_fails(BATCH("--batch", "2,2"), 64, "2 is there twice");
    assert_fails(BATCH("--batch", "1,"), 64, "nothing after the last comma");
    assert_fails(BATCH("--filter", "nothing-like-it"), 64, "matches none");
    assert_fails(BATCH("--model", "qwen3-tts-tiny-voice-design"), 64, "no case here asks for that");
    assert_fails(BATCH("--rounds", "0"), 64, "rounds");
    assert_fails(run_program("batch", "no-such-suite"), 66, "no-such-suite");
}

/* Complete rounds are told, the rest is given up; or nothing is told where there was none. */
static void an_interruption_ends_it(void **state)
{
    (void)state;
    hm_run run = run_command((char *const[]){(char *)HM_PROGRAM, "batch", in_folder("mixed.yaml"), "--model", "heartmula-tiny", "--rounds",
                                             "100", "--repeat-cases", "64", "--batch", "1", "--filter", "song", NULL},
                             NULL, 60, 1.5);
    if (run.code != 130 || !strstr(run.err, "interrupted at"))
        fail_msg("expected 130 and \"interrupted at\"; found %d and:\n%s", run.code, run.err);
    assert_false(run.timed_out);
    assert_true(!*run.out || (strstr(run.out, "as alone\n") && !strstr(run.out, "median of 100 rounds")));
    run_free(&run);
}

static int make_folder(void **state)
{
    static const char text[] = "suite: mixed\ncases:\n  - {name: song, tags: t, lyrics: l, frames: 5, flow_steps: 1}\n"
                               "  - {name: song2, tags: t, lyrics: la la la, frames: 9, flow_steps: 1, cfg: 1}\n"
                               "  - {name: said, task: speech, text: hello there, speaker: ryan, language: english, frames: 7}\n"
                               "  - {name: said2, task: speech, text: so be it, speaker: ryan, frames: 3}\n"
                               "  - {name: cloned, task: speech, text: hello there, reference: voice.wav, frames: 4}\n";
    hm_error err;
    (void)state;
    if (make_case_folder_and_cache())
        return 1;
    if (hm_file_write(in_folder("mixed.yaml"), text, sizeof text - 1, &err))
        return 1;
    float *voice = make_voice(12000, 24000, 150, 0.5);
    int failed = !voice || hm_audio_write(in_folder("voice.wav"), voice, 1, 12000, 24000, &err);
    free(voice);
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(songs_and_speech_side_by_side_have_the_codes_they_have_alone),
        cmocka_unit_test(a_request_that_differs_side_by_side_is_found),
        cmocka_unit_test(a_table_is_printed_for_every_variant),
        cmocka_unit_test(cases_that_no_model_makes_are_named),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(an_interruption_ends_it),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
