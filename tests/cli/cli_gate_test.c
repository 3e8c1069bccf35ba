/* hmbench gate from the outside: two arms in one session, every exit code, outputs for CI. */
#define _GNU_SOURCE /* pipe2 */
#include "tests/gate_case.h"

/* ---- times ---- */

/* Of an exact count both times are equal to the last digit. */
static void equal_builds_pass_at_the_first_look(void **state)
{
    (void)state;
    char json[300];
    snprintf(json, sizeof json, "json:%s", in_folder("g.json"));
    hm_run run =
        GATE("--base", in_folder("main/hmbench"), "--variant", QUICK, "--metric", "launches", "--junit", in_folder("j.xml"), "-O", json);
    assert_non_null(strstr(run.out, "**PASS**"));
    assert_non_null(strstr(run.out, "program=base"));
    expect_code(&run, 0, NULL);
    assert_string_equal(ask("SELECT group_concat(verdict || rounds || metric || (ratio = 1), ' ') FROM verdict"),
                        "pass10launches1 pass10launches1");
    assert_string_equal(ask("SELECT kind || count(*) FROM session JOIN run ON session_id = session.id WHERE dropped_reason IS NULL"),
                        "gate40");
    expect_text("g.json", "\"verdict\": \"PASS\"");
    expect_text("j.xml", "tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"0\"");
}

static void a_copy_of_this_build_passes_a_wide_margin(void **state)
{
    (void)state;
    hm_run run = GATE("--base", in_folder("main/hmbench"), "--variant", QUICK, "--margin", "1000%", "--filter",
                      "/a"); /* whatever else the machine does */
    expect_code(&run, 0, NULL);
}

/* Several times as slow, and rounds enough to show it on a busy machine; where that leaves no verdict (2, or 3 when even the ratio drifted) it is
 * asked again. */
static void a_planted_slowdown_fails(void **state)
{
    (void)state;
#define PLANTED() GATE("--base", QUICK, "--cand", PLAIN ",spin=50", "--margin", "3%", "--max-rounds", "160", "--filter", "/a")
    hm_run run = PLANTED();
    for (int again = 0; (run.code == 2 || run.code == 3) && again < 4; again++) {
        run_free(&run);
        run = PLANTED();
    }
    if (!strstr(run.out, "**FAIL**"))
        fail_msg("exit %d, expected FAIL in:\n%s%s", run.code, run.out, run.err);
    assert_non_null(strstr(run.out, "next: hmbench profile "));
    assert_non_null(strstr(run.out, "; hmbench compare "));
    assert_non_null(strstr(run.out, " --metric generate"));
    expect_code(&run, 1, "wall is ");
}

static void what_to_run_next_can_be_pasted(void **state)
{
    (void)state;
    const char *fewer =
        "| sed -u s/\\\"launches\\\",\\\"load\\\":false,\\\"value\\\":[0-9]*/\\\"launches\\\",\\\"load\\\":false,\\\"value\\\":1/";
    hm_run run =
        GATE("--base", wrapped("launcher", fewer), "--variant", QUICK, "--metric", "launches", "--filter", "/a", "--max-rounds", "10");
    assert_non_null(strstr(run.out, " ; hmbench compare '"));
    assert_non_null(strstr(run.out, " program=base' ")); /* names of arms have spaces */
    expect_code(&run, 1, "launches is ");
}

static void a_worse_arm_fails_on_paper_before_it_exits(void **state)
{
    (void)state;
    setenv("GITHUB_STEP_SUMMARY", in_folder("summary.md"), 1);
    put("summary.md", "before\n", 7);
    hm_run run = GATE("--base", QUICK, "--cand", PLAIN, "--metric", "launches", "--github", "--junit", in_folder("f.xml"), "--margin", "2");
    unsetenv("GITHUB_STEP_SUMMARY");
    assert_non_null(strstr(run.out, "\n::error title=tiny/a FAIL::launches is "));
    assert_non_null(strstr(run.out, " %25 worse"));
    assert_non_null(strstr(run.out, " --metric launches"));
    expect_code(&run, 1, "gate: FAIL: tiny/");
    expect_text("f.xml", "failures=\"2\"");
    expect_text("f.xml", "<testcase classname=\"hmbench.gate.tiny\" name=\"a\">\n    <failure message=\"launches is ");
    expect_text("summary.md", "before\n");
    expect_text("summary.md", "| FAIL ");
    run = GATE("--base", PLAIN, "--cand", QUICK, "--metric", "launches", "--filter", "/a");
    assert_non_null(strstr(run.out, "**IMPROVED**"));
    expect_code(&run, 0, NULL);
}

/* No noise is so low that twelve rounds hold a margin of 0.001 %; alpha keeps chance from failing it. */
static void too_narrow_a_margin_is_inconclusive(void **state)
{
    (void)state;
    hm_run run = GATE("--base", in_folder("main/hmbench"), "--variant", QUICK, "--margin", "0.001%", "--max-rounds", "12", "--alpha",
                      "0.0005", "--filter", "/a", "--github", "--junit", in_folder("i.xml"));
    assert_non_null(strstr(run.out, "::warning title=tiny/a INCONCLUSIVE::undecided after 12 rounds"));
    expect_code(&run, 2, "INCONCLUSIVE");
    expect_text("i.xml", "<skipped message=\"undecided after 12 rounds");
}

