/* `hmbench suite` is killed with SIGKILL at random points: what was measured is there, the file is sound, no worker stays behind, and
 * --resume completes the session with exactly what is missing. The test program is its own fake worker. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: pipe2"
#endif
#ifndef HM_TESTS_KILL_CASE_H
#define HM_TESTS_KILL_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>

#include "engine/base/map.h"
#include "tests/fake_worker.h"
#include "tests/run_program.h"

enum {
    KILL_ROUNDS = 3,
    KILL_RUNS = KILL_ROUNDS * 2 * 2
}; /* of two arms on two cases */

static char kill_folder[64], kill_db[96], kill_suite[96], kill_log[96], kill_token[80];
static char kill_arms[2][PATH_MAX + 160];

static inline int kill_setup(void **state)
{
    static const char text[] =
        "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 10}\n  - {name: b, tags: t, lyrics: m, frames: 5}\n";
    hm_error err = {0};
    (void)state;
    snprintf(kill_folder, sizeof kill_folder, "/tmp/hm_kill_XXXXXX");
    if (!mkdtemp(kill_folder))
        return 1;
    snprintf(kill_db, sizeof kill_db, "%s/test.db", kill_folder);
    snprintf(kill_log, sizeof kill_log, "%s/log", kill_folder);
    snprintf(kill_suite, sizeof kill_suite, "%s/tiny.yaml", kill_folder);
    snprintf(kill_token, sizeof kill_token, "%s-worker", kill_folder);
    for (int i = 0; i < 2; i++)
        snprintf(kill_arms[i], sizeof kill_arms[i], "%s=exec '%s' --fake good '%s'", i ? "two" : "one", fake_program(), kill_token);
    return hm_file_write(kill_suite, text, sizeof text - 1, &err);
}

static inline int kill_teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", kill_folder);
    return system(command);
}

/* Processes whose command line has the token: workers of ours. */
static inline int kill_workers(void)
{
    int n = 0;
    DIR *d = opendir("/proc");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], text[PATH_MAX + 400];
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        int f = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = f < 0 ? 0 : read(f, text, sizeof text);
        if (f >= 0)
            close(f);
        /* the shell that becomes the worker and the suite itself have it too, within an argument */
        n += size > 0 && memmem(text, (size_t)size, kill_token, strlen(kill_token)) && !memmem(text, (size_t)size, "\0suite", 6);
    }
    closedir(d);
    return n;
}

/* The suite in a process of its own, killed after so many seconds (0: left alone). Its exit status as waitpid tells it. */
static inline int kill_run(double seconds)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        int log = open(kill_log, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(log, 2);
        dup2(open("/dev/null", O_WRONLY), 1);
        char rounds[16];
        snprintf(rounds, sizeof rounds, "%d", KILL_ROUNDS);
        execl(HM_PROGRAM, HM_PROGRAM, "suite", kill_suite, "--variant", "none", "--arm", kill_arms[0], "--arm", kill_arms[1], "--rounds",
              rounds, "--db", kill_db, NULL);
        _exit(127);
    }
    assert_true(child > 0);
    if (seconds > 0) {
        struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
        nanosleep(&t, NULL);
        kill(child, SIGKILL);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Runs that the killed one had told of. */
static inline int kill_told(void)
{
    hm_map map = {0};
    hm_error err = {0};
    int n = 0;
    if (hm_map_read(&map, kill_log, 1 << 20, &err))
        return 0;
    for (const char *p = (const char *)map.data; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        n += !strncmp(p, "round ", 6) && memmem(p, strcspn(p, "\n"), "  ETA ", 6);
    hm_map_close(&map);
    return n;
}

static inline int kill_number(const char *sql)
{
    hm_run run = run_program("db", "sql", (char *)sql, "--db", kill_db, "-o", "csv");
    const char *row = strstr(run.out, "\r\n");
    if (run.code || !row)
        fail_msg("%s: exit code %d: %s", sql, run.code, run.err);
    int n = atoi(row + 2);
    run_free(&run);
    return n;
}

static inline void kill_check(void)
{
    hm_run run = run_program("db", "check", "--db", kill_db);
    if (run.code)
        fail_msg("db check: %d\n%s%s", run.code, run.out, run.err);
    run_free(&run);
}

/* One kill, and what has to hold after it. Returns how many runs were there. */
static inline int kill_once(double seconds)
{
    int told, stored;
    kill_run(seconds);
    told = kill_told();
    bool there = !access(kill_db, F_OK);
    for (int i = 0; kill_workers() && i < 300; i++) {
        struct timespec t = {0, 10000000};
        nanosleep(&t, NULL);
    }
    assert_int_equal(kill_workers(), 0);
    if (!there) { /* before it began */
        assert_int_equal(told, 0);
        return 0;
    }
    kill_check();
    hm_run info = run_program("db", "info", "--db", kill_db); /* even when the schema was not whole */
    assert_int_equal(info.code, 0);
    run_free(&info);
    stored = kill_number("SELECT count(*) FROM run");
    assert_true(stored == told || stored == told + 1); /* stored first, told then */
    int open = kill_number("SELECT count(*) FROM session WHERE state <> 'done'");
    hm_run resumed = run_program("suite", "--resume", "--db", kill_db);
    if (!open) { /* nothing to go on with: not begun, or done */
        assert_int_equal(resumed.code, 66);
        assert_int_equal(stored, kill_number("SELECT count(*) FROM session") ? KILL_RUNS : 0);
    } else {
        if (resumed.code)
            fail_msg("killed after %.3f s with %d runs stored; --resume: %d\n%s", seconds, stored, resumed.code, resumed.err);
        assert_int_equal(kill_number("SELECT count(*) FROM run WHERE status = 'ok'"), KILL_RUNS);
        assert_int_equal(kill_number("SELECT count(*) FROM (SELECT DISTINCT arm_id, case_id, round FROM run)"), KILL_RUNS);
        assert_int_equal(kill_number("SELECT count(*) FROM sample WHERE NOT warmup"), KILL_RUNS);
        assert_int_equal(kill_number("SELECT count(*) FROM session WHERE state = 'done'"), 1);
        kill_check();
    }
    run_free(&resumed);
    return stored;
}

/* `times` kills, from the very beginning to a little after the end, at points that the seed decides; not longer than deadline_s. */
static inline void kill_often(int times, double deadline_s)
{
    double begin = run_now();
    assert_int_equal(kill_run(0), 0);
    double whole = run_now() - begin;
    int between = 0, done = 0;
    uint64_t random = 20;
    unlink(kill_db);
    for (; done < times && run_now() - begin < deadline_s; done++) {
        char command[200];
        random = random * 6364136223846793005u + 1442695040888963407u;
        int stored = kill_once(1e-3 + whole * 1.05 * (double)(random >> 11) / 9007199254740992.0);
        between += stored > 0 && stored < KILL_RUNS;
        snprintf(command, sizeof command, "rm -f '%s'*", kill_db);
        assert_int_equal(system(command), 0);
    }
    print_message("%d kills over %.2f s each, %d of them between two runs\n", done, whole, between);
    assert_true(done >= times / 4 && between >= done / 4); /* slow machines do less of it, none does nothing */
}

#endif
