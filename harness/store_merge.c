/* One database goes into another: through a copy of its own version that is checked first, so that nothing is written to the file it
 * comes from and nothing unknown gets into the one it goes to. */
#include <stdlib.h>
#include <string.h>

#include "harness/store_internal.h"

const char *const hm_store_tables[] = {"machine",
                                       "build",
                                       "model",
                                       "suite_case",
                                       "session",
                                       "arm",
                                       "run",
                                       "sample",
                                       "span",
                                       "count",
                                       "output",
                                       "artifact",
                                       "stored_codes",
                                       "fidelity",
                                       "fidelity_codebook",
                                       "frame_time",
                                       "sample_part",
                                       "session_tag",
                                       "verdict",
                                       "baseline",
                                       "calibration",
                                       "machine_figure",
                                       NULL};

/* Rows that may have grown since they were copied: keyed by a UUID, so that the same key is the same thing. */
static const struct {
    const char *table, *update;
} growing[] = {
    {"session",
     " ON CONFLICT(id) DO UPDATE SET ended_utc = excluded.ended_utc, state = excluded.state, interrupted = excluded.interrupted, "
     "rounds = excluded.rounds WHERE excluded.ended_utc > coalesce(t.ended_utc, '')"},
    {"arm", " ON CONFLICT(id) DO UPDATE SET build_id = excluded.build_id WHERE t.build_id IS NULL AND excluded.build_id IS NOT NULL"},
    {"run", " ON CONFLICT(id) DO UPDATE SET dropped_reason = excluded.dropped_reason WHERE t.dropped_reason IS NULL AND "
            "excluded.dropped_reason IS NOT NULL"},
};

static const char *update_of(const char *table)
{
    for (size_t i = 0; i < sizeof growing / sizeof *growing; i++)
        if (!strcmp(growing[i].table, table))
            return growing[i].update;
    return " ON CONFLICT DO NOTHING";
}

/* INSERT of a row with the columns of a statement's answer; malloc'ed, NULL without memory. */
static char *insert_of(const char *table, sqlite3_stmt *rows)
{
    char *sql = NULL;
    size_t size;
    FILE *f = open_memstream(&sql, &size);
    int columns = sqlite3_column_count(rows);
    if (!f)
        return NULL;
    fprintf(f, "INSERT INTO %s AS t(", table);
    for (int i = 0; i < columns; i++)
        fprintf(f, "%s%s", i ? "," : "", sqlite3_column_name(rows, i));
    fputs(") VALUES(", f);
    for (int i = 0; i < columns; i++)
        fputs(i ? ",?" : "?", f);
    fprintf(f, ")%s", update_of(table));
    return fclose(f) ? NULL : sql;
}

static hm_status pour_table(hm_store *from, hm_store *to, const char *table, int64_t *rows, hm_error *err)
{
    hm_query out, in;
    char sql[80], *insert;
    snprintf(sql, sizeof sql, "SELECT * FROM %s", table);
    hm_query_open(&out, from, sql, err);
    insert = out.status ? NULL : insert_of(table, out.stmt);
    if (!insert)
        return out.status ? hm_query_close(&out) : hm_fail(err, HM_EABSENT, "database %s: no memory for table %s", to->path, table);
    hm_query_open(&in, to, insert, err);
    while (!in.status && hm_query_row(&out)) {
        for (int i = 0; i < sqlite3_column_count(out.stmt); i++)
            sqlite3_bind_value(in.stmt, i + 1, sqlite3_column_value(out.stmt, i));
        int64_t before = sqlite3_total_changes64(to->db);
        hm_query_run(&in);
        *rows += sqlite3_total_changes64(to->db) - before;
    }
    free(insert);
    hm_status read = hm_query_close(&out), written = hm_query_close(&in);
    return written ? written : read;
}

hm_status hm_store_pour(hm_store *from, hm_store *to, int64_t *rows, hm_error *err)
{
    *rows = 0;
    hm_status st = hm_store_begin(to, err);
    if (st)
        return st;
    for (int i = 0; hm_store_tables[i] && !st; i++)
        st = pour_table(from, to, hm_store_tables[i], rows, err);
    st = hm_store_finish(to, st, err);
    *rows = st ? 0 : *rows;
    return st;
}

static hm_status copy_pages(hm_store *to, hm_store *from, hm_error *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");
    if (!backup)
        return hm_fail(err, HM_EIO, "database %s: cannot be copied: %s", from->path, sqlite3_errmsg(to->db));
    int code = sqlite3_backup_step(backup, -1); /* waits as long as any statement for a file that is locked */
    sqlite3_backup_finish(backup);
    if (code != SQLITE_DONE)
        return hm_fail(err, code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? HM_EFORMAT : HM_EIO, "database %s: cannot be copied: %s",
                       from->path, sqlite3_errstr(code));
    return HM_OK;
}

/* Pages that SQLite itself calls sound. */
static hm_status check_pages(hm_store *store, hm_error *err)
{
    hm_query q;
    char found[200] = "nothing";
    hm_query_open(&q, store, "PRAGMA quick_check(1)", err);
    if (hm_query_row(&q))
        snprintf(found, sizeof found, "%s", hm_query_text(&q, 0));
    hm_status st = hm_query_close(&q);
    if (st || strcmp(found, "ok"))
        return hm_fail(err, HM_EFORMAT, "database %s: is damaged: %s", store->path, st ? sqlite3_errmsg(store->db) : found);
    return HM_OK;
}

hm_status hm_store_open_copy(hm_store **out, const char *path, hm_error *err)
{
    hm_store *from = NULL, *copy = NULL;
    int version = 0;
    *out = NULL;
    hm_status st = hm_store_open_raw(&from, path, HM_STORE_READ, err);
    if (!st)
        st = hm_store_version(from, &version, err);
    if (!st && !version)
        st = hm_fail(err, HM_EFORMAT, "database %s: is empty", path);
    if (!st)
        st = hm_store_open_scratch(&copy, path, 0, err);
    if (!st)
        st = copy_pages(copy, from, err);
    hm_store_close(&from);
    if (!st)
        st = hm_store_version(copy, &version, err); /* what it is may have changed in between */
    if (!st)
        st = check_pages(copy, err);
    if (!st)
        st = hm_store_check_schema(copy, version, err);
    if (!st)
        st = hm_store_migrate(copy, hm_migration_count, err);
    if (!st)
        st = hm_store_check_values(copy, err);
    if (st)
        hm_store_close(&copy);
    *out = copy;
    return st;
}

hm_status hm_store_merge_into(hm_store **store, const char *db, const char *path, int64_t *rows, hm_error *err)
{
    hm_store *copy = NULL;
    hm_status st = hm_store_open_copy(&copy, path, err);
    if (!st && !*store)
        st = hm_store_open(store, db, HM_STORE_CREATE, err);
    if (!st)
        st = hm_store_pour(copy, *store, rows, err);
    hm_store_close(&copy);
    return st;
}

hm_status hm_store_merge(hm_store *store, const char *path, int64_t *rows, hm_error *err)
{
    return hm_store_merge_into(&store, NULL, path, rows, err);
}
