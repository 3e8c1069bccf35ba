/* Whether values keep to a JSON Schema: the words of it that ours use. */
#ifndef HM_TESTS_SCHEMA_CASE_H
#define HM_TESTS_SCHEMA_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static json_t *schema; /* the whole file, for its $defs */

static inline bool of_type(const json_t *value, const char *type)
{
    if (!strcmp(type, "null"))
        return json_is_null(value);
    if (!strcmp(type, "string"))
        return json_is_string(value);
    if (!strcmp(type, "integer"))
        return json_is_integer(value);
    if (!strcmp(type, "number"))
        return json_is_number(value);
    if (!strcmp(type, "object"))
        return json_is_object(value);
    if (!strcmp(type, "boolean"))
        return json_is_boolean(value);
    if (strcmp(type, "array"))
        fail_msg("unknown type %s", type);
    return json_is_array(value);
}

static inline bool keeps(const json_t *value, const json_t *rule);

static inline bool keeps_object(const json_t *value, const json_t *rule)
{
    size_t i;
    const char *key;
    json_t *item, *properties = json_object_get(rule, "properties");
    json_array_foreach(json_object_get(rule, "required"), i, item) if (!json_object_get(value, json_string_value(item))) return false;
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        json_t *of = json_object_get(properties, key);
        if (of ? !keeps(item, of) : json_is_false(json_object_get(rule, "additionalProperties")))
            return false;
    }
    return true;
}

static inline bool keeps(const json_t *value, const json_t *rule)
{
    static const char *const known[] = {"$schema", "title", "description", "$defs",   "$ref",     "anyOf",      "type",
                                        "enum",    "const", "items",       "pattern", "required", "properties", "additionalProperties"};
    const char *key;
    size_t i;
    json_t *part, *item;
    bool good = true;
    json_object_foreach((json_t *)(uintptr_t)rule, key, part)
    {
        bool understood = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            understood = understood || !strcmp(known[k], key);
        if (!understood)
            fail_msg("this test does not know \"%s\"", key);
    }
    if ((part = json_object_get(rule, "$ref")))
        good = keeps(value, json_object_get(json_object_get(schema, "$defs"), json_string_value(part) + strlen("#/$defs/")));
    if (good && (part = json_object_get(rule, "anyOf"))) {
        good = false;
        json_array_foreach(part, i, item) good = good || keeps(value, item);
    }
    if (good && (part = json_object_get(rule, "enum"))) {
        good = false;
        json_array_foreach(part, i, item) good = good || json_equal(item, value);
    }
    if (good && (part = json_object_get(rule, "const")))
        good = json_equal(part, value);
    if (good && (part = json_object_get(rule, "type")) && json_is_string(part))
        good = of_type(value, json_string_value(part));
    if (good && part && json_is_array(part)) {
        good = false;
        json_array_foreach(part, i, item) good = good || of_type(value, json_string_value(item));
    }
    if (good && (part = json_object_get(rule, "items")))
        json_array_foreach(value, i, item) good = good && keeps(item, part);
    return good && (!json_is_object(value) || keeps_object(value, rule));
}

#endif
