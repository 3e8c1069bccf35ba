/* hmbench suite from the outside: hooks, axes, orders, iterations, spoilt rounds, other builds, Ctrl-C at any time. */
#define _GNU_SOURCE /* pipe2 */
#include <sys/stat.h>

#include "tests/cli_case.h"
#include "tests/fake_worker.h"

static char *db, *suite, *events;

static int setup(void **state)
{
    (void)state;
    static const char text[] =
        "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 6, flow_steps: 1}\n  - {name: b, tags: t, lyrics: m, frames: 5, flow_steps: 1}\n";
    hm_error err;
    strcpy(folder, "/tmp/hmbench-cli-XXXXXX");
    if (make_case_folder())
        return 1;
    db = strdup(in_folder("out/test.db"));
    suite = strdup(in_folder("tiny.yaml"));
    events = strdup(in_folder("events"));
    return hm_file_write(suite, text, sizeof text - 1, &err) != HM_OK;
}

static int teardown(void **state)
{
    free(db);
    free(suite);
    free(events);
    return remove_folder(state);
}

#define suite_run(...) run_program("suite", suite, "--variant", "none", "--db", db, __VA_ARGS__)

#define expect_sql(sql, wanted) expect_sql_of(db, sql, wanted)

static void expect_events(const char *wanted)
{
    hm_map map = {0};
    hm_error err;
    assert_int_equal(hm_map_open(&map, events, &err), HM_OK);
    char *text = strndup((const char *)map.data, map.size);
    assert_string_equal(text, wanted);
    free(text);
    hm_map_close(&map);
    unlink(events);
}

/* A shell command that notes what happens. */
static char *note(const char *word)
{
    static char text[4][400];
    static int next;
    char *out = text[next++ % 4];
    snprintf(out, sizeof text[0], "echo %s >> '%s'", word, events);
    return out;
}

static void hooks_run_around_the_session_and_every_turn(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", fake_arm("one", "good"), "--arm", fake_arm("two", "good"), "-n", "2", "-f", "/a$", "--order", "serial",
                           "--setup", note("setup"), "--prepare", note("prepare $HMBENCH_CASE $HMBENCH_ARM $HMBENCH_ROUND"), "--conclude",
                           note("conclude $HMBENCH_ARM"), "--cleanup", note("cleanup"));
    expect_code(&run, 0, NULL);
    expect_events("setup\nprepare tiny/a one 1\nconclude one\nprepare tiny/a two 1\nconclude two\n"
                  "prepare tiny/a one 2\nconclude one\nprepare tiny/a two 2\nconclude two\ncleanup\n");
}

static void a_hook_that_fails_is_one_clear_error_and_cleanup_comes_all_the_same(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", fake_arm("one", "good"), "--prepare", "echo no such clock >&2; exit 3", "--cleanup", note("cleanup"));
    expect_code(&run, 69, "--prepare \"echo no such clock >&2; exit 3\": exit code 3: no such clock");
    expect_events("cleanup\n");
    run = suite_run("--arm", fake_arm("one", "good"), "--setup", "kill -TERM $$", "--cleanup", note("cleanup"));
    expect_code(&run, 69, "--setup \"kill -TERM $$\": ended by signal 15");
    expect_events("cleanup\n");
    run = suite_run("--arm", fake_arm("one", "good"), "--setup", "sleep 60", "--timeout", "1");
    expect_code(&run, 69, "did not end within 1 s");
    run = suite_run("--arm", fake_arm("one", "good"), "--conclude", "false", "-f", "/a$");
    expect_code(&run, 69, "--conclude \"false\": exit code 1");
    expect_sql("SELECT count(*) FROM run WHERE status = 'ok'", "1\r\n");                 /* what it followed is stored */
    run = suite_run("--arm", fake_arm("one", "good"), "-n", "1", "--cleanup", "exit 7"); /* what was measured stands */
    expect_code(&run, 0, "warning: --cleanup \"exit 7\": exit code 7");
}

