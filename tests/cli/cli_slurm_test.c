/* suite --slurm from the outside, with a Slurm of shell scripts first in $PATH that runs tasks here and goes wrong as it is told.
 * tests/cli/slurm_test.sh does it with Slurm itself. */
#define _GNU_SOURCE /* pipe2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "tests/fake_worker.h"
#include "tests/run_program.h"

/* A file of a name in $FAKE_SLURM is what goes wrong: refuse (sbatch says what is in it), hold (nothing starts), lose (these tasks end at
 * once and leave nothing), wreck (these leave a database that is none), deaf (squeue fails). */
static const char fake_slurm[] =
    "#!/bin/bash\n"
    "cd \"$FAKE_SLURM\" || exit 9\n"
    "has() { [ -e \"$1\" ] && grep -qx \"$2\" \"$1\"; }\n"
    "case ${0##*/} in\n"
    "sbatch)\n"
    "    printf '%s\\n' \"$@\" >>asked\n"
    "    [ ! -e refuse ] || { echo \"sbatch: error: $(cat refuse)\" >&2; exit 1; }\n"
    "    for word; do\n"
    "        case $word in --array=*) array=${word#*=} ;; --output=*) output=${word#*=} ;; esac\n"
    "    done\n"
    "    job=$((100 + $(ls jobs | wc -l))) tasks=\n"
    "    for range in $(echo \"${array%%\\%*}\" | tr , ' '); do tasks+=\" $(seq -s ' ' \"${range%-*}\" \"${range#*-}\")\"; done\n"
    "    touch \"jobs/$job\"\n"
    "    for task in $tasks; do echo PENDING >\"queue/$job.$task\"; done\n"
    "    word=$word job=$job tasks=$tasks output=$output setsid \"$FAKE_SLURM/run\" </dev/null >/dev/null 2>&1 &\n"
    "    until [ -e up ]; do sleep 0.02; done\n" /* out of our group, which ends with us */
    "    rm up\n"
    "    echo \"$job;cluster\" ;;\n"
    "run)\n"
    "    touch up\n"
    "    for task in $tasks; do\n"
    "        while [ -e hold ]; do sleep 0.05; done\n"
    "        log=${output//%%/$'\\1'} log=${log//%a/$task} log=${log//$'\\1'/%}\n"
    "        [ ! -e wreck ] || ! has wreck \"$task\" || echo 'this is no database, by far' >\"${log%.log}.db\"\n"
    "        has lose \"$task\" || has wreck \"$task\" || { echo RUNNING >\"queue/$job.$task\"\n"
    "            SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_JOB_ID=$job SLURM_JOB_ID=$job$task bash \"$word\" >>\"$log\" 2>&1; }\n"
    "        rm \"queue/$job.$task\"\n"
    "    done ;;\n"
    "squeue)\n"
    "    [ ! -e deaf ] || { echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1; }\n"
    "    for word; do case $word in --jobs=*) job=${word#*=} ;; esac; done\n"
    "    ls queue/$job.* >/dev/null 2>&1 || { echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }\n"
    "    for file in queue/$job.*; do echo \"${file##*.} $(cat \"$file\")\"; done ;;\n"
    "scontrol) echo \"JobId=1 JobState=NODE_FAIL Reason=None\" ;;\n"
    "esac\n"
    "exit 0\n";

static char root[64], folder[160], db[200], suite[200], state[96], path_before[4096];

static char *in_state(const char *name)
{
    static char paths[4][200];
    static int next;
    char *out = paths[next++ % 4];
    snprintf(out, sizeof paths[0], "%s/%s", state, name);
    return out;
}

static void tell(const char *name, const char *text)
{
    hm_error err;
    assert_int_equal(hm_file_write(in_state(name), text, strlen(text), &err), HM_OK);
}

