/* docs/schema/hmbench-export.schema.json is what the tables say, and what `hmbench db export` writes keeps to it. */
#define _GNU_SOURCE /* pipe2 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "harness/sample.h"
#include "reports/sheet.h"
#include "tests/cli_case.h"
#include "tests/planted_case.h"
#include "tests/schema_case.h"

#define SCHEMA HM_TEST_DATA "/../docs/schema/hmbench-export.schema.json"

static json_t *records; /* of the planted session */

static json_t *records_of(const char *format)
{
    char *db = in_folder("planted.db");
    json_error_t error;
    hm_run run = run_program("db", "export", "-o", (char *)(uintptr_t)format, "--db", db);
    json_t *out = NULL;
    if (run.code)
        fail_msg("exit code %d: %s", run.code, run.err);
    if (!strcmp(format, "json")) {
        out = json_loads(run.out, JSON_REJECT_DUPLICATES, &error);
    } else {
        out = json_array();
        for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"))
            json_array_append_new(out, json_loads(line, JSON_REJECT_DUPLICATES, &error));
    }
    run_free(&run);
    return out;
}

static int setup(void **state)
{
    json_error_t error;
    (void)state;
    if (make_case_folder())
        return 1;
    plant_session(in_folder("planted.db"));
    schema = json_load_file(SCHEMA, JSON_REJECT_DUPLICATES, &error);
    records = records_of("jsonl");
    return !schema || !json_array_size(records);
}

static int teardown(void **state)
{
    json_decref(schema);
    json_decref(records);
    return remove_folder(state);
}

/* ---- cases ---- */

static void the_published_schema_is_that_of_the_tables(void **state)
{
    (void)state;
    hm_run run = run_program("db", "schema");
    hm_map file = {0};
    hm_error err = {0};
    assert_int_equal(run.code, 0);
    GOOD(hm_map_read(&file, SCHEMA, 1 << 20, &err));
    if (strlen(run.out) != file.size || memcmp(run.out, file.data, file.size))
        fail_msg("the tables have changed: hmbench db schema >docs/schema/hmbench-export.schema.json");
    assert_string_equal(json_string_value(json_object_get(schema, "$schema")), "https://json-schema.org/draft/2020-12/schema");
    hm_map_close(&file);
    run_free(&run);
}

static void every_field_of_a_sample_is_told_with_its_meaning(void **state)
{
    (void)state;
    static const char *const names[] = {
#define NAME_I(name, required, meaning) #name,
#define NAME_R(name, meaning) #name,
#define NAME_T(name, bytes, meaning) #name,
        HM_SAMPLE_FIELDS(NAME_I, NAME_R, NAME_T)};
    const json_t *sample = json_object_get(json_object_get(json_object_get(schema, "$defs"), "sample_of_run"), "properties");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *words = json_string_value(json_object_get(json_object_get(sample, names[i]), "description"));
        if (!words || strlen(words) < 2 || strchr(words, '*') || strchr(words, '\n'))
            fail_msg("%s: \"%s\"", names[i], words ? words : "(nothing)");
    }
}

static void exports_keep_to_the_schema(void **state)
{
    (void)state;
    size_t i;
    json_t *record, *array = records_of("json");
    json_array_foreach(records, i, record) if (!keeps(record, schema))
    {
        char *text = json_dumps(record, JSON_INDENT(1));
        print_message("%s\n", text);
        free(text);
        fail_msg("record %zu does not keep to the schema", i);
    }
    assert_true(keeps(array, schema));
    assert_true(json_equal(array, records));
    json_decref(array);
}

/* The record that a change of it is made in; the schema has to see each. */
static json_t *a_run(void)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i,
                       record) if (!strcmp(json_string_value(json_object_get(record, "kind")), "run")) return json_deep_copy(record);
    fail_msg("no run");
    return NULL;
}

static void whatever_else_is_seen(void **state)
{
    (void)state;
    json_t *run = a_run();
    assert_true(keeps(run, schema));
    json_object_del(run, "arm");
    assert_false(keeps(run, schema));
    json_decref(run);
    run = a_run();
    json_object_set_new(run, "schema_version", json_integer(HM_EXPORT_SCHEMA_VERSION + 1));
    assert_false(keeps(run, schema));
    json_decref(run);
    run = a_run();
    json_t *sample = json_array_get(json_object_get(run, "samples"), 0);
    json_object_set_new(sample, "wall_ns", json_string("fast"));
    assert_false(keeps(run, schema));
    json_object_set_new(sample, "wall_ns", json_null());
    assert_false(keeps(run, schema));
    json_object_set_new(sample, "wall_ns", json_integer(5));
    assert_true(keeps(run, schema));
    json_object_set_new(sample, "surprise", json_integer(5));
    assert_false(keeps(run, schema));
    json_decref(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_schema_is_that_of_the_tables),
        cmocka_unit_test(every_field_of_a_sample_is_told_with_its_meaning),
        cmocka_unit_test(exports_keep_to_the_schema),
        cmocka_unit_test(whatever_else_is_seen),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
