/* hmbench gate against stored sessions and by exact counts, and hmbench calibrate. */
#define _GNU_SOURCE /* pipe2 */
#include "tests/gate_case.h"

/* ---- stored sessions ---- */

static void stored_sessions_are_compared_unpaired(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        hm_run run = run_program("suite", in_folder("tiny.yaml"), "--model", "heartmula-tiny", "--db", in_folder("x.db"), "-q", "--variant",
                                 QUICK "," PLAIN, "--rounds", "4", "--no-trace", "--no-keep-audio", "--warmup", "full", "--tag", "of=main",
                                 "--filter", "/a", "--logit-frames", "0", "--settle", "0");
        expect_code(&run, 0, NULL);
    }
    hm_run run = run_program("baseline", "set", "release-1", "of=main", "--db", in_folder("x.db"));
    expect_code(&run, 0, "3 sessions");
    run = GATE("--base", "release-1", "--variant", QUICK, "--metric", "launches", "--filter", "/a");
    assert_non_null(strstr(run.out, "unpaired"));
    expect_code(&run, 0, NULL);
    run = GATE("--base", "release-1:" QUICK, "--variant", PLAIN, "--metric", "launches", "--filter", "/a");
    assert_non_null(strstr(run.out, "confirm it against the old program"));
    expect_code(&run, 2, "SUSPECTED, UNPAIRED");
    run = GATE("--base", "release-1:" QUICK, "--variant", PLAIN, "--metric", "launches", "--filter", "/a", "--trust-history");
    expect_code(&run, 1, "FAIL");
    run = GATE("--base", "release-1", "--variant", QUICK, "--counts-only", "--filter", "/a");
    expect_code(&run, 0, NULL);
    run = GATE("--base", "release-1", "--variant", QUICK, "--metric", "launches");
    expect_code(&run, 4, "has no runs of tiny/b");
    run = GATE("--base", "release-1", "--variant", "steps5", "--filter", "/a");
    expect_code(&run, 4, "have no runs of an arm steps5");
    run = GATE("--base", "release-1:steps5", "--variant", QUICK, "--filter", "/a");
    expect_code(&run, 4, "as in --base release-1:naive");
    run = GATE("--base", "of=nobody", "--variant", QUICK);
    expect_code(&run, 66, "nothing is called \"of=nobody\"");
    run = GATE("--base", "branch=feature/x", "--variant", QUICK); /* no path */
    expect_code(&run, 66, "nothing is called \"branch=feature/x\"");
    hm_store *store = NULL;
    hm_error err = {0};
    assert_int_equal(hm_store_open(&store, in_folder("x.db"), HM_STORE_WRITE, &err), HM_OK);
    assert_int_equal(
        hm_store_exec(store, "UPDATE run SET threads = threads + 1 WHERE session_id IN (SELECT session_id FROM baseline)", &err), HM_OK);
    hm_store_close(&store);
    run = GATE("--base", "release-1", "--variant", QUICK, "--counts-only", "--filter", "/a");
    expect_code(&run, 4, "release-1 and this session cannot be compared: threads: ");
}

static void few_stored_sessions_decide_nothing(void **state)
{
    (void)state;
    hm_run run =
        run_program("suite", in_folder("tiny.yaml"), "--model", "heartmula-tiny", "--db", in_folder("few.db"), "-q", "--variant", QUICK,
                    "--rounds", "2", "--no-trace", "--no-keep-audio", "--warmup", "full", "--filter", "/a", "--settle", "0");
    expect_code(&run, 0, NULL);
    run = run_program("gate", in_folder("tiny.yaml"), "--model", "heartmula-tiny", "--db", in_folder("few.db"), "-q", "--settle", "0",
                      "--base", "last", "--variant", QUICK, "--filter", "/a");
    expect_code(&run, 2, "the base has 2 runs from 1 sessions");
}

/* ---- counts ---- */

static void counts_name_what_moved_with_both_values(void **state)
{
    (void)state;
    hm_run run = GATE("--base", QUICK, "--cand", QUICK ",spin=3", "--counts-only", "--junit", in_folder("m.xml"));
    assert_non_null(strstr(run.out, "spun_phases"));
    expect_code(&run, 1, "1 exact figures rose, the first: spun_phases 0 -> 3");
    expect_text("m.xml", "spun_phases 0 -&gt; 3");
    run = GATE("--base", QUICK ",spin=3", "--cand", QUICK, "--counts-only");
    assert_non_null(strstr(run.out, "1 exact figures fell"));
    expect_code(&run, 0, NULL);
    assert_string_equal(ask("SELECT verdict || metric || (ratio IS NULL) FROM verdict WHERE rowid = (SELECT max(rowid) FROM verdict)"),
                        "improvedcounts1");
}

static void counts_of_another_build_are_equal_or_within_tolerance(void **state)
{
    (void)state;
    hm_run run = GATE("--base", in_folder("main/hmbench"), "--variant", QUICK, "--counts-only");
    expect_code(&run, 0, NULL);
    const char *fewer = "| sed -u s/\\\"scratch_bytes\\\":[0-9]*/\\\"scratch_bytes\\\":100000/";
    run = GATE("--base", wrapped("fewer", fewer), "--variant", QUICK, "--counts-only", "--filter", "/a");
    expect_code(&run, 1, "scratch_bytes 100000 -> ");
    run = GATE("--base", in_folder("fewer"), "--variant", QUICK, "--counts-only", "--filter", "/a", "--tolerance", "scratch_bytes=900%");
    assert_non_null(strstr(run.out, "WITHIN TOLERANCE"));
    expect_code(&run, 0, NULL);
}