static void time_that_runs_out_is_inconclusive_and_what_that_means_can_be_said(void **state)
{
    (void)state;
/* Exact counts do not drift with the machine. */
#define SHORT_TIME                                                                                                                 \
    "--base", in_folder("main/hmbench"), "--variant", QUICK, "--metric", "launches", "--min-rounds", "400", "--max-rounds", "400", \
        "--max-time", "1", "--filter", "/a"
    hm_run run = GATE(SHORT_TIME);
    expect_code(&run, 2, "of 400 rounds (--max-time)");
    run = GATE(SHORT_TIME, "--on-inconclusive", "pass");
    expect_code(&run, 0, NULL);
    run = GATE(SHORT_TIME, "--on-inconclusive", "fail");
    expect_code(&run, 1, "INCONCLUSIVE");
}

static void bad_output_never_passes(void **state)
{
    (void)state;
    hm_run run =
        GATE("--base", wrapped("sick", "| sed -u s/\\\"health\\\":\\\"[a-z]*\\\"/\\\"health\\\":\\\"bad\\\"/"), "--variant", QUICK);
    expect_code(&run, 3, "the output of ");
    assert_string_equal(
        ask("SELECT count(DISTINCT round) FROM run WHERE session_id = (SELECT id FROM session ORDER BY rowid DESC LIMIT 1)"),
        "1"); /* that was enough */
}

static void other_output_ends_before_any_verdict_on_time(void **state)
{
    (void)state;
    const char *other = "| sed -u s/\\\"audio_hash\\\":\\\"..../\\\"audio_hash\\\":\\\"0123/";
    hm_run run = GATE("--base", wrapped("other", other), "--variant", QUICK);
    assert_non_null(strstr(run.out, "DIFFERS"));
    expect_code(&run, 5, "must give the same audio and do not");
    assert_string_equal(ask("SELECT verdict || rounds FROM verdict WHERE rowid = (SELECT max(rowid) FROM verdict)"), "differs1");
    run = GATE("--base", in_folder("other"), "--variant", QUICK, "--counts-only");
    expect_code(&run, 5, "must give the same audio and do not");
    run = GATE("--base", in_folder("other"), "--variant", QUICK, "--counts-only", "--other-output");
    expect_code(&run, 0, NULL);
}

static void a_build_of_another_type_is_not_compared(void **state)
{
    (void)state;
    const char *debug =
        "| sed -u -e s/\\\"build_type\\\":\\\"[A-Za-z]*\\\"/\\\"build_type\\\":\\\"Other\\\"/ -e s/\\\"id\\\":\\\"..../\\\"id\\\":\\\"0000/";
    hm_run run = GATE("--base", wrapped("debug", debug), "--variant", QUICK, "--filter", "/a");
    expect_code(&run, 4, "build type: Other against ");
    run = GATE("--base", in_folder("debug"), "--variant", QUICK, "--filter", "/a", "--counts-only");
    expect_code(&run, 4, "build type: Other against ");
}

static void a_crash_is_a_failed_case(void **state)
{
    (void)state;
    hm_run run = GATE("--base", wrapped("broken", "| head -n 2"), "--variant", QUICK, "--timeout", "10", "--junit", in_folder("c.xml"));
    expect_code(&run, 6, "runs failed");
    expect_text("c.xml", "errors=\"2\"");
    run = GATE("--base", in_folder("broken"), "--variant", QUICK, "--timeout", "10", "--counts-only");
    expect_code(&run, 6, "run");
}

static void more_memory_fails_whatever_the_time(void **state)
{
    (void)state;
    const char *less = "| sed -u s/\\\"peak_unmapped_bytes\\\":[0-9]*/\\\"peak_unmapped_bytes\\\":1000000/";
    hm_run run = GATE("--base", wrapped("slim", less), "--variant", "custom:codec_len=needed,flow_steps=1,load=read", "--counts-only",
                      "--filter", "/a");
    bool above = strtoll(ask("SELECT max(peak_unmapped_bytes) FROM sample WHERE rowid > (SELECT max(rowid) - 2 FROM sample)"), NULL, 10) >
                 1000000 + (16 << 20);
    if (above)
        assert_non_null(strstr(run.out, "peak memory "));
    expect_code(&run, above ? 1 : 0, NULL);
}

static void an_interrupted_gate_goes_on(void **state)
{
    (void)state;
    char *argv[] = {(char *)HM_PROGRAM,
                    "gate",
                    in_folder("tiny.yaml"),
                    "--model",
                    "heartmula-tiny",
                    "--db",
                    in_folder("r.db"),
                    "--base",
                    in_folder("main/hmbench"),
                    "--variant",
                    QUICK,
                    "--metric",
                    "launches",
                    "--settle",
                    "0",
                    "--min-rounds",
                    "20",
                    "--max-rounds",
                    "20",
                    NULL};
    hm_run run = run_interrupted(argv, run_had_a_turn);
    expect_code(&run, 130, "--max-rounds 20 --resume");
    run = run_program("gate", "--db", in_folder("r.db"), "--base", in_folder("main/hmbench"), "--variant", QUICK, "--metric", "launches",
                      "--settle", "0", "--min-rounds", "20", "--max-rounds", "20", "--resume", "-q");
    assert_non_null(strstr(run.out, "|     20 |"));
    expect_code(&run, 0, NULL);
}

