#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "harness/cmd_db.h"
#include "harness/suite_report.h"
#include "reports/sheet_write.h" /* hm_csv_put */

typedef struct writer {
    FILE *file;
    json_t *names;    /* of the columns */
    bool json, lines; /* lines: an object a line, no array around them */
    int64_t rows;
} writer;

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
        hm_csv_put(names[i], w->file);
    }
    fputs(w->lines ? "" : w->json ? "[" : "\r\n", w->file);
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
    if (w->lines)
        fprintf(w->file, "%s\n", text ? text : "null");
    else
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
            hm_csv_put(values[i] ? values[i] : "", w->file);
        }
    if (!w->json)
        fputs("\r\n", w->file);
    w->rows++;
    return HM_OK;
}

hm_status hm_db_ask(hm_store *store, const char *statement, const char *format, hm_error *err)
{
    if (!strcmp(format, "table"))
        return hm_sql_table(store, statement, stdout, err);
    bool lines = !strcmp(format, "jsonl"), json = lines || !strcmp(format, "json");
    writer w = {.file = stdout, .json = json, .lines = lines};
    hm_store_reader reader = {&w, write_names, write_row};
    hm_status st = hm_store_ask(store, statement, &reader, err);
    if (w.names && json && !lines)
        fputs(w.rows ? "\n]\n" : "]\n", stdout);
    json_decref(w.names);
    return st;
}

static hm_status sql(const hm_command *self, int argc, char **argv, hm_error *err)
{
    static const char *const formats[] = {"table", "json", "jsonl", "csv", NULL};
    const char *db = NULL, *format = "table";
    const hm_option options[] = {HM_DB_OPTION(db), {"output", 'o', HM_OPT_STRING, &format, "FORMAT", "of the answer", 0, 0, formats}, {0}};
    hm_strings words = {.count = 0};
    hm_store *store = NULL;
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, &words, 256, &helped, err);
    if (st || helped)
        return st;
    if (words.count != 1)
        return hm_fail(err, HM_EUSAGE, "db sql: expected one statement, in quotes: hmbench db sql \"SELECT * FROM figure\"");
    st = hm_store_open(&store, hm_store_path(db), HM_STORE_READ, err);
    if (!st)
        st = hm_db_ask(store, words.items[0], format, err);
    hm_store_close(&store);
    return st;
}

static hm_status init(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const char *db = NULL;
    const hm_option options[] = {HM_DB_OPTION(db), {0}};
    hm_store *store = NULL;
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    if (!access(hm_store_path(db), F_OK))
        return hm_fail(err, HM_ECREATE, "db init: %s is there already; `hmbench db info` tells what it holds", hm_store_path(db));
    st = hm_store_open(&store, hm_store_path(db), HM_STORE_CREATE, err);
    hm_store_close(&store);
    if (!st)
        fprintf(stderr, "made %s, schema version %d\n", hm_store_path(db), hm_store_schema_version());
    return st;
}

static hm_status info(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const char *db = NULL;
    const hm_option options[] = {HM_DB_OPTION(db), {0}};
    hm_store *store = NULL;
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (!st && !helped)
        st = hm_store_open(&store, hm_store_path(db), HM_STORE_WRITE, err);
    if (st || helped)
        return st;
    printf("database %s, schema version %d\n", hm_store_path(db), hm_store_schema_version());
    st = hm_sql_table(
        store,
        "SELECT 'machines' AS \"table\", count(*) AS \">rows\" FROM machine UNION ALL SELECT 'builds', count(*) FROM build UNION ALL "
        "SELECT 'models', count(*) FROM model UNION ALL SELECT 'cases', count(*) FROM suite_case UNION ALL "
        "SELECT 'sessions', count(*) FROM session UNION ALL SELECT 'runs', count(*) FROM run UNION ALL "
        "SELECT 'samples', count(*) FROM sample UNION ALL SELECT 'stored codes', count(*) FROM stored_codes UNION ALL "
        "SELECT 'verdicts', count(*) FROM verdict UNION ALL SELECT 'baselines', count(DISTINCT name) FROM baseline",
        stdout, err);
    if (!st)
        st = hm_sql_table(store,
                          "SELECT s.id AS session, s.created_utc AS begun, s.kind, s.state, s.rounds AS \">rounds\", "
                          "(SELECT count(*) FROM run r WHERE r.session_id = s.id) AS \">runs\", "
                          "(SELECT count(*) FROM run r WHERE r.session_id = s.id AND r.status <> 'ok') AS \">failed\", "
                          "(SELECT count(*) FROM run r WHERE r.session_id = s.id AND r.dropped_reason IS NOT NULL) AS \">set aside\", "
                          "s.command_line AS command FROM session s ORDER BY s.created_utc, s.id",
                          stdout, err);
    hm_store_close(&store);
    return st;
}

