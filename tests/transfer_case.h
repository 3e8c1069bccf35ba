/* Databases with a row in every table, and files of older versions: what tests of whole files begin with. */
#ifndef HM_TESTS_TRANSFER_CASE_H
#define HM_TESTS_TRANSFER_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/hash.h"
#include "engine/base/map.h"
#include "harness/store.h"
#include "harness/store_internal.h"
#include "tests/store_case.h"

static char folder[64];

static inline int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hm_transfer_XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static inline int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static inline char *in_folder(const char *name)
{
    static char paths[8][160];
    static int next;
    char *out = paths[next++ % 8];
    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

static inline char *read_text(const char *path)
{
    hm_map map = {0};
    hm_error err = {0};
    if (hm_map_read(&map, path, 1 << 24, &err))
        fail_msg("%s", err.text);
    char *text = strdup((const char *)map.data);
    hm_map_close(&map);
    return text;
}

static inline char *fixture(int version)
{
    char path[300];
    snprintf(path, sizeof path, "%s/store/schema%d.sql", HM_TEST_DATA, version);
    return read_text(path);
}

/* As another program would. */
static inline void change_file(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL))
        fail_msg("%.100s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* A file as an older program left it, from the text of its dump. */
static inline void write_old(const char *path, int version)
{
    char *text = fixture(version);
    change_file(path, text);
    free(text);
}

static inline hm_store *open_store(const char *path, hm_store_mode mode)
{
    hm_error err = {0};
    hm_store *store = NULL;
    if (hm_store_open(&store, path, mode, &err))
        fail_msg("%s", err.text);
    return store;
}

/* One cell of an answer; the last 8 are kept. */
static inline const char *cell(hm_store *store, const char *sql)
{
    static char texts[8][512];
    static int next;
    char *out = texts[next++ % 8];
    hm_error err = {0};
    hm_query q;
    hm_query_open(&q, store, sql, &err);
    bool there = hm_query_row(&q);
    const char *text = there ? hm_query_text(&q, 0) : "(no row)";
    snprintf(out, sizeof texts[0], "%s", text ? text : "NULL");
    if (hm_query_close(&q))
        fail_msg("%s: %s", sql, err.text);
    return out;
}

static inline void expect(hm_store *store, const char *sql, const char *wanted)
{
    const char *found = cell(store, sql);
    if (strcmp(found, wanted))
        fail_msg("%s\nexpected %s\nfound    %s", sql, wanted, found);
}

static inline void put_text(const char *path, const char *text)
{
    hm_error err = {0};
    GOOD(hm_file_write(path, text, strlen(text), &err));
}

static inline hm_status import_text(hm_store *store, const char *text, int64_t *rows, hm_error *err)
{
    const char *path = in_folder("import.txt");
    put_text(path, text);
    return hm_store_import(store, &path, 1, rows, err);
}

/* A database of this version with rows in the tables that no older one has. */
static inline hm_store *make_full_store(const char *path)
{
    hm_error err = {0};
    char *text = fixture(6);
    int64_t rows;
    hm_store *store = open_store(path, HM_STORE_CREATE);
    GOOD(import_text(store, text, &rows, &err));
    free(text);
    GOOD(hm_store_exec(store,
                       "UPDATE run SET device = 'GPU', device_uuid = '8680', device_driver = '1.3', device_memory_bytes = 17, software = 1 "
                       "WHERE id = 'r1';"
                       "UPDATE arm SET device = '0', env_profile = 'none', environment = '' WHERE id = 'a1';"
                       "UPDATE run SET dropped_reason = 'throttled' WHERE id IN ('r3', 'r4');"
                       "UPDATE sample SET energy_uj = 1500000, clock_khz = 3000000 WHERE id = 'x1'",
                       &err));
    for (int i = 0; hm_store_tables[i]; i++) { /* a new table has to have a row here, so that what follows is about it too */
        char sql[80];
        snprintf(sql, sizeof sql, "SELECT count(*) > 0 FROM %s", hm_store_tables[i]);
        if (strcmp(cell(store, sql), "1"))
            fail_msg("no row in %s", hm_store_tables[i]);
    }
    return store;
}

/* It is made once; later ones are its bytes. */
static inline hm_store *full_store(const char *path)
{
    static uint8_t *bytes;
    static size_t size;
    hm_error err = {0};
    if (bytes) {
        GOOD(hm_file_write(path, bytes, size, &err));
        return open_store(path, HM_STORE_CREATE);
    }
    hm_map map = {0};
    hm_store *store = make_full_store(path);
    hm_store_close(&store);
    GOOD(hm_map_read(&map, path, 1 << 24, &err));
    bytes = malloc(map.size);
    assert_non_null(bytes);
    size = map.size;
    memcpy(bytes, map.data, size);
    hm_map_close(&map);
    return open_store(path, HM_STORE_CREATE);
}

/* The same as a closed file of the folder, whose path goes into `path`. */
static inline void full_file(char path[160], const char *name)
{
    snprintf(path, 160, "%s", in_folder(name));
    hm_store *store = full_store(path);
    hm_store_close(&store);
}

#endif