static void an_interruption_after_the_last_round_can_be_resumed_too(void **state)
{
    (void)state;
    hm_run run = run_program("suite", suite, "-V", "best", "-m", "heartmula-tiny", "-f", "/a$", "-n", "1", "--db", db, "--conclude",
                             "kill -INT $PPID");
    expect_code(&run, 130, "go on with: hmbench suite --resume --db");
    expect_sql("SELECT state, (SELECT count(*) FROM run), (SELECT count(*) FROM machine_figure) FROM session", "interrupted,1,0\r\n");
    run = run_program("suite", "--resume", "--db", db);
    expect_code(&run, 0, NULL);
    expect_sql("SELECT state, (SELECT count(*) FROM run), (SELECT count(*) > 0 FROM machine_figure) FROM session", "done,1,1\r\n");
}

static void the_command_that_goes_on_can_be_pasted(void **state)
{
    (void)state;
    char odd[300], once[700];
    snprintf(odd, sizeof odd, "%s's own.db", db);
    snprintf(once, sizeof once, "test -e '%s.once' || { touch '%s.once'; kill -INT $PPID; }", db, db); /* a second one ends it at once */
    hm_run run = run_program("suite", suite, "-V", "none", "--arm", fake_arm("one", "good"), "-f", "/a$", "-n", "2", "--db", odd,
                             "--conclude", once);
    expect_code(&run, 130, "'\\''s own.db'");
}

static void cleanup_comes_after_an_interruption_too(void **state)
{
    (void)state;
    char *argv[] = {
        (char *)HM_PROGRAM, "suite",       suite,        "-V",        "none",      "--db",          db,  "--arm", fake_arm("one", "slow"),
        "--prepare",        note("begin"), "--conclude", note("end"), "--cleanup", note("cleanup"), NULL};
    hm_run run = run_interrupted(argv, run_had_a_turn); /* within the next one */
    expect_code(&run, 130, "hmbench suite --resume --db");
    hm_map map = {0};
    hm_error err;
    assert_int_equal(hm_map_open(&map, events, &err), HM_OK);
    char *text = strndup((const char *)map.data, map.size);
    int begins = 0, ends = 0;
    for (char *p = text; (p = strstr(p, "begin\n")); p++)
        begins++;
    for (char *p = text; (p = strstr(p, "end\n")); p++)
        ends++;
    assert_true(begins > 0 && (ends == begins || ends == begins + 1)); /* the last one may be stopped before it says so */
    assert_string_equal(text + strlen(text) - 8, "cleanup\n");
    free(text);
    hm_map_close(&map);
}

static void orders_are_kept_and_come_back_from_their_seed(void **state)
{
    (void)state;
    static const char sql[] = "SELECT group_concat(name, '') FROM (SELECT a.name FROM run r JOIN arm a ON a.id = r.arm_id JOIN session s "
                              "ON s.id = r.session_id WHERE s.rowid = (SELECT max(rowid) FROM session) ORDER BY r.round, r.slot)";
    static const char *const wanted[] = {"xyxyxyxy\r\n", NULL, NULL};
    char *first[3] = {0};
    for (int again = 0; again < 2; again++)
        for (int i = 0; i < 3; i++) {
            hm_run run = suite_run("--arm", fake_arm("x", "good"), "--arm", fake_arm("y", "good"), "-n", "4", "-f", "/a$", "--seed", "77",
                                   "--order", (char *[]){"serial", "abba", "random"}[i]);
            expect_code(&run, 0, NULL);
            if (wanted[i])
                expect_sql(sql, wanted[i]);
            run = run_program("db", "sql", (char *)sql, "--db", db, "-o", "csv");
            char *order = strdup(strstr(run.out, "\r\n") + 2);
            if (again)
                assert_string_equal(order, first[i]);
            else
                first[i] = strdup(order);
            if (i == 1) /* AB,BA or BA,AB */
                assert_true(order[0] == order[3] && order[1] == order[2] && order[4] == order[7] && order[5] == order[6]);
            free(order);
            run_free(&run);
        }
    for (int i = 0; i < 3; i++)
        free(first[i]);
    expect_sql("SELECT json_extract(options, '$.order') FROM session ORDER BY rowid LIMIT 3", "serial\r\nabba\r\nrandom\r\n");
}

