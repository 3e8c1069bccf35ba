/* A folder for a test of the command line, and what is expected of the program's runs and files in it. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: pipe2"
#endif
#ifndef HM_TESTS_CLI_CASE_H
#define HM_TESTS_CLI_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>

#include "engine/base/map.h"
#include "tests/run_program.h"

static char folder[] = "/tmp/hmbench-cli-XXXXXX"; /* a template until make_case_folder */

/* The last 16 answers are kept. */
static inline char *in_folder(const char *name)
{
    static char paths[16][256];
    static int next;
    char *out = paths[next++ % 16];
    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

static inline int make_case_folder(void)
{
    return mkdtemp(folder) ? 0 : -1;
}

/* The folder, in which synthetic models go as well. */
static inline int make_case_folder_and_cache(void)
{
    return make_case_folder() || setenv("HMBENCH_CACHE", in_folder("cache"), 1);
}

static inline int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static inline void put(const char *name, const char *text, size_t size)
{
    hm_error err;
    assert_int_equal(hm_file_write(in_folder(name), text, size, &err), HM_OK);
}

/* Files in the folder whose names start with `start`. */
static inline int files(const char *start)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += !strncmp(e->d_name, start, strlen(start));
    closedir(d);
    return n;
}

/* One line on stderr that has `text`, nothing on stdout, this code. */
static inline void assert_fails(hm_run run, int code, const char *text)
{
    if (run.code != code || !strstr(run.err, text) || run_lines(run.err) != 1)
        print_error("expected %d and \"%s\"; found %d and:\n%s", code, text, run.code, run.err);
    assert_int_equal(run.code, code);
    assert_non_null(strstr(run.err, text));
    assert_int_equal(run_lines(run.err), 1);
    assert_int_equal(strncmp(run.err, "hmbench: ", 9), 0);
    assert_string_equal(run.out, "");
    run_free(&run);
}

/* What a run that went well says as JSON; the run is still the caller's. */
static inline json_t *result_of(hm_run *run)
{
    if (run->code)
        print_error("exit %d: %s", run->code, run->err);
    assert_int_equal(run->code, 0);
    json_t *result = json_loads(run->out, 0, NULL);
    assert_true(json_is_object(result));
    return result;
}

/* How many bytes they have. */
static inline size_t assert_same_file(const char *one, const char *two)
{
    hm_map a = {0}, b = {0};
    hm_error err;
    assert_int_equal(hm_map_open(&a, one, &err), HM_OK);
    assert_int_equal(hm_map_open(&b, two, &err), HM_OK);
    assert_true(a.size == b.size && !memcmp(a.data, b.data, a.size));
    size_t size = a.size;
    hm_map_close(&a);
    hm_map_close(&b);
    return size;
}

#endif
