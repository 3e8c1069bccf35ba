/* What is in a database, as text for other programs and for hm_store_import. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "harness/store_transfer.h"

const hm_export_part hm_export_run_parts[] = {{"session", "session", "session_id", false},
                                              {"machine", "machine", "machine_id", true},
                                              {"build", "build", "build_id", true},
                                              {"arm", "arm", "arm_id", false},
                                              {"case", "suite_case", "case_id", false},
                                              {"model", "model", "model_id", false},
                                              {NULL, NULL, NULL, false}};
const hm_export_part hm_export_sample_parts[] = {{"spans", "span", "sample_id", false},
                                                 {"counts", "count", "sample_id", false},
                                                 {"output", "output", "sample_id", false},
                                                 {"frame_times", "frame_time", "sample_id", false},
                                                 {"parts", "sample_part", "sample_id", false},
                                                 {NULL, NULL, NULL, false}};

/* JSON ------------------------------------------------------------------------------------------------------------------------------ */

static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    char *plain = strdup(text); /* no UTF-8: a path may be anything */
    for (char *p = plain; plain && *p; p++)
        if (*p & 0x80)
            *p = '?';
    value = plain ? json_string(plain) : NULL;
    free(plain);
    return value;
}

static json_t *blob_value(const void *data, int bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * (size_t)bytes + 1);
    if (!text)
        return NULL;
    for (int i = 0; i < bytes; i++) {
        uint8_t byte = ((const uint8_t *)data)[i];
        text[2 * i] = digits[byte >> 4];
        text[2 * i + 1] = digits[byte & 15];
    }
    json_t *value = json_stringn(text, 2 * (size_t)bytes);
    free(text);
    return value;
}

static json_t *column_value(sqlite3_stmt *stmt, int column)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(stmt, column));
    case SQLITE_FLOAT: {
        double value = sqlite3_column_double(stmt, column);
        return isfinite(value) ? json_real(value) : json_string(value > 0 ? "inf" : "-inf");
    }
    case SQLITE_TEXT:
        return text_value((const char *)sqlite3_column_text(stmt, column));
    case SQLITE_BLOB:
        return blob_value(sqlite3_column_blob(stmt, column), sqlite3_column_bytes(stmt, column));
    default:
        return json_null();
    }
}

/* The current row; `left_out`: a column that what is around it has. */
static json_t *row_value(hm_query *q, const char *left_out)
{
    json_t *o = json_object();
    for (int i = 0; i < sqlite3_column_count(q->stmt); i++) {
        const char *name = sqlite3_column_name(q->stmt, i);
        if (!left_out || strcmp(name, left_out))
            json_object_set_new(o, name, column_value(q->stmt, i));
    }
    return o;
}

/* The rows of a table whose column `key` is `value`: an array, or with `one` an object or null. */
static hm_status rows_of(hm_store *store, const char *table, const char *key, const char *value, bool one, json_t **out, hm_error *err)
{
    hm_query q;
    char sql[200];
    json_t *found = one ? json_null() : json_array();
    snprintf(sql, sizeof sql, "SELECT * FROM %s WHERE %s = :key ORDER BY 1, 2, 3", table, key);
    hm_query_open(&q, store, sql, err);
    hm_bind_text(&q, ":key", value);
    while (hm_query_row(&q)) {
        if (!one)
            json_array_append_new(found, row_value(&q, key));
        else
            found = row_value(&q, NULL);
        if (one)
            break;
    }
    *out = found;
    return hm_query_close(&q);
}

/* A sample with what is kept per sample in tables of their own. */
static hm_status samples_of(hm_store *store, const char *run_id, json_t *run, hm_error *err)
{
    json_t *samples = NULL, *sample;
    size_t i;
    hm_status st = rows_of(store, "sample", "run_id", run_id, false, &samples, err);
    json_array_foreach(samples, i, sample)
    {
        const char *id = json_string_value(json_object_get(sample, "id"));
        for (const hm_export_part *p = hm_export_sample_parts; p->table && !st; p++) {
            json_t *part = NULL;
            st = rows_of(store, p->table, p->column, id ? id : "", false, &part, err);
            json_object_set_new(sample, p->key, part);
        }
    }
    json_object_set_new(run, "samples", samples);
    return st;
}