static void a_round_counts_once_however_many_generations_it_times(void **state)
{
    (void)state;
    hm_run run =
        suite_run("--arm", fake_arm("one", "good"), "-n", "2", "-f", "/a$", "--iters", "3", "--tag", "machine=quiet", "--tag", "k=");
    expect_code(&run, 0, NULL);
    expect_sql("SELECT count(*), count(DISTINCT run_id), min(wall_ns), max(wall_ns) FROM sample WHERE NOT warmup",
               "6,2,10000000,12000000\r\n"); /* the fake one draws out each a little longer */
    expect_sql("SELECT n, wall_ms FROM arm_figure", "2,11.0\r\n");
    expect_sql("SELECT key, value FROM session_tag ORDER BY key", "k,\r\nmachine,quiet\r\n");
    expect_sql("SELECT count(*) FROM output", "2\r\n"); /* codes come with the last one */
    run = suite_run("--arm", fake_arm("one", "good"), "--tag", "quiet");
    expect_code(&run, 64, "--tag \"quiet\": expected KEY=VALUE");
}

static void spoilt_rounds_stay_on_record_and_out_of_figures(void **state)
{
    (void)state;
    put("once", "x", 1);
    setenv("FAKE_ONCE", in_folder("once"), 1);
    hm_run run = suite_run("--arm", fake_arm("good", "good"), "--arm", fake_arm("once", "once"), "-n", "3", "-f", "/a$");
    expect_code(&run, 0, "round 1 of tiny/a is set aside and run again: once: a CPU was throttled 1 time");
    expect_sql("SELECT count(*), sum(dropped_reason IS NOT NULL), count(DISTINCT round) FROM run", "8,2,3\r\n");
    expect_sql("SELECT arm, n FROM arm_figure ORDER BY arm", "good,3\r\nonce,3\r\n");
    run = suite_run("--arm", fake_arm("good", "good"), "--arm", fake_arm("hot", "hot"), "-n", "3", "-f", "/a$");
    expect_code(&run, 3, "the measurement is invalid: 2 rounds of cases were set aside, 0 are good");
    expect_sql("SELECT state FROM session ORDER BY rowid", "done\r\nfailed\r\n");
    expect_sql("SELECT sum(dropped_reason IS NOT NULL) FROM run", "6\r\n");
}

static void dry_runs_know_how_long_other_programs_took(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", fake_arm("one", "good"), "-n", "1", "-f", "/a$");
    expect_code(&run, 0, NULL);
    run = suite_run("--arm", fake_arm("one", "good"), "--arm", fake_arm("two", "slow"), "-n", "1", "-f", "/a$", "--dry-run");
    const char *one = strstr(run.out, " one "), *two = strstr(run.out, " two ");
    if (!one || !two || strncmp(one + strcspn(one, "\n") - 9, "past runs", 9) || !strstr(two, "a guess"))
        fail_msg("%s", run.out);
    expect_code(&run, 0, NULL);
}

/* Random moments, as a person would; whatever was stored then, everything is there in the end, once. */
static void a_session_goes_on_after_ctrl_c_at_any_moment(void **state)
{
    (void)state;
    unsigned seed = (unsigned)getpid();
    char *argv[] = {(char *)HM_PROGRAM,    "suite", suite, "-V", "none", "--db", db, "--arm", fake_arm("x", "good"), "--arm",
                    fake_arm("y", "good"), "-n",    "5",   NULL};
    hm_run run = run_command(argv, NULL, 300, 0.15 + rand_r(&seed) % 100 * 0.004);
    int stops = run.code == 130;
    if (run.code != 130 && run.code != 0)
        fail_msg("exit code %d: %s", run.code, run.err);
    bool any = access(db, F_OK) == 0;
    run_free(&run);
    char *resume[] = {(char *)HM_PROGRAM, "suite", "--resume", "--db", db, NULL};
    for (int i = 0; i < 20 && any && i <= stops; i++) {
        run = run_command(resume, NULL, 300, 0.1 + rand_r(&seed) % 100 * 0.005);
        if (run.code != 130 && run.code != 0 && run.code != 66)
            fail_msg("exit code %d: %s", run.code, run.err);
        stops += run.code == 130;
        run_free(&run);
    }
    if (!any)
        return; /* stopped before there was a session */
    run = run_command(resume, NULL, 300, 0);
    if (run.code != 0 && run.code != 66)
        fail_msg("exit code %d: %s", run.code, run.err);
    run_free(&run);
    expect_sql("SELECT count(*), count(DISTINCT arm_id || case_id || round), sum(status = 'ok'), (SELECT state FROM session) FROM run",
               "20,20,20,done\r\n");
}