static int setup(void **unused)
{
    static const char text[] =
        "suite: tiny\ncases:\n  - {name: a.b, tags: t, lyrics: l, frames: 10}\n  - {name: c, tags: t, lyrics: m, frames: 5}\n";
    static const char *const names[] = {"sbatch", "squeue", "scontrol", "run"};
    hm_error err = {0};
    char path[4400];
    (void)unused;
    snprintf(root, sizeof root, "/tmp/hm_slurm_XXXXXX");
    if (!mkdtemp(root))
        return 1;
    snprintf(state, sizeof state, "%s/slurm", root);
    snprintf(folder, sizeof folder, "%s/it's \"here\" $HOME %%a `x`;", root);
    snprintf(db, sizeof db, "%s/out/test.db", folder);
    snprintf(suite, sizeof suite, "%s/tiny.yaml", folder);
    if (mkdir(state, 0777) || mkdir(folder, 0777) || mkdir(in_state("queue"), 0777) || mkdir(in_state("jobs"), 0777))
        return 1;
    for (int i = 0; i < 4; i++)
        if (hm_file_write(in_state(names[i]), fake_slurm, sizeof fake_slurm - 1, &err) || chmod(in_state(names[i]), 0777))
            return 1;
    snprintf(path_before, sizeof path_before, "%s", getenv("PATH"));
    snprintf(path, sizeof path, "%s:%s", state, path_before);
    return setenv("PATH", path, 1) || setenv("FAKE_SLURM", state, 1) || hm_file_write(suite, text, sizeof text - 1, &err);
}

static int teardown(void **unused)
{
    char command[256];
    (void)unused;
    snprintf(command, sizeof command,
             "cd %s; rm -f hold; for i in $(seq 600); do [ \"$(ls queue)\" ] || break; sleep 0.05; done; rm -rf %s", state, root);
    return setenv("PATH", path_before, 1) || system(command);
}

#define slurm_run(...) run_program("suite", suite, "--variant", "none", "--db", db, "--slurm", "-n", "2", __VA_ARGS__)
#define resume(...) run_program("suite", "--slurm", "--resume", "--db", db, ##__VA_ARGS__)

#define expect_sql(sql, wanted) expect_sql_of(db, sql, wanted)