static hm_status run_object(hm_store *store, hm_query *runs, json_t **out, hm_error *err)
{
    json_t *o = json_object(), *row = row_value(runs, NULL);
    hm_status st = HM_OK;
    *out = o;
    json_object_set_new(o, "schema_version", json_integer(HM_EXPORT_SCHEMA_VERSION));
    json_object_set_new(o, "kind", json_string("run"));
    for (const hm_export_part *p = hm_export_run_parts; p->table && !st; p++) {
        json_t *part = NULL;
        /* a session says its machine and build, a run the rest */
        const char *id = json_string_value(json_object_get(p->of_session ? json_object_get(o, "session") : row, p->column));
        st = rows_of(store, p->table, "id", id ? id : "", true, &part, err);
        json_object_set_new(o, p->key, part);
    }
    char *id = strdup(json_string_value(json_object_get(row, "id")) ? json_string_value(json_object_get(row, "id")) : "");
    json_object_set_new(o, "run", row);
    if (!st)
        st = id ? samples_of(store, id, o, err) : hm_fail(err, HM_EABSENT, "export: out of memory");
    free(id);
    return st;
}

typedef struct objects {
    FILE *file;
    bool array;
    int64_t count;
} objects;

static hm_status put_object(objects *to, json_t *o, hm_error *err)
{
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return hm_fail(err, HM_EABSENT, "export: no memory for a row");
    if (to->array)
        fprintf(to->file, "%s\n%s", to->count ? "," : "", text);
    else
        fprintf(to->file, "%s\n", text);
    to->count++;
    free(text);
    return HM_OK;
}

/* Tables whose rows are all in the objects of runs. */
static bool of_runs(const char *table)
{
    if (!strcmp(table, "run") || !strcmp(table, "sample"))
        return true;
    for (const hm_export_part *p = hm_export_sample_parts; p->table; p++)
        if (!strcmp(p->table, table))
            return true;
    return false;
}

/* Only what no run refers to: the others come with their runs. */
static const char *unused_rows(const char *table)
{
    static const struct {
        const char *table, *where;
    } used[] = {{"machine", "id NOT IN (SELECT s.machine_id FROM run r JOIN session s ON s.id = r.session_id)"},
                {"build", "id NOT IN (SELECT s.build_id FROM run r JOIN session s ON s.id = r.session_id)"},
                {"model", "id NOT IN (SELECT model_id FROM run WHERE model_id IS NOT NULL)"},
                {"suite_case", "id NOT IN (SELECT case_id FROM run)"},
                {"session", "id NOT IN (SELECT session_id FROM run)"},
                {"arm", "id NOT IN (SELECT arm_id FROM run)"}};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        if (!strcmp(used[i].table, table))
            return used[i].where;
    return "true";
}

static hm_status put_rows(hm_store *store, const char *table, objects *to, hm_error *err)
{
    hm_query q;
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT * FROM %s WHERE %s ORDER BY 1, 2, 3", table, unused_rows(table));
    hm_query_open(&q, store, sql, err);
    while (hm_query_row(&q)) {
        json_t *o = json_pack("{s:i, s:s, s:s, s:o}", "schema_version", HM_EXPORT_SCHEMA_VERSION, "kind", "row", "table", table, "values",
                              row_value(&q, NULL));
        q.status = put_object(to, o, err);
    }
    return hm_query_close(&q);
}

static hm_status write_objects(hm_store *store, objects *to, hm_error *err)
{
    hm_status st = HM_OK;
    hm_query q;
    hm_query_open(
        &q, store,
        "SELECT r.* FROM run r JOIN session s ON s.id = r.session_id ORDER BY s.created_utc, s.id, r.round, r.slot, r.case_id, r.id", err);
    while (hm_query_row(&q)) {
        json_t *o = NULL;
        q.status = run_object(store, &q, &o, err);
        if (q.status)
            json_decref(o);
        else
            q.status = put_object(to, o, err);
    }
    st = hm_query_close(&q);
    for (int i = 0; hm_store_tables[i] && !st; i++)
        if (!of_runs(hm_store_tables[i]))
            st = put_rows(store, hm_store_tables[i], to, err);
    return st;
}

/* SQL ------------------------------------------------------------------------------------------------------------------------------- */

