/* The database under real use: several hmbench processes at once, a full disk, commands on whole files. */
#define _GNU_SOURCE /* pipe2 */
#include <ctype.h>

#include "tests/cli_case.h"
#include "tests/fake_worker.h"

static const char *suite_file(void)
{
    static const char text[] =
        "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 10}\n  - {name: b, tags: t, lyrics: m, frames: 5}\n";
    put("tiny.yaml", text, sizeof text - 1);
    return in_folder("tiny.yaml");
}

static const char *arm(void)
{
    static char text[PATH_MAX + 64];
    snprintf(text, sizeof text, "one=exec '%s' --fake good", fake_program());
    return text;
}

static hm_run shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A shell command with the program as $P and the test's folder as $D. */
static hm_run shell(const char *format, ...)
{
    char command[8192];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    setenv("P", HM_PROGRAM, 1);
    setenv("D", folder, 1);
    return run_command((char *const[]){(char *)"/bin/bash", (char *)"-c", command, NULL}, NULL, 300, 0);
}

static void expect(hm_run run, int code, const char *out, const char *err)
{
    if (run.code != code || (out && !strstr(run.out, out)) || (err && !strstr(run.err, err)))
        fail_msg("expected %d \"%s\" \"%s\", got %d:\n%s%s", code, out ? out : "", err ? err : "", run.code, run.out, run.err);
    run_free(&run);
}

static int number(const char *name, const char *sql)
{
    hm_run run = run_program("db", "sql", (char *)sql, "--db", in_folder(name), "-o", "csv");
    const char *row = strstr(run.out, "\r\n");
    if (run.code || !row)
        fail_msg("%s: %d: %s", sql, run.code, run.err);
    int n = atoi(row + 2);
    run_free(&run);
    return n;
}

static void several_processes_write_at_once_and_lose_nothing(void **state)
{
    (void)state;
    /* the file is not there yet: they make it at once too; and someone reads all the time */
    hm_run run = shell(
        "trap 'touch $D/stop' EXIT\nfor i in 1 2 3 4; do $P suite '%s' --variant none --arm \"%s\" --rounds 4 --db $D/many.db >/dev/null 2>$D/log$i & p[$i]=$!; done\n"
        "(while [ ! -e $D/stop -a -d $D ]; do [ -e $D/many.db ] && $P db sql 'SELECT count(*) FROM run' --db $D/many.db >/dev/null 2>>$D/reader; "
        "sleep 0.05; done) & reader=$!\n"
        "for i in 1 2 3 4; do wait ${p[$i]} || { cat $D/log$i; exit 1; }; done; touch $D/stop; wait $reader",
        suite_file(), arm());
    expect(run, 0, NULL, NULL);
    assert_int_equal(number("many.db", "SELECT count(*) FROM session WHERE state = 'done'"), 4);
    assert_int_equal(number("many.db", "SELECT count(*) FROM run WHERE status = 'ok'"), 4 * 4 * 2);
    assert_int_equal(number("many.db", "SELECT count(*) FROM sample WHERE NOT warmup"), 4 * 4 * 2);
    assert_int_equal(number("many.db", "SELECT count(*) FROM machine"), 1);
    expect(run_program("db", "check", "--db", in_folder("many.db")), 0, "references  ok", NULL);
}

static void merges_into_one_file_at_once_lose_nothing(void **state)
{
    (void)state;
    expect(shell("for i in 1 2 3; do $P suite '%s' --variant none --arm \"%s\" --rounds 1 --db $D/n$i.db >/dev/null 2>&1 || exit 1; done\n"
                 "for i in 1 2 3; do $P db merge $D/n$i.db --db $D/all.db 2>$D/log$i & p[$i]=$!; done\n"
                 "for i in 1 2 3; do wait ${p[$i]} || { cat $D/log$i; exit 1; }; done\n"
                 "$P db merge $D/n1.db $D/n2.db $D/n3.db $D/all.db --db $D/all.db",
                 suite_file(), arm()),
           0, NULL, "n2.db: 0 new rows");
    assert_int_equal(number("all.db", "SELECT count(*) FROM run"), 6);
    expect(run_program("db", "check", "--db", in_folder("all.db")), 0, NULL, NULL);
}

/* The library that fills the disk lies beside the tests. */
static const char *full_disk(void)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/full_disk.so", (int)(strrchr(fake_program(), '/') - fake_program()), fake_program());
    return path;
}

