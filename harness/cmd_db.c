#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "harness/commands.h"
#include "harness/suite_report.h"

typedef struct db_args {
    const char *db, *format;
} db_args;

typedef struct writer {
    FILE *file;
    json_t *names; /* of the columns */
    bool json;
    int64_t rows;
} writer;

static void csv_cell(FILE *file, const char *text)
{
    if (!text)
        return;
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    putc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', file);
        putc(*text, file);
    }
    putc('"', file);
}

static hm_status write_names(void *self, int columns, const char *const *names, hm_error *err)
{
    writer *w = self;
    (void)err;
    w->names = json_array();
    for (int i = 0; i < columns; i++) {
        json_array_append_new(w->names, json_string(names[i]));
        if (w->json)
            continue;
        if (i)
            putc(',', w->file);
        csv_cell(w->file, names[i]);
    }
    fputs(w->json ? "[" : "\r\n", w->file);
    return HM_OK;
}

static void json_row(writer *w, int columns, const char *const *values, const bool *numeric)
{
    json_t *o = json_object();
    for (int i = 0; i < columns; i++) {
        const char *name = json_string_value(json_array_get(w->names, (size_t)i));
        json_t *value = !values[i] ? json_null() : json_string(values[i]);
        char *end;
        if (values[i] && numeric[i] && !strpbrk(values[i], ".eEnN")) {
            json_decref(value);
            value = json_integer(strtoll(values[i], NULL, 10));
        } else if (values[i] && numeric[i] && isfinite(strtod(values[i], &end))) {
            json_decref(value);
            value = json_real(strtod(values[i], NULL));
        }
        json_object_set_new(o, name ? name : "", value ? value : json_null());
    }
    char *text = json_dumps(o, JSON_COMPACT);
    fprintf(w->file, "%s\n%s", w->rows ? "," : "", text ? text : "null");
    free(text);
    json_decref(o);
}

static hm_status write_row(void *self, int columns, const char *const *values, const bool *numeric, hm_error *err)
{
    writer *w = self;
    (void)err;
    if (w->json)
        json_row(w, columns, values, numeric);
    else
        for (int i = 0; i < columns; i++) {
            if (i)
                putc(',', w->file);
            csv_cell(w->file, values[i]);
        }
    if (!w->json)
        fputs("\r\n", w->file);
    w->rows++;
    return HM_OK;
}

static hm_status sql(const db_args *a, const hm_strings *words, hm_error *err)
{
    hm_store *store = NULL;
    if (words->count != 2)
        return hm_fail(err, HM_EUSAGE, "db sql: expected one statement, in quotes: hmbench db sql \"SELECT * FROM figure\"");
    hm_status st = hm_store_open(&store, hm_store_path(a->db), HM_STORE_READ, err);
    if (!st && !strcmp(a->format, "table"))
        st = hm_sql_table(store, words->items[1], stdout, err);
    else if (!st) {
        writer w = {.file = stdout, .json = !strcmp(a->format, "json")};
        hm_store_reader reader = {&w, write_names, write_row};
        st = hm_store_ask(store, words->items[1], &reader, err);
        if (w.names && w.json)
            fputs(w.rows ? "\n]\n" : "]\n", stdout);
        json_decref(w.names);
    }
    hm_store_close(&store);
    return st;
}

static hm_status info(const db_args *a, const hm_strings *words, hm_error *err)
{
    hm_store *store = NULL;
    const char *path = hm_store_path(a->db);
    if (words->count != 1)
        return hm_fail(err, HM_EUSAGE, "db info: takes no words; name the file with --db");
    hm_status st = hm_store_open(&store, path, HM_STORE_WRITE, err);
    if (st)
        return st;
    printf("database %s, schema version %d\n", path, hm_store_schema_version());
    st = hm_sql_table(
        store,
        "SELECT 'machines' AS \"table\", count(*) AS \">rows\" FROM machine UNION ALL SELECT 'builds', count(*) FROM build UNION ALL "
        "SELECT 'models', count(*) FROM model UNION ALL SELECT 'cases', count(*) FROM suite_case UNION ALL "
        "SELECT 'sessions', count(*) FROM session UNION ALL SELECT 'runs', count(*) FROM run UNION ALL "
        "SELECT 'samples', count(*) FROM sample UNION ALL SELECT 'stored codes', count(*) FROM stored_codes",
        stdout, err);
    if (!st)
        st = hm_sql_table(
            store,
            "SELECT s.id AS session, s.created_utc AS begun, s.state, s.rounds AS \">rounds\", "
            "(SELECT count(*) FROM run r WHERE r.session_id = s.id) AS \">runs\", "
            "(SELECT count(*) FROM run r WHERE r.session_id = s.id AND r.status <> 'ok') AS \">failed\", s.command_line AS command "
            "FROM session s ORDER BY s.created_utc, s.id",
            stdout, err);
    hm_store_close(&store);
    return st;
}

static hm_status merge(const db_args *a, const hm_strings *words, hm_error *err)
{
    hm_store *store = NULL;
    if (words->count < 2)
        return hm_fail(err, HM_EUSAGE, "db merge: name the files whose contents come into --db");
    hm_status st = hm_store_open(&store, hm_store_path(a->db), HM_STORE_CREATE, err);
    for (int i = 1; i < words->count && !st; i++) {
        int64_t rows = 0;
        st = hm_store_merge(store, words->items[i], &rows, err);
        if (!st)
            fprintf(stderr, "%s: %lld new rows\n", words->items[i], (long long)rows);
    }
    hm_store_close(&store);
    return st;
}

hm_status hm_cmd_db(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const formats[] = {"table", "json", "csv", NULL};
    static const char *const words[] = {"sql", "info", "merge", NULL};
    db_args a = {.format = "table"};
    const hm_option options[] = {{"db", 0, HM_OPT_STRING, &a.db, "FILE", "database ($HMBENCH_DB, else hmbench-out/hmbench.db)", 0, 0, NULL},
                                 {"output", 'o', HM_OPT_STRING, &a.format, "FORMAT", "of sql's answer", 0, 0, formats},
                                 {0}};
    hm_strings given = {.count = 0};
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, &given, 256, &helped, err);
    if (st || helped)
        return st;
    const char *word = given.count ? given.items[0] : "";
    if (!strcmp(word, "sql"))
        return sql(&a, &given, err);
    if (!strcmp(word, "info"))
        return info(&a, &given, err);
    if (!strcmp(word, "merge"))
        return merge(&a, &given, err);
    const char *near = hm_nearest(word, words);
    return hm_fail(err, HM_EUSAGE, "db %s: expected sql, info or merge%s%s", word, near ? "; did you mean " : "", near ? near : "");
}