hm_status hm_export_sql_head(int version, char **out, hm_error *err)
{
    hm_store *fresh = NULL;
    hm_query q;
    size_t size = 0;
    *out = NULL;
    hm_status st = hm_store_open_scratch(&fresh, "schema", version, err);
    if (st)
        return st;
    FILE *f = open_memstream(out, &size);
    if (!f) {
        hm_store_close(&fresh);
        return hm_fail(err, HM_EABSENT, "export: out of memory");
    }
    fprintf(f, HM_EXPORT_SQL_FIRST "%d\nPRAGMA foreign_keys = OFF;\nBEGIN;\nPRAGMA application_id = %d;\nPRAGMA user_version = %d;\n",
            version, HM_STORE_APPLICATION_ID, version);
    hm_query_open(&q, fresh, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid", err);
    while (hm_query_row(&q))
        fprintf(f, "%s;\n", hm_query_text(&q, 0));
    st = hm_query_close(&q);
    hm_store_close(&fresh);
    if (fclose(f) && !st)
        st = hm_fail(err, HM_EABSENT, "export: out of memory");
    if (st) {
        free(*out);
        *out = NULL;
    }
    return st;
}

/* SELECT of a table's columns as SQL writes them; names: "(a, b)" into `names`. malloc'ed. */
static hm_status quoting(hm_store *store, const char *table, char **sql, char **names, hm_error *err)
{
    hm_query q;
    size_t a, b;
    FILE *select = open_memstream(sql, &a), *list = open_memstream(names, &b);
    if (!select || !list)
        return hm_fail(err, HM_EABSENT, "export: out of memory");
    hm_query_open(&q, store, "SELECT name FROM pragma_table_info(:table)", err);
    hm_bind_text(&q, ":table", table);
    fputs("SELECT ", select);
    for (int i = 0; hm_query_row(&q); i++) {
        const char *name = hm_query_text(&q, 0);
        /* quote() has no word for an infinite number that SQLite reads back */
        fprintf(
            select,
            "%sCASE WHEN typeof(\"%s\") = 'real' AND abs(\"%s\") > 1.7e308 THEN iif(\"%s\" > 0, '9e999', '-9e999') ELSE quote(\"%s\") END",
            i ? ", " : "", name, name, name, name);
        fprintf(list, "%s%s", i ? "," : "", name);
    }
    fprintf(select, " FROM %s ORDER BY 1, 2, 3", table);
    hm_status st = hm_query_close(&q);
    if ((fclose(select) | fclose(list)) && !st)
        st = hm_fail(err, HM_EABSENT, "export: out of memory");
    return st;
}

static hm_status dump_table(hm_store *store, const char *table, FILE *file, hm_error *err)
{
    hm_query q;
    char *sql = NULL, *names = NULL;
    hm_status st = quoting(store, table, &sql, &names, err);
    if (!st) {
        hm_query_open(&q, store, sql, err);
        while (hm_query_row(&q)) {
            fprintf(file, "INSERT INTO %s(%s) VALUES(", table, names);
            for (int i = 0; i < sqlite3_column_count(q.stmt); i++)
                fprintf(file, "%s%s", i ? "," : "", hm_query_text(&q, i));
            fputs(");\n", file);
        }
        st = hm_query_close(&q);
    }
    free(sql);
    free(names);
    return st;
}

static hm_status write_sql(hm_store *store, FILE *file, hm_error *err)
{
    char *head = NULL;
    hm_status st = hm_export_sql_head(hm_migration_count, &head, err);
    if (!st)
        fputs(head, file);
    free(head);
    for (int i = 0; hm_store_tables[i] && !st; i++)
        st = dump_table(store, hm_store_tables[i], file, err);
    if (!st)
        fputs(HM_EXPORT_SQL_LAST, file);
    return st;
}

/* ----------------------------------------------------------------------------------------------------------------------------------- */

hm_status hm_store_export(const char *path, const char *session, hm_export_format format, FILE *file, hm_error *err)
{
    hm_store *copy = NULL; /* of one moment, whatever is written to the file meanwhile */
    char id[HM_UUID_TEXT];
    hm_status st = hm_store_open_copy(&copy, path, err);
    if (!st && session)
        st = hm_store_find_session(copy, session, id, err);
    if (!st && session)
        st = hm_store_keep_session(copy, id, err);
    if (!st && format == HM_EXPORT_SQL) {
        st = write_sql(copy, file, err);
    } else if (!st) {
        objects to = {file, format == HM_EXPORT_JSON, 0};
        if (to.array)
            fputc('[', file);
        st = write_objects(copy, &to, err);
        if (to.array && !st)
            fputs(to.count ? "\n]\n" : "]\n", file);
    }
    hm_store_close(&copy);
    return st;
}
