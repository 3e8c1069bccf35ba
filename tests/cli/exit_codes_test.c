/* Every exit code of the program, each in a way that a user can meet. But 70: it is for mistakes of our own, and whoever knew a way to it
 * would mend that. */
#define _GNU_SOURCE /* pipe2 */
#include "tests/cli_case.h"
#include "tests/fake_worker.h"

static hm_run shell(const char *command)
{
    return run_command((char *const[]){(char *)"/bin/bash", (char *)"-c", (char *)command, NULL}, NULL, 300, 0);
}

/* $P is the program, $D the test's folder, $S a suite, $F a fake worker that takes its kind, $db a database with a session. */
static const struct {
    int code;
    const char *command, *text; /* a part of what it says on stderr */
} ways[] = {
    {0, "$P list variants", ""},
    {1, "cp $db $D/x.db; sqlite3 $D/x.db \"UPDATE session SET state = 'lost'\"; $P db check --db $D/x.db", "wrong"},
    {2,
     "$P gate $S --base naive --cand best --model heartmula-tiny --warmup none --settle 0 --min-rounds 400 --max-rounds 400 --max-time 1 --db "
     "$D/gate.db",
     "of 400 rounds (--max-time)"},
    {3, "$P suite $S --variant none --arm a=\"$F hot\" --rounds 2 --settle 0 --db $D/hot.db", "set aside"},
    {4,
     "$P suite $S --variant none --arm a=\"$F good\" --rounds 1 --db $D/other.db >/dev/null 2>&1; sqlite3 $D/other.db \"UPDATE machine SET id = 'm', cpu_model = 'Another'; UPDATE session SET machine_id = 'm'\"; "
     "$P compare $db:last:a $D/other.db:last:a",
     "cannot be compared"},
    {5,
     "export HM_REAL_MODULE=${P%/*}/variants/best.so HMBENCH_MODULES=${P%/*}/tests/differing; $P batch $S --model heartmula-tiny --batch 1,2 --rounds 1",
     "not those that they have alone"},
    {6, "$P suite $S --variant none --arm a=\"$F good\" --arm b=\"$F crash\" --rounds 1 --db $D/case.db", ""},
    {64, "$P list varients", "did you mean \"variants\""},
    {65, "echo no database, only some words that are long enough to be looked at >$D/junk; $P db info --db $D/junk", "not a database"},
    {65, "echo nonsense >$D/junk; $P db import $D/junk --db $D/new.db", "nothing that"},
    {66, "$P db info --db $D/none.db", "no such file"},
    {66, "$P suite $D/none.yaml", "none.yaml"},
    {69, "PATH=/nowhere $P plot ladder --db $db -o $D/x.svg", "gnuplot is not installed"},
    {73, "$P db init --db $db", "is there already"},
    {73, "$P db init --db /proc/nowhere/x.db", "/proc/nowhere"},
    {74, "$P list variants >/dev/full", "standard output"},
    {130, "$P suite $S --variant none --arm a=\"$F slow\" --rounds 50 --db $D/stop.db & sleep 1; kill -INT $!; wait $!", "interrupted"},
};

static void every_exit_code_is_met(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        hm_run run = shell(ways[i].command);
        if (run.code != ways[i].code || !strstr(run.err, ways[i].text))
            fail_msg("%s\nexpected %d \"%s\", found %d:\n%s", ways[i].command, ways[i].code, ways[i].text, run.code, run.err);
        run_free(&run);
    }
}

/* What help promises is what error.h has. */
static void help_lists_every_code(void **state)
{
    (void)state;
    hm_run run = run_program("help");
#define LISTED(name, code, text) assert_non_null(strstr(run.out, "  " #code " ")), assert_non_null(strstr(run.out, text));
    HM_STATUS_LIST(LISTED)
#undef LISTED
    run_free(&run);
}

static int setup(void **state)
{
    (void)state;
    static const char text[] = "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 10, flow_steps: 1}\n";
    hm_error err;
    char fake[PATH_MAX + 32];
    if (make_case_folder_and_cache() || hm_file_write(in_folder("tiny.yaml"), text, sizeof text - 1, &err))
        return 1;
    snprintf(fake, sizeof fake, "exec '%s' --fake", fake_program());
    setenv("P", HM_PROGRAM, 1);
    setenv("D", folder, 1);
    setenv("F", fake, 1);
    setenv("S", in_folder("tiny.yaml"), 1);
    setenv("db", in_folder("good.db"), 1);
    hm_run run = shell("$P suite $S --variant none --arm a=\"$F good\" --rounds 1 --db $db");
    int code = run.code;
    run_free(&run);
    return code;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_exit_code_is_met), cmocka_unit_test(help_lists_every_code)};
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