static void few_rounds_have_a_verdict_without_an_interval(void **state)
{
    (void)state;
    hm_run run = GATE("--base", QUICK, "--cand", PLAIN, "--metric", "launches", "--min-rounds", "3", "--max-rounds", "3", "--alpha", "0.4",
                      "--filter", "/a", "-o", "json");
    assert_non_null(strstr(run.out, "\"low\": null, \"high\": null"));
    expect_code(&run, 1, "worse (3 rounds have no 95 % interval)");
    assert_string_equal(ask("SELECT low IS NULL AND high IS NULL FROM verdict WHERE rounds = 3"), "1");
}

static void a_metric_that_was_not_measured_is_no_verdict(void **state)
{
    (void)state;
    hm_run run = GATE("--base", "naive", "--variant", QUICK, "--metric", "ttfa", "--min-rounds", "6", "--max-rounds", "6", "--margin",
                      "20%", "--filter", "/a");
    assert_null(strstr(run.err, "time ran out"));
    expect_code(&run, 3, "ttfa has a ratio in 0 of 6 rounds");
}

/* ---- usage ---- */

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    hm_run run = GATE("--variant", QUICK);
    expect_code(&run, 64, "--base says against what");
    run = GATE("--base", "best", "--cand", "best");
    expect_code(&run, 64, "there is nothing to judge");
    run = GATE("--base", "naive", "--cand", "bset");
    expect_code(&run, 64, "did you mean \"best\"");
    run = GATE("--base", "naive", "--metric", "frames");
    expect_code(&run, 64, "neither less nor more of it is better");
    run = GATE("--base", "naive", "--junit", "/dev/null");
    expect_code(&run, 73, "is no regular file");
    run = GATE("--base", "naive", "--margin", "wide");
    expect_code(&run, 64, "--margin \"wide\"");
    run = GATE("--base", "naive", "--max-rounds", "3");
    expect_code(&run, 64, "rounds");
    run = GATE("--base", "naive", "--counts-only", "--tolerance", "launches");
    expect_code(&run, 64, "expected NAME=PERCENT");
    run = GATE("--base", "naive", "--tolerance", "launches=1%");
    expect_code(&run, 64, "goes with --counts-only");
    run = GATE("--base", "naive", "--counts-only", "--tolerance", "lunches=1%");
    expect_code(&run, 64, "did you mean \"launches\"");
    run = GATE("--base", "naive", "--counts-only", "--filter", "/a", "--tolerance", "span nothing like it=1%");
    expect_code(&run, 64, "no exact figure is called so");
    run = GATE("--base", "best:foo=1");
    expect_code(&run, 64, "--base: toggle \"foo\": unknown");
    run = GATE("--base", "naive", "--threads", "1,2");
    expect_code(&run, 64, "one number of threads");
    run = GATE("--base", "./no-such-program");
    expect_code(&run, 66, "no-such-program");
    run = GATE("--base", "naive", "--metric", "wal");
    expect_code(&run, 64, "did you mean \"wall\"");
}

/* The other build runs its own gate: its variant is judged, this program is the base. */
static void another_build_judges_itself(void **state)
{
    (void)state;
    hm_run run = GATE("--base", QUICK, "--cand", in_folder("main/hmbench"), "--metric", "launches", "--filter", "/a");
    assert_non_null(strstr(run.out, "program=base"));
    expect_code(&run, 0, NULL);
    run = GATE("--base", QUICK, "--cand", "./no-such-program");
    expect_code(&run, 66, "--cand ./no-such-program");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_builds_pass_at_the_first_look),
        cmocka_unit_test(a_copy_of_this_build_passes_a_wide_margin),
        cmocka_unit_test(a_planted_slowdown_fails),
        cmocka_unit_test(what_to_run_next_can_be_pasted),
        cmocka_unit_test(a_worse_arm_fails_on_paper_before_it_exits),
        cmocka_unit_test(too_narrow_a_margin_is_inconclusive),
        cmocka_unit_test(time_that_runs_out_is_inconclusive_and_what_that_means_can_be_said),
        cmocka_unit_test(bad_output_never_passes),
        cmocka_unit_test(other_output_ends_before_any_verdict_on_time),
        cmocka_unit_test(a_build_of_another_type_is_not_compared),
        cmocka_unit_test(a_crash_is_a_failed_case),
        cmocka_unit_test(more_memory_fails_whatever_the_time),
        cmocka_unit_test(an_interrupted_gate_goes_on),
        cmocka_unit_test(a_metric_that_was_not_measured_is_no_verdict),
        cmocka_unit_test(few_rounds_have_a_verdict_without_an_interval),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(another_build_judges_itself),
    };
    return cmocka_run_group_tests(tests, make_gate_folder, remove_folder);
}