static hm_status schema(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const hm_option none[] = {{0}};
    bool helped;
    hm_status st = hm_options_parse(self, none, argc, argv, NULL, 0, &helped, err);
    return st || helped ? st : hm_store_json_schema(stdout, err);
}

/* What can be done with the database; each has options and help of its own. */
static const hm_command verbs[] = {
    {"db init", init, "an empty database", "db init [--db FILE]", "hmbench db init --db nightly.db"},
    {"db info", info, "what it holds; brings an older one up to date", "db info [--db FILE]",
     "hmbench db info\nhmbench db info --db node1.db"},
    {"db sql", sql, "one question in SQL, which can only read", "db sql 'SELECT ...' [-o table|json|jsonl|csv]",
     "hmbench db sql 'SELECT arm, wall_ms, rtf FROM arm_figure'\nhmbench db sql 'SELECT * FROM figure WHERE NOT warmup' -o csv"},
    {"db check", hm_db_check, "whether it is sound: pages, tables, references, values, files", "db check [--db FILE]",
     "hmbench db check\nhmbench db check --db node1.db"},
    {"db export", hm_db_export, "all of it, or one session, as text", "db export [-o json|jsonl|csv|sql] [--session ID] >FILE",
     "hmbench db export >all.jsonl\nhmbench db export -o sql --session last >last.sql\nhmbench db export -o csv >samples.csv"},
    {"db schema", schema, "the JSON Schema of what db export writes as json and jsonl", "db schema",
     "hmbench db schema >export.schema.json"},
    {"db import", hm_db_import, "takes in what db export wrote as json, jsonl or sql", "db import FILE... [--db FILE]",
     "hmbench db import all.jsonl\nhmbench db import last.sql --db other.db"},
    {"db merge", hm_db_merge, "takes in other databases, which are only read", "db merge FILE... [--db FILE]",
     "hmbench db merge node1.db node2.db --db all.db"},
    {"db prune", hm_db_prune, "removes old sessions, and the audio and traces they left beside the database",
     "db prune --keep-days N|--before DATE|--session ID|--dropped [--dry-run]",
     "hmbench db prune --keep-days 90 --dry-run\nhmbench db prune --before 2006-01-02\nhmbench db prune --session 1f0c\nhmbench db prune --dropped"},
    {0},
};

hm_status hm_cmd_db(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const hm_option none[] = {{0}};
    const char *names[16] = {0}, *word = argc > 1 ? argv[1] : "";
    bool helped;
    int n = 0;
    for (const hm_command *v = verbs; v->name; v++) {
        names[n++] = v->name + strlen("db ");
        if (!strcmp(word, names[n - 1]))
            return v->run(v, argc - 1, argv + 1, err);
    }
    if (*word == '-') {
        hm_status st = hm_options_parse(self, none, argc, argv, NULL, 0, &helped, err);
        if (st || helped)
            return st;
    }
    char near[HM_SUGGESTION];
    return hm_fail(err, HM_EUSAGE, "db %s: expected init, info, sql, check, export, schema, import, merge or prune%s (hmbench db --help)",
                   word, hm_did_you_mean(near, word, names));
}
