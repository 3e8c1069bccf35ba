/* What hm_store_export wrote comes back. Nothing of a file is trusted: it fills a temporary database through statements of our own (JSON)
 * or through INSERTs that may do nothing else (SQL), which is checked like any file that is merged. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "engine/base/map.h"
#include "harness/options.h"
#include "harness/store_transfer.h"

enum {
    MAX_COLUMNS = 128,
    MAX_BYTES = 1 << 30
};

typedef struct intake {
    hm_store *store; /* scratch */
    const char *path;
    int64_t line; /* or number of the object */
    hm_error *err;
} intake;

static hm_status refuse(const intake *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

static hm_status refuse(const intake *in, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return hm_fail(in->err, HM_EFORMAT, "import %s: %lld: %s", in->path, (long long)in->line, text);
}

static bool known_table(const char *name)
{
    for (int i = 0; hm_store_tables[i]; i++)
        if (!strcmp(hm_store_tables[i], name))
            return true;
    return false;
}

/* JSON ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct column {
    char name[64];
    char type; /* I, R, T, B */
} column;

static hm_status columns_of(const intake *in, const char *table, column *out, int *count)
{
    hm_query q;
    *count = 0;
    hm_query_open(&q, in->store, "SELECT name, type FROM pragma_table_info(:table)", in->err);
    hm_bind_text(&q, ":table", table);
    while (hm_query_row(&q) && *count < MAX_COLUMNS) {
        snprintf(out[*count].name, sizeof out->name, "%s", hm_query_text(&q, 0));
        out[(*count)++].type = hm_query_text(&q, 1)[0];
    }
    return hm_query_close(&q);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static hm_status bind_blob(const intake *in, hm_query *q, int index, const json_t *value, const char *name)
{
    const char *text = json_string_value(value);
    size_t n = text ? json_string_length(value) : 1;
    uint8_t *bytes = n % 2 ? NULL : malloc(n / 2 + 1);
    if (n % 2 || !bytes)
        return n % 2 ? refuse(in, "%s: expected pairs of hexadecimal digits", name) : hm_fail(in->err, HM_EABSENT, "import: out of memory");
    for (size_t i = 0; i < n / 2; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            free(bytes);
            return refuse(in, "%s: expected pairs of hexadecimal digits", name);
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    sqlite3_bind_blob64(q->stmt, index, bytes, n / 2, free);
    return HM_OK;
}

static hm_status bind_value(const intake *in, hm_query *q, int index, const column *c, const json_t *value)
{
    const char *text = json_string_value(value);
    if (json_is_null(value))
        sqlite3_bind_null(q->stmt, index);
    else if (c->type == 'I' && json_is_integer(value))
        sqlite3_bind_int64(q->stmt, index, json_integer_value(value));
    else if (c->type == 'R' && json_is_number(value))
        sqlite3_bind_double(q->stmt, index, json_number_value(value));
    else if (c->type == 'R' && text && (!strcmp(text, "inf") || !strcmp(text, "-inf")))
        sqlite3_bind_double(q->stmt, index, *text == '-' ? -INFINITY : INFINITY);
    else if (c->type == 'T' && text && strlen(text) == json_string_length(value))
        sqlite3_bind_text(q->stmt, index, text, (int)json_string_length(value), SQLITE_STATIC);
    else if (c->type == 'B')
        return bind_blob(in, q, index, value, c->name);
    else
        return refuse(in, "%s: expected %s or null", c->name,
                      c->type == 'I'   ? "a whole number"
                      : c->type == 'R' ? "a number, \"inf\" or \"-inf\""
                                       : "a text without a NUL");
    return HM_OK;
}

/* A key that is no column, and none of those that hold parts: the nearest is told. */
static hm_status check_keys(const intake *in, const json_t *row, const char *table, const column *columns, int count,
                            const hm_export_part *parts)
{
    const char *names[MAX_COLUMNS + 8] = {0}, *key;
    json_t *value;
    int n = 0;
    for (int i = 0; i < count; i++)
        names[n++] = columns[i].name;
    for (; parts && parts->key; parts++)
        names[n++] = parts->key;
    json_object_foreach((json_t *)row, key, value)
    {
        int i = 0;
        while (i < n && strcmp(names[i], key))
            i++;
        char near[HM_SUGGESTION];
        if (i == n)
            return refuse(in, "%s has no \"%.60s\"%s", table, key, hm_did_you_mean(near, key, names));
    }
    return HM_OK;
}

/* One row. A column without a key gets its default; `extra` gives the value of a column that what is around the row has. */
static hm_status put_row(intake *in, const char *table, const json_t *row, const hm_export_part *parts, const char *extra,
                         const char *value)
{
    column columns[MAX_COLUMNS];
    char sql[8192];
    int count, used, index = 1;
    if (!json_is_object(row))
        return refuse(in, "%s: expected an object", table);
    hm_status st = columns_of(in, table, columns, &count);
    if (!st)
        st = check_keys(in, row, table, columns, count, parts);
    if (st)
        return st;
    used = snprintf(sql, sizeof sql, "INSERT INTO %s(", table);
    for (int pass = 0; pass < 2; pass++) { /* names are those of table_info: nothing of the file gets into the statement */
        bool any = false;
        for (int i = 0; i < count; i++)
            if (json_object_get(row, columns[i].name) || (extra && !strcmp(columns[i].name, extra))) {
                used += snprintf(sql + used, sizeof sql - (size_t)used, "%s%s", any ? "," : "", pass ? "?" : columns[i].name);
                any = true;
            }
        if (!any)
            return refuse(in, "%s: an empty row", table);
        used += snprintf(sql + used, sizeof sql - (size_t)used, pass ? ") ON CONFLICT DO NOTHING" : ") VALUES(");
    }
    hm_query q;
    hm_query_open(&q, in->store, sql, in->err);
    for (int i = 0; i < count && !q.status; i++) {
        if (extra && !strcmp(columns[i].name, extra))
            sqlite3_bind_text(q.stmt, index++, value, -1, SQLITE_STATIC);
        else if (json_object_get(row, columns[i].name))
            q.status = bind_value(in, &q, index++, &columns[i], json_object_get(row, columns[i].name));
    }
    bool bound = !q.status;
    hm_query_run(&q);
    st = hm_query_close(&q);
    return st && bound ? refuse(in, "%s: %s", table, sqlite3_errmsg(in->store->db)) : st;
}

static hm_status put_sample(intake *in, const json_t *sample, const char *run_id)
{
    const char *id = json_string_value(json_object_get(sample, "id"));
    if (!id)
        return refuse(in, "a sample without an id");
    hm_status st = put_row(in, "sample", sample, hm_export_sample_parts, "run_id", run_id);
    for (const hm_export_part *p = hm_export_sample_parts; p->key && !st; p++) {
        const json_t *rows = json_object_get(sample, p->key), *row;
        size_t i;
        if (rows && !json_is_array(rows))
            st = refuse(in, "%s: expected an array", p->key);
        for (i = 0; !st && i < json_array_size(rows); i++) {
            row = json_array_get(rows, i);
            st = put_row(in, p->table, row, NULL, "sample_id", id);
        }
    }
    return st;
}

static hm_status put_run(intake *in, const json_t *o)
{
    const json_t *run = json_object_get(o, "run"), *samples = json_object_get(o, "samples");
    const char *id = json_string_value(json_object_get(run, "id"));
    static const char *const keys[] = {"schema_version", "kind", "run", "samples"};
    const char *key;
    json_t *value;
    hm_status st = HM_OK;
    json_object_foreach((json_t *)o, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            known = known || !strcmp(keys[i], key);
        for (const hm_export_part *p = hm_export_run_parts; p->key; p++)
            known = known || !strcmp(p->key, key);
        if (!known)
            return refuse(in, "a run has no \"%.60s\"", key);
    }
    if (!id || !json_is_array(samples))
        return refuse(in, "a run without an id or samples");
    for (const hm_export_part *p = hm_export_run_parts; p->key && !st; p++)
        if (json_object_get(o, p->key) && !json_is_null(json_object_get(o, p->key)))
            st = put_row(in, p->table, json_object_get(o, p->key), NULL, NULL, NULL);
    if (!st)
        st = put_row(in, "run", run, NULL, NULL, NULL);
    for (size_t i = 0; i < json_array_size(samples) && !st; i++)
        st = put_sample(in, json_array_get(samples, i), id);
    return st;
}

static hm_status put_object(intake *in, const json_t *o)
{
    const char *kind = json_string_value(json_object_get(o, "kind")), *table = json_string_value(json_object_get(o, "table"));
    const json_t *version = json_object_get(o, "schema_version");
    if (!json_is_integer(version) || json_integer_value(version) != HM_EXPORT_SCHEMA_VERSION)
        return refuse(in, "expected schema_version %d", HM_EXPORT_SCHEMA_VERSION);
    if (kind && !strcmp(kind, "run"))
        return put_run(in, o);
    if (!kind || strcmp(kind, "row") || json_object_size(o) != 4)
        return refuse(in, "expected a run or a row, as `hmbench db export -o jsonl` writes them");
    if (!table || !known_table(table))
        return refuse(in, "no table \"%.60s\"", table ? table : "");
    return put_row(in, table, json_object_get(o, "values"), NULL, NULL, NULL);
}

static hm_status parse(const intake *in, const char *text, size_t size, json_t **out)
{
    json_error_t where;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    return *out ? HM_OK : refuse(in, "JSON, column %d: %s", where.column, where.text);
}

static hm_status put_lines(intake *in, const char *text, size_t size)
{
    hm_status st = HM_OK;
    for (size_t at = 0; at < size && !st;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at : size - at;
        json_t *o = NULL;
        in->line++;
        if (n)
            st = parse(in, text + at, n, &o);
        if (n && !st)
            st = put_object(in, o);
        json_decref(o);
        at += n + 1;
    }
    return st;
}

static hm_status put_array(intake *in, const char *text, size_t size)
{
    json_t *list = NULL;
    hm_status st = parse(in, text, size, &list);
    if (!st && !json_is_array(list))
        st = refuse(in, "expected an array of runs");
    for (size_t i = 0; i < json_array_size(list) && !st; i++) {
        in->line = (int64_t)i + 1;
        st = put_object(in, json_array_get(list, i));
    }
    json_decref(list);
    return st;
}

/* SQL ------------------------------------------------------------------------------------------------------------------------------- */

/* A dump's statements may put literal values into tables, and nothing else: no function, no question, no other file. Which tables there are
 * is ours to say: those of its version. */
static int authorize(void *self, int action, const char *a, const char *b, const char *c, const char *d)
{
    (void)self, (void)b, (void)d;
    return action == SQLITE_INSERT && a && strncasecmp(a, "sqlite_", 7) && c && !strcmp(c, "main") ? SQLITE_OK : SQLITE_DENY;
}

/* text[size] is a NUL, size at most MAX_BYTES. */
static hm_status put_insert(intake *in, const char *text, size_t size, size_t *used)
{
    sqlite3_stmt *stmt = NULL;
    const char *rest = NULL;
    static const char begin[] = "INSERT INTO ";
    if (size < sizeof begin || memcmp(text, begin, sizeof begin - 1)) {
        size_t n = strcspn(text, "\n");
        return refuse(in, "expected an INSERT, found \"%.*s\"", (int)(n < 40 ? n : 40), text);
    }
    sqlite3_set_authorizer(in->store->db, authorize, NULL);
    int code = sqlite3_prepare_v2(in->store->db, text, (int)size + 1, &stmt, &rest); /* with its NUL: without it SQLite copies all of it */
    sqlite3_set_authorizer(in->store->db, NULL, NULL);
    hm_status st = HM_OK;
    if (code || !stmt)
        st = refuse(in, "%s", code == SQLITE_AUTH ? "an INSERT of anything but values into our tables" : sqlite3_errmsg(in->store->db));
    else if (sqlite3_step(stmt) != SQLITE_DONE)
        st = refuse(in, "%s", sqlite3_errmsg(in->store->db));
    sqlite3_finalize(stmt);
    *used = st ? 0 : (size_t)(rest - text);
    return st;
}

/* text is NUL-terminated. */
static hm_status put_dump(intake *in, const char *text, size_t size)
{
    char *head = NULL;
    size_t at, used = 0, last = strlen(HM_EXPORT_SQL_LAST);
    int version = atoi(text + strlen(HM_EXPORT_SQL_FIRST));
    in->line = 1;
    if (version < 1 || version > hm_migration_count)
        return refuse(in, "a dump of schema version %d, this hmbench knows 1 to %d", version, hm_migration_count);
    if (strlen(text) != size)
        return refuse(in, "a NUL byte");
    hm_store_close(&in->store);
    hm_status st = hm_store_open_scratch(&in->store, in->path, version, in->err);
    if (!st)
        st = hm_export_sql_head(version, &head, in->err);
    if (!st)
        st = hm_store_exec(in->store, "PRAGMA foreign_keys = OFF; BEGIN", in->err);
    at = st ? 0 : strlen(head);
    if (!st && (size < at + last || memcmp(text, head, at)))
        st = refuse(in, "its tables are not those of schema version %d as `hmbench db export -o sql` writes them", version);
    for (size_t i = 0; i < at && !st; i++)
        in->line += head[i] == '\n';
    free(head);
    while (!st && !(size - at == last && !memcmp(text + at, HM_EXPORT_SQL_LAST, last))) {
        st = put_insert(in, text + at, size - at, &used);
        for (size_t i = 0; i < used && !st; i++)
            in->line += text[at + i] == '\n';
        at += used;
        at += !st && at < size && text[at] == '\n';
        in->line += !st;
    }
    return st ? st : hm_store_exec(in->store, "COMMIT", in->err);
}

/* ----------------------------------------------------------------------------------------------------------------------------------- */

static hm_status fill(intake *in, const hm_map *map)
{
    const char *text = (const char *)map->data;
    size_t first = 0;
    while (first < map->size && (text[first] == ' ' || text[first] == '\n' || text[first] == '\r' || text[first] == '\t'))
        first++;
    if (map->size > 15 && !memcmp(text, "SQLite format 3", 15))
        return hm_fail(in->err, HM_EFORMAT, "import %s: is a database; `hmbench db merge %s` takes it", in->path, in->path);
    if (map->size > strlen(HM_EXPORT_SQL_FIRST) && !memcmp(text, HM_EXPORT_SQL_FIRST, strlen(HM_EXPORT_SQL_FIRST)))
        return put_dump(in, text, map->size);
    if (first == map->size || (text[first] != '[' && text[first] != '{'))
        return hm_fail(in->err, HM_EFORMAT, "import %s: is nothing that `hmbench db export` writes as json, jsonl or sql", in->path);
    hm_status st = hm_store_exec(in->store, "PRAGMA foreign_keys = OFF; BEGIN", in->err);
    if (!st)
        st = text[first] == '[' ? put_array(in, text, map->size) : put_lines(in, text, map->size);
    return st ? st : hm_store_exec(in->store, "COMMIT", in->err);
}

/* One file into a checked scratch of this version. */
static hm_status load(const char *path, hm_store **out, hm_error *err)
{
    hm_map map = {0};
    intake in = {.path = path, .err = err};
    hm_status st = hm_map_read(&map, path, MAX_BYTES, err);
    if (!st)
        st = hm_store_open_scratch(&in.store, path, hm_migration_count, err);
    if (!st)
        st = fill(&in, &map);
    if (!st)
        st = hm_store_migrate(in.store, hm_migration_count, err);
    if (!st)
        st = hm_store_exec(in.store, "PRAGMA foreign_keys = ON", err);
    if (!st)
        st = hm_store_check_values(in.store, err);
    hm_map_close(&map);
    if (st)
        hm_store_close(&in.store);
    *out = in.store;
    return st;
}

/* All files into one checked scratch. */
static hm_status load_all(const char *const *paths, int count, hm_store **out, hm_error *err)
{
    hm_store *all = NULL;
    int64_t rows;
    hm_status st = load(paths[0], &all, err);
    for (int i = 1; i < count && !st; i++) {
        hm_store *one = NULL;
        st = load(paths[i], &one, err);
        if (!st)
            st = hm_store_pour(one, all, &rows, err);
        hm_store_close(&one);
    }
    if (st)
        hm_store_close(&all);
    *out = all;
    return st;
}

hm_status hm_store_import(hm_store *store, const char *const *paths, int count, int64_t *rows, hm_error *err)
{
    hm_store *all = NULL;
    *rows = 0;
    hm_status st = load_all(paths, count, &all, err);
    if (!st)
        st = hm_store_pour(all, store, rows, err);
    hm_store_close(&all);
    return st;
}

hm_status hm_store_import_into(const char *db, const char *const *paths, int count, int64_t *rows, hm_error *err)
{
    hm_store *all = NULL, *store = NULL;
    *rows = 0;
    hm_status st = load_all(paths, count, &all, err);
    if (!st)
        st = hm_store_open(&store, db, HM_STORE_CREATE, err);
    if (!st)
        st = hm_store_pour(all, store, rows, err);
    hm_store_close(&store);
    hm_store_close(&all);
    return st;
}