static void a_full_disk_is_one_clear_line_and_loses_nothing(void **state)
{
    (void)state;
    int failed = 0;
    expect(shell("$P suite '%s' --variant none --arm \"%s\" --rounds 2 --db $D/disk.db", suite_file(), arm()), 0, NULL, NULL);
    for (int room = 0; room < 200000; room += room < 40000 ? 4000 : 20000) {
        assert_int_equal(system("cp \"$D/disk.db\" \"$D/room.db\""), 0);
        hm_run run =
            shell("export LD_PRELOAD='%s' HM_FULL_FOLDER=$D HM_FULL_BYTES=%d ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0\n"
                  "exec $P suite '%s' --variant none --arm \"%s\" --rounds 2 --db $D/room.db",
                  full_disk(), room, suite_file(), arm());
        if (run.code) {
            const char *last = strstr(run.err, "hmbench: ");
            if (run.code != 74 || !last || run_lines(last) != 1 || !(strstr(last, "disk is full") || strstr(last, "No space left")) ||
                !strstr(last, "room.db"))
                fail_msg("room for %d bytes: exit code %d:\n%s", room, run.code, run.err);
            failed++;
        }
        expect(run_program("db", "info", "--db", in_folder("room.db")), 0, NULL, NULL);
        expect(run_program("db", "check", "--db", in_folder("room.db")), 0, NULL, NULL);
        int runs = number("room.db", "SELECT count(*) FROM run");
        assert_true(runs >= 4 && runs <= 8);
        assert_int_equal(number("room.db", "SELECT count(*) FROM sample WHERE NOT warmup"), runs);
        if (run.code && number("room.db", "SELECT count(*) FROM session WHERE state <> 'done'")) /* with room again it goes on */
            expect(run_program("suite", "--resume", "--db", in_folder("room.db")), 0, NULL, NULL);
        if (run.code == 0)
            assert_int_equal(runs, 8);
        run_free(&run);
        expect(shell("rm -f $D/room.db*"), 0, NULL, NULL);
        if (runs == 8)
            break;
    }
    assert_true(failed >= 3);
}

static void exports_come_back_through_the_command_line(void **state)
{
    (void)state;
    expect(shell("$P suite '%s' --variant none --arm \"%s\" --rounds 1 --db $D/a.db 2>&1", suite_file(), arm()), 0, NULL, NULL);
    expect(
        shell(
            "cd $D; $P db export -o sql --db a.db >a.sql; for f in json jsonl sql; do $P db export -o $f --db a.db >a.$f && $P db import a.$f --db b-$f.db && "
            "$P db import a.$f --db b-$f.db && $P db export -o sql --db b-$f.db | cmp - a.sql || exit 1; done"),
        0, NULL, ": 0 new rows");
    expect(shell("cd $D; $P db export -o csv --db a.db --session last | cut -d, -f1-3"), 0, "session_begun,session_kind,host_id\n", NULL);
    expect(shell("cd $D; $P db export --db a.db --session nobody"), 66, NULL, "no session \"nobody\"");
    expect(shell("cd $D; $P db merge a.json --db c.db"), 65, NULL, "not a database");
    expect(shell("cd $D; $P db import a.db --db c.db"), 65, NULL, "hmbench db merge");
    expect(shell("cd $D; $P db merge none.db --db c.db"), 66, NULL, "none.db");
    assert_int_equal(files("c.db"), 0); /* nothing is made before there is something to put into it */
    expect(shell("cd $D; $P db merge a.db a.json --db c.db"), 65, NULL, "not a database");
    assert_int_equal(files("c.db"), 1);
    expect(shell("cd $D; $P db export --db a.db >/dev/full"), 74, NULL, "standard output");
}

static void the_other_commands_say_what_they_do(void **state)
{
    (void)state;
    expect(run_program("db", "init", "--db", in_folder("new/er.db")), 0, NULL, "schema version");
    expect(run_program("db", "init", "--db", in_folder("new/er.db")), 73, NULL, "is there already");
    expect(run_program("db", "check", "--db", in_folder("new/er.db")), 0, "tables      ok", NULL);
    expect(run_program("db", "prune", "--db", in_folder("new/er.db")), 64, NULL, "say what goes");
    expect(run_program("db", "prune", "--before", "soon", "--db", in_folder("new/er.db")), 64, NULL, "2006-01-02");
    expect(run_program("db", "prune", "--keep-days", "3", "--before", "2006-01-02", "--db", in_folder("new/er.db")), 64, NULL, "the same");
    expect(run_program("db", "prune", "--session", "last", "--db", in_folder("new/er.db")), 66, NULL, "no session");
    expect(run_program("db", "prune", "--keep-days", "30", "--dry-run", "--db", in_folder("new/er.db")), 0, NULL, "would remove 0 runs");
    expect(run_program("db", "check", "--db", in_folder("none.db")), 66, NULL, "no such file");
    expect(run_program("db", "chekc"), 64, NULL, "did you mean \"check\"");
    expect(run_program("db"), 64, NULL, "expected init, info");
    expect(run_program("db", "export", "--help"), 0, "csv: a line per sample", NULL);
    expect(run_program("db", "export", "-o", "xml"), 64, NULL, "one of json");
    expect(run_program("db", "prune", "--droped"), 64, NULL, "did you mean --dropped");
    expect(run_program("db", "--help"), 0, "hmbench db prune", NULL);
    expect(shell("sqlite3 $D/foreign.db 'CREATE TABLE t(a)' && $P db check --db $D/foreign.db"), 65, NULL, "another program");
    expect(shell("cp $D/new/er.db $D/bad.db && printf 'x%%.0s' {1..3000} | dd of=$D/bad.db bs=1 seek=4096 conv=notrunc 2>/dev/null; "
                 "$P db check --db $D/bad.db"),
           1, "WRONG", "db check");
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/hmbench-cli-XXXXXX");
    return make_case_folder();
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, remove_folder)
    const struct CMUnitTest tests[] = {CASE(several_processes_write_at_once_and_lose_nothing),
                                       CASE(merges_into_one_file_at_once_lose_nothing),
                                       CASE(a_full_disk_is_one_clear_line_and_loses_nothing),
                                       CASE(exports_come_back_through_the_command_line), CASE(the_other_commands_say_what_they_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
