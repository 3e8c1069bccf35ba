/* The JSON Schema of hm_store_export, made from the tables themselves: a column that is added is in it, with its comment. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "harness/store_transfer.h"

/* What the table's own text says behind the column, or NULL: "-- words" to the end of the line, or the other form of comment where the
 * column was added later. malloc'ed. */
static char *comment_of(const char *sql, const char *column)
{
    static const char *const types[] = {"INTEGER", "REAL", "TEXT", "BLOB"};
    size_t n = strlen(column);
    for (const char *p = sql; (p = strstr(p, column)); p += n) {
        bool type = false;
        for (int i = 0; i < 4; i++)
            type = type || (p[n] == ' ' && !strncmp(p + n + 1, types[i], strlen(types[i])));
        if (p == sql || p[-1] != ' ' || !type)
            continue;
        size_t line = strcspn(p, "\n");
        const char *closed = strstr(p, "*/"), *open, *dashes = strstr(p, "-- ");
        if (closed && closed < p + line && (open = strstr(p, "/* ")) && open < closed)
            return strndup(open + 3, (size_t)(closed - open) - 3 - (closed[-1] == ' '));
        if (dashes && dashes < p + line)
            return strndup(dashes + 3, (size_t)(p + line - dashes) - 3);
        return NULL;
    }
    return NULL;
}

/* NULL belongs to it unless the column is NOT NULL. */
static json_t *type_of(const char *type, bool not_null)
{
    if (!strcmp(type, "REAL")) /* JSON has no word for an infinite number */
        return not_null ? json_pack("{s:[{s:s}, {s:[s, s]}]}", "anyOf", "type", "number", "enum", "inf", "-inf")
                        : json_pack("{s:[{s:[s, s]}, {s:[s, s]}]}", "anyOf", "type", "number", "null", "enum", "inf", "-inf");
    const char *name = !strcmp(type, "INTEGER") ? "integer" : "string";
    return not_null ? json_pack("{s:s}", "type", name) : json_pack("{s:[s, s]}", "type", name, "null");
}

/* An object of all columns of a table but `left_out` (may be NULL). */
static hm_status table_object(hm_store *store, const char *table, const char *left_out, json_t **out, hm_error *err)
{
    hm_query q;
    json_t *properties = json_object(), *required = json_array();
    hm_query_open(
        &q, store,
        "SELECT c.name, c.type, c.\"notnull\" OR c.pk > 0, s.sql FROM pragma_table_info(:table) c, sqlite_schema s WHERE s.name = :table "
        "ORDER BY c.cid",
        err);
    hm_bind_text(&q, ":table", table);
    while (hm_query_row(&q)) {
        const char *name = hm_query_text(&q, 0);
        if (left_out && !strcmp(name, left_out))
            continue;
        char *comment = comment_of(hm_query_text(&q, 3), name);
        json_t *type = type_of(hm_query_text(&q, 1), hm_query_int(&q, 2) == 1);
        if (comment)
            json_object_set_new(type, "description", json_string(comment));
        if (!strcmp(hm_query_text(&q, 1), "BLOB"))
            json_object_set_new(type, "pattern", json_string("^([0-9a-f][0-9a-f])*$"));
        json_object_set_new(properties, name, type);
        json_array_append_new(required, json_string(name));
        free(comment);
    }
    *out = json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "required", required, "properties", properties, "additionalProperties", 0);
    return hm_query_close(&q);
}

/* {"required": all properties, nothing else} */
static json_t *closed_object(json_t *properties)
{
    const char *key;
    json_t *value, *required = json_array();
    json_object_foreach(properties, key, value) json_array_append_new(required, json_string(key));
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "required", required, "properties", properties, "additionalProperties", 0);
}

static hm_status sample_object(hm_store *store, json_t **out, hm_error *err)
{
    hm_status st = table_object(store, "sample", "run_id", out, err);
    for (const hm_export_part *p = hm_export_sample_parts; p->table && !st; p++) {
        json_t *item = NULL;
        st = table_object(store, p->table, p->column, &item, err);
        json_object_set_new(json_object_get(*out, "properties"), p->key, json_pack("{s:s, s:o}", "type", "array", "items", item));
        json_array_append_new(json_object_get(*out, "required"), json_string(p->key));
    }
    return st;
}

static json_t *reference(const char *table)
{
    char path[80];
    snprintf(path, sizeof path, "#/$defs/%s", table);
    return json_pack("{s:s}", "$ref", path);
}

static json_t *version_of(const char *kind)
{
    return json_pack("{s:{s:i}, s:{s:s}}", "schema_version", "const", HM_EXPORT_SCHEMA_VERSION, "kind", "const", kind);
}

/* A run with everything that it rests on. */
static json_t *run_record(void)
{
    json_t *properties = version_of("run");
    for (const hm_export_part *p = hm_export_run_parts; p->table; p++)
        json_object_set_new(properties, p->key,
                            strcmp(p->key, "model") ? reference(p->table) /* a run that failed early has none */
                                                    : json_pack("{s:[o, {s:s}]}", "anyOf", reference(p->table), "type", "null"));
    json_object_set_new(properties, "run", reference("run"));
    json_object_set_new(properties, "samples", json_pack("{s:s, s:o}", "type", "array", "items", reference("sample_of_run")));
    return closed_object(properties);
}

/* A row of any table that is in no run. */
static json_t *row_record(void)
{
    json_t *kinds = json_array();
    for (int i = 0; hm_store_tables[i]; i++) {
        json_t *properties = version_of("row");
        json_object_set_new(properties, "table", json_pack("{s:s}", "const", hm_store_tables[i]));
        json_object_set_new(properties, "values", reference(hm_store_tables[i]));
        json_array_append_new(kinds, closed_object(properties));
    }
    return json_pack("{s:o}", "anyOf", kinds);
}

hm_status hm_store_json_schema(FILE *file, hm_error *err)
{
    hm_store *fresh = NULL;
    json_t *definitions = json_object(), *part = NULL;
    hm_status st = hm_store_open_scratch(&fresh, "schema", hm_migration_count, err);
    for (int i = 0; !st && hm_store_tables[i]; i++) {
        st = table_object(fresh, hm_store_tables[i], NULL, &part, err);
        json_object_set_new(definitions, hm_store_tables[i], part);
    }
    if (!st) {
        st = sample_object(fresh, &part, err);
        json_object_set_new(definitions, "sample_of_run", part);
    }
    hm_store_close(&fresh);
    json_object_set_new(definitions, "run_record", run_record());
    json_object_set_new(definitions, "row_record", row_record());
    json_object_set_new(definitions, "record", json_pack("{s:[o, o]}", "anyOf", reference("run_record"), reference("row_record")));
    json_t *schema =
        json_pack("{s:s, s:s, s:s, s:[o, {s:s, s:o}], s:o}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
                  "hmbench db export", "description",
                  "A line of `hmbench db export -o jsonl`, or the array of `-o json`: an object per run with its session, machine, "
                  "build, arm, case, model and samples, and a row of every table that no run holds. Made by `hmbench db schema`.",
                  "anyOf", reference("record"), "type", "array", "items", reference("record"), "$defs", definitions);
    char *text = schema && !st ? json_dumps(schema, JSON_INDENT(1)) : NULL;
    if (!st && !text)
        st = hm_fail(err, HM_EABSENT, "schema: out of memory");
    if (text)
        fprintf(file, "%s\n", text);
    free(text);
    json_decref(schema);
    return st;
}
