/* hmbench profile on a GPU (the software device): its commands as tracks, arrows to them, what it tells of itself. No times are judged. */
#define _GNU_SOURCE
#include "tests/cli_case.h"
#include "tests/soft_case.h"

/* Linear layers of a step, over panels. */
#ifdef HM_TEST_CUDA
#define FEW_ROWS "hm_cuda_decode_"
#else
#define FEW_ROWS "hm_few_panel_"
#endif

static int setup(void **state)
{
    (void)state;
    static const char text[] =
        "suite: tiny\ncases:\n  - {name: said, task: speech, text: hello, speaker: ryan, language: english, frames: 12}\n";
    hm_error err;
    return make_case_folder_and_cache() || hm_file_write(in_folder("tiny.yaml"), text, sizeof text - 1, &err);
}

/* Fibers of the software device of CUDA take minutes for it on a busy machine. */
static hm_run profile(char *variant, char *trace)
{
    char *const argv[] = {(char *)HM_PROGRAM,
                          "profile",
                          in_folder("tiny.yaml"),
                          "--model",
                          "qwen3-tts-tiny",
                          "--backend",
                          SOFT_BACKEND,
                          "--variant",
                          variant,
                          "--trace",
                          trace,
                          "--trace-window",
                          "frames=4:8",
                          "--repeat",
                          "1",
                          NULL};
    hm_run run = run_command(argv, NULL, 1500, 0);
    if (run.code)
        fail_msg("exit code %d:\n%s%s", run.code, run.out, run.err);
    return run;
}

/* Events of a phase letter, with a category (NULL: any), on a process (0: any), that begin in [from_us, to_us). */
static int count(const json_t *trace, const char *phase, const char *category, int64_t pid, double from_us, double to_us)
{
    size_t i;
    json_t *e;
    int n = 0;
    json_array_foreach(json_object_get(trace, "traceEvents"), i, e)
    {
        const char *cat = json_string_value(json_object_get(e, "cat"));
        double ts = json_number_value(json_object_get(e, "ts"));
        n += !strcmp(json_string_value(json_object_get(e, "ph")), phase) && (!category || (cat && !strcmp(cat, category))) &&
             (!pid || json_integer_value(json_object_get(e, "pid")) == pid) && ts >= from_us && ts < to_us;
    }
    return n;
}

static void frame_times(const json_t *trace, int64_t index, double *from_us, double *to_us)
{
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(trace, "traceEvents"), i, e)
    {
        const char *name = json_string_value(json_object_get(e, "name"));
        if (!strcmp(name, "frame") && json_integer_value(json_object_get(json_object_get(e, "args"), "index")) == index) {
            *from_us = json_number_value(json_object_get(e, "ts"));
            *to_us = *from_us + json_number_value(json_object_get(e, "dur"));
            return;
        }
    }
    fail_msg("the trace has no frame %lld", (long long)index);
}

static json_t *traced(char *variant)
{
    char *path = in_folder("t.json");
    json_error_t e;
    hm_run run = profile(variant, path);
    assert_non_null(strstr(run.out, "software device: times say nothing about hardware"));
    assert_non_null(strstr(run.out, "had work for"));
    assert_non_null(strstr(run.out, FEW_ROWS));
    assert_non_null(strstr(run.out, "limits: not measured"));
    run_free(&run);
    run = run_program("trace", "check", path);
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, " 0 errors, 0 warnings"));
    run_free(&run);
    json_t *trace = json_load_file(path, 0, &e);
    assert_non_null(trace);
    return trace;
}

static void commands_of_the_window_are_tracks_of_the_device_with_arrows(void **state)
{
    (void)state;
    double from, to, ignored;
    json_t *trace = traced("best:launch=each,sync=frame");
    frame_times(trace, 4, &from, &ignored);
    frame_times(trace, 7, &ignored, &to);
    int kernels = count(trace, "X", "kernel", 1000000, from, to);
    assert_true(kernels > 100);
    assert_int_equal(count(trace, "s", "launch", 0, from, to), count(trace, "f", "launch", 1000000, from, to));
    assert_true(count(trace, "s", "launch", 0, from, to) >= kernels); /* copies have arrows, too */
    frame_times(trace, 9, &from, &to);
    assert_int_equal(count(trace, "X", "kernel", 1000000, from, to), 0); /* behind the window */
    assert_true(count(trace, "C", NULL, 1000000, 0, 1e18) > 0);
    json_decref(trace);
}

static void a_replayed_frame_has_all_its_commands_and_one_arrow(void **state)
{
    (void)state;
    double from, to;
    json_t *trace = traced("best:launch=recorded,sync=frame");
    frame_times(trace, 6, &from, &to);
    int kernels = count(trace, "X", "kernel", 1000000, from, to), arrows = count(trace, "f", "launch", 1000000, from, to);
    assert_true(kernels > 30);
    assert_in_range(arrows, 1, kernels / 4);
    json_decref(trace);
}

/* Nothing is stored, made or run; the reason is the first thing that is said. */
static void those_who_judge_times_refuse_it_at_once(void **state)
{
    (void)state;
    static char *const commands[][6] = {{"gate", "--base", "naive", "--cand", "best"}, {"calibrate"}, {"ablate"}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char *argv[16] = {(char *)HM_PROGRAM};
        int n = 1;
        for (int k = 0; commands[i][k]; k++)
            argv[n++] = commands[i][k];
        char *const rest[] = {in_folder("tiny.yaml"), "--model", "qwen3-tts-tiny",       "--backend",
                              SOFT_BACKEND,           "--db",    in_folder("judged.db"), "-q"};
        for (size_t k = 0; k < sizeof rest / sizeof *rest; k++)
            argv[n++] = rest[k];
        hm_run run = run_command(argv, NULL, 60, 0);
        if (run.code != 3 || !strstr(run.err, "runs on a software device") || strchr(run.err, '\n') != run.err + strlen(run.err) - 1)
            fail_msg("%s: exit code %d: %s%s", commands[i][0], run.code, run.out, run.err);
        assert_int_equal(files("judged.db"), 0);
        run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_of_the_window_are_tracks_of_the_device_with_arrows),
        cmocka_unit_test(a_replayed_frame_has_all_its_commands_and_one_arrow),
        cmocka_unit_test(those_who_judge_times_refuse_it_at_once),
    };
    if (!soft_there())
        return 77;
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
