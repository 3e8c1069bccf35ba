/* A folder for tests of gate and calibrate: a suite of two short cases, a tiny model, and main's build: a copy of this one, or a script
 * that changes what its worker says. */
#ifndef HM_TESTS_GATE_CASE_H
#define HM_TESTS_GATE_CASE_H

#include "tests/cli_case.h"

#include <sys/stat.h>

#include "harness/store.h"
#include "harness/store_internal.h"

#define QUICK "best:codec_len=needed,flow_steps=1"
#define PLAIN "naive:codec_len=needed,flow_steps=1"
#define GATE(...) \
    run_program("gate", in_folder("tiny.yaml"), "--model", "heartmula-tiny", "--db", in_folder("x.db"), "-q", "--settle", "0", __VA_ARGS__)

/* The first cell of the first row. */
static inline const char *ask(const char *sql)
{
    static char answer[200];
    hm_store *store = NULL;
    hm_error err = {0};
    hm_query q;
    if (hm_store_open(&store, in_folder("x.db"), HM_STORE_READ, &err))
        fail_msg("%s", err.text);
    hm_query_open(&q, store, sql, &err);
    snprintf(answer, sizeof answer, "%s", hm_query_row(&q) && hm_query_text(&q, 0) ? hm_query_text(&q, 0) : "NULL");
    if (hm_query_close(&q))
        fail_msg("%s", err.text);
    hm_store_close(&store);
    return answer;
}

/* A program beside whose worker `filter` stands, as main's build. */
static inline char *wrapped(const char *name, const char *filter)
{
    char text[1200];
    int n = snprintf(text, sizeof text, "#!/bin/sh\nHMBENCH_MODULES='%s' exec sh -c '\"%s\" \"$@\" %s' sh \"$@\"\n",
                     in_folder("main/variants"), HM_PROGRAM, filter);
    put(name, text, (size_t)n);
    assert_int_equal(chmod(in_folder(name), 0755), 0);
    return in_folder(name);
}

static inline char *text_of(const char *name)
{
    hm_map map = {0};
    hm_error err = {0};
    if (hm_map_open(&map, in_folder(name), &err))
        fail_msg("%s", err.text);
    char *text = strndup((const char *)map.data, map.size);
    hm_map_close(&map);
    return text;
}

static inline void expect_text(const char *name, const char *wanted)
{
    char *text = text_of(name);
    if (!strstr(text, wanted))
        fail_msg("%s: expected \"%s\" in:\n%s", name, wanted, text);
    free(text);
}

static inline int make_gate_folder(void **state)
{
    (void)state;
    static const char suite[] =
        "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: la, frames: 4}\n  - {name: b, tags: t, lyrics: la la, frames: 3}\n";
    char modules[400], command[1200];
    if (make_case_folder_and_cache())
        return -1;
    put("tiny.yaml", suite, sizeof suite - 1);
    snprintf(modules, sizeof modules, "%s", HM_PROGRAM);
    *strrchr(modules, '/') = 0;
    snprintf(command, sizeof command, "mkdir '%s' && cp '%s' '%s' && ln -s '%s/variants' '%s'", in_folder("main"), HM_PROGRAM,
             in_folder("main/hmbench"), modules, in_folder("main/variants"));
    return system(command);
}

#endif