/* ---- calibrate ---- */

static void calibration_is_kept_and_tells_gates_what_they_find(void **state)
{
    (void)state;
    hm_run run = run_program("calibrate", in_folder("tiny.yaml"), "--model", "heartmula-tiny", "--db", in_folder("x.db"), "-q", "--settle",
                             "0", "--variant", QUICK, "--rounds", "10", "--iters", "2", "--filter", "/a", "-o", "json", "--margin", "500%");
    if (run.code != 0 && run.code != 3)
        fail_msg("%d: %s", run.code, run.err);
    json_t *all = json_loads(run.out, 0, NULL), *row = json_array_get(json_object_get(json_object_get(all, "tables"), "calibration"), 0);
    assert_true(json_number_value(json_object_get(row, "sd")) > 0);
    assert_true(json_number_value(json_object_get(row, "mde_10")) > json_number_value(json_object_get(row, "mde_40")));
    assert_true(json_number_value(json_object_get(row, "margin")) >= json_number_value(json_object_get(row, "mde_40")) - 1e-9);
    json_t *costs = json_array_get(json_object_get(json_object_get(all, "tables"), "iterations"), 0);
    assert_int_equal(json_number_value(json_object_get(costs, "processes")), 20);
    assert_true(json_number_value(json_object_get(costs, "iters")) >= 1 && json_number_value(json_object_get(costs, "iters")) <= 20);
    assert_true(json_number_value(json_object_get(costs, "process_s")) > 0 &&
                json_number_value(json_object_get(costs, "generation_s")) > 0);
    if (run.code == 0)
        assert_string_equal(json_string_value(json_object_get(row, "verdict")), "fit");
    else
        assert_non_null(strstr(run.err, "unfit"));
    json_decref(all);
    run_free(&run);
    assert_string_equal(ask("SELECT count(*) || (sd > 0) || rounds FROM calibration"), "1110");
    /* so narrow a margin that the calibration says no, of wall times alone */
#define NARROW(metric)                                                                                                                     \
    run_program("gate", in_folder("tiny.yaml"), "--model", "heartmula-tiny", "--db", in_folder("x.db"), "--base",                          \
                in_folder("main/hmbench"), "--variant", QUICK, "--filter", "/a", "--metric", metric, "--margin", "0.01%", "--settle", "0", \
                "--max-rounds", "10")
    run = NARROW("wall");
    assert_non_null(strstr(run.err, "Warning: by its calibration this machine shows slowdowns from "));
    assert_in_range(run.code, 0, 3);
    run_free(&run);
    run = NARROW("launches");
    assert_null(strstr(run.err, "Warning"));
    expect_code(&run, 0, NULL);
}

static void simulated_gates_are_told_without_running_anything(void **state)
{
    (void)state;
    hm_run run =
        run_program("calibrate", "--simulate", "--gates", "60", "--noise", "0.5%", "--slowdown", "6%", "--cases", "1", "-o", "csv");
    assert_non_null(strstr(run.out, "100"));
    expect_code(&run, 0, NULL);
    run = run_program("calibrate", "--simulate", "--drift", "wild");
    expect_code(&run, 64, "one of none, ramp, ar, step");
#define OF_MARGIN(percent)                                                                                                              \
    run_program("calibrate", "--simulate", "--gates", "20", "--noise", "0.5%", "--slowdown", "4%", "--cases", "1", "--margin", percent, \
                "-o", "csv")
    run = OF_MARGIN("1%");
    assert_non_null(strstr(run.out, ",one,0.5,"));
    assert_non_null(strstr(run.out, ",4,1,1,20,100.00,0.00,")); /* slowdown, margin, cases, gates, FAIL, PASS */
    expect_code(&run, 0, NULL);
    run = OF_MARGIN("8%");
    assert_non_null(strstr(run.out, ",4,8,1,20,0.00,100.00,"));
    expect_code(&run, 0, NULL);
    run = run_program("calibrate", "--simulate", "--gates", "5", "--margin", "7%", "-o", "csv");
    assert_int_equal(run_lines(run.out), 2); /* a margin alone is one setting */
    assert_non_null(strstr(run.out, ",7,"));
    expect_code(&run, 0, NULL);
    run = run_program("calibrate", "--simulate", "short");
    expect_code(&run, 64, "runs no suite");
    run = run_program("calibrate", "short", "--gates", "5");
    expect_code(&run, 64, "go with --simulate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_sessions_are_compared_unpaired),
        cmocka_unit_test(few_stored_sessions_decide_nothing),
        cmocka_unit_test(counts_name_what_moved_with_both_values),
        cmocka_unit_test(counts_of_another_build_are_equal_or_within_tolerance),
        cmocka_unit_test(calibration_is_kept_and_tells_gates_what_they_find),
        cmocka_unit_test(simulated_gates_are_told_without_running_anything),
    };
    return cmocka_run_group_tests(tests, make_gate_folder, remove_folder);
}