/* How many lines sbatch was asked with, so far, that are these words. */
static int asked(const char *line)
{
    hm_map file = {0};
    hm_error err;
    char wanted[300];
    int n = 0;
    snprintf(wanted, sizeof wanted, "%s\n", line);
    if (hm_map_read(&file, in_state("asked"), 1 << 20, &err))
        return 0;
    for (const char *p = (const char *)file.data; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        n += !strncmp(p, wanted, strlen(wanted));
    hm_map_close(&file);
    return n;
}

/* The one folder slurm-* beside the database, with `name` in it; false: there is none. */
static int slurm_folder(char *out, size_t size)
{
    char command[400];
    snprintf(command, sizeof command, "cd \"$FOLDER\" && ls -d \"$PWD\"/out/slurm-* 2>/dev/null");
    setenv("FOLDER", folder, 1);
    FILE *f = popen(command, "r");
    int found = f && fgets(out, (int)size, f);
    if (f)
        pclose(f);
    if (found)
        out[strcspn(out, "\n")] = 0;
    return found;
}

static void cases_are_tasks_with_all_their_arms_and_come_together(void **unused)
{
    (void)unused;
    hm_run run = slurm_run("--arm", fake_arm("one", "good"), "--arm", fake_arm("two", "good"), "--partition", "bench", "--constraint",
                           "a&b", "--nodes", "3", "--slurm-time", "2:00:00", "--slurm-option=--account=it's", "--tag", "why=a\nb 'c'");
    assert_non_null(strstr(run.out, "tiny/a.b"));
    assert_non_null(strstr(run.out, "tiny/c"));
    assert_null(strstr(run.err, "ETA"));
    expect_code(&run, 0, "Slurm array 100: 2 of 2 tasks");
    expect_sql("SELECT count(*), count(DISTINCT session_id), count(DISTINCT case_id || session_id) FROM run WHERE status = 'ok'",
               "8,2,2\r\n");
    expect_sql("SELECT count(DISTINCT name) FROM arm GROUP BY session_id", "2\r\n2\r\n");
    expect_sql("SELECT count(DISTINCT session_id), count(DISTINCT value) FROM session_tag WHERE key = 'slurm'", "2,1\r\n");
    expect_sql("SELECT value FROM session_tag WHERE key = 'slurm_task' ORDER BY value", "0\r\n1\r\n");
    expect_sql("SELECT count(*) FROM session_tag WHERE key = 'why' AND value = 'a' || char(10) || 'b ''c'''", "2\r\n");
    static const char *const lines[] = {"--array=0-1%3", "--partition=bench", "--constraint=a&b", "--time=2:00:00",
                                        "--exclusive",   "--mem=0",           "--account=it's",   "--nodes=1"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (asked(lines[i]) != 1)
            fail_msg("sbatch was not asked with %s", lines[i]);
}

static void sessions_of_an_array_are_found_by_their_tag(void **unused)
{
    char path[400], tag[32];
    (void)unused;
    hm_run run = slurm_run("--arm", fake_arm("one", "good"), "--arm", fake_arm("two", "good"), "-q");
    expect_code(&run, 0, "sessions tagged slurm=");
    assert_true(slurm_folder(path, sizeof path));
    snprintf(tag, sizeof tag, "slurm=%s", strrchr(path, '-') + 1);
    run = run_program("journal", "--session", tag, "--db", db);
    assert_non_null(strstr(run.out, "tiny/a.b"));
    assert_non_null(strstr(run.out, "tiny/c"));
    expect_code(&run, 0, NULL);
    run = run_program("journal", "--session", "slurm=other", "--db", db);
    expect_code(&run, 66, "has the tag slurm=other");
    run = run_program("compare", "one", "two", "--session", tag, "--db", db);
    assert_non_null(strstr(run.out, "| tiny/a.b"));
    assert_non_null(strstr(run.out, "| tiny/c"));
    assert_null(strstr(run.out, "unpaired"));
    expect_code(&run, 0, NULL);
}

static void an_arm_is_measured_beside_the_one_it_is_compared_with(void **unused)
{
    (void)unused;
    hm_run run = slurm_run("--arm", fake_arm("base $(touch x) 'q'", "good"), "--arm", fake_arm("\"one\"", "good"), "--arm",
                           fake_arm("two", "good"), "--slurm-split", "arm", "--no-exclusive");
    expect_code(&run, 0, "2 of 2 tasks");
    assert_int_equal(asked("--exclusive"), 0);
    assert_int_equal(asked("--array=0-1"), 1);
    expect_sql("SELECT group_concat(name, '+') FROM (SELECT session_id, name FROM arm ORDER BY position) GROUP BY session_id ORDER BY 1",
               "\"base $(touch x) 'q'+\"\"one\"\"\"\r\nbase $(touch x) 'q'+two\r\n");
    expect_sql("SELECT count(*) FROM run WHERE status = 'ok'", "16\r\n");
    char path[400];
    snprintf(path, sizeof path, "%s/x", folder);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_lost_task_is_told_and_only_it_is_submitted_again(void **unused)
{
    (void)unused;
    tell("lose", "1\n");
    hm_run run = slurm_run("--arm", fake_arm("one", "good"));
    assert_non_null(strstr(run.out, "tiny/a.b"));
    assert_non_null(strstr(run.err, "task 1 (tiny/c): ended without a word (Slurm: NODE_FAIL)"));
    expect_code(&run, 6, "1 of 2 tasks are not whole");
    expect_sql("SELECT count(*) FROM run", "2\r\n");
    remove(in_state("lose"));
    run = resume();
    assert_non_null(strstr(run.out, "tiny/c"));
    expect_code(&run, 0, "Slurm array 101: 1 of 2 tasks");
    assert_int_equal(asked("--array=1"), 1);
    expect_sql("SELECT count(*), count(DISTINCT session_id) FROM run", "4,2\r\n");
    run = resume();
    expect_code(&run, 0, NULL);
    assert_int_equal(asked("--array=1") + asked("--array=0-1"), 2);
    expect_sql("SELECT count(*), count(DISTINCT session_id) FROM run", "4,2\r\n");
}

static void a_file_that_is_no_database_spoils_nothing_else(void **unused)
{
    (void)unused;
    tell("wreck", "0\n");
    hm_run run = slurm_run("--arm", fake_arm("one", "good"));
    assert_non_null(strstr(run.out, "tiny/c"));
    assert_non_null(strstr(run.err, "task-0.db"));
    expect_code(&run, 6, "1 of 2 tasks are not whole");
    remove(in_state("wreck"));
    run = resume();
    expect_code(&run, 0, "1 of 2 tasks");
    expect_sql("SELECT count(*), count(DISTINCT case_id) FROM run", "4,2\r\n");
}

static void what_a_task_found_is_the_exit_code(void **unused)
{
    (void)unused;
    hm_run run = slurm_run("--arm", fake_arm("one", "good"), "--arm", fake_arm("bad", "crash"));
    expect_code(&run, 6, "task-0.log says which");
    run = resume(); /* failed runs are results */
    expect_code(&run, 6, "task-0.log says which");
    assert_int_equal(asked("--array=0-1"), 1);
}

static void time_that_runs_out_is_given_by_the_next_array(void **unused)
{
    (void)unused;
    hm_run run = run_program("suite", suite, "--variant", "none", "--db", db, "--slurm", "-n", "4", "--arm", fake_arm("one", "slow"),
                             "--max-time", "1", "--filter", "/c$");
    expect_code(&run, 0, "task 0 (tiny/c): had no time for all rounds (--max-time)");
    expect_sql("SELECT count(*) < 4 FROM run", "1\r\n");
    run = resume();
    while (strstr(run.err, "had no time") && asked("--array=0") < 6) {
        run_free(&run);
        run = resume();
    }
    expect_code(&run, 0, NULL);
    expect_sql("SELECT count(*), count(DISTINCT session_id), count(DISTINCT round) FROM run", "4,1,4\r\n");
}

static bool submitted(const hm_run *run)
{
    return strstr(run->err, "Slurm array 100") != NULL;
}

static void an_interrupted_wait_goes_on_without_a_second_array(void **unused)
{
    (void)unused;
    tell("hold", "");
    char *argv[] = {(char *)HM_PROGRAM,      "suite", suite, "--variant", "none", "--db", db, "--slurm", "--arm",
                    fake_arm("one", "good"), "-n",    "2",   NULL};
    hm_run run = run_interrupted(argv, submitted);
    expect_code(&run, 130, "the tasks go on in Slurm (array 100");
    char path[400];
    assert_true(slurm_folder(path, sizeof path));
    run = run_program("suite", "--slurm-gather", path, "--db", db);
    assert_string_equal(run.out, "");
    expect_code(&run, 6, "task 0 (tiny/a.b): is waiting in the queue");
    tell("deaf", "");
    run = run_program("suite", "--slurm-gather", path, "--db", db);
    expect_code(&run, 6, "task 0 (tiny/a.b): has no exit code, and there is no squeue to ask");
    run = resume();
    expect_code(&run, 69, "hmbench: squeue: slurm_load_jobs error: Unable to contact slurm controller");
    remove(in_state("deaf"));
    remove(in_state("hold"));
    run = resume();
    expect_code(&run, 0, NULL);
    assert_int_equal(asked("--array=0-1"), 1);
    expect_sql("SELECT count(*), count(DISTINCT session_id) FROM run", "4,2\r\n");
}

static void tasks_are_submitted_now_and_gathered_later(void **unused)
{
    (void)unused;
    char path[400];
    hm_run run = slurm_run("--arm", fake_arm("one", "good"), "--slurm-submit-only");
    assert_string_equal(run.out, "");
    expect_code(&run, 0, "Slurm array 100");
    assert_true(slurm_folder(path, sizeof path));
    run = resume("--session", strrchr(path, '-') + 1);
    expect_code(&run, 0, NULL);
    run = run_program("suite", "--slurm-gather", path, "--db", db);
    assert_non_null(strstr(run.out, "tiny/c"));
    expect_code(&run, 0, NULL);
    expect_sql("SELECT count(*) FROM run", "4\r\n");
}

static void what_slurm_refuses_is_told_and_leaves_nothing(void **unused)
{
    char path[400], empty[128];
    (void)unused;
    tell("refuse", "invalid partition specified: nowhere");
    hm_run run = slurm_run("--arm", fake_arm("one", "good"), "--partition", "nowhere");
    assert_int_equal(run_lines(run.err), 1);
    expect_code(&run, 69, "hmbench: sbatch: error: invalid partition specified: nowhere");
    assert_false(slurm_folder(path, sizeof path));
    snprintf(empty, sizeof empty, "%s/queue", state);
    setenv("PATH", empty, 1);
    run = slurm_run("--arm", fake_arm("one", "good"));
    assert_int_equal(run_lines(run.err), 1);
    expect_code(&run, 69, "there is no sbatch in $PATH");
    assert_false(slurm_folder(path, sizeof path));
}

static void what_cannot_be_is_refused_before_anything_is_submitted(void **unused)
{
    (void)unused;
    hm_run run = run_program("suite", suite, "--variant", "none", "--arm", fake_arm("one", "good"), "--partition", "bench", "--db", db);
    expect_code(&run, 64, "--partition goes with --slurm");
    run = run_program("suite", suite, "--slurm-gather", root, "--db", db);
    expect_code(&run, 64, "--slurm-gather takes what there is");
    run = run_program("suite", "--slurm-gather", root, "--db", db);
    expect_code(&run, 66, "plan.json");
    run = resume();
    expect_code(&run, 66, "no folder slurm-*");
    run = slurm_run("--slurm-split", "rounds");
    expect_code(&run, 64, "case, arm");
    run = run_program("suite", suite, "--variant", "none", "--arm", fake_arm("one", "good"), "--only-arm", "two", "--db", db);
    expect_code(&run, 64, "there is no such arm");
    run = slurm_run("--arm", fake_arm("one", "good"), "--dry-run");
    assert_non_null(strstr(run.out, "as 2 Slurm tasks (--slurm-split case)"));
    expect_code(&run, 0, NULL);
    assert_int_equal(access(in_state("asked"), F_OK), -1);
}

static void a_queue_that_does_not_answer_loses_nothing(void **unused)
{
    (void)unused;
    tell("deaf", "");
    hm_run run = slurm_run("--arm", fake_arm("one", "good"));
    assert_non_null(strstr(run.out, "tiny/c"));
    expect_code(&run, 0, NULL); /* the files tell */
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(cases_are_tasks_with_all_their_arms_and_come_together),
                                       CASE(sessions_of_an_array_are_found_by_their_tag),
                                       CASE(an_arm_is_measured_beside_the_one_it_is_compared_with),
                                       CASE(a_lost_task_is_told_and_only_it_is_submitted_again),
                                       CASE(a_file_that_is_no_database_spoils_nothing_else),
                                       CASE(what_a_task_found_is_the_exit_code),
                                       CASE(time_that_runs_out_is_given_by_the_next_array),
                                       CASE(an_interrupted_wait_goes_on_without_a_second_array),
                                       CASE(tasks_are_submitted_now_and_gathered_later),
                                       CASE(what_slurm_refuses_is_told_and_leaves_nothing),
                                       CASE(what_cannot_be_is_refused_before_anything_is_submitted),
                                       CASE(a_queue_that_does_not_answer_loses_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
