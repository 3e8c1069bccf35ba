#include "engine/base/json.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/map.h"

static const char *kind_name(json_type kind)
{
    static const char *const names[] = {"an object", "an array", "a string", "an integer", "a real number", "true", "false", "null"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "something else";
}

const char *hm_json_kind(const json_t *value)
{
    return value ? kind_name(json_typeof(value)) : "nothing";
}

hm_status hm_json_parse(json_t **out, const void *data, size_t size, const char *where, hm_error *err)
{
    json_error_t e;
    json_t *root = json_loadb(data ? data : "", size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (!root)
        return hm_fail(err, HM_EFORMAT, "%s: line %d column %d: broken JSON: %s", where, e.line, e.column, e.text);
    *out = root;
    return HM_OK;
}

hm_status hm_json_load(json_t **out, const char *path, hm_error *err)
{
    hm_map map = {0};
    hm_status st = hm_map_read(&map, path, HM_JSON_MAX_BYTES, err);
    if (st)
        return st;
    st = hm_json_parse(out, map.data, map.size, path, err);
    hm_map_close(&map);
    return st;
}

/* The value at key, NULL (and HM_OK) when absent or null and not required. */
static hm_status lookup(const json_t *object, const char *key, bool required, json_t **out, const char *where, hm_error *err)
{
    *out = NULL;
    if (!json_is_object(object))
        return hm_fail(err, HM_EFORMAT, "%s: expected an object holding \"%s\", found %s", where, key, hm_json_kind(object));
    json_t *v = json_object_get(object, key);
    if (v && !json_is_null(v))
        *out = v;
    else if (required)
        return hm_fail(err, HM_EFORMAT, "%s: key \"%s\" is missing", where, key);
    return HM_OK;
}

hm_status hm_json_int(const json_t *object, const char *key, int64_t min, int64_t max, bool required, int64_t *out, const char *where,
                      hm_error *err)
{
    json_t *v;
    hm_status st = lookup(object, key, required, &v, where, err);
    if (st || !v)
        return st;
    if (!json_is_integer(v))
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected an integer, found %s", where, key, hm_json_kind(v));
    int64_t n = json_integer_value(v);
    if (n < min || n > max)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected %" PRId64 " to %" PRId64 ", found %" PRId64, where, key, min, max, n);
    *out = n;
    return HM_OK;
}

hm_status hm_json_double(const json_t *object, const char *key, bool required, double *out, const char *where, hm_error *err)
{
    json_t *v;
    hm_status st = lookup(object, key, required, &v, where, err);
    if (st || !v)
        return st;
    if (!json_is_number(v))
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected a number, found %s", where, key, hm_json_kind(v));
    *out = json_number_value(v);
    return HM_OK;
}

hm_status hm_json_bool(const json_t *object, const char *key, bool required, bool *out, const char *where, hm_error *err)
{
    json_t *v;
    hm_status st = lookup(object, key, required, &v, where, err);
    if (st || !v)
        return st;
    if (!json_is_boolean(v))
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected true or false, found %s", where, key, hm_json_kind(v));
    *out = json_is_true(v);
    return HM_OK;
}

hm_status hm_json_string(const json_t *object, const char *key, bool required, const char **out, const char *where, hm_error *err)
{
    json_t *v;
    hm_status st = lookup(object, key, required, &v, where, err);
    if (st || !v)
        return st;
    if (!json_is_string(v))
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected a string, found %s", where, key, hm_json_kind(v));
    if (strlen(json_string_value(v)) != json_string_length(v))
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": the string holds a NUL character", where, key);
    *out = json_string_value(v);
    return HM_OK;
}

hm_status hm_json_child(const json_t *object, const char *key, json_type kind, bool required, json_t **out, const char *where,
                        hm_error *err)
{
    json_t *v;
    hm_status st = lookup(object, key, required, &v, where, err);
    if (st || !v)
        return st;
    if (json_typeof(v) != kind)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected %s, found %s", where, key, kind_name(kind), hm_json_kind(v));
    *out = v;
    return HM_OK;
}