static void axes_are_shown_before_anything_runs(void **state)
{
    (void)state;
    hm_run run =
        run_program("suite", "short", "--dry-run", "--db", db, "-f", "plain", "-V", "best", "-a", "threads=1,2", "-a", "flow_steps=5:20:5");
    assert_non_null(strstr(run.out, "best flow_steps=5 threads=1"));
    assert_non_null(strstr(run.out, "best flow_steps=20 threads=2"));
    assert_non_null(strstr(run.out, "1 cases x 6 arms x 3 rounds = 18 runs"));
    expect_code(&run, 0, "left out, as there are no such values: flow_steps=15");
    run = run_program("suite", "short", "--dry-run", "--db", db, "-a", "flow_stesp=5");
    expect_code(&run, 64, "did you mean \"flow_steps\"?");
}

/* This very program, behind a script as the one that a source folder has. */
static void another_build_runs_the_same_variants_beside_this_one(void **state)
{
    (void)state;
    char script[PATH_MAX + 64], program[PATH_MAX + 16], other[PATH_MAX + 16];
    mkdir(in_folder("build"), 0755);
    snprintf(script, sizeof script, "#!/bin/sh\nexec '%s' \"$@\"\n", HM_PROGRAM);
    put("build/hmbench", script, strlen(script));
    assert_int_equal(chmod(in_folder("build/hmbench"), 0755), 0);
    snprintf(program, sizeof program, "main=%s", in_folder("build"));
    hm_run run = run_program("suite", suite, "-V", "best", "-m", "heartmula-tiny", "-n", "2", "-f", "/a$", "--no-trace", "--no-limits",
                             "--program", program, "--db", db);
    expect_code(&run, 0, NULL);
    expect_sql("SELECT name, variant, program IS NULL, build_id IS NULL FROM arm ORDER BY position",
               "best,best,1,1\r\nbest program=main,best,0,0\r\n");
    expect_sql("SELECT count(*), count(DISTINCT codes_hash), count(DISTINCT audio_hash) FROM sample WHERE NOT warmup", "4,1,1\r\n");
    expect_sql("SELECT count(*) FROM arm JOIN session s ON s.id = arm.session_id WHERE arm.build_id = s.build_id", "1\r\n");
    /* one whose output is another */
    snprintf(script, sizeof script, "#!/bin/sh\nexec '%s' --fake good\n", fake_program());
    put("build/other", script, strlen(script));
    assert_int_equal(chmod(in_folder("build/other"), 0755), 0);
    snprintf(other, sizeof other, "other=%s", in_folder("build/other"));
    run = run_program("suite", suite, "-V", "best", "-m", "heartmula-tiny", "-n", "1", "-f", "/a$", "--no-trace", "--no-limits",
                      "--program", other, "--db", db);
    expect_code(&run, 5, "the builds differ in more than speed");
    run = run_program("suite", suite, "-V", "best", "--program", "x=/nowhere", "--db", db);
    expect_code(&run, 66, "/nowhere is no program that can be run");
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(dry_runs_know_how_long_other_programs_took),
                                       CASE(hooks_run_around_the_session_and_every_turn),
                                       CASE(a_hook_that_fails_is_one_clear_error_and_cleanup_comes_all_the_same),
                                       CASE(cleanup_comes_after_an_interruption_too),
                                       CASE(the_command_that_goes_on_can_be_pasted),
                                       CASE(an_interruption_after_the_last_round_can_be_resumed_too),
                                       CASE(orders_are_kept_and_come_back_from_their_seed),
                                       CASE(a_round_counts_once_however_many_generations_it_times),
                                       CASE(spoilt_rounds_stay_on_record_and_out_of_figures),
                                       CASE(a_session_goes_on_after_ctrl_c_at_any_moment),
                                       CASE(axes_are_shown_before_anything_runs),
                                       CASE(another_build_runs_the_same_variants_beside_this_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
