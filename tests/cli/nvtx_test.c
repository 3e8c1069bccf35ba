/* What a profiler that takes NVTX's ranges is told: an injected one, of the tests. */
#define _GNU_SOURCE
#include "tests/cli_case.h"

static char *report;

static int setup(void **state)
{
    (void)state;
    return make_case_folder_and_cache();
}

static int forget(void **state)
{
    (void)state;
    free(report);
    report = NULL;
    return unsetenv("NVTX_INJECTION64_PATH") || unsetenv("HM_NVTX_REPORT");
}

static void attach(void)
{
    setenv("NVTX_INJECTION64_PATH", HM_NVTX_INJECTION, 1);
    setenv("HM_NVTX_REPORT", in_folder("ranges"), 1);
}

static void assert_done(hm_run run)
{
    if (run.code)
        fail_msg("exit code %d:\n%s%s", run.code, run.out, run.err);
    run_free(&run);
}

static void read_report(void)
{
    FILE *f = fopen(in_folder("ranges"), "r");
    assert_non_null(f);
    report = calloc(1, 1 << 20);
    assert_non_null(report);
    assert_true(fread(report, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
}

/* How often a range of this category was there, as "generate/frame". */
static long ranges(const char *category, const char *path)
{
    char line[256];
    snprintf(line, sizeof line, "\n%s %s ", category, path);
    const char *at = strstr(report, line);
    return at ? atol(at + strlen(line)) : 0;
}

static void phases_frames_and_operations_of_a_song_are_ranges(void **state)
{
    (void)state;
    put("lyrics", "la la\n", 6);
    attach();
    assert_done(run_program("generate", "--model", "heartmula-tiny", "--tags", "piano", "--lyrics", in_folder("lyrics"), "--seconds", "0.8",
                            "--force-length", "-q", "-o", in_folder("song.wav")));
    read_report();
    assert_ptr_equal(strstr(report, "domain hmbench\n"), report);
    assert_int_equal(ranges("phase", "load"), 1);
    assert_int_equal(ranges("phase", "prefill"), 1);
    assert_int_equal(ranges("phase", "generate"), 1);
    assert_true(ranges("phase", "decode") >= 1);
    assert_true(ranges("step", "generate/frame") >= 10);
    assert_int_equal(ranges("part", "generate/frame/backbone") + ranges("part", "prefill/backbone"), ranges("step", "generate/frame"));
    assert_non_null(strstr(report, "\nop generate/frame/"));
    assert_non_null(strstr(report, "\nunended 0\nwrong 0\n"));
    assert_null(strstr(report, "\npayloads 0\n")); /* frames have their index */
}

static void the_decoders_thread_has_ranges_of_its_own(void **state)
{
    (void)state;
    attach();
    assert_done(run_program("speak", "--model", "qwen3-tts-tiny", "--variant", "best:decode=overlap", "--text", "hello", "--speaker",
                            "vivian", "--seconds", "1.6", "-q", "-o", in_folder("said.wav")));
    read_report();
    assert_int_equal(ranges("phase", "generate"), 1);
    assert_non_null(strstr(report, "\nunended 0\nwrong 0\n"));
    assert_true(strstr(report, " piece ") || strstr(report, " piece/"));
}

static void codes_are_the_same_with_a_profiler_and_without(void **state)
{
    (void)state;
    char *plain = in_folder("plain.codes"), *watched = in_folder("watched.codes");
    static char both[2][1 << 16];
    char *const paths[] = {plain, watched};
    for (int i = 0; i < 2; i++) {
        if (i)
            attach();
        assert_done(run_program("speak", "--model", "qwen3-tts-tiny", "--text", "hello", "--speaker", "vivian", "--seconds", "0.8", "-q",
                                "--codes", paths[i]));
        FILE *f = fopen(paths[i], "r");
        assert_non_null(f);
        assert_true(fread(both[i], 1, sizeof both[i] - 1, f) > 0);
        fclose(f);
    }
    assert_string_equal(both[0], both[1]);
}

static void a_profile_has_its_spans_beside_a_profiler(void **state)
{
    (void)state;
    attach();
    hm_run run = run_program("profile", "short", "--model", "heartmula-tiny", "--seconds", "0.8", "--repeat", "1", "--no-limits", "-q",
                             "--trace", in_folder("t.json"));
    if (run.code)
        fail_msg("exit code %d:\n%s%s", run.code, run.out, run.err);
    assert_non_null(strstr(run.out, "backbone"));
    assert_non_null(strstr(run.out, "span of a frame"));
    run_free(&run);
    read_report();
    assert_int_equal(ranges("phase", "generate"), 3); /* the first, without and with a trace */
    assert_non_null(strstr(report, "\nunended 0\nwrong 0\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(phases_frames_and_operations_of_a_song_are_ranges, forget),
        cmocka_unit_test_teardown(the_decoders_thread_has_ranges_of_its_own, forget),
        cmocka_unit_test_teardown(codes_are_the_same_with_a_profiler_and_without, forget),
        cmocka_unit_test_teardown(a_profile_has_its_spans_beside_a_profiler, forget),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
